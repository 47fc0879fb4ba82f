//! What a run backs up, and how.

use crate::Id;
use crate::hook::Hook;
use crate::progress::{Observer, Progress, Watch};
use crate::source::Source;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// What one run backs up: several sources make one restore point.
///
/// Each source has its place in the snapshot's tree (a directory stands at its absolute path, as with restic),
/// so that one snapshot holds them side by side, and each can be restored alone.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    pub(crate) sources: Vec<Source>,
    pub(crate) tags: Vec<String>,
    pub(crate) time: Option<SystemTime>,
    pub(crate) parent: Parent,
    pub(crate) progress: Progress,
    pub(crate) watch: Watch,
    pub(crate) cancel: CancellationToken,
    pub(crate) before: Vec<Hook>,
    pub(crate) after: Vec<Hook>,
    pub(crate) stall: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            tags: Vec::new(),
            time: None,
            parent: Parent::default(),
            progress: Progress::default(),
            watch: Watch::default(),
            cancel: CancellationToken::new(),
            before: Vec::new(),
            after: Vec::new(),
            stall: Duration::from_secs(600),
        }
    }
}

/// The snapshot that unchanged files are taken from.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Parent {
    /// The latest of the same host and places.
    #[default]
    Latest,
    /// This one.
    Of(Id),
    /// None: every file is read.
    None,
}

impl Plan {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a source.
    #[must_use]
    pub fn source(mut self, source: impl Into<Source>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Adds several sources.
    #[must_use]
    pub fn sources(mut self, sources: impl IntoIterator<Item = impl Into<Source>>) -> Self {
        self.sources.extend(sources.into_iter().map(Into::into));
        self
    }

    /// Adds a hook that comes before the sources are read.
    #[must_use]
    pub fn before(mut self, hook: Hook) -> Self {
        self.before.push(hook);
        self
    }

    /// Adds a hook that comes after the run, however it ended.
    #[must_use]
    pub fn after(mut self, hook: Hook) -> Self {
        self.after.push(hook);
        self
    }

    /// How long a source that is no directory of this machine (a store, a stream, a command) may give nothing
    /// before its file counts as unreadable. Default: 10 minutes.
    #[must_use]
    pub fn stall_timeout(mut self, timeout: Duration) -> Self {
        self.stall = timeout;
        self
    }

    /// Adds a tag to the snapshot.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// The time that the snapshot carries. Default: when the run begins.
    #[must_use]
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Takes unchanged files from this snapshot instead of the latest of the same host and places.
    #[must_use]
    pub fn parent(mut self, id: Id) -> Self {
        self.parent = Parent::Of(id);
        self
    }

    /// Reads every file, whatever the parent snapshot says.
    #[must_use]
    pub fn read_everything(mut self) -> Self {
        self.parent = Parent::None;
        self
    }

    /// Counts into `progress`.
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

    /// Stops the run when `token` is cancelled: nothing is lost, no snapshot is made, and the next run uses
    /// what was stored.
    #[must_use]
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }
}
