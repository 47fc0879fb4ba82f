//! The engine on quick_cache (Clock-PRO with ghosts), the default.

use super::account::Accounts;
use super::engine::shards;
use super::{KeyRef, L1Key, NoHash, Slot};
use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, Options, OptionsBuilder, Weighter};
use std::fmt;
use std::sync::Arc;

/// The part of a shard that its hot entries may take, in hundredths; also the limit for one entry.
const HOT_PERCENT: u64 = 97;

/// The engine.
pub(crate) struct Quick {
    cache: Cache<L1Key, Slot, Weights, NoHash, Evictions>,
    accounts: Arc<Accounts>,
    largest: u64,
}

#[derive(Clone)]
struct Weights;

impl Weighter<L1Key, Slot> for Weights {
    fn weight(&self, _: &L1Key, slot: &Slot) -> u64 {
        u64::from(slot.weight)
    }
}

#[derive(Clone)]
struct Evictions;

/// What an insertion pushed out, to be dropped outside of the shard's lock: mostly one entry, which needs no room.
#[derive(Default)]
struct PushedOut {
    first: Option<(L1Key, Slot)>,
    more: Vec<(L1Key, Slot)>,
}

impl Lifecycle<L1Key, Slot> for Evictions {
    type RequestState = PushedOut;

    fn on_evict(&self, out: &mut Self::RequestState, key: L1Key, slot: Slot) {
        match &out.first {
            None => out.first = Some((key, slot)),
            Some(_) => out.more.push((key, slot)),
        }
    }
}

/// The engine remembers the keys of half as many entries as it is taken to hold beyond those that it holds.
fn options(budget: u64, typical_entry: u64) -> Option<Options> {
    let items = usize::try_from(budget / typical_entry.max(1)).unwrap_or(usize::MAX).max(64);
    OptionsBuilder::new()
        .shards(shards(budget))
        .estimated_items_capacity(items)
        .weight_capacity(budget)
        .hot_allocation(0.97)
        .build()
        .ok()
}

impl Quick {
    pub(crate) fn new(budget: u64, typical_entry: u64, accounts: Arc<Accounts>) -> Self {
        let cache = match options(budget, typical_entry) {
            Some(options) => Cache::with_options(options, Weights, NoHash, Evictions),
            // Unreachable: every mandatory option is set.
            None => Cache::with(64, budget, Weights, NoHash, Evictions),
        };
        let largest = cache.shard_capacity() * HOT_PERCENT / 100;
        Self { cache, accounts, largest }
    }

    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.cache.get(key)
    }

    pub(crate) fn insert(&self, key: L1Key, slot: Slot) {
        let mut pushed_out = PushedOut::default();
        // Enough to know the key again: another with the same hash would be counted as replaced instead of evicted.
        let inserted = (key.hash(), key.space());
        self.cache.insert_with_lifecycle(key, slot, &mut pushed_out);
        for (key, slot) in pushed_out.first.into_iter().chain(pushed_out.more) {
            let weight = u64::from(slot.weight);
            if (key.hash(), key.space()) == inserted {
                self.accounts.remove(key.space(), weight);
            } else {
                self.accounts.evict(&key, weight);
            }
        }
    }

    pub(crate) fn remove(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.cache.remove(key).map(|(_, slot)| slot)
    }

    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight()
    }

    pub(crate) fn entries(&self, space: u32) -> Vec<(L1Key, Slot)> {
        self.cache.iter().filter(|(key, _)| key.space() == space).collect()
    }
}

impl fmt::Debug for Quick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quick").field("weight", &self.weight()).finish_non_exhaustive()
    }
}
