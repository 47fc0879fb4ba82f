//! What rules would do, and doing it.

use super::{Core, HOT, Tiered};
use crate::lifecycle::{
    self, Candidate, Lifecycle, LifecycleAction, LifecyclePlan, LifecycleReport, LifecycleStep, Outcome,
};
use aeth_core::blob::BlobStoreExt;
use aeth_core::{Error, Result};
use futures_util::{StreamExt, TryStreamExt};

/// How many stubs are looked at at the same time.
const HEADS: usize = 16;

impl Tiered {
    /// What the rules would do now. Nothing is changed. Costs a listing of the first tier, and a head for each blob that is
    /// away.
    ///
    /// # Errors
    /// `Invalid` for a rule that moves to a tier that there is not; those of the first tier.
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing is changed.
    pub async fn plan(&self, rules: &Lifecycle) -> Result<LifecyclePlan> {
        for rule in rules.rules() {
            if let LifecycleAction::Move(tier) = &rule.action {
                self.0.tier(tier)?;
            }
        }
        let core = &self.0;
        // What other handles noted since.
        core.used.load(&core.hot, super::USED).await?;
        let listed = core.hot.list(Some(&rules.common_prefix()));
        let blobs = listed
            .try_filter(|meta| std::future::ready(!super::hidden(meta.path.as_str())))
            .map(|meta| async move { core.seen(meta?).await })
            .buffered(HEADS)
            .try_filter_map(|seen| std::future::ready(Ok(seen)))
            .map_ok(|(meta, stub)| Candidate {
                tier: Some(stub.map_or_else(|| HOT.to_owned(), |stub| stub.tier)),
                used: core.used.last(&meta.path),
                meta,
            });
        lifecycle::plan(rules, core.clock.now(), blobs).await
    }

    /// Does what a plan says. A blob that is in another state than the plan saw is left alone; moves decide that
    /// atomically, deletes look just before. Steps that fail are in the report, and the others go on. A process that ends
    /// in between leaves every blob whole where it was or where it goes.
    ///
    /// # Errors
    /// Those of noting what was read; steps do not fail the call.
    ///
    /// # Cancel safety
    /// Any subset of the steps may be done; applying the plan again, or making a new one, completes it.
    pub async fn apply(&self, rules: &Lifecycle, plan: &LifecyclePlan) -> Result<LifecycleReport> {
        let report = lifecycle::run(plan, rules.concurrency, |step| self.0.act(step)).await;
        self.save_use().await?;
        Ok(report)
    }
}

impl Core {
    async fn act(&self, step: &LifecycleStep) -> Result<Outcome> {
        match &step.action {
            LifecycleAction::Move(tier) => {
                let Some(etag) = &step.etag else {
                    return Err(Error::unsupported("the first tier's listing gives the blob no mark")
                        .with_component("tiered")
                        .with_key(&step.path));
                };
                self.move_to(&step.path, tier, Some(etag)).await.map(Into::into)
            }
            LifecycleAction::Delete => {
                let _turn = self.turn(&step.path).await;
                let (meta, _) = match self.look(&step.path).await {
                    Err(error) if error.is_not_found() => return Ok(Outcome::Changed),
                    found => found?,
                };
                if !step.is_still(&meta) {
                    return Ok(Outcome::Changed);
                }
                let deleted = self.delete(std::slice::from_ref(&step.path)).await?;
                deleted.into_iter().collect::<Result<Vec<()>>>()?;
                Ok(Outcome::Done)
            }
            LifecycleAction::Keep => Ok(Outcome::Changed),
        }
    }
}
