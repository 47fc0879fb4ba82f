//! Several tiers as one.

mod read;
mod tier;
mod write;

use crate::guard::{GuardedTier, Limits};
use crate::time::CoarseClock;
use aeth_core::cache::{CacheTier, Entry, TierCapabilities, TierCapability};
use aeth_core::{Clock, ClockExt, Error, Key, Result};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard, RwLock};

/// Locks that order the changes of a key in this process.
const LOCKS: usize = 256;

/// A stack of tiers that is itself a tier: the first is asked first, the last has the last word.
///
/// - Reads go down until a tier has the entry, which is then promoted into the tiers above. A promotion is
///   fenced: into a tier with leases under a lease taken *before* the tier below was read, into one without by
///   reading again under the lock that changes of the key take. What was removed in between is not brought back.
/// - A tier that does not answer is passed over when a lower one has the entry; otherwise the answer is that it
///   is unavailable, never a miss.
/// - Changes go from the last tier up. When the last fails, the tiers above forget the key, and the error is
///   reported.
/// - Leases are those of the last tier that has them: the one that most processes share.
///
/// Each call of a part may take one second; a part whose calls mostly fail or take longer is passed over for a while
/// (a circuit breaker), so that one that hangs costs its time only until then.
pub struct Tiers {
    parts: Vec<Arc<dyn CacheTier>>,
    /// The same, as what they are.
    guards: Vec<Arc<GuardedTier>>,
    /// The part whose leases are the stack's.
    anchor: Option<usize>,
    capabilities: TierCapabilities,
    locks: Box<[Mutex<()>]>,
    /// Taken for writing by changes of whole namespaces and tags.
    fence: RwLock<()>,
    clock: Arc<dyn Clock>,
    hasher: RandomState,
}

impl Tiers {
    /// Stacks tiers, the first on top. The clock tells fresh entries from stale ones.
    ///
    /// # Errors
    /// `Invalid` for an empty stack.
    pub fn new(parts: Vec<Arc<dyn CacheTier>>, clock: Arc<dyn Clock>) -> Result<Self> {
        let guard = |part| GuardedTier::new(part, Limits::default(), Arc::clone(&clock));
        let guards: Vec<GuardedTier> = parts.into_iter().map(guard).collect();
        Self::over(guards, clock)
    }

    /// The same with other limits.
    pub(crate) fn limited(
        parts: Vec<Arc<dyn CacheTier>>,
        limits: Limits,
        coarse: &CoarseClock,
    ) -> Result<Self> {
        let guard = |part| GuardedTier::by_coarse(part, limits, coarse);
        Self::over(parts.into_iter().map(guard).collect(), Arc::clone(coarse.clock()))
    }

    fn over(guards: Vec<GuardedTier>, clock: Arc<dyn Clock>) -> Result<Self> {
        let guards: Vec<Arc<GuardedTier>> = guards.into_iter().map(Arc::new).collect();
        let parts: Vec<Arc<dyn CacheTier>> =
            guards.iter().map(|guard| Arc::clone(guard) as Arc<dyn CacheTier>).collect();
        let Some(last) = parts.last() else {
            return Err(Error::invalid("a stack of tiers needs at least one tier"));
        };
        let anchor = parts.iter().rposition(|part| part.capabilities().has(TierCapability::Lease));
        let all = |capability| parts.iter().all(|part| part.capabilities().has(capability));
        let last = last.capabilities();
        let mut capabilities = TierCapabilities::EMPTY;
        for (claimed, capability) in [
            (anchor.is_some(), TierCapability::Lease),
            (all(TierCapability::Tags), TierCapability::Tags),
            (all(TierCapability::Immediate), TierCapability::Immediate),
            (last.has(TierCapability::Persistent), TierCapability::Persistent),
            (all(TierCapability::Shared), TierCapability::Shared),
        ] {
            if claimed {
                capabilities = capabilities.with(capability);
            }
        }
        let locks = (0..LOCKS).map(|_| Mutex::default()).collect();
        Ok(Self {
            parts,
            guards,
            anchor,
            capabilities,
            locks,
            fence: RwLock::default(),
            clock,
            hasher: RandomState::new(),
        })
    }

    /// The tiers, the first on top.
    #[must_use]
    pub fn parts(&self) -> &[Arc<dyn CacheTier>] {
        &self.parts
    }

    pub(crate) fn guards(&self) -> &[Arc<GuardedTier>] {
        &self.guards
    }

    fn is_fresh(&self, entry: &Entry) -> bool {
        entry.is_fresh(self.clock.unix_millis())
    }

    fn lock_index(&self, key: &Key) -> usize {
        usize::try_from(self.hasher.hash_one(key) % LOCKS as u64).unwrap_or(0)
    }

    /// Takes the locks of these keys, in an order that cannot deadlock.
    async fn lock(&self, keys: impl Iterator<Item = &Key> + Send) -> Vec<MutexGuard<'_, ()>> {
        let mut indices: Vec<usize> = keys.map(|key| self.lock_index(key)).collect();
        indices.sort_unstable();
        indices.dedup();
        let mut guards = Vec::with_capacity(indices.len());
        for index in indices {
            guards.push(self.locks[index].lock().await);
        }
        guards
    }
}

impl fmt::Debug for Tiers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiers").field("parts", &self.parts).finish_non_exhaustive()
    }
}
