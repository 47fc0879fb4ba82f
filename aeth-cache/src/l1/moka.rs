//! The engine on moka (W-TinyLFU).

use super::account::Accounts;
use super::{KeyRef, L1Key, NoHash, Slot};
use moka::notification::RemovalCause;
use moka::sync::Cache;
use std::fmt;
use std::sync::Arc;

/// The engine.
pub(crate) struct Moka {
    cache: Cache<L1Key, Slot, NoHash>,
    budget: u64,
}

impl Moka {
    pub(crate) fn new(budget: u64, accounts: Arc<Accounts>) -> Self {
        let cache = Cache::builder()
            .max_capacity(budget)
            .weigher(|_: &L1Key, slot: &Slot| slot.weight)
            .eviction_listener(move |key: Arc<L1Key>, slot: Slot, cause| {
                let weight = u64::from(slot.weight);
                match cause {
                    RemovalCause::Replaced => accounts.remove(key.space(), weight),
                    // Whoever removes keeps the account.
                    RemovalCause::Explicit => {}
                    _ => accounts.evict(&key, weight),
                }
            })
            .build_with_hasher(NoHash);
        Self { cache, budget }
    }

    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.cache.get(key)
    }

    pub(crate) fn insert(&self, key: L1Key, slot: Slot) {
        self.cache.insert(key, slot);
    }

    pub(crate) fn remove(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.cache.remove(key)
    }

    pub(crate) fn largest(&self) -> u64 {
        self.budget.min(u64::from(u32::MAX))
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weighted_size()
    }

    pub(crate) fn entries(&self, space: u32) -> Vec<(L1Key, Slot)> {
        let entries = self.cache.iter().filter(|(key, _)| key.space() == space);
        entries.map(|(key, slot)| ((*key).clone(), slot)).collect()
    }
}

impl fmt::Debug for Moka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moka").field("weight", &self.weight()).finish_non_exhaustive()
    }
}
