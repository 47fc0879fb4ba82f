//! How [`Caches`] are put together.

use super::{Caches, Held, Shared};
use crate::behind::{Behind, WriteBehind};
use crate::coherence::{Coherence, Leases};
use crate::events::{CacheEvent, EventKind, Events};
use crate::flight::Flights;
use crate::guard::{GuardedTier, Limits};
use crate::l1::{EngineKind, KeyHasher, L1};
use crate::recovery::Recovery;
use crate::tiers::Tiers;
use crate::time::CoarseClock;
use crate::warm::{Heat, Warming, Warmth};
use aeth_core::cache::{CacheTier, TierCapability};
use aeth_core::coord::Backplane;
use aeth_core::policy::BreakerSettings;
use aeth_core::{Clock, Error, Result, Tasks};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tokio::sync::watch;

/// The least budget of the first level.
const LEAST: u64 = 64 << 10;

/// Which engine holds the decoded first level. All give the same answers; they differ in what they keep when
/// the budget is tight, and in speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum L1Engine {
    /// quick_cache (Clock-PRO with ghosts): a hit at less than half the cost of moka's, and writes that scale.
    #[default]
    Quick,
    /// moka (W-TinyLFU): better on loops somewhat larger than the budget.
    Moka,
    /// Our own (adaptive W-TinyLFU): finds out whether what was wanted last or what is wanted often is wanted next,
    /// and follows when that changes. To be chosen when misses are dear and the load is not known, or of several kinds.
    Adaptive,
}

/// Puts [`Caches`] together; see [`Caches::builder`].
#[derive(Debug)]
pub struct CachesBuilder {
    memory: u64,
    engine: L1Engine,
    typical_entry: u64,
    clock: Option<Arc<dyn Clock>>,
    tiers: Vec<Arc<dyn CacheTier>>,
    tasks: Option<Tasks>,
    backplane: Option<Arc<dyn Backplane>>,
    behind: WriteBehind,
    limits: Limits,
    warming: Option<Warming>,
}

impl Default for CachesBuilder {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            engine: L1Engine::default(),
            typical_entry: 1024,
            clock: None,
            tiers: Vec::new(),
            tasks: None,
            backplane: None,
            behind: WriteBehind::default(),
            limits: Limits::default(),
            warming: None,
        }
    }
}

impl CachesBuilder {
    /// The budget of the first level in bytes, shared by all the caches. Default 64 MiB, at least 64 KiB.
    ///
    /// It is cut into shards of at least 4 MiB (one shard below that), and a value that is larger than its
    /// shard is not kept.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// The engine of the first level.
    #[must_use]
    pub fn engine(mut self, engine: L1Engine) -> Self {
        self.engine = engine;
        self
    }

    /// About how many bytes an entry takes, the fixed 224 of each included; default 1024. By it the default engine
    /// sizes what it remembers of entries that it has pushed out (half as many as it holds, about 150 bytes each, on
    /// top of the budget): say it when most values are small, for up to three points more of hits on skewed loads.
    #[must_use]
    pub fn typical_entry(mut self, bytes: u64) -> Self {
        self.typical_entry = bytes.max(1);
        self
    }

    /// Adds a tier below those added before: the first is asked first.
    #[must_use]
    pub fn tier(mut self, tier: Arc<dyn CacheTier>) -> Self {
        self.tiers.push(tier);
        self
    }

    /// How long one call of one tier may take; then it counts as unanswered. Default 1 second. The caches bound the
    /// whole of their calls by [`tier_timeout`](crate::CacheOptions::tier_timeout) and, while they have a stale
    /// value, by [`tier_soft_timeout`](crate::CacheOptions::tier_soft_timeout).
    #[must_use]
    pub fn call_timeout(mut self, limit: Duration) -> Self {
        self.limits.call = limit;
        self
    }

    /// When a tier counts as down, and for how long it is not asked then: a tier that hangs costs its timeout only
    /// until the breaker opens. Calls that a cache gave up by one of its own timeouts count as failed. After the time
    /// that it is open one call is let through as a probe; the replay of removals always is. Default: from half of
    /// the last 32 calls on, at least 8; for half a second at first and 5 seconds at most.
    #[must_use]
    pub fn breaker(mut self, settings: BreakerSettings) -> Self {
        self.limits.breaker = Some(settings);
        self
    }

    /// Asks every tier every time, however often it fails.
    #[must_use]
    pub fn without_breaker(mut self) -> Self {
        self.limits.breaker = None;
        self
    }

