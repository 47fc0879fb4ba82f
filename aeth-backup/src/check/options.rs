//! How much is checked.

use crate::progress::{Observer, Progress, Watch};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How much is checked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    pub(crate) read_data: bool,
    pub(crate) progress: Progress,
    pub(crate) watch: Watch,
    pub(crate) cancel: CancellationToken,
}

impl CheckOptions {
    /// Keys, configuration, indexes, snapshots, trees, and that every pack is there with its length.
    #[must_use]
    pub fn structure() -> Self {
        Self::default()
    }

    /// That, and every byte of every pack in every sink.
    #[must_use]
    pub fn all_data() -> Self {
        Self { read_data: true, ..Self::default() }
    }

    /// Counts into `progress`: packs as files.
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

    /// Stops when `token` is cancelled.
    #[must_use]
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }
}
