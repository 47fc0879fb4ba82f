//! How writes take their way, and how many may wait.

use aeth_core::{Error, Result};
use std::time::Duration;

/// Which way [`put`](crate::Cache::put) takes; for a cache by [`CacheOptions::write`](crate::CacheOptions::write),
/// for some calls by [`CallOptions::write`](crate::CallOptions::write). Without lower tiers `Through` and `Behind`
/// are the same, and `Around` only forgets the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WriteMode {
    /// Into the lower tiers and then into this process's memory; the call returns when both have it. The default.
    #[default]
    Through,
    /// Into this process's memory and a queue; the lower tiers follow in the background, in batches, with only the
    /// last of several writes of one key.
    ///
    /// What is acknowledged leaves the queue only by reaching the tiers, by a newer change of its key here, or
    /// because its own time is over: a failed write is tried again. While it waits this process serves it even when
    /// memory has pushed it out. It is lost when the process dies before it is written; for other processes it is
    /// made when it reaches the tiers, so that it then replaces what they have written meanwhile (a
    /// [version](crate::Item::with_version) prevents that).
    Behind,
    /// Into the lower tiers only; memory forgets the key. For values that are written more often than read.
    Around,
}

/// What a put does when the queue of [`WriteMode::Behind`] is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// It waits for room for up to [`tier_timeout`](crate::CacheOptions::tier_timeout), then fails with `Busy`;
    /// nothing has changed then. The default.
    #[default]
    Wait,
    /// It is written through.
    Through,
    /// It fails with `Busy` at once; nothing has changed then.
    Refuse,
}

/// The queue of writes that reach the lower tiers later; one for all caches of a
/// [`Caches`](crate::Caches). See [`WriteMode::Behind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteBehind {
    /// The most keys that wait, at least 1. Default 65,536.
    pub keys: usize,
    /// The most bytes that wait (encoded values and keys), at least 64 KiB. A value larger than this is written
    /// through. Default 64 MiB.
    pub bytes: u64,
    /// The most keys in one call of the tiers, at least 1. Default 256.
    pub batch: usize,
    /// How long the first write of a burst waits for others to join it. Default 5 ms.
    pub delay: Duration,
    /// The longest pause between attempts while the tiers do not answer; the first is 50 ms. Default 1 s.
    pub longest_pause: Duration,
    /// What a put does when it is full.
    pub when_full: WhenFull,
}

impl Default for WriteBehind {
    fn default() -> Self {
        Self {
            keys: 65_536,
            bytes: 64 << 20,
            batch: 256,
            delay: Duration::from_millis(5),
            longest_pause: Duration::from_secs(1),
            when_full: WhenFull::default(),
        }
    }
}

impl WriteBehind {
    /// The least room in bytes.
    const LEAST: u64 = 64 << 10;

    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many keys may wait.
    #[must_use]
    pub fn with_keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Sets how many bytes may wait.
    #[must_use]
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets the most keys in one call of the tiers.
    #[must_use]
    pub fn with_batch(mut self, keys: usize) -> Self {
        self.batch = keys;
        self
    }

    /// Sets how long the first write of a burst waits for others.
    #[must_use]
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the longest pause between attempts.
    #[must_use]
    pub fn with_longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    /// Sets what a put does when the queue is full.
    #[must_use]
    pub fn with_when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = if self.keys == 0 {
            "room for no key"
        } else if self.bytes < Self::LEAST {
            "room for less than 64 KiB"
        } else if self.batch == 0 {
            "batches of no key"
        } else {
            return Ok(());
        };
        Err(Error::invalid(format!("the write-behind queue has {wrong}"))
            .with_remedy("give it at least 1 key, 64 KiB and batches of 1"))
    }
}
