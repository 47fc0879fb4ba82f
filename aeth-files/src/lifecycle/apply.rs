//! Doing what a plan says.

use super::{LifecycleAction, LifecyclePlan, LifecycleStep};
use aeth_core::{BlobPath, Error, Result};
use futures_util::{StreamExt, stream};
use std::fmt;

/// What became of a plan.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LifecycleReport {
    /// Blobs that were deleted.
    pub deleted: u64,
    /// Their length in bytes.
    pub deleted_bytes: u64,
    /// Blobs that were moved.
    pub moved: u64,
    /// Their length in bytes.
    pub moved_bytes: u64,
    /// Blobs that were written, moved or deleted since the plan was made, and left alone.
    pub changed: u64,
    /// Steps that failed, each with its error; the blobs are what they were.
    pub failed: Vec<(BlobPath, Error)>,
}

impl fmt::Display for LifecycleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} deleted ({} B), {} moved ({} B), {} changed since, {} failed",
            self.deleted,
            self.deleted_bytes,
            self.moved,
            self.moved_bytes,
            self.changed,
            self.failed.len()
        )
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The blob is not what the plan saw.
    Changed,
}

/// Does the steps, several at the same time.
pub(crate) async fn run<'a, F, Fut>(plan: &'a LifecyclePlan, concurrency: usize, act: F) -> LifecycleReport
where
    F: Fn(&'a LifecycleStep) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Outcome>> + Send,
{
    let mut report = LifecycleReport::default();
    let steps = plan.steps.iter().filter(|step| step.action != LifecycleAction::Keep);
    let acts = stream::iter(steps).map(|step| {
        let acted = act(step);
        async move { (step, acted.await) }
    });
    let mut acts = std::pin::pin!(acts.buffer_unordered(concurrency.max(1)));
    while let Some((step, acted)) = acts.next().await {
        match (acted, &step.action) {
            (Ok(Outcome::Done), LifecycleAction::Move(_)) => {
                report.moved += 1;
                report.moved_bytes += step.size;
            }
            (Ok(Outcome::Done), _) => {
                report.deleted += 1;
                report.deleted_bytes += step.size;
            }
            (Ok(Outcome::Changed), _) => report.changed += 1,
            (Err(error), _) => report.failed.push((step.path.clone(), error)),
        }
    }
    report.failed.sort_by(|a, b| a.0.cmp(&b.0));
    report
}
