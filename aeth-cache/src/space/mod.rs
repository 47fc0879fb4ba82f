//! One namespace of a [`Caches`](crate::Caches), without the type of its values.
//!
//! Everything that does not need the type is here and is compiled once; [`Cache`](crate::Cache) is a thin typed
//! shell around it.

mod batch;
mod explain;
mod load;
mod look;
mod lower;
mod slots;
mod stamp;
mod stats;
mod warm;
mod wire;
mod write;

pub(crate) use batch::BatchLoader;
pub use explain::{EntryReport, EntryState, Explanation, TierReport};
pub(crate) use load::{BoxLoader, Loader};
pub(crate) use look::Found;
pub(crate) use stamp::Stamp;
pub(crate) use stats::SpaceStats;
pub(crate) use warm::Doubt;

use crate::caches::Shared;
use crate::codec::ErasedCodec;
use crate::error::closed;
use crate::l1::{Account, Epochs, KeyRef};
use crate::marks::TagMarks;
use crate::options::Settings;
use crate::wire::Wire;
use aeth_core::{ClockExt, Key, Namespace, Result};
use std::any::TypeId;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A namespace.
pub(crate) struct Space {
    pub(crate) id: u32,
    pub(crate) name: Namespace,
    pub(crate) value_type: (TypeId, &'static str),
    pub(crate) settings: Settings,
    pub(crate) codec: Arc<dyn ErasedCodec>,
    pub(crate) wire: Wire,
    pub(crate) shared: Arc<Shared>,
    pub(crate) stats: SpaceStats,
    pub(crate) account: Arc<Account>,
    pub(crate) marks: TagMarks,
    epochs: AtomicU64,
}

impl Space {
    pub(crate) fn new(
        shared: Arc<Shared>,
        name: Namespace,
        value_type: (TypeId, &'static str),
        settings: Settings,
        codec: Arc<dyn ErasedCodec>,
        wire: Wire,
    ) -> Self {
        let (id, account) = shared.l1.register(&name);
        Self {
            id,
            name,
            value_type,
            settings,
            codec,
            wire,
            shared,
            stats: SpaceStats::default(),
            account,
            marks: TagMarks::default(),
            epochs: AtomicU64::new(0),
        }
    }

    /// The key of these bytes, hashed.
    #[inline]
    pub(crate) fn key<'a>(&self, bytes: &'a [u8]) -> KeyRef<'a> {
        self.shared.hasher.key(self.id, bytes)
    }

    /// The same key for the lower tiers.
    pub(crate) fn tier_key(bytes: &[u8]) -> Result<Key> {
        Ok(Key::new(bytes)?)
    }

    #[inline]
    pub(crate) fn epochs(&self) -> Epochs {
        Epochs::new(self.epochs.load(Ordering::Acquire))
    }

    /// Makes everything in L1 unusable, what is being loaded included.
    pub(crate) fn begin_clear(&self) {
        self.epochs.fetch_add(Epochs::CLEAR, Ordering::AcqRel);
    }

    /// Makes everything in L1 stale: changes by other nodes may have gone unheard.
    pub(crate) fn mark_gap(&self) {
        self.epochs.fetch_add(Epochs::GAP, Ordering::AcqRel);
    }

    /// The state of a key, to be captured before its value is looked up anywhere.
    pub(crate) fn stamp(&self, hash: u64) -> Stamp {
        self.stamp_at(hash, self.moment())
    }

    /// The same for one of several keys, whose time was read once.
    pub(crate) fn stamp_at(&self, hash: u64, (started, started_unix): (u64, u64)) -> Stamp {
        Stamp {
            generation: self.shared.l1.generation(hash),
            epochs: self.epochs(),
            tag_epoch: self.marks.epoch(),
            replays: self.shared.recovery.ended(),
            started,
            started_unix,
        }
    }

    /// The state of a key that is only read: its time may be a tick or two old, as that of a hit is.
    pub(crate) fn stamp_of_read(&self, hash: u64) -> Stamp {
        self.stamp_at(hash, self.shared.coarse.moment())
    }

    /// Now, by the coarse clock's origin and by the wall clock; reading both costs as much as a look-up.
    pub(crate) fn moment(&self) -> (u64, u64) {
        (self.shared.coarse.exact_now(), self.shared.coarse.clock().unix_millis())
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.shared.is_closed() {
            return Err(closed().with_key(&self.name));
        }
        self.shared.listen();
        self.shared.save_often();
        self.shared.listen_to_tiers();
        Ok(())
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space")
            .field("name", &self.name)
            .field("value_type", &self.value_type.1)
            .field("codec", &self.codec)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
