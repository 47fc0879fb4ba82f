//! One part of the engine: who stays when there is no room.
//!
//! New entries stand in a *window*. Whoever is pushed out of it has to be wanted more often than the entry that would
//! have to go for it (Einziger et al., *TinyLFU*, 2017); the window is as large as the hit ratio likes it (Einziger
//! et al., *Adaptive Software Cache Management*, Middleware 2018): next to nothing under loops and scans, most of the
//! room where what was wanted last is wanted next. Hits only count on the entry, so that readers share the lock; the
//! queues take notice when an entry comes to their end, and give it another turn, as a clock does.

use super::sketch::{MOST, Sketch};
use super::slab::{Place, Slab};
use crate::l1::{KeyRef, L1Key, Slot};
use hashbrown::HashTable;
use quick_cache::Equivalent;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The window is this part of the room at first.
const FIRST: u64 = 400;
/// The most of the room that the window may take, in hundredths.
const WINDOW: u64 = 80;
/// The share of the rest for entries that were wanted again, in hundredths.
const PROTECTED: u64 = 80;
/// The hit ratio is looked at after so many look-ups for each entry.
const SAMPLE: u64 = 10;
/// The window changes by this part of the room at a time.
const STEP: u64 = 16;
/// By how much the hit ratio may fall before the window turns back: it is never the same twice.
const NOISE: f64 = 0.005;
/// How many entries may get another turn at a time.
const TURNS: usize = 64;
/// A candidate that is at least so frequent is let in now and then although it clearly loses, so that nobody can keep
/// others out by wanting a few keys again and again.
const WARM: u8 = 6;
const LUCK: u8 = 128;

/// Entries that were pushed out.
pub(super) type Out = Vec<(L1Key, Slot)>;

/// A part with a room of its own.
pub(super) struct Shard {
    table: HashTable<u32>,
    slab: Slab,
    sketch: Sketch,
    room: u64,
    window: u64,
    hits: AtomicU64,
    misses: u64,
    /// The best hit ratio since the window began to change this way.
    best: f64,
    grows: bool,
    random: fastrand::Rng,
}

impl Shard {
    pub(super) fn new(room: u64, entries: usize) -> Self {
        Self {
            table: HashTable::new(),
            slab: Slab::new(),
            sketch: Sketch::new(entries),
            room,
            window: room / FIRST,
            hits: AtomicU64::new(0),
            misses: 0,
            best: 0.0,
            grows: false,
            random: fastrand::Rng::new(),
        }
    }

    pub(super) fn weight(&self) -> u64 {
        self.slab.total()
    }

    pub(super) fn entries(&self, space: u32) -> impl Iterator<Item = (L1Key, Slot)> {
        let nodes = self.slab.iter().filter(move |node| node.key.space() == space);
        nodes.map(|node| (node.key.clone(), node.slot.clone()))
    }

    #[inline]
    fn find(&self, key: &KeyRef<'_>) -> Option<u32> {
        let same = |number: &u32| self.slab.get(*number).is_some_and(|node| key.equivalent(&node.key));
        self.table.find(key.hash, same).copied()
    }

    #[inline]
    pub(super) fn get(&self, key: &KeyRef<'_>) -> Option<Slot> {
        let node = self.slab.get(self.find(key)?)?;
        node.hit();
        // Between threads a hit may be lost: it is a tendency that is followed.
        self.hits.store(self.hits.load(Relaxed).wrapping_add(1), Relaxed);
        Some(node.slot.clone())
    }

    pub(super) fn remove(&mut self, key: &KeyRef<'_>) -> Option<Slot> {
        let number = self.find(key)?;
        self.take(number).map(|(_, slot)| slot)
    }

    /// Stores an entry. Gives what stood under its key; what has to go for it is added to `out`.
    pub(super) fn insert(&mut self, key: L1Key, slot: Slot, out: &mut Out) -> Option<Slot> {
        let (number, old) = match self.find(&key.as_ref()) {
            Some(number) => (Some(number), self.slab.replace(number, slot)),
            None => (self.add(key, slot), None),
        };
        if let Some(number) = number.filter(|_| self.slab.total() > self.room) {
            // What has just come may stay until the next comes, however large it is.
            self.slab.shift(number, Place::Window);
        }
        self.settle(number, out);
        self.climb();
        old
    }

