//! Entries by number, each in one of three queues.

use crate::l1::{L1Key, Slot};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The number of no entry.
const NONE: u32 = u32::MAX;
/// Entries lie in pieces of so many: growing moves none of them, and takes no memory before it is needed.
const PIECE: usize = 256;

/// A queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// New ones.
    Window,
    /// Those that the next admission may cost their place.
    Probation,
    /// Those that were wanted again.
    Protected,
}

/// An entry.
pub(super) struct Node {
    pub(super) key: L1Key,
    pub(super) slot: Slot,
    /// Hits since it was last looked at.
    hits: AtomicU8,
    place: Place,
    newer: u32,
    older: u32,
}

impl Node {
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.slot.weight)
    }

    /// Counts a hit; between threads one may be lost.
    #[inline]
    pub(super) fn hit(&self) {
        let hits = self.hits.load(Relaxed);
        if hits < super::sketch::MOST {
            self.hits.store(hits + 1, Relaxed);
        }
    }
}

#[derive(Clone, Copy)]
struct Queue {
    newest: u32,
    oldest: u32,
    weight: u64,
}

/// The entries and the queues.
pub(super) struct Slab {
    pieces: Vec<Vec<Option<Node>>>,
    free: Vec<u32>,
    queues: [Queue; 3],
}

impl Slab {
    pub(super) fn new() -> Self {
        let queue = Queue { newest: NONE, oldest: NONE, weight: 0 };
        Self { pieces: Vec::new(), free: Vec::new(), queues: [queue; 3] }
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Node> {
        let number = number as usize;
        self.pieces.get(number / PIECE)?.get(number % PIECE)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Node> {
        let number = number as usize;
        self.pieces.get_mut(number / PIECE)?.get_mut(number % PIECE)?.as_mut()
    }

    /// Everything, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.pieces.iter().flatten().flatten()
    }

    pub(super) fn oldest(&self, place: Place) -> Option<u32> {
        Some(self.queues[place as usize].oldest).filter(|number| *number != NONE)
    }

    pub(super) fn newest(&self, place: Place) -> Option<u32> {
        Some(self.queues[place as usize].newest).filter(|number| *number != NONE)
    }

    pub(super) fn weight(&self, place: Place) -> u64 {
        self.queues[place as usize].weight
    }

    pub(super) fn total(&self) -> u64 {
        self.queues.iter().map(|queue| queue.weight).sum()
    }

    /// Stores an entry as the newest of the window. `None` beyond 2³² entries.
    pub(super) fn store(&mut self, key: L1Key, slot: Slot) -> Option<u32> {
        let place = Place::Window;
        let node = Node { key, slot, hits: AtomicU8::new(0), place, newer: NONE, older: NONE };
        let number = match self.free.pop() {
            Some(number) => number,
            None => self.grow()?,
        };
        let spot = self.pieces.get_mut(number as usize / PIECE)?.get_mut(number as usize % PIECE)?;
        *spot = Some(node);
        self.link(number, place);
        Some(number)
    }

    fn grow(&mut self) -> Option<u32> {
        if self.pieces.last().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push(Vec::with_capacity(PIECE));
        }
        let before = (self.pieces.len() - 1) * PIECE;
        let piece = self.pieces.last_mut()?;
        let number = u32::try_from(before + piece.len()).ok().filter(|number| *number != NONE)?;
        piece.push(None);
        Some(number)
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, number: u32) -> Option<Node> {
        self.unlink(number);
        let at = number as usize;
        let node = self.pieces.get_mut(at / PIECE)?.get_mut(at % PIECE)?.take()?;
        self.free.push(number);
        Some(node)
    }

    /// Replaces what an entry holds.
    pub(super) fn replace(&mut self, number: u32, slot: Slot) -> Option<Slot> {
        let node = self.get_mut(number)?;
        let (place, new) = (node.place, u64::from(slot.weight));
        let old = std::mem::replace(&mut node.slot, slot);
        node.hit();
        let weight = &mut self.queues[place as usize].weight;
        *weight = *weight - u64::from(old.weight) + new;
        Some(old)
    }

    /// Makes an entry the newest of a queue.
    pub(super) fn shift(&mut self, number: u32, place: Place) {
        self.unlink(number);
        self.link(number, place);
    }

    /// The hits since the last time that this was asked.
    pub(super) fn take_hits(&self, number: u32) -> u8 {
        self.get(number).map_or(0, |node| node.hits.swap(0, Relaxed))
    }

    fn link(&mut self, number: u32, place: Place) {
        let older = self.queues[place as usize].newest;
        let Some(node) = self.get_mut(number) else { return };
        (node.place, node.newer, node.older) = (place, NONE, older);
        let weight = node.weight();
        if let Some(node) = self.get_mut(older) {
            node.newer = number;
        }
        let queue = &mut self.queues[place as usize];
        queue.newest = number;
        queue.weight += weight;
        if older == NONE {
            queue.oldest = number;
        }
    }

    fn unlink(&mut self, number: u32) {
        let Some(node) = self.get(number) else { return };
        let (place, newer, older, weight) = (node.place, node.newer, node.older, node.weight());
        match self.get_mut(newer) {
            Some(node) => node.older = older,
            None => self.queues[place as usize].newest = older,
        }
        match self.get_mut(older) {
            Some(node) => node.newer = newer,
            None => self.queues[place as usize].oldest = newer,
        }
        self.queues[place as usize].weight -= weight;
    }
}
