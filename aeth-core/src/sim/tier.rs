//! A cache tier that goes wrong.

use super::FaultPlan;
use super::bytes::flip;
use super::plan::{After, Fault, lost, torn};
use crate::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierStatistics,
};
use crate::{Error, Key, Namespace, Result, Tag};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A [`CacheTier`] over another one which goes wrong by a [`FaultPlan`].
///
/// Look-ups that fail answer `Unavailable`. A torn put or remove is done for the first half of the batch; a torn
/// look-up answers its second half with `Unavailable`. A flipped bit is one of the value: a tier that keeps its
/// entries in envelopes would notice, so this is what a tier without them gives.
#[derive(Debug, Clone)]
pub struct FaultyTier {
    inner: Arc<dyn CacheTier>,
    plan: FaultPlan,
}

impl FaultyTier {
    /// Wraps a tier.
    #[must_use]
    pub fn new(inner: impl CacheTier, plan: FaultPlan) -> Self {
        Self { inner: Arc::new(inner), plan }
    }

    fn flipped(&self, entry: Entry) -> Entry {
        Entry { value: flip(&self.plan, &entry.value), ..entry }
    }
}

fn outage(count: usize, error: &Error) -> Vec<Lookup> {
    vec![Lookup::Unavailable(error.clone()); count]
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CacheTier for FaultyTier {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> TierCapabilities {
        self.inner.capabilities()
    }

    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup> {
        match self.plan.next("get_now") {
            None => self.inner.get_now(namespace, key),
            Some(Fault::Error(error)) => Some(Lookup::Unavailable(error)),
            Some(Fault::Lost | Fault::Torn) => Some(Lookup::Unavailable(lost("get_now"))),
            Some(Fault::Flip) => match self.inner.get_now(namespace, key) {
                Some(Lookup::Hit(entry)) => Some(Lookup::Hit(self.flipped(entry))),
                other => other,
            },
            // It cannot be answered at once.
            Some(Fault::Delay(_) | Fault::Hang) => None,
        }
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let after = match self.plan.enter("get").await {
            Ok(after) => after,
            Err(error) => return outage(keys.len(), &error),
        };
        let mut answers = self.inner.get_many(namespace, keys).await;
        match after {
            After::Nothing => {}
            After::Lost => return outage(keys.len(), &lost("get")),
            After::Torn => {
                answers.truncate(keys.len() / 2);
                answers.extend(outage(keys.len() - answers.len(), &torn("get")));
            }
            After::Flip => {
                for answer in &mut answers {
                    if let Lookup::Hit(entry) = answer {
                        *answer = Lookup::Hit(self.flipped(entry.clone()));
                    }
                }
            }
        }
        answers
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key) -> Lookup {
        let mut answers = self.get_many(namespace, std::slice::from_ref(key)).await;
        answers.pop().unwrap_or(Lookup::Miss)
    }

    async fn put_many(
        &self,
        namespace: &Namespace,
        mut entries: Vec<(Key, Entry)>,
    ) -> Result<Vec<PutOutcome>> {
        match self.plan.enter("put").await? {
            After::Nothing => self.inner.put_many(namespace, entries).await,
            After::Lost => {
                self.inner.put_many(namespace, entries).await?;
                Err(lost("put"))
            }
            After::Torn => {
                entries.truncate(entries.len() / 2);
                self.inner.put_many(namespace, entries).await?;
                Err(torn("put"))
            }
            After::Flip => {
                let entries = entries.into_iter().map(|(key, entry)| (key, self.flipped(entry))).collect();
                self.inner.put_many(namespace, entries).await
            }
        }
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        match self.plan.enter("remove").await? {
            After::Nothing | After::Flip => self.inner.remove_many(namespace, keys).await,
            After::Lost => {
                self.inner.remove_many(namespace, keys).await?;
                Err(lost("remove"))
            }
            After::Torn => {
                self.inner.remove_many(namespace, &keys[..keys.len() / 2]).await?;
                Err(torn("remove"))
            }
        }
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        self.plan.around("tags", self.inner.invalidate_tags(namespace, tags)).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        self.plan.around("clear", self.inner.clear(namespace)).await
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        let asked = async { Ok(self.inner.get_or_lease_many(namespace, keys, ttl).await) };
        match self.plan.around("lease", asked).await {
            Ok(answers) => answers,
            Err(error) => vec![LeaseLookup::Unavailable(error); keys.len()],
        }
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        self.plan.around("fill", self.inner.fill(namespace, key, token, entry)).await
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        self.plan.around("release", self.inner.release(namespace, key, token)).await
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        self.inner.invalidations()
    }

    fn statistics(&self) -> TierStatistics {
        self.inner.statistics()
    }
}
