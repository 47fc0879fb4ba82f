//! A policy over a cache tier.

use super::{CallKind, Guard, Policy};
use crate::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierStatistics,
};
use crate::{Clock, Key, Namespace, Result, Tag};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// A [`CacheTier`] over another one whose calls are made under a [`Policy`].
///
/// Look-ups, removes, clears, tags and releases are repeated, because doing them twice is doing them once. Puts
/// and fills are repeated only when they were refused: a put that took effect although it failed, done again after
/// somebody's remove, would bring the removed entry back. So are look-ups with lease: an answer that was lost may
/// have granted one, and the next would find it held.
///
/// A look-up that fails, is refused by the breaker or runs out of time answers `Unavailable` for the keys that it
/// has no answer for.
#[derive(Debug, Clone)]
pub struct PolicyTier {
    inner: Arc<dyn CacheTier>,
    guard: Guard,
}

impl PolicyTier {
    /// Wraps a tier.
    #[must_use]
    pub fn new(inner: impl CacheTier, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let guard = Guard::new(inner.name().into_owned(), policy, clock);
        Self { inner: Arc::new(inner), guard }
    }

    /// The guard: breaker state and metrics.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CacheTier for PolicyTier {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> TierCapabilities {
        self.inner.capabilities()
    }

    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup> {
        self.inner.get_now(namespace, key)
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let last: Mutex<Option<Vec<Lookup>>> = Mutex::new(None);
        let looked = self
            .guard
            .call(CallKind::read("get"), |_| {
                let last = &last;
                Box::pin(async move {
                    let answers = self.inner.get_many(namespace, keys).await;
                    let outage = answers.iter().find_map(|answer| match answer {
                        Lookup::Unavailable(error) if error.retry().is_worthwhile() => Some(error.clone()),
                        _ => None,
                    });
                    *last.lock() = Some(answers);
                    outage.map_or(Ok(()), Err)
                })
            })
            .await;
        match (looked, last.into_inner()) {
            (_, Some(answers)) if answers.len() == keys.len() => answers,
            (Err(error), _) => vec![Lookup::Unavailable(error); keys.len()],
            (Ok(()), answers) => answers.unwrap_or_default(),
        }
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key) -> Lookup {
        let mut answers = self.get_many(namespace, std::slice::from_ref(key)).await;
        answers.pop().unwrap_or(Lookup::Miss)
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        self.guard.call(CallKind::once("put"), |_| self.inner.put_many(namespace, entries.clone())).await
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        self.guard.call(CallKind::idempotent("remove"), |_| self.inner.remove_many(namespace, keys)).await
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        self.guard.call(CallKind::idempotent("tags"), |_| self.inner.invalidate_tags(namespace, tags)).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        self.guard.call(CallKind::idempotent("clear"), |_| self.inner.clear(namespace)).await
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        let looked = self
            .guard
            .call(CallKind::once("lease"), |_| {
                Box::pin(async move {
                    let answers = self.inner.get_or_lease_many(namespace, keys, ttl).await;
                    let all = answers.iter().all(|answer| matches!(answer, LeaseLookup::Unavailable(_)));
                    match answers.first() {
                        // The guard sees an outage only when it is one of the whole batch: a lease that was
                        // granted must reach the caller.
                        Some(LeaseLookup::Unavailable(error)) if all => Err(error.clone()),
                        _ => Ok(answers),
                    }
                })
            })
            .await;
        looked.unwrap_or_else(|error| vec![LeaseLookup::Unavailable(error); keys.len()])
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        let kind = CallKind::once("fill");
        self.guard.call(kind, |_| self.inner.fill(namespace, key, token, entry.clone())).await
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        self.guard.call(CallKind::idempotent("release"), |_| self.inner.release(namespace, key, token)).await
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        self.inner.invalidations()
    }

    fn statistics(&self) -> TierStatistics {
        self.inner.statistics()
    }
}
