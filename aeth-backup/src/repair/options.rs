//! How is repaired.

use crate::Id;
use crate::progress::{Observer, Progress, Watch};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How a repository is repaired.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepairOptions {
    pub(super) dry_run: bool,
    pub(super) read_packs: bool,
    pub(super) forget: bool,
    pub(super) snapshots: Vec<Id>,
    pub(super) wait: Duration,
    pub(super) progress: Progress,
    pub(super) watch: Watch,
    pub(super) cancel: CancellationToken,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            read_packs: true,
            forget: false,
            snapshots: Vec::new(),
            wait: Duration::from_secs(30),
            progress: Progress::default(),
            watch: Watch::default(),
            cancel: CancellationToken::new(),
        }
    }
}

impl RepairOptions {
    /// Reads everything, removes no snapshot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only says what would be done.
    #[must_use]
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }

    /// Whether packs are read to find damage in them, or only their lengths compared (and, for the index, the
    /// headers of all packs or only of those that no index names). Default: read.
    #[must_use]
    pub fn read_packs(mut self, read: bool) -> Self {
        self.read_packs = read;
        self
    }

    /// Whether a snapshot is removed when a repaired one stands in its place. Default: no, both stay.
    #[must_use]
    pub fn forget(mut self, forget: bool) -> Self {
        self.forget = forget;
        self
    }

    /// Only this snapshot (may be repeated). Default: all.
    #[must_use]
    pub fn snapshot(mut self, id: Id) -> Self {
        self.snapshots.push(id);
        self
    }

    /// How long to wait for those who have a lock. Default: 30 seconds.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Counts into `progress`: files as files, trees as directories.
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

    /// Stops when `token` is cancelled; what was repaired stays so.
    #[must_use]
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }
}
