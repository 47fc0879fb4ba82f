//! What a run did.

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
    /// Packs of an interrupted run that were found and used.
    pub resumed_packs: u64,
    /// How each sink fared.
    pub sinks: Vec<SinkStatus>,
    /// How long it took.
    pub elapsed: Duration,
}

impl BackupReport {
    /// True when nothing was left out, no file changed under the reader, and every sink has it all.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.skipped_total == 0
            && self.changed.is_empty()
            && self.sinks.iter().all(|sink| sink.error.is_none())
    }
}
