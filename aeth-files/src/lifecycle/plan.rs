//! Plans.

use super::{Lifecycle, LifecycleAction};
use aeth_core::blob::{BlobMeta, ETag};
use aeth_core::{BlobPath, Result};
use futures_core::Stream;
use futures_util::TryStreamExt;
use std::fmt;
use std::pin::pin;
use std::time::{Duration, SystemTime};

/// A blob that rules look at.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) meta: BlobMeta,
    /// The tier that it is in, where there are tiers.
    pub(crate) tier: Option<String>,
    /// When it was last read, as far as that is known.
    pub(crate) used: Option<SystemTime>,
}

impl Candidate {
    pub(crate) fn plain(meta: BlobMeta) -> Self {
        Self { meta, tier: None, used: None }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LifecycleStep {
    /// The blob.
    pub path: BlobPath,
    /// Its length in bytes.
    pub size: u64,
    /// How long ago it was written.
    pub age: Duration,
    /// The state that the plan saw; the step is for that one only.
    pub etag: Option<ETag>,
    /// When it was written.
    pub modified: SystemTime,
    /// The tier that it is in, where there are tiers.
    pub tier: Option<String>,
    /// What will be done.
    pub action: LifecycleAction,
    /// The rule that says so.
    pub rule: String,
}

impl LifecycleStep {
    /// True when the blob is in the state that the plan saw.
    pub(crate) fn is_still(&self, meta: &BlobMeta) -> bool {
        match (&self.etag, &meta.etag) {
            (Some(seen), Some(now)) => seen == now,
            _ => self.size == meta.size && self.modified == meta.modified,
        }
    }
}

impl fmt::Display for LifecycleStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.age.as_secs() / (24 * 3_600);
        write!(f, "{:<14} {:>12} B  {days:>5} d  {}", self.action.to_string(), self.size, self.path)?;
        if let Some(tier) = &self.tier {
            write!(f, "  (in {tier})")?;
        }
        write!(f, "  [{}]", self.rule)
    }
}

/// What rules would do. Its `Display` is a table for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LifecyclePlan {
    /// The steps, in the order of their paths.
    pub steps: Vec<LifecycleStep>,
    /// How many blobs were looked at.
    pub seen: u64,
    /// True when there is more to do than the limit allows.
    pub cut: bool,
}

impl LifecyclePlan {
    /// The length in bytes of all blobs that would be deleted or moved.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.size).sum()
    }

    /// True when there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl fmt::Display for LifecyclePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        let more = if self.cut { ", and more to do" } else { "" };
        write!(f, "{} of {} blobs, {} B{more}", self.steps.len(), self.seen, self.bytes())
    }
}

/// Looks at blobs in the order in which they come.
pub(crate) async fn plan(
    rules: &Lifecycle,
    now: SystemTime,
    blobs: impl Stream<Item = Result<Candidate>> + Send,
) -> Result<LifecyclePlan> {
    let mut plan = LifecyclePlan::default();
    let mut blobs = pin!(blobs);
    while let Some(blob) = blobs.try_next().await? {
        plan.seen += 1;
        let Some(rule) = rules.rules.iter().find(|rule| rule.when.takes(&blob, now)) else { continue };
        match &rule.action {
            LifecycleAction::Keep => continue,
            LifecycleAction::Move(tier) if blob.tier.as_ref() == Some(tier) => continue,
            _ => {}
        }
        if rules.limit.is_some_and(|limit| plan.steps.len() >= limit) {
            plan.cut = true;
            break;
        }
        plan.steps.push(LifecycleStep {
            size: blob.meta.size,
            age: now.duration_since(blob.meta.modified).unwrap_or_default(),
            modified: blob.meta.modified,
            path: blob.meta.path,
            etag: blob.meta.etag,
            tier: blob.tier,
            action: rule.action.clone(),
            rule: rule.name.clone(),
        });
    }
    Ok(plan)
}
