//! Rules by which blobs age: what goes, what moves, and a plan that can be read before anything happens.
//!
//! A [`Lifecycle`] is a list of rules; for each blob the first one that takes it decides. Planning only reads: it gives
//! a [`LifecyclePlan`], which is data and text for people. Applying a plan does each step by itself, and only on the
//! state of the blob that the plan saw: what was written since is left alone and counted.
//!
//! Rules that move blobs need tiers: see [`Tiered::plan`](crate::Tiered::plan). Times are those of the last write by the
//! store's own clock; a blob whose time lies in the future is of age zero.

mod apply;
mod plan;
mod rule;

pub use apply::LifecycleReport;
pub use plan::{LifecyclePlan, LifecycleStep};
pub use rule::{LifecycleAction, LifecycleRule, Selector};

pub(crate) use apply::{Outcome, run};
pub(crate) use plan::{Candidate, plan};

use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{Error, Result};
use futures_util::StreamExt;
use std::time::SystemTime;

/// Rules by which blobs age.
///
/// ```
/// use aeth_core::blob::BlobStoreExt;
/// use aeth_core::BlobPath;
/// use aeth_files::{Lifecycle, LifecycleRule, MemoryStore, Selector};
/// use std::time::{Duration, SystemTime};
///
/// const DAY: Duration = Duration::from_secs(24 * 3_600);
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// store.put(&BlobPath::new("tmp/a")?, "draft").await?;
/// store.put(&BlobPath::new("tmp/keep.me")?, "draft").await?;
/// let rules = Lifecycle::new([
///     LifecycleRule::keep("what is marked", Selector::all().with_suffix("keep.me")),
///     LifecycleRule::delete("drafts", Selector::prefix("tmp/").with_older_than(30 * DAY)),
/// ]);
/// let plan = rules.plan(&store, SystemTime::now() + 31 * DAY).await?;
/// println!("{plan}");
/// assert_eq!(plan.steps.len(), 1);
/// assert_eq!(rules.apply(&store, &plan).await?.deleted, 1);
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifecycle {
    pub(crate) rules: Vec<LifecycleRule>,
    pub(crate) limit: Option<usize>,
    pub(crate) concurrency: usize,
}

impl Lifecycle {
    /// These rules, in this order.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = LifecycleRule>) -> Self {
        Self { rules: rules.into_iter().collect(), limit: None, concurrency: 4 }
    }

    /// The most steps of a plan; default: no limit. A plan that reached it says so, and the next one goes on with what
    /// is left.
    #[must_use]
    pub fn with_limit(mut self, steps: usize) -> Self {
        self.limit = Some(steps);
        self
    }

    /// How many steps are under way at the same time when a plan is applied; default 4, at least 1.
    #[must_use]
    pub fn with_concurrency(mut self, steps: usize) -> Self {
        self.concurrency = steps.max(1);
        self
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[LifecycleRule] {
        &self.rules
    }

    /// What the rules would do to a store at a time. Nothing is changed. Costs a listing of what the rules' prefixes
    /// cover.
    ///
    /// # Errors
    /// `Invalid` for a rule that moves or that goes by use, which a plain store knows nothing of; those of the listing.
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing is changed.
    pub async fn plan(&self, store: &dyn BlobStore, now: SystemTime) -> Result<LifecyclePlan> {
        self.check_plain()?;
        let listed = store.list(Some(&self.common_prefix()));
        plan(self, now, listed.map(|meta| Ok(Candidate::plain(meta?)))).await
    }

    /// Does what a plan says. A blob that is in another state than the plan saw is left alone; the state is looked at
    /// just before the delete, which plain stores cannot make one operation of.
    ///
    /// Steps that fail are in the report, and the others go on.
    ///
    /// # Errors
    /// `Invalid` for a plan with moves.
    ///
    /// # Cancel safety
    /// Any subset of the steps may be done; applying the plan again, or making a new one, completes it.
    pub async fn apply(&self, store: &dyn BlobStore, plan: &LifecyclePlan) -> Result<LifecycleReport> {
        if plan.steps.iter().any(|step| matches!(step.action, LifecycleAction::Move(_))) {
            return Err(no_tiers("the plan"));
        }
        Ok(run(plan, self.concurrency, |step| delete_plain(store, step)).await)
    }

    fn check_plain(&self) -> Result<()> {
        for rule in &self.rules {
            if matches!(rule.action, LifecycleAction::Move(_)) || rule.when.goes_by_use() {
                return Err(no_tiers(&format!("the rule {:?}", rule.name)));
            }
        }
        Ok(())
    }

    /// What every path that a rule takes begins with.
    pub(crate) fn common_prefix(&self) -> String {
        let mut prefixes = self.rules.iter().map(|rule| rule.when.prefix.as_str());
        let Some(first) = prefixes.next() else { return String::new() };
        let common = prefixes.fold(first, |common, other| {
            let same = common.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
            let end = same.map_or(common.len().min(other.len()), |((at, _), _)| at);
            common.get(..end).unwrap_or_default()
        });
        common.to_owned()
    }
}

fn no_tiers(what: &str) -> Error {
    Error::invalid(format!("{what} needs tiers, which a plain store does not have"))
        .with_component("lifecycle")
        .with_remedy("plan and apply through the tiered layer")
}

/// Deletes a blob that is still what the plan saw.
async fn delete_plain(store: &dyn BlobStore, step: &LifecycleStep) -> Result<Outcome> {
    let meta = match store.head(&step.path).await {
        Err(error) if error.is_not_found() => return Ok(Outcome::Changed),
        meta => meta?,
    };
    if !step.is_still(&meta) {
        return Ok(Outcome::Changed);
    }
    store.delete(&step.path).await?;
    Ok(Outcome::Done)
}