    /// Takes the time from `clock`, which is then read on each look-up. The default is the machine's clock,
    /// which a look-up sees up to about 10 ms late, because reading it costs as much as the look-up.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Tells other processes what changes here, and hears what they change: their copies then end within the
    /// backplane's delay, and within [`local_fresh_for`](crate::CacheOptions::local_fresh_for) while it is down.
    /// All of them need the same lower tiers under it.
    #[must_use]
    pub fn backplane(mut self, backplane: Arc<dyn Backplane>) -> Self {
        self.backplane = Some(backplane);
        self
    }

    /// Sets the room and the pace of the queue of writes that reach the lower tiers later; see
    /// [`WriteMode::Behind`](crate::WriteMode::Behind).
    #[must_use]
    pub fn write_behind(mut self, options: WriteBehind) -> Self {
        self.behind = options;
        self
    }

    /// Remembers what is hot across restarts; see [`Warming`] and [`Caches::warm_up`].
    #[must_use]
    pub fn warming(mut self, warming: Warming) -> Self {
        self.warming = Some(warming);
        self
    }

    /// Makes the background work part of this group. Default: a group of its own.
    #[must_use]
    pub fn tasks(mut self, tasks: &Tasks) -> Self {
        self.tasks = Some(tasks.child());
        self
    }

    /// Builds them. Needs no runtime and opens nothing.
    ///
    /// # Errors
    /// `Invalid` for a budget below 64 KiB, a call timeout of zero, a write-behind queue without
    /// room, and a warming that saves or reads nothing.
    pub fn build(self) -> Result<Caches> {
        if self.memory < LEAST {
            return Err(Error::invalid(format!("a cache budget of {} bytes is too small", self.memory))
                .with_remedy("give it at least 64 KiB"));
        }
        if self.limits.call.is_zero() {
            return Err(Error::invalid("call_timeout is zero")
                .with_remedy("allow the tiers some time, or none of them"));
        }
        self.behind.validate()?;
        if let Some(warming) = &self.warming {
            warming.validate()?;
        }
        let coarse = match self.clock {
            Some(clock) => CoarseClock::exact(clock),
            None => CoarseClock::ticking(),
        };
        let kind = match self.engine {
            L1Engine::Quick => EngineKind::Quick,
            L1Engine::Moka => EngineKind::Moka,
            L1Engine::Adaptive => EngineKind::Adaptive,
        };
        let mut tiers = self.tiers;
        let limits = self.limits;
        let stack = if tiers.len() > 1 {
            Some(Arc::new(Tiers::limited(std::mem::take(&mut tiers), limits, &coarse)?))
        } else {
            None
        };
        let single = tiers.pop().map(|tier| Arc::new(GuardedTier::by_coarse(tier, limits, &coarse)));
        let guards = match &stack {
            Some(stack) => stack.guards().to_vec(),
            None => single.iter().cloned().collect(),
        };
        let lower: Option<Arc<dyn CacheTier>> = match &stack {
            Some(stack) => Some(Arc::clone(stack) as Arc<dyn CacheTier>),
            None => single.map(|guard| guard as Arc<dyn CacheTier>),
        };
        // The tier whose leases count: the last one that has them.
        let leased = match &stack {
            Some(stack) => {
                stack.parts().iter().rev().find(|part| part.capabilities().has(TierCapability::Lease))
            }
            None => lower.as_ref(),
        };
        let told = leased.is_some_and(|tier| tier.capabilities().has(TierCapability::LeaseEvents));
        let events = Events::new();
        for guard in &guards {
            let tier = guard.name().into_owned();
            let events = Arc::clone(&events);
            guard.gate().on_change(Box::new(move |state| {
                tracing::info!(tier, ?state, "the circuit breaker of a cache tier changed");
                events.tell(EventKind::Breaker, || Some(CacheEvent::Breaker { tier: tier.clone(), state }));
            }));
        }
        let tasks = self.tasks.unwrap_or_default();
        let recovery =
            Recovery::new(lower.clone(), Arc::clone(coarse.clock()), tasks.clone(), Arc::clone(&events));
        let (alive, gone) = watch::channel(());
        let shared = Shared {
            l1: L1::new(kind, self.memory, self.typical_entry, Arc::clone(&events)),
            hasher: KeyHasher::default(),
            coarse,
            flights: Arc::new(Flights::new()),
            lower,
            stack,
            guards,
            recovery,
            behind: Behind::new(self.behind),
            events,
            heat: self.warming.as_ref().map_or_else(Heat::off, |warming| Heat::new(warming.tracked())),
            warmth: self.warming.map(Warmth::new),
            instance: fastrand::u64(..),
            changing: AtomicUsize::new(0),
            coherence: self.backplane.map(Coherence::new),
            leases: Leases::new(told),
            tasks,
            gone,
            closed: AtomicBool::new(false),
            spaces: Mutex::new(BTreeMap::new()),
        };
        let shared = Arc::new(shared);
        Ok(Caches { held: Held::new(&shared, alive), shared })
    }
}
