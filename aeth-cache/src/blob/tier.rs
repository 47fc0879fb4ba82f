//! The contract, on blobs.

use super::container::Mark;
use super::{BlobTier, PARALLEL};
use aeth_core::blob::{BlobStoreExt, Capability};
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::{BlobPath, Error, Key, Namespace, Result, Tag, async_trait};
use futures_core::stream::BoxStream;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

fn no_leases() -> Error {
    Error::unsupported("blobs have no leases").with_component("blob")
}

impl BlobTier {
    async fn look_up(&self, namespace: &Namespace, key: &Key) -> Lookup {
        let counters = &self.inner.counters;
        match self.inner.read(namespace, key).await {
            Ok(Some(entry)) => {
                counters.hits.increment();
                Lookup::Hit(entry)
            }
            Ok(None) => {
                counters.misses.increment();
                Lookup::Miss
            }
            Err(error) => {
                counters.unavailable.increment();
                Lookup::Unavailable(error.with_operation("get"))
            }
        }
    }

    /// The writes of one key, in their order.
    async fn put_in_order(
        &self,
        namespace: &Namespace,
        writes: Vec<(usize, Key, Entry)>,
    ) -> Result<Vec<(usize, PutOutcome)>> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for (index, key, entry) in writes {
            outcomes.push((index, self.inner.write(namespace, &key, entry).await?));
        }
        Ok(outcomes)
    }
}

#[async_trait]
impl CacheTier for BlobTier {
    /// `blob`.
    fn name(&self) -> Cow<'_, str> {
        "blob".into()
    }

    /// Tags; what the store says about durability and other processes.
    fn capabilities(&self) -> TierCapabilities {
        let store = self.inner.store.capabilities();
        let mut capabilities = TierCapabilities::EMPTY.with(TierCapability::Tags);
        if store.has(Capability::Durable) {
            capabilities = capabilities.with(TierCapability::Persistent);
        }
        if store.has(Capability::MultiProcess) {
            capabilities = capabilities.with(TierCapability::Shared);
        }
        capabilities
    }

    fn get_now(&self, _: &Namespace, _: &[u8]) -> Option<Lookup> {
        None
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let looked: Vec<BoxFuture<'_, Lookup>> =
            keys.iter().map(|key| self.look_up(namespace, key).boxed()).collect();
        stream::iter(looked).buffered(PARALLEL).collect().await
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        let count = entries.len();
        let mut by_key: HashMap<Key, Vec<(usize, Key, Entry)>> = HashMap::new();
        for (index, (key, entry)) in entries.into_iter().enumerate() {
            by_key.entry(key.clone()).or_default().push((index, key, entry));
        }
        let written = by_key.into_values().map(|writes| self.put_in_order(namespace, writes));
        let written: Vec<_> = stream::iter(written).buffer_unordered(PARALLEL).try_collect().await?;
        let mut outcomes = vec![PutOutcome::Rejected; count];
        for (index, outcome) in written.into_iter().flatten() {
            outcomes[index] = outcome;
        }
        Ok(outcomes)
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let paths = keys.iter().map(|key| self.inner.names.entry(namespace, key));
        let paths = paths.collect::<Result<Vec<BlobPath>>>()?;
        self.inner.delete(&paths).await?;
        self.inner.counters.removals.add(keys.len() as u64);
        Ok(())
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        for tag in tags {
            let path = self.inner.names.tag(namespace, tag)?;
            self.inner.store.put(&path, Mark::new().bytes()).await?;
        }
        Ok(())
    }

    /// Lists and deletes: its time grows with the number of entries.
    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        let paths = self.inner.entries(namespace).await?;
        self.inner.delete(&paths).await
    }

    async fn get_or_lease_many(&self, _: &Namespace, keys: &[Key], _: Duration) -> Vec<LeaseLookup> {
        vec![LeaseLookup::Unavailable(no_leases()); keys.len()]
    }

    async fn fill(&self, _: &Namespace, _: &Key, _: LeaseToken, _: Entry) -> Result<FillOutcome> {
        Err(no_leases())
    }

    async fn release(&self, _: &Namespace, _: &Key, _: LeaseToken) -> Result<()> {
        Err(no_leases())
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        None
    }

    fn statistics(&self) -> TierStatistics {
        let counters = &self.inner.counters;
        let mut statistics = TierStatistics::default();
        statistics.hits = counters.hits.get();
        statistics.misses = counters.misses.get();
        statistics.unavailable = counters.unavailable.get();
        statistics.puts = counters.puts.get();
        statistics.removals = counters.removals.get();
        statistics.expirations = counters.expirations.get();
        statistics.damaged = counters.damaged.get();
        statistics
    }
}
