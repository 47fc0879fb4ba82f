//! The contract, on the memory tier.

use super::lease::Lease;
use super::space::MemorySpace;
use super::{Inner, MemoryTier, OVERHEAD, Stored};
use crate::l1::{KeyRef, L1Key};
use crate::time::millis;
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::{ClockExt, Key, Namespace, Result, Tag, async_trait};
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Inner {
    fn now(&self) -> u64 {
        millis(self.clock.monotonic())
    }

    /// The usable entry under a key. One that is not any more is dropped, and counted when its time was over.
    fn find(&self, space: &MemorySpace, key: &KeyRef<'_>) -> Option<Arc<Stored>> {
        let stored = self.cache.get(key)?;
        let expired = self.now() >= stored.deadline || !stored.entry.is_usable(self.clock.unix_millis());
        let current = stored.clears == space.clears()
            && (stored.entry.tags.is_empty()
                || space.marks.valid_since(&stored.entry.tags, stored.tag_epoch).is_some());
        if !expired && current { Some(stored) } else { None }
    }

    /// Drops what is no longer usable. Under the shard's lock.
    fn look(&self, space: &MemorySpace, key: &KeyRef<'_>) -> Option<Arc<Stored>> {
        let found = self.find(space, key);
        if found.is_none()
            && let Some(dead) = self.cache.remove(key)
            && dead.clears == space.clears()
        {
            self.counters.expirations.increment();
        }
        found
    }

    fn answer(&self, namespace: &Namespace, bytes: &[u8]) -> Lookup {
        let found = self.known(namespace).and_then(|space| {
            let key = self.hasher.key(space.id, bytes);
            self.find(&space, &key)
        });
        match found {
            Some(stored) => {
                self.counters.hits.increment();
                Lookup::Hit(stored.entry.clone())
            }
            None => {
                self.counters.misses.increment();
                Lookup::Miss
            }
        }
    }

    /// Stores an entry that belongs to this state of the namespace. Under the shard's lock.
    fn store(&self, key: L1Key, entry: Entry, clears: u64, tag_epoch: u64) -> PutOutcome {
        let tags: usize = entry.tags.iter().map(|tag| tag.as_str().len() + 16).sum();
        let weight = entry.value.len() + key.bytes().len() + tags + OVERHEAD;
        let Ok(weight) = u32::try_from(weight) else { return self.reject(&key) };
        if u64::from(weight) > self.capacity {
            return self.reject(&key);
        }
        let left = entry.usable_until.saturating_sub(self.clock.unix_millis());
        let deadline = self.now().saturating_add(left);
        self.counters.puts.increment();
        self.cache.insert(key, Arc::new(Stored { entry, weight, deadline, clears, tag_epoch }));
        PutOutcome::Stored
    }

    fn reject(&self, key: &L1Key) -> PutOutcome {
        self.cache.invalidate(&key.as_ref());
        PutOutcome::Rejected
    }

    fn put(&self, space: &MemorySpace, key: &Key, entry: Entry) -> PutOutcome {
        let key = self.hasher.key(space.id, key.as_bytes());
        let mut shard = self.shard(&key).lock();
        let (clears, tag_epoch) = (space.clears(), space.marks.epoch());
        if entry.version != 0
            && self.look(space, &key).is_some_and(|standing| standing.entry.version > entry.version)
        {
            return PutOutcome::Superseded;
        }
        let key = key.owned();
        shard.void(&key);
        self.store(key, entry, clears, tag_epoch)
    }

    fn lease(&self, space: &MemorySpace, key: &Key, ttl: Duration) -> LeaseLookup {
        let key = self.hasher.key(space.id, key.as_bytes());
        let mut shard = self.shard(&key).lock();
        // Before looking: what is invalidated after this is invalid for the loader as well.
        let (clears, tag_epoch, now) = (space.clears(), space.marks.epoch(), self.now());
        let found = self.look(space, &key);
        if let Some(stored) = &found {
            self.counters.hits.increment();
            if stored.entry.is_fresh(self.clock.unix_millis()) {
                return LeaseLookup::Hit(stored.entry.clone());
            }
        } else {
            self.counters.misses.increment();
        }
        let held = shard.standing(&key.owned(), now, clears).is_some();
        match (found, held) {
            (Some(stored), true) => LeaseLookup::Hit(stored.entry.clone()),
            (None, true) => LeaseLookup::Held,
            (found, false) => {
                let number = self.next_token.fetch_add(1, Ordering::Relaxed);
                let token = LeaseToken::new(u128::from(number) << 64 | u128::from(fastrand::u64(..)));
                let until = now.saturating_add(millis(ttl));
                shard.grant(&key, Lease { token, until, clears, tag_epoch }, now);
                match found {
                    Some(stored) => LeaseLookup::Stale(stored.entry.clone(), token),
                    None => LeaseLookup::Granted(token),
                }
            }
        }
    }

    fn fill(&self, space: &MemorySpace, key: &Key, token: LeaseToken, entry: Entry) -> FillOutcome {
        let key = self.hasher.key(space.id, key.as_bytes());
        let mut shard = self.shard(&key).lock();
        let owned = key.owned();
        let Some(lease) = shard.take(&owned, token) else { return FillOutcome::Voided };
        let now = self.now();
        let void = now >= lease.until
            || lease.clears != space.clears()
            || space.marks.valid_since(&entry.tags, lease.tag_epoch).is_none()
            || (entry.version != 0
                && self.look(space, &key).is_some_and(|standing| standing.entry.version > entry.version));
        if void {
            return FillOutcome::Voided;
        }
        match self.store(owned, entry, lease.clears, lease.tag_epoch) {
            PutOutcome::Stored => FillOutcome::Stored,
            _ => FillOutcome::Voided,
        }
    }

    fn remove(&self, space: &MemorySpace, key: &Key) {
        let key = self.hasher.key(space.id, key.as_bytes());
        let mut shard = self.shard(&key).lock();
        shard.void(&key.owned());
        self.cache.invalidate(&key);
        self.counters.removals.increment();
    }
}

