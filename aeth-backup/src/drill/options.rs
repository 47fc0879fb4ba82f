//! How much is restored, and what came of it.

use crate::Id;
use crate::progress::{Progress, Skipped};
use crate::select::SnapshotFilter;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a restore drill is done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrillOptions {
    pub(super) scratch: PathBuf,
    pub(super) snapshot: String,
    pub(super) filter: SnapshotFilter,
    pub(super) sample: Option<u64>,
    pub(super) seed: Option<u64>,
    pub(super) progress: Progress,
    pub(super) cancel: CancellationToken,
}

impl DrillOptions {
    /// Restores the latest snapshot as a whole, into a directory of its own below `scratch`, which is made when it
    /// is missing. What a drill restores is removed when it is over; what a drill left that was killed, the next
    /// one there removes. One drill at a time in one directory.
    #[must_use]
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        Self {
            scratch: scratch.into(),
            snapshot: "latest".into(),
            filter: SnapshotFilter::default(),
            sample: None,
            seed: None,
            progress: Progress::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// The snapshot: an id, the beginning of one, or `latest` (the default).
    #[must_use]
    pub fn snapshot(mut self, name: impl Into<String>) -> Self {
        self.snapshot = name.into();
        self
    }

    /// `latest` is the latest that passes this filter.
    #[must_use]
    pub fn filter(mut self, filter: SnapshotFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Restores files chosen by chance, of about so many bytes together (one file at least, 1,000 at most), instead
    /// of all of them. Every drill chooses others.
    #[must_use]
    pub fn sample(mut self, bytes: u64) -> Self {
        self.sample = Some(bytes);
        self
    }

    /// Makes the choice of a sample the same each time.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Counts into `progress`.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Stops when `token` is cancelled.
    #[must_use]
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }
}

/// What a restore drill found.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DrillReport {
    /// The snapshot that was restored.
    pub snapshot: Id,
    /// Files that were to be restored.
    pub wanted: u64,
    /// Files that were restored.
    pub files: u64,
    /// Files that were read again from the disk and are what the snapshot says.
    pub verified: u64,
    /// Bytes that were restored.
    pub bytes: u64,
    /// Bytes of the snapshot's files.
    pub total_bytes: u64,
    /// What could not be restored, and why; the first 10,000.
    pub problems: Vec<Skipped>,
    /// How many problems there were.
    pub problems_total: u64,
    /// How long the restore took, verification included.
    pub elapsed: Duration,
}

impl DrillReport {
    /// True when everything that was to be restored was, and every byte was right.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.problems_total == 0 && self.files == self.wanted
    }
}
