//! Generations of keys.

use parking_lot::{Mutex, MutexGuard};
use std::fmt;

/// For every kibibyte of the budget a stripe of eight bytes, within these limits. With the most, at 10,000 changes a
/// second, one load of 100 ms in 65 is fenced off by a neighbour and merely not kept.
const STRIPES: (usize, usize) = (1 << 12, 1 << 16);

/// How often a key of the stripe was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation(u32);

impl Generation {
    /// The one with this number; a process begins with 0 everywhere.
    pub(crate) fn of(number: u32) -> Self {
        Self(number)
    }

    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The next one. It wraps around after 2³² changes *during one load*, which is no concern.
    pub(crate) fn bump(&mut self) -> Self {
        self.0 = self.0.wrapping_add(1);
        *self
    }
}

/// One generation for each stripe of keys.
pub(crate) struct Stripes(Box<[Mutex<Generation>]>);

impl Stripes {
    /// For a first level of so many bytes.
    pub(crate) fn new(budget: u64) -> Self {
        let wanted = usize::try_from(budget >> 10).unwrap_or(usize::MAX);
        // A power of two, so that a mask chooses.
        let count = wanted.clamp(STRIPES.0, STRIPES.1).next_power_of_two();
        Self((0..count).map(|_| Mutex::new(Generation(0))).collect())
    }

    /// The stripe of a key.
    pub(crate) fn index(&self, hash: u64) -> usize {
        // The middle bits: the engines choose their shards and buckets by the outer ones.
        usize::try_from((hash >> 24) & (self.0.len() as u64 - 1)).unwrap_or(0)
    }

    /// Locks the stripe of a key; held only for a few instructions and one change of the engine.
    pub(crate) fn lock(&self, hash: u64) -> MutexGuard<'_, Generation> {
        self.0[self.index(hash)].lock()
    }
}

impl fmt::Debug for Stripes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripes").field("count", &self.0.len()).finish()
    }
}