    fn add(&mut self, key: L1Key, slot: Slot) -> Option<u32> {
        let hash = key.hash();
        self.misses += 1;
        if self.table.len() > self.sketch.keys() {
            // There are more entries than expected. What was known of them is learnt anew.
            self.sketch = Sketch::new(self.table.len() * 2);
        }
        self.sketch.add(hash, 1);
        let number = self.slab.store(key, slot)?;
        let slab = &self.slab;
        let hash_of = |number: &u32| slab.get(*number).map_or(0, |node| node.key.hash());
        self.table.insert_unique(hash, number, hash_of);
        Some(number)
    }

    fn take(&mut self, number: u32) -> Option<(L1Key, Slot)> {
        let node = self.slab.take(number)?;
        if let Ok(entry) = self.table.find_entry(node.key.hash(), |other| *other == number) {
            entry.remove();
        }
        Some((node.key, node.slot))
    }

    /// The hits of an entry since it was last looked at, which the sketch learns of.
    fn examine(&mut self, number: u32) -> u8 {
        let hits = self.slab.take_hits(number);
        if hits > 0 {
            self.sketch.add(self.hash(number), hits);
        }
        hits
    }

    fn hash(&self, number: u32) -> u64 {
        self.slab.get(number).map_or(0, |node| node.key.hash())
    }

    /// Brings window and whole back to their sizes; one entry in the window stays there.
    fn settle(&mut self, stays: Option<u32>, out: &mut Out) {
        let (mut turns, mut candidates) = (0, 0_usize);
        while self.slab.weight(Place::Window) > self.window {
            let Some(oldest) = self.slab.oldest(Place::Window) else { break };
            if self.slab.newest(Place::Window) == Some(oldest) {
                break;
            }
            turns += 1;
            if stays == Some(oldest) || self.examine(oldest) > 0 && turns < TURNS {
                self.slab.shift(oldest, Place::Window);
            } else {
                self.slab.shift(oldest, Place::Probation);
                candidates += 1;
            }
        }
        while self.slab.total() > self.room {
            let loser = self.loser(candidates > 0);
            let Some(gone) = loser.and_then(|loser| self.take(loser)) else { break };
            candidates = candidates.saturating_sub(1);
            out.push(gone);
        }
    }

    /// Who has to go: the candidate, or the one that would have to go for it.
    fn loser(&mut self, contest: bool) -> Option<u32> {
        let candidate = self.slab.newest(Place::Probation).filter(|_| contest);
        let Some(victim) = self.victim(candidate) else {
            return candidate
                .or_else(|| self.slab.oldest(Place::Protected))
                .or_else(|| self.slab.oldest(Place::Window));
        };
        let Some(candidate) = candidate.filter(|candidate| *candidate != victim) else { return Some(victim) };
        let wanted = self.sketch.estimate(self.hash(candidate));
        let other = self.sketch.estimate(self.hash(victim));
        // The look-up that brings the candidate here has been counted, the victim's next one has not. Under a loop they
        // would else replace one another all along.
        let wins = wanted > other + 1;
        let beaten = other > wanted + 1 || other == MOST;
        let lucky = beaten && wanted >= WARM && self.random.u8(..LUCK) == 0;
        Some(if wins || lucky { victim } else { candidate })
    }

    /// The end of the probation; those that were wanted meanwhile are protected.
    fn victim(&mut self, candidate: Option<u32>) -> Option<u32> {
        for _ in 0..TURNS {
            let oldest = self.slab.oldest(Place::Probation)?;
            if Some(oldest) == candidate || self.examine(oldest) == 0 {
                return Some(oldest);
            }
            self.slab.shift(oldest, Place::Protected);
            self.balance();
        }
        self.slab.oldest(Place::Probation)
    }

    /// Sends what is least wanted among the protected back on probation.
    fn balance(&mut self) {
        let most = (self.room - self.window) * PROTECTED / 100;
        let mut turns = 0;
        while self.slab.weight(Place::Protected) > most {
            let Some(oldest) = self.slab.oldest(Place::Protected) else { return };
            turns += 1;
            let again = self.examine(oldest) > 0 && turns < TURNS;
            self.slab.shift(oldest, if again { Place::Protected } else { Place::Probation });
        }
    }

