//! The state of a key when something began.

use crate::l1::{Epochs, Generation};

/// What a load captures before it looks anywhere. What it brings back is published only into the same state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// Of the key's stripe: changes of the key.
    pub(crate) generation: Generation,
    /// Of the namespace: clears and gaps.
    pub(crate) epochs: Epochs,
    /// Of the namespace: tag invalidations.
    pub(crate) tag_epoch: u64,
    /// Of the caches: replays of removals that had ended.
    pub(crate) replays: u64,
    /// In milliseconds of the coarse clock's origin.
    pub(crate) started: u64,
    /// In milliseconds since the Unix epoch, for entries in lower tiers.
    pub(crate) started_unix: u64,
}

impl Stamp {
    /// True when nothing was changed between the two.
    pub(crate) fn same_state(&self, other: &Self) -> bool {
        self.generation == other.generation
            && self.epochs == other.epochs
            && self.tag_epoch == other.tag_epoch
    }
}
