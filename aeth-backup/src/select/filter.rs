//! Snapshots by host, tags and paths.

use crate::format::{NodeTime, Snapshot};
use std::time::SystemTime;

/// Chooses snapshots as restic's `--host`, `--tag` and `--path` do. Without any condition all of them are chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotFilter {
    /// One of these hosts; empty for any.
    pub hosts: Vec<String>,
    /// All tags of one of these lists; empty for any. The empty tag stands for "no tag at all".
    pub tags: Vec<Vec<String>>,
    /// All of these paths; empty for any.
    pub paths: Vec<String>,
    /// Not made after this time.
    pub until: Option<SystemTime>,
}

impl SnapshotFilter {
    /// Chooses all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only snapshots of this host, or of another that was given.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Only snapshots that have all of `tags`, or all of another list that was given.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tags.into_iter().map(Into::into).collect());
        self
    }

    /// Only snapshots of this path, and of all others that were given.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// Only snapshots that were not made after `time`.
    #[must_use]
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// True when everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a snapshot is chosen.
    #[must_use]
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.hostname))
            && (self.tags.is_empty() || self.tags.iter().any(|tags| snapshot.has_tags(tags)))
            && self.paths.iter().all(|path| snapshot.paths.contains(path))
            && self.until.is_none_or(|time| snapshot.time <= NodeTime::from(time))
    }
}
