//! What a prune did.

use crate::repo::SinkStatus;
use aeth_core::Error;
use std::time::Duration;

/// Blobs, counted once for each pack that holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PruneBlobs {
    /// In use.
    pub used: u64,
    /// In use, but a copy of one that is counted as used.
    pub duplicate: u64,
    /// Of no use.
    pub unused: u64,
    /// In packs that are written again.
    pub repack: u64,
    /// Left out when these are written again.
    pub repack_removed: u64,
    /// In packs that are removed as a whole.
    pub removed: u64,
}

/// Bytes of packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PruneBytes {
    /// Of blobs in use.
    pub used: u64,
    /// Of copies of these.
    pub duplicate: u64,
    /// Of blobs of no use.
    pub unused: u64,
    /// Of packs that no index names.
    pub unreferenced: u64,
    /// Of packs that are written again.
    pub repack: u64,
    /// Of blobs that are left out then.
    pub repack_removed: u64,
    /// Of packs that are removed as a whole.
    pub removed: u64,
}

impl PruneBytes {
    /// Of everything.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.used + self.duplicate + self.unused + self.unreferenced
    }

    /// What the plan frees.
    #[must_use]
    pub fn freed(&self) -> u64 {
        self.removed + self.repack_removed + self.unreferenced
    }

    /// What is left unused.
    #[must_use]
    pub fn remaining_unused(&self) -> u64 {
        (self.duplicate + self.unused).saturating_sub(self.removed + self.repack_removed)
    }
}

/// Packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PrunePacks {
    /// Wholly in use.
    pub used: u64,
    /// Of no use.
    pub unused: u64,
    /// In use in part.
    pub partly_used: u64,
    /// Named by no index.
    pub unreferenced: u64,
    /// Left as they are.
    pub keep: u64,
    /// Written again.
    pub repack: u64,
    /// Removed as a whole.
    pub remove: u64,
}

/// What a prune found and did, or in a dry run would do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PruneReport {
    /// Blobs, as the plan has them.
    pub blobs: PruneBlobs,
    /// Bytes, as the plan has them.
    pub bytes: PruneBytes,
    /// Packs, as the plan has them.
    pub packs: PrunePacks,
    /// Snapshots that were walked.
    pub snapshots: u64,
    /// Packs that this run marked.
    pub marked: u64,
    /// Packs that were marked and are in use again: they stay.
    pub unmarked: u64,
    /// Packs that were removed, each counted once, however many sinks had it.
    pub removed_packs: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Bytes of packs that were written.
    pub written_bytes: u64,
    /// Why phase two did not happen: somebody kept a lock. The next prune removes what is marked.
    pub postponed: Option<Error>,
    /// True when nothing was really done.
    pub dry_run: bool,
    /// How each sink fared.
    pub sinks: Vec<SinkStatus>,
    /// How long it took.
    pub elapsed: Duration,
}