#[async_trait]
impl CacheTier for MemoryTier {
    fn name(&self) -> Cow<'_, str> {
        "memory".into()
    }

    fn capabilities(&self) -> TierCapabilities {
        [TierCapability::Lease, TierCapability::Tags, TierCapability::Immediate].into_iter().collect()
    }

    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup> {
        Some(self.inner.answer(namespace, key))
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        keys.iter().map(|key| self.inner.answer(namespace, key.as_bytes())).collect()
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        let space = self.inner.space(namespace);
        Ok(entries.into_iter().map(|(key, entry)| self.inner.put(&space, &key, entry)).collect())
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let space = self.inner.space(namespace);
        keys.iter().for_each(|key| self.inner.remove(&space, key));
        Ok(())
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        self.inner.space(namespace).marks.invalidate(tags);
        Ok(())
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        let Some(space) = self.inner.known(namespace) else { return Ok(()) };
        let clears = space.clear();
        // They are unreadable already; this gives their memory back.
        for (key, stored) in &self.inner.cache {
            if key.space() == space.id && stored.clears < clears {
                let key = key.as_ref().as_ref();
                let _shard = self.inner.shard(&key).lock();
                if self.inner.cache.get(&key).is_some_and(|standing| Arc::ptr_eq(&standing, &stored)) {
                    self.inner.cache.invalidate(&key);
                }
            }
        }
        Ok(())
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        let space = self.inner.space(namespace);
        keys.iter().map(|key| self.inner.lease(&space, key, ttl)).collect()
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        let space = self.inner.space(namespace);
        Ok(self.inner.fill(&space, key, token, entry))
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        let space = self.inner.space(namespace);
        let key = self.inner.hasher.key(space.id, key.as_bytes());
        self.inner.shard(&key).lock().take(&key.owned(), token);
        Ok(())
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        None
    }

    fn statistics(&self) -> TierStatistics {
        let counters = &self.inner.counters;
        let mut statistics = TierStatistics::default();
        statistics.hits = counters.hits.get();
        statistics.misses = counters.misses.get();
        statistics.puts = counters.puts.get();
        statistics.removals = counters.removals.get();
        statistics.evictions = counters.evictions.get();
        statistics.expirations = counters.expirations.get();
        statistics.entries = Some(self.inner.cache.entry_count());
        statistics.bytes = Some(self.inner.cache.weighted_size());
        statistics.capacity = Some(self.inner.capacity);
        statistics
    }
}
