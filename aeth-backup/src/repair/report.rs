//! What a repair did.

use crate::Id;
use crate::repo::SinkStatus;
use aeth_core::Error;

/// A snapshot from which something had to be left out.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairedSnapshot {
    /// The damaged one.
    pub old: Id,
    /// What stands in its place; `None` when nothing of it is left, and in a dry run.
    pub new: Option<Id>,
    /// Paths of files that lost some of their content, and of directories that lost all of it.
    pub damaged: Vec<String>,
}

/// What a repair found and did, or in a dry run would do.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RepairReport {
    /// Damaged or missing files that were copied from another sink, as `sink: file`.
    pub copied: Vec<String>,
    /// Index files that were damaged and replaced.
    pub indexes_replaced: u64,
    /// Packs that the index now names and did not, or named otherwise.
    pub packs_added: u64,
    /// Packs that the index named and that are gone.
    pub packs_dropped: u64,
    /// Damaged packs of which what was whole was written into new ones.
    pub packs_salvaged: u64,
    /// Blobs that were saved from these.
    pub blobs_saved: u64,
    /// Blobs that were lost with these.
    pub blobs_lost: u64,
    /// Snapshots from which something had to be left out.
    pub snapshots: Vec<RepairedSnapshot>,
    /// What could not be repaired: files that are damaged in every sink that has them, or in a sink that keeps
    /// everything.
    pub unrepaired: Vec<Error>,
    /// True when nothing was really done.
    pub dry_run: bool,
    /// How each sink fared.
    pub sinks: Vec<SinkStatus>,
}

impl RepairReport {
    /// True when there was nothing to repair.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.copied.is_empty()
            && self.snapshots.is_empty()
            && self.unrepaired.is_empty()
            && [self.indexes_replaced, self.packs_added, self.packs_dropped, self.packs_salvaged] == [0; 4]
    }
}
