//! The seam behind which the engines stand.

use super::account::Accounts;
use super::adaptive::Adaptive;
use super::moka::Moka;
use super::quick::Quick;
use super::{KeyRef, L1Key, Slot};
use std::sync::Arc;

/// A shard must be able to hold values of this size; smaller budgets get fewer shards.
const SHARD: u64 = 4 << 20;

/// Into how many parts a budget is cut: a power of two.
pub(super) fn shards(budget: u64) -> usize {
    let parallel = std::thread::available_parallelism().map_or(1, usize::from) * 4;
    let by_size = usize::try_from(budget / SHARD).unwrap_or(usize::MAX).max(1);
    let shards = parallel.min(by_size).next_power_of_two();
    if shards > by_size { (shards / 2).max(1) } else { shards }
}

/// Which engine holds the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum EngineKind {
    #[default]
    Quick,
    Moka,
    Adaptive,
}

/// An engine: look-up, insertion, removal, weights, eviction. It keeps the accounts when it evicts or
/// replaces; its caller keeps them on insertion and removal.
#[derive(Debug)]
pub(crate) enum Engine {
    Quick(Quick),
    Moka(Moka),
    Adaptive(Adaptive),
}

impl Engine {
    pub(crate) fn new(kind: EngineKind, budget: u64, typical_entry: u64, accounts: &Arc<Accounts>) -> Self {
        match kind {
            EngineKind::Quick => Self::Quick(Quick::new(budget, typical_entry, Arc::clone(accounts))),
            EngineKind::Moka => Self::Moka(Moka::new(budget, Arc::clone(accounts))),
            EngineKind::Adaptive => {
                Self::Adaptive(Adaptive::new(budget, typical_entry, Arc::clone(accounts)))
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Slot> {
        match self {
            Self::Quick(engine) => engine.get(key),
            Self::Moka(engine) => engine.get(key),
            Self::Adaptive(engine) => engine.get(key),
        }
    }

    pub(crate) fn insert(&self, key: L1Key, slot: Slot) {
        match self {
            Self::Quick(engine) => engine.insert(key, slot),
            Self::Moka(engine) => engine.insert(key, slot),
            Self::Adaptive(engine) => engine.insert(key, slot),
        }
    }

    pub(crate) fn remove(&self, key: &KeyRef<'_>) -> Option<Slot> {
        match self {
            Self::Quick(engine) => engine.remove(key),
            Self::Moka(engine) => engine.remove(key),
            Self::Adaptive(engine) => engine.remove(key),
        }
    }

    /// The greatest weight that can be held.
    pub(crate) fn largest(&self) -> u64 {
        match self {
            Self::Quick(engine) => engine.largest(),
            Self::Moka(engine) => engine.largest(),
            Self::Adaptive(engine) => engine.largest(),
        }
    }

    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Quick(engine) => engine.weight(),
            Self::Moka(engine) => engine.weight(),
            Self::Adaptive(engine) => engine.weight(),
        }
    }

    pub(crate) fn entries(&self, space: u32) -> Vec<(L1Key, Slot)> {
        match self {
            Self::Quick(engine) => engine.entries(space),
            Self::Moka(engine) => engine.entries(space),
            Self::Adaptive(engine) => engine.entries(space),
        }
    }
}
