//! The engine of our own: adaptive W-TinyLFU, with hits that share a lock.

mod shard;
mod sketch;
mod slab;

use super::account::Accounts;
use super::engine::shards;
use super::{KeyRef, L1Key, Slot};
use parking_lot::RwLock;
use shard::Shard;
use std::fmt;
use std::sync::Arc;

/// Keeps shards apart on the processor's cache lines.
#[repr(align(128))]
struct Line(RwLock<Shard>);

/// The engine.
pub(crate) struct Adaptive {
    shards: Box<[Line]>,
    accounts: Arc<Accounts>,
    room: u64,
}

impl Adaptive {
    pub(crate) fn new(budget: u64, typical_entry: u64, accounts: Arc<Accounts>) -> Self {
        let count = shards(budget);
        let room = budget / count as u64;
        let entries = usize::try_from(room / typical_entry.max(1)).unwrap_or(usize::MAX);
        let shards = (0..count).map(|_| Line(RwLock::new(Shard::new(room, entries)))).collect();
        Self { shards, accounts, room }
    }

    #[inline]
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // The upper bits: the tables use the lower ones, the stripes the middle.
        let at = usize::try_from(hash >> 40 & (self.shards.len() as u64 - 1)).unwrap_or(0);
        &self.shards[at].0
    }

    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.shard(key.hash).read().get(key)
    }

    pub(crate) fn insert(&self, key: L1Key, slot: Slot) {
        let space = key.space();
        let mut out = Vec::new();
        let old = self.shard(key.hash()).write().insert(key, slot, &mut out);
        // Out of the lock: values may be dropped here, and events told.
        if let Some(old) = old {
            self.accounts.remove(space, u64::from(old.weight));
        }
        for (key, slot) in out {
            self.accounts.evict(&key, u64::from(slot.weight));
        }
    }

    pub(crate) fn remove(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.shard(key.hash).write().remove(key)
    }

    pub(crate) fn largest(&self) -> u64 {
        self.room.min(u64::from(u32::MAX))
    }

    pub(crate) fn weight(&self) -> u64 {
        self.shards.iter().map(|shard| shard.0.read().weight()).sum()
    }

    pub(crate) fn entries(&self, space: u32) -> Vec<(L1Key, Slot)> {
        let mut entries = Vec::new();
        for shard in &self.shards {
            entries.extend(shard.0.read().entries(space));
        }
        entries
    }
}

impl fmt::Debug for Adaptive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adaptive").field("weight", &self.weight()).finish_non_exhaustive()
    }
}
