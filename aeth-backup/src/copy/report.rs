//! What is copied, and what was.

use crate::Id;
use crate::progress::{Observer, Progress, Watch};
use crate::select::SnapshotFilter;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What is copied.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CopyOptions {
    pub(super) filter: SnapshotFilter,
    pub(super) ids: Vec<Id>,
    pub(super) progress: Progress,
    pub(super) watch: Watch,
    pub(super) cancel: CancellationToken,
}

impl CopyOptions {
    /// All snapshots.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the snapshots that pass this filter.
    #[must_use]
    pub fn filter(mut self, filter: SnapshotFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Only this snapshot (may be repeated).
    #[must_use]
    pub fn snapshot(mut self, id: Id) -> Self {
        self.ids.push(id);
        self
    }

    /// Counts into `progress`: blobs as files, with their bytes.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.watch = Watch(Some(Arc::new(observer)));
        self
    }

    /// Stops when `token` is cancelled; the next copy goes on from there.
    #[must_use]
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }
}

/// A snapshot and its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopiedSnapshot {
    /// In the repository that it was copied from.
    pub from: Id,
    /// In the one that it was copied to.
    pub to: Id,
}

/// What a copy did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CopyReport {
    /// The snapshots that were copied, the oldest first.
    pub copied: Vec<CopiedSnapshot>,
    /// The snapshots that had been copied before, with their copies.
    pub present: Vec<CopiedSnapshot>,
    /// Blobs that were copied.
    pub blobs: u64,
    /// Their bytes, uncompressed.
    pub bytes: u64,
    /// False when the repositories cut files at other places: what is backed up to both is then stored twice in the
    /// one that it is copied to. Make it with
    /// [`chunker_like`](crate::RepositoryOptions::chunker_like) to avoid that.
    pub same_chunker: bool,
}
