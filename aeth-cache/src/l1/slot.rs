//! What stands under a key in the first level.

use aeth_core::Tag;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A decoded value of some cache's type.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// What an entry takes beside its key's and its value's bytes: the slot, the key, the engine's index and the
/// value's reference counts.
pub(crate) const ENTRY_OVERHEAD: usize = 224;

/// The state of the whole namespace when a load began: how often it was cleared (upper half) and how often
/// messages from other nodes may have been lost (lower half).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Epochs(u64);

impl Epochs {
    pub(crate) const CLEAR: u64 = 1 << 32;
    pub(crate) const GAP: u64 = 1;

    pub(crate) fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// The same, as if a message had been lost since.
    pub(crate) fn doubted(self) -> Self {
        let gaps = (self.0 & (Self::CLEAR - 1)).wrapping_sub(Self::GAP) & (Self::CLEAR - 1);
        Self(self.0 & !(Self::CLEAR - 1) | gaps)
    }

    /// How often the namespace was cleared.
    pub(crate) fn clears(self) -> u64 {
        self.0 >> 32
    }
}

/// The tags of an entry, and up to which tag epoch of the namespace they are known to be valid.
#[derive(Debug)]
pub(crate) struct Tagged {
    pub(crate) tags: Arc<[Tag]>,
    pub(crate) valid_at: AtomicU64,
}

/// A value and what decides whether it may be used. Times are milliseconds of the coarse clock.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// `None`: that there is nothing is what is cached.
    pub(crate) value: Option<Value>,
    pub(crate) tagged: Option<Arc<Tagged>>,
    pub(crate) epochs: Epochs,
    /// When the load began.
    pub(crate) created: u64,
    /// From when on a reader has it refreshed in the background.
    pub(crate) refresh_at: u64,
    pub(crate) fresh_until: u64,
    pub(crate) usable_until: u64,
    pub(crate) version: u64,
    pub(crate) weight: u32,
    /// It is past its time and was kept because no newer value could be had.
    pub(crate) kept_stale: bool,
}

impl Slot {
    /// True for the same stored thing, not merely an equal one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same_value = match (&self.value, &other.value) {
            (Some(mine), Some(theirs)) => Arc::ptr_eq(mine, theirs),
            (None, None) => true,
            _ => false,
        };
        same_value && self.created == other.created && self.fresh_until == other.fresh_until
    }
}
