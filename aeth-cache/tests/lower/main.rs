//! The lower tiers as a cache uses them: write modes, bytes on the way, outages.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod breaker;
mod calls;
mod events;
mod modes;
mod warm;
#[cfg(all(feature = "zstd", feature = "lz4", feature = "seal"))]
mod wire;

use aeth_cache::{Caches, CachesBuilder, MemoryTier};
use aeth_core::cache::{CacheTierExt, Entry, Lookup};
use aeth_core::sim::{FaultPlan, FaultyTier, MockClock};
use aeth_core::{ClockExt, Key, Namespace};
use std::sync::Arc;
use support::{builder, secs};

/// A process over a tier that others share and that can go wrong.
pub(crate) struct Scene {
    pub(crate) clock: MockClock,
    pub(crate) tier: MemoryTier,
    pub(crate) plan: FaultPlan,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let clock = MockClock::new();
        let tier = MemoryTier::new(8 << 20, clock.shared()).unwrap();
        let plan = FaultPlan::new(1).with_clock(clock.shared());
        Self { clock, tier, plan }
    }

    pub(crate) fn builder(&self) -> CachesBuilder {
        let faulty = FaultyTier::new(self.tier.clone(), self.plan.clone());
        builder(&self.clock).tier(Arc::new(faulty))
    }

    pub(crate) fn caches(&self) -> Caches {
        self.builder().build().unwrap()
    }

    /// What the tier has.
    pub(crate) async fn stored(&self, space: &str, key: &str) -> Option<Entry> {
        let (space, key) = (Namespace::new(space).unwrap(), Key::new(key).unwrap());
        match self.tier.get(&space, &key).await {
            Lookup::Hit(entry) => Some(entry),
            _ => None,
        }
    }

    /// Puts an entry as it is into the tier.
    pub(crate) async fn plant(&self, space: &str, key: &str, entry: Entry) {
        let (space, key) = (Namespace::new(space).unwrap(), Key::new(key).unwrap());
        self.tier.put(&space, key, entry).await.unwrap();
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.unix_millis()
    }

    /// Lets background work do what it can at this instant.
    pub(crate) async fn pass(&self, seconds: u64) {
        self.clock.drive(aeth_core::Clock::sleep(&self.clock, secs(seconds))).await;
    }
}