    /// Changes the window the way that the hit ratio likes: on until it falls, then back.
    #[allow(clippy::cast_precision_loss, reason = "shares of a room")]
    fn climb(&mut self) {
        let looked = self.hits.load(Relaxed) + self.misses;
        if self.slab.total() < self.room / 10 * 9 || looked < SAMPLE * self.table.len() as u64 {
            return;
        }
        let ratio = self.hits.swap(0, Relaxed) as f64 / looked as f64;
        self.misses = 0;
        self.best = self.best.max(ratio);
        if ratio < self.best - NOISE {
            self.best = ratio;
            self.grows = !self.grows;
        }
        let step = self.room / STEP;
        self.window = match self.grows {
            true => (self.window + step).min(self.room / 100 * WINDOW),
            false => self.window.saturating_sub(step),
        };
        // The window fills or empties by itself, as entries come.
        self.balance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l1::{Epochs, KeyHasher};

    fn slot(weight: u32) -> Slot {
        Slot {
            value: None,
            tagged: None,
            epochs: Epochs::default(),
            created: 0,
            refresh_at: 0,
            fresh_until: 0,
            usable_until: 0,
            version: 0,
            weight,
            kept_stale: false,
        }
    }

    fn keys(count: u32) -> Vec<L1Key> {
        let hasher = KeyHasher::default();
        (0..count).map(|n| hasher.key(0, &n.to_le_bytes()).owned()).collect()
    }

    /// The part of a sequence of keys that hits.
    fn hits(room: u64, sequence: impl Iterator<Item = u32>) -> f64 {
        let (keys, mut shard) = (keys(20_000), Shard::new(room, room as usize));
        let (mut hits, mut all) = (0.0, 0.0);
        for at in sequence {
            let key = &keys[at as usize];
            all += 1.0;
            if shard.get(&key.as_ref()).is_some() {
                hits += 1.0;
            } else {
                shard.insert(key.clone(), slot(1), &mut Vec::new());
            }
        }
        hits / all
    }

    #[test]
    fn whatever_is_done_the_books_are_right() {
        let mut random = fastrand::Rng::with_seed(7);
        let (keys, mut shard) = (keys(3000), Shard::new(20_000, 100));
        let (mut held, mut out) = (0_i64, Vec::new());
        for _ in 0..60_000 {
            let key = &keys[(random.f64() * random.f64() * 3000.0) as usize];
            match random.u8(..10) {
                0 => held -= shard.remove(&key.as_ref()).map_or(0, |slot| i64::from(slot.weight)),
                1..4 => drop(shard.get(&key.as_ref())),
                _ => {
                    let weight = if random.u8(..50) == 0 { 20_000 } else { random.u32(1..200) };
                    let old = shard.insert(key.clone(), slot(weight), &mut out);
                    held += i64::from(weight) - old.map_or(0, |slot| i64::from(slot.weight));
                    held -= out.drain(..).map(|(_, slot)| i64::from(slot.weight)).sum::<i64>();
                    assert_eq!(
                        shard.get(&key.as_ref()).map(|slot| slot.weight),
                        Some(weight),
                        "it stays at first"
                    );
                }
            }
            assert!(shard.weight() <= 20_000);
            assert_eq!(i64::try_from(shard.weight()), Ok(held));
        }
        let entries: Vec<_> = shard.entries(0).collect();
        assert_eq!(entries.iter().map(|(_, slot)| i64::from(slot.weight)).sum::<i64>(), held);
        assert_eq!(entries.len(), shard.table.len());
        for (key, _) in entries {
            assert!(shard.remove(&key.as_ref()).is_some());
        }
        assert_eq!((shard.weight(), shard.table.len()), (0, 0));
    }

    #[test]
    fn loops_and_recency_are_both_learnt() {
        // A loop a tenth too long, of which a least-recently-used cache keeps nothing.
        let looped = hits(1000, (0..200_000).map(|n| n % 1100));
        assert!(looped > 0.75, "{looped}");
        // What was wanted last is wanted next, and never again later: the world of the other.
        let mut random = fastrand::Rng::with_seed(7);
        let recent = hits(1000, (0..200_000_u32).map(|n| (n / 20 + random.u32(..600)) % 20_000));
        // With a window that cannot grow it is 0.66 at most, whatever the hash's seed.
        assert!(recent > 0.72, "{recent}");
    }
}
