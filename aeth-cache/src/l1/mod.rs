//! The decoded first level, shared by all the caches of one [`Caches`](crate::Caches).
//!
//! An engine (quick_cache, moka or our own) gives look-up, insertion, removal, weights and eviction. Everything else is
//! ours: expiry, generations, tags and accounts. What keeps it free of stale values is in [`Stripes`]: each key
//! belongs to one of many stripes with a generation number. Whoever changes a key bumps the generation and
//! changes the engine under the stripe's lock; whoever loads captures the generation first and publishes under
//! the same lock only if it is still that one. Two keys that share a stripe can only cost each other a fill.

mod account;
mod adaptive;
mod engine;
mod key;
mod moka;
mod quick;
mod slot;
mod stripes;

pub(crate) use account::Account;
pub(crate) use engine::EngineKind;
pub(crate) use key::{KeyHasher, KeyRef, L1Key, NoHash};
pub(crate) use slot::{ENTRY_OVERHEAD, Epochs, Slot, Tagged, Value};
pub(crate) use stripes::Generation;

use crate::events::Events;
use account::Accounts;
use aeth_core::Namespace;
use engine::Engine;
use std::collections::HashMap;
use std::sync::Arc;
use stripes::Stripes;

/// The stripes that a batch has moved, from what to what.
pub(crate) type Moved = HashMap<usize, (Generation, Generation)>;

/// The engine, the stripes and the accounts.
#[derive(Debug)]
pub(crate) struct L1 {
    engine: Engine,
    stripes: Stripes,
    accounts: Arc<Accounts>,
    budget: u64,
}

/// What became of an attempt to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// It stands in L1.
    Stored,
    /// The key changed since the generation was captured: nothing was stored.
    Fenced,
    /// A greater version stands there.
    Superseded,
    /// Larger than what the engine can hold: the key is absent now.
    TooLarge,
}

impl L1 {
    pub(crate) fn new(kind: EngineKind, budget: u64, typical_entry: u64, events: Arc<Events>) -> Self {
        let accounts = Arc::new(Accounts::new(events));
        let engine = Engine::new(kind, budget, typical_entry, &accounts);
        Self { engine, stripes: Stripes::new(budget), accounts, budget }
    }

    /// Registers a namespace; its number is part of its keys.
    pub(crate) fn register(&self, name: &Namespace) -> (u32, Arc<Account>) {
        self.accounts.register(name)
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    pub(crate) fn weight(&self) -> u64 {
        self.engine.weight()
    }

    /// What stands under the key, whatever its state.
    #[inline]
    pub(crate) fn get(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.engine.get(key)
    }

    /// The key's generation, to be captured before its value is looked up anywhere.
    pub(crate) fn generation(&self, hash: u64) -> Generation {
        *self.stripes.lock(hash)
    }

    /// Announces a change of these keys: whatever was loaded before can no longer be published. Gives their new
    /// generations. A stripe that several of the keys share moves once, so that they do not fence each other.
    pub(crate) fn bump_all(&self, hashes: impl Iterator<Item = u64>) -> Vec<Generation> {
        let mut moved = HashMap::new();
        hashes
            .map(|hash| {
                *moved.entry(self.stripes.index(hash)).or_insert_with(|| self.stripes.lock(hash).bump())
            })
            .collect()
    }

    /// Stores a value that was loaded when the generation was `seen`.
    pub(crate) fn publish(&self, key: L1Key, slot: Slot, seen: Generation) -> Published {
        let generation = self.stripes.lock(key.hash());
        if *generation != seen {
            return Published::Fenced;
        }
        self.store(key, slot)
    }

    /// Stores a value from before this process began, or that nobody has asked for, where nothing stands.
    pub(crate) fn publish_absent(&self, key: L1Key, slot: Slot, seen: Generation) -> Published {
        let generation = self.stripes.lock(key.hash());
        if *generation != seen {
            return Published::Fenced;
        }
        match self.engine.get(&key.as_ref()) {
            Some(_) => Published::Superseded,
            None => self.store(key, slot),
        }
    }

    /// Everything that stands under a namespace.
    pub(crate) fn entries(&self, space: u32) -> Vec<(L1Key, Slot)> {
        self.engine.entries(space)
    }

    /// Stores a new value whose change was announced as generation `seen`, unless another change came between.
    /// Loads that began after the announcement are fenced off too: they may have read the old value. `moved` is for
    /// the keys of one batch: those that share a stripe must not fence each other.
    pub(crate) fn commit(&self, key: L1Key, slot: Slot, seen: Generation, moved: &mut Moved) -> Published {
        let index = self.stripes.index(key.hash());
        let mut generation = self.stripes.lock(key.hash());
        let expected =
            moved.get(&index).filter(|(before, _)| *before == seen).map_or(seen, |(_, after)| *after);
        if *generation != expected {
            return Published::Fenced;
        }
        moved.insert(index, (seen, generation.bump()));
        self.store(key, slot)
    }

    /// Stores a new value: older loads are fenced off.
    pub(crate) fn put(&self, key: L1Key, slot: Slot) -> Published {
        let mut generation = self.stripes.lock(key.hash());
        generation.bump();
        self.store(key, slot)
    }

    /// Under the stripe's lock.
    fn store(&self, key: L1Key, slot: Slot) -> Published {
        if slot.version != 0 {
            let standing = self.engine.get(&key.as_ref());
            if standing.is_some_and(|old| old.version > slot.version && old.epochs == slot.epochs) {
                return Published::Superseded;
            }
        }
        if u64::from(slot.weight) > self.engine.largest() {
            self.discard(&key.as_ref());
            return Published::TooLarge;
        }
        self.accounts.add(key.space(), u64::from(slot.weight));
        self.engine.insert(key, slot);
        Published::Stored
    }

    /// Removes a key: older loads are fenced off.
    pub(crate) fn remove(&self, key: &KeyRef<'_>) {
        let mut generation = self.stripes.lock(key.hash);
        generation.bump();
        self.discard(key);
    }

    /// Drops what stands under the key if it still is this very slot; no change of the key's state.
    pub(crate) fn drop_slot(&self, key: &KeyRef<'_>, slot: &Slot) {
        let _generation = self.stripes.lock(key.hash);
        if self.engine.get(key).is_some_and(|standing| standing.is_same(slot)) {
            self.discard(key);
        }
    }

    fn discard(&self, key: &KeyRef<'_>) {
        if let Some(old) = self.engine.remove(key) {
            self.accounts.remove(key.space, u64::from(old.weight));
        }
    }

    /// Drops the slots of a namespace for which `keep` says no. Visits everything: for rare events.
    pub(crate) fn sweep(&self, space: u32, keep: impl Fn(&Slot) -> bool) {
        for (key, slot) in self.engine.entries(space) {
            if !keep(&slot) {
                self.drop_slot(&key.as_ref(), &slot);
            }
        }
    }
}
