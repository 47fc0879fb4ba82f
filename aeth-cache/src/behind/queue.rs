//! The places of the queue.

use super::WriteBehind;
use crate::l1::{KeyRef, L1Key, NoHash, Slot};
use crate::space::Space;
use aeth_core::cache::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What a place takes beside the bytes of key and value.
const OVERHEAD: u64 = 256;

/// What became of an attempt to queue a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It waits.
    Queued,
    /// It waits in the place of an earlier write of its key.
    Coalesced,
    /// A greater version waits.
    Superseded,
    /// There is no room.
    Full,
    /// It would not fit into the empty queue.
    TooLarge,
}

/// What was taken out of the queue before it was written.
#[derive(Debug, Default)]
pub(crate) struct Withdrawn {
    pub(crate) keys: Vec<L1Key>,
    /// Those of them that were on their way.
    pub(super) flown: Vec<Flown>,
}

/// A write that was on its way when its key was changed.
#[derive(Debug, Clone)]
pub(super) struct Flown {
    key: L1Key,
    sequence: u64,
}

/// A write taken to be made.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) space: Arc<Space>,
    pub(super) key: L1Key,
    pub(super) slot: Slot,
    pub(super) entry: Entry,
    sequence: u64,
}

/// How a write landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landing {
    /// The tiers decided.
    Done,
    /// To be tried again.
    Again,
    /// Never.
    Dropped,
}

#[derive(Debug)]
struct Place {
    space: Arc<Space>,
    /// `None` when the write was withdrawn while it was on its way.
    write: Option<(Slot, Entry)>,
    weight: u64,
    /// Of the latest write.
    sequence: u64,
    /// Its turn, if it waits for one.
    turn: Option<u64>,
    /// The write that is on its way.
    flying: Option<u64>,
}

/// One place for each key, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    places: HashMap<L1Key, Place, NoHash>,
    turns: VecDeque<(u64, L1Key)>,
    bytes: u64,
    next: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn has_room(&self, options: &WriteBehind) -> bool {
        self.places.len() < options.keys && self.bytes < options.bytes
    }

    pub(super) fn admit(
        &mut self,
        options: &WriteBehind,
        space: &Arc<Space>,
        key: &L1Key,
        slot: &Slot,
        entry: &Entry,
    ) -> Admission {
        let weight = (entry.value.len() + key.bytes().len()) as u64 + OVERHEAD;
        if weight > options.bytes {
            return Admission::TooLarge;
        }
        self.next += 1;
        let sequence = self.next;
        let write = Some((slot.clone(), entry.clone()));
        let Some(place) = self.places.get_mut(key) else {
            if self.places.len() >= options.keys || self.bytes + weight > options.bytes {
                return Admission::Full;
            }
            let turn = Some(sequence);
            let space = Arc::clone(space);
            let place = Place { space, write, weight, sequence, turn, flying: None };
            self.places.insert(key.clone(), place);
            self.turns.push_back((sequence, key.clone()));
            self.bytes += weight;
            return Admission::Queued;
        };
        if entry.version != 0
            && place.write.as_ref().is_some_and(|(_, standing)| standing.version > entry.version)
        {
            return Admission::Superseded;
        }
        if self.bytes.saturating_sub(place.weight) + weight > options.bytes {
            return Admission::Full;
        }
        self.bytes = self.bytes.saturating_sub(place.weight) + weight;
        let coalesced = place.write.is_some() && place.turn.is_some();
        place.write = write;
        place.weight = weight;
        place.sequence = sequence;
        if place.turn.is_none() {
            place.turn = Some(sequence);
            self.turns.push_back((sequence, key.clone()));
        }
        if coalesced { Admission::Coalesced } else { Admission::Queued }
    }

    pub(super) fn find(&self, key: &KeyRef<'_>) -> Option<Slot> {
        self.places.get(&key.owned())?.write.as_ref().map(|(slot, _)| slot.clone())
    }

    pub(super) fn withdraw<'a>(&mut self, keys: impl IntoIterator<Item = &'a L1Key>) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        for key in keys {
            let Some(place) = self.places.get_mut(key) else { continue };
            withdrawn.keys.push(key.clone());
            match place.flying {
                Some(sequence) => {
                    place.write = None;
                    place.turn = None;
                    withdrawn.flown.push(Flown { key: key.clone(), sequence });
                }
                None => self.free(key),
            }
        }
        withdrawn
    }

    pub(super) fn withdraw_where(&mut self, affected: impl Fn(&L1Key, &Entry) -> bool) -> Withdrawn {
        let affected = |(key, place): (&L1Key, &Place)| {
            let (_, entry) = place.write.as_ref()?;
            affected(key, entry).then(|| key.clone())
        };
        let keys: Vec<L1Key> = self.places.iter().filter_map(affected).collect();
        self.withdraw(&keys)
    }

    pub(super) fn outdated(&mut self, key: &L1Key) {
        if self.places.get(key).is_some_and(|place| place.flying.is_none()) {
            self.free(key);
        }
    }

    pub(super) fn flies(&self, flown: &Flown) -> bool {
        self.places.get(&flown.key).is_some_and(|place| place.flying == Some(flown.sequence))
    }

    /// Takes up to `most` writes whose turn it is.
    pub(super) fn take(&mut self, most: usize) -> Vec<Flight> {
        let mut taken = Vec::new();
        let mut later = Vec::new();
        while taken.len() < most {
            let Some((turn, key)) = self.turns.pop_front() else { break };
            let Some(place) = self.places.get_mut(&key).filter(|place| place.turn == Some(turn)) else {
                continue;
            };
            if place.flying.is_some() {
                // One write of a key at a time: two could land in either order.
                later.push((turn, key));
                continue;
            }
            let Some((slot, entry)) = place.write.clone() else { continue };
            place.turn = None;
            place.flying = Some(place.sequence);
            let (space, sequence) = (Arc::clone(&place.space), place.sequence);
            taken.push(Flight { space, key, slot, entry, sequence });
        }
        for turn in later.into_iter().rev() {
            self.turns.push_front(turn);
        }
        taken
    }

    /// Notes how a write landed.
    pub(super) fn land(&mut self, flight: &Flight, landing: Landing) {
        let Some(place) = self.places.get_mut(&flight.key) else { return };
        if place.flying != Some(flight.sequence) {
            return;
        }
        place.flying = None;
        let newer = place.sequence != flight.sequence && place.write.is_some();
        if newer {
            // Its turn stands in line already.
            return;
        }
        if place.write.is_some() && landing == Landing::Again {
            place.turn = Some(flight.sequence);
            self.turns.push_front((flight.sequence, flight.key.clone()));
        } else {
            self.free(&flight.key);
        }
    }

    fn free(&mut self, key: &L1Key) {
        if let Some(place) = self.places.remove(key) {
            self.bytes = self.bytes.saturating_sub(place.weight);
        }
        if self.places.is_empty() {
            // Turns of keys that were withdrawn.
            self.turns.clear();
        }
    }
}
