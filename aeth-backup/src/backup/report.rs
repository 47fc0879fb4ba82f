//! What a run did.

use crate::hook::HookFailure;
use crate::progress::Skipped;
use crate::repo::{SinkStatus, SnapshotEntry};
use std::time::Duration;

/// What a backup run did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupReport {
    /// The snapshot that it made; its summary has the counts.
    pub snapshot: SnapshotEntry,
    /// What is not in the backup, and why; the first 10,000.
    pub skipped: Vec<Skipped>,
    /// How many items are not in the backup.
    pub skipped_total: u64,
    /// Files that changed while they were read: they are in the backup, but may be of no single moment.
    pub changed: Vec<String>,
    /// Sockets, which cannot be backed up and mean nothing when their server is gone.
    pub sockets: u64,
    /// Bytes of all packs of the repository after the run: what one replica takes.
    pub repository_bytes: u64,
    /// Packs of an interrupted run that were found and used.
    pub resumed_packs: u64,
    /// Hooks that failed without ending the run.
    pub hooks: Vec<HookFailure>,
    /// How each sink fared.
    pub sinks: Vec<SinkStatus>,
    /// How long it took.
    pub elapsed: Duration,
}

impl BackupReport {
    /// True when nothing was left out, no file changed under the reader, every sink has it all, and no hook
    /// failed that was not optional.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.skipped_total == 0
            && self.changed.is_empty()
            && self.hooks.iter().all(|hook| hook.optional)
            && self.sinks.iter().all(|sink| sink.error.is_none())
    }
}
