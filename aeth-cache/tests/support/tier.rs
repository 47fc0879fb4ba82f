//! A tier that lets others run before and after each of its calls, as a seed decides.

use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::sim::SimRng;
use aeth_core::{Error, Key, Namespace, Result, Tag, async_trait};
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub struct Slow {
    inner: Arc<dyn CacheTier>,
    rng: SimRng,
    leases: bool,
    shared: bool,
    forging: bool,
}

impl Slow {
    pub fn new(inner: impl CacheTier, rng: SimRng) -> Self {
        Self { inner: Arc::new(inner), rng, leases: true, shared: false, forging: false }
    }

    /// Claims no leases.
    pub fn without_leases(mut self) -> Self {
        self.leases = false;
        self
    }

    /// Claims to be seen by other processes.
    pub fn shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Fills under leases that are void.
    pub fn forging(mut self) -> Self {
        self.forging = true;
        self
    }

    async fn pause(&self) {
        for _ in 0..self.rng.below(4) {
            tokio::task::yield_now().await;
        }
    }

    async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        self.pause().await;
        let result = call.await;
        self.pause().await;
        result
    }
}

fn no_leases() -> Error {
    Error::unsupported("no leases")
}

#[async_trait]
impl CacheTier for Slow {
    fn name(&self) -> Cow<'_, str> {
        "slow".into()
    }

    fn capabilities(&self) -> TierCapabilities {
        let its = self.inner.capabilities().without(TierCapability::Immediate);
        let its = if self.shared { its.with(TierCapability::Shared) } else { its };
        if self.leases { its } else { its.without(TierCapability::Lease) }
    }

    fn get_now(&self, _: &Namespace, _: &[u8]) -> Option<Lookup> {
        None
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        self.around(self.inner.get_many(namespace, keys)).await
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        self.around(self.inner.put_many(namespace, entries)).await
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        self.around(self.inner.remove_many(namespace, keys)).await
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        self.around(self.inner.invalidate_tags(namespace, tags)).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        self.around(self.inner.clear(namespace)).await
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        if !self.leases {
            return keys.iter().map(|_| LeaseLookup::Unavailable(no_leases())).collect();
        }
        self.around(self.inner.get_or_lease_many(namespace, keys, ttl)).await
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        if !self.leases {
            return Err(no_leases());
        }
        if self.forging {
            let put = self.inner.put_many(namespace, vec![(key.clone(), entry)]);
            return self.around(put).await.map(|_| FillOutcome::Stored);
        }
        self.around(self.inner.fill(namespace, key, token, entry)).await
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        if !self.leases {
            return Err(no_leases());
        }
        self.around(self.inner.release(namespace, key, token)).await
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        None
    }

    fn statistics(&self) -> TierStatistics {
        self.inner.statistics()
    }
}
