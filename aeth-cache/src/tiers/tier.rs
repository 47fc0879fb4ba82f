//! The contract, on the stack.

use super::Tiers;
use super::write::no_leases;
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::{Error, Key, Namespace, Result, Tag, async_trait};
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::time::Duration;

#[async_trait]
impl CacheTier for Tiers {
    /// The names of the parts, joined by `+`.
    fn name(&self) -> Cow<'_, str> {
        let names: Vec<_> = self.parts.iter().map(|part| part.name()).collect();
        names.join("+").into()
    }

    fn capabilities(&self) -> TierCapabilities {
        self.capabilities
    }

    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup> {
        if !self.capabilities.has(TierCapability::Immediate) {
            return None;
        }
        let mut answer = Lookup::Miss;
        for part in &self.parts {
            match part.get_now(namespace, key)? {
                hit @ Lookup::Hit(_) => return Some(hit),
                Lookup::Miss => {}
                other => answer = other,
            }
        }
        Some(answer)
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        self.search(namespace, keys).await
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        self.store(namespace, entries).await
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        self.forget(namespace, keys).await
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        if !self.capabilities.has(TierCapability::Tags) {
            return Err(Error::unsupported("not all of the stacked tiers can invalidate by tag"));
        }
        let _fence = self.fence.write().await;
        let mut result = Ok(());
        for part in self.parts.iter().rev() {
            result = result.and(part.invalidate_tags(namespace, tags).await);
        }
        result
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        let _fence = self.fence.write().await;
        let mut result = Ok(());
        for part in self.parts.iter().rev() {
            result = result.and(part.clear(namespace).await);
        }
        result
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        match self.anchor {
            Some(anchor) => self.search_or_lease(namespace, keys, ttl, anchor).await,
            None => keys.iter().map(|_| LeaseLookup::Unavailable(no_leases())).collect(),
        }
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        self.fill_anchor(namespace, key, token, entry).await
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        match self.anchor {
            Some(anchor) => self.parts[anchor].release(namespace, key, token).await,
            None => Err(no_leases()),
        }
    }

    /// The stack tells nothing of its own: its parts' streams are subscribed to by whoever built it.
    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        None
    }

    /// The sums over the parts, except that a look-up that any part answered is a hit of the stack: hits are the
    /// sum, misses and capacity those of the last part.
    fn statistics(&self) -> TierStatistics {
        let mut sum = TierStatistics::default();
        for part in &self.parts {
            let its = part.statistics();
            sum.hits += its.hits;
            sum.misses = its.misses;
            sum.unavailable += its.unavailable;
            sum.puts = its.puts;
            sum.removals = its.removals;
            sum.evictions += its.evictions;
            sum.expirations += its.expirations;
            sum.damaged += its.damaged;
            sum.entries = its.entries;
            sum.bytes = its.bytes;
            sum.capacity = its.capacity;
        }
        sum
    }
}
