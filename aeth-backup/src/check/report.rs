//! What a check found.

use aeth_core::Error;
use std::time::Duration;

/// Something that a check found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CheckFinding {
    /// The sink it was found in; `None` when it concerns all of them.
    pub sink: Option<String>,
    /// What, where and what to do.
    pub error: Error,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// Damage. Without any, everything that was checked can be restored.
    pub errors: Vec<CheckFinding>,
    /// What is untidy but harmless: packs that no index names, as an interrupted run leaves them.
    pub hints: Vec<CheckFinding>,
    /// Snapshots checked.
    pub snapshots: u64,
    /// Trees checked.
    pub trees: u64,
    /// Packs of which the presence and length were checked, over all sinks.
    pub packs: u64,
    /// Packs of which every byte was read.
    pub packs_read: u64,
    /// Bytes of packs read, over all sinks.
    pub read: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl CheckReport {
    /// True when there was no damage.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn error(&mut self, sink: Option<String>, error: Error) {
        self.errors.push(CheckFinding { sink, error });
    }
}
