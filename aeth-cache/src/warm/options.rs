//! Where the warmth is kept, and how it comes back.

use super::Place;
use aeth_core::blob::BlobStore;
use aeth_core::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How the caches of a process start warm: see [`CachesBuilder::warming`](crate::CachesBuilder::warming).
///
/// Two things are kept in a directory or a blob store:
/// - the *keys* of the first level, the hottest first, every [`every`](Self::every) and at close;
/// - the *values* of the first level, at close, after the last change has ended. They are deleted before they are
///   restored: after a crash there are none, because a change may have come after them.
///
/// [`Caches::warm_up`](crate::Caches::warm_up) restores the values, then reads the keys that are still missing from
/// the lower tiers. Values of caches with [`seal`](crate::CacheOptions) are sealed here too.
#[derive(Debug, Clone)]
pub struct Warming {
    pub(super) place: Place,
    pub(super) every: Duration,
    pub(super) keys: usize,
    pub(super) values: bool,
    pub(super) bytes: u64,
    pub(super) rate: u32,
    pub(super) batch: usize,
}

impl Warming {
    /// Keeps the warmth in two files of this directory, which is made if need be. No two processes may share it.
    #[must_use]
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self::at(Place::Dir(dir.into()))
    }

    /// Keeps it in two blobs whose paths begin with `prefix`. No two processes may share it.
    #[must_use]
    pub fn in_blobs(store: Arc<dyn BlobStore>, prefix: impl Into<String>) -> Self {
        Self::at(Place::Blobs(store, prefix.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            every: Duration::from_secs(60),
            keys: 100_000,
            values: true,
            bytes: 256 << 20,
            rate: 100_000,
            batch: 256,
        }
    }

    /// How often the keys are saved. Default 1 minute; at least a second.
    #[must_use]
    pub fn every(mut self, time: Duration) -> Self {
        self.every = time;
        self
    }

    /// The most keys that are saved. Default 100,000.
    #[must_use]
    pub fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Whether values are saved at close. Default yes.
    #[must_use]
    pub fn values(mut self, yes: bool) -> Self {
        self.values = yes;
        self
    }

    /// The most bytes of encoded values that are saved, the hottest first. Default 256 MiB.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// The most keys a second that are read from the lower tiers. Default 100,000; at least 1.
    #[must_use]
    pub fn rate(mut self, keys: u32) -> Self {
        self.rate = keys;
        self
    }

    /// How many keys are read in one call of the lower tiers. Default 256; at least 1.
    #[must_use]
    pub fn batch(mut self, keys: usize) -> Self {
        self.batch = keys;
        self
    }

    /// How many keys the sketch tells apart.
    pub(crate) fn tracked(&self) -> usize {
        self.keys
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = if self.every < Duration::from_secs(1) {
            "saves more often than each second"
        } else if self.rate == 0 || self.batch == 0 {
            "reads no keys"
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("the warming {wrong}"))
            .with_remedy("give it at least a second, and a rate and a batch of at least 1"))
    }
}
