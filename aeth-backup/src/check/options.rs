//! How much is checked.

use super::rotation::Sample;
use crate::progress::{Observer, Progress, Watch};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How much is checked.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    pub(crate) sample: Sample,
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
        Self { sample: Sample::All, ..Self::default() }
    }

    /// The structure, and so much of the packs that all of them are read in `days` days by a check each day (0 counts
    /// as 1). A check that comes later reads more. What was read is remembered in a file of ours beside the
    /// repository.
    #[must_use]
    pub fn rotation(days: u32) -> Self {
        Self { sample: Sample::Rotate(days), ..Self::default() }
    }

    /// The structure, and the packs of share `part` of `of`, counted from 0. Which share a pack is in depends on its
    /// name only. A part that is not below `of` reads nothing.
    #[must_use]
    pub fn subset(part: u32, of: u32) -> Self {
        Self { sample: Sample::Part(part, of), ..Self::default() }
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
