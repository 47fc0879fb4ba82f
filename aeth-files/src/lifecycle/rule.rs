//! What a rule takes, and what it does.

use super::Candidate;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Which blobs a rule takes: those for which everything that is set holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Selector {
    /// What the path begins with, byte by byte; default: anything.
    pub prefix: String,
    /// What the path ends with.
    pub suffix: Option<String>,
    /// At least so many bytes.
    pub at_least: Option<u64>,
    /// Fewer bytes than this.
    pub smaller_than: Option<u64>,
    /// Written at least so long ago.
    pub older_than: Option<Duration>,
    /// Neither written nor read for at least so long; known of tiers only.
    pub idle_for: Option<Duration>,
    /// Read within so long; known of tiers only.
    pub used_within: Option<Duration>,
}

impl Selector {
    /// Every blob.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The blobs whose path begins with this.
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Only those whose path ends with this.
    #[must_use]
    pub fn with_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = Some(suffix.into());
        self
    }

    /// Only those of at least so many bytes.
    #[must_use]
    pub fn with_at_least(mut self, bytes: u64) -> Self {
        self.at_least = Some(bytes);
        self
    }

    /// Only those of fewer bytes.
    #[must_use]
    pub fn with_smaller_than(mut self, bytes: u64) -> Self {
        self.smaller_than = Some(bytes);
        self
    }

    /// Only those that were written at least so long ago.
    #[must_use]
    pub fn with_older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Only those that were neither written nor read for at least so long.
    #[must_use]
    pub fn with_idle_for(mut self, time: Duration) -> Self {
        self.idle_for = Some(time);
        self
    }

    /// Only those that were read within so long.
    #[must_use]
    pub fn with_used_within(mut self, time: Duration) -> Self {
        self.used_within = Some(time);
        self
    }

    pub(super) fn goes_by_use(&self) -> bool {
        self.idle_for.is_some() || self.used_within.is_some()
    }

    pub(super) fn takes(&self, blob: &Candidate, now: SystemTime) -> bool {
        let since = |time: SystemTime| now.duration_since(time).unwrap_or_default();
        let (path, size) = (blob.meta.path.as_str(), blob.meta.size);
        let touched = blob.used.map_or(blob.meta.modified, |used| used.max(blob.meta.modified));
        path.starts_with(&self.prefix)
            && self.suffix.as_ref().is_none_or(|suffix| path.ends_with(suffix.as_str()))
            && self.at_least.is_none_or(|least| size >= least)
            && self.smaller_than.is_none_or(|limit| size < limit)
            && self.older_than.is_none_or(|age| since(blob.meta.modified) >= age)
            && self.idle_for.is_none_or(|time| since(touched) >= time)
            && self.used_within.is_none_or(|time| blob.used.is_some_and(|used| since(used) <= time))
    }
}

/// What a rule does to the blobs that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LifecycleAction {
    /// Nothing: rules that follow do not see them.
    Keep,
    /// They are deleted.
    Delete,
    /// They are moved to the tier of this name.
    Move(String),
}

impl fmt::Display for LifecycleAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Delete => f.write_str("delete"),
            Self::Move(tier) => write!(f, "move to {tier}"),
        }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LifecycleRule {
    /// What plans and reports call it.
    pub name: String,
    /// Which blobs it takes.
    pub when: Selector,
    /// What it does to them.
    pub action: LifecycleAction,
}

impl LifecycleRule {
    /// A rule.
    #[must_use]
    pub fn new(name: impl Into<String>, when: Selector, action: LifecycleAction) -> Self {
        Self { name: name.into(), when, action }
    }

    /// Leaves blobs where they are, whatever later rules say.
    #[must_use]
    pub fn keep(name: impl Into<String>, when: Selector) -> Self {
        Self::new(name, when, LifecycleAction::Keep)
    }

    /// Deletes blobs.
    #[must_use]
    pub fn delete(name: impl Into<String>, when: Selector) -> Self {
        Self::new(name, when, LifecycleAction::Delete)
    }

    /// Moves blobs to a tier.
    #[must_use]
    pub fn move_to(tier: impl Into<String>, name: impl Into<String>, when: Selector) -> Self {
        Self::new(name, when, LifecycleAction::Move(tier.into()))
    }
}
