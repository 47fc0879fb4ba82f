//! The caches of an application, which share one first level and one set of lower tiers.

mod builder;
mod health;
mod lifecycle;
mod metrics;

pub use builder::{CachesBuilder, L1Engine};

use crate::behind::Behind;
use crate::cache::Cache;
use crate::coherence::{Coherence, Leases};
use crate::error::closed;
use crate::flight::Flights;
use crate::guard::GuardedTier;
use crate::l1::{KeyHasher, L1};
use crate::options::CacheOptions;
use crate::recovery::Recovery;
use crate::space::Space;
use crate::tiers::Tiers;
use crate::time::CoarseClock;
use aeth_core::cache::CacheTier;
use aeth_core::policy::BreakerState;
use aeth_core::{Error, Namespace, Result, Tasks};
use parking_lot::Mutex;
use std::any::{TypeId, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the namespaces share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) l1: L1,
    pub(crate) hasher: KeyHasher,
    pub(crate) coarse: CoarseClock,
    pub(crate) flights: Arc<Flights>,
    pub(crate) lower: Option<Arc<dyn CacheTier>>,
    /// The same, where it is a stack of several.
    pub(crate) stack: Option<Arc<Tiers>>,
    /// What stands around each lower tier.
    pub(crate) guards: Vec<Arc<GuardedTier>>,
    pub(crate) recovery: Arc<Recovery>,
    pub(crate) behind: Behind,
    pub(crate) coherence: Option<Coherence>,
    pub(crate) leases: Leases,
    pub(crate) tasks: Tasks,
    closed: AtomicBool,
    spaces: Mutex<BTreeMap<Namespace, Arc<Space>>>,
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(crate) fn space(&self, name: &Namespace) -> Option<Arc<Space>> {
        self.spaces.lock().get(name).map(Arc::clone)
    }

    pub(crate) fn spaces(&self) -> Vec<Arc<Space>> {
        self.spaces.lock().values().cloned().collect()
    }
}

/// The caches of an application: one first level under one budget, over one set of lower tiers.
///
/// Cheap to clone; all clones are the same. Close it with [`Lifecycle`](aeth_core::Lifecycle) when the
/// application ends, so that loads and removals in flight come to their end.
///
/// ```
/// use aeth_cache::{CacheOptions, Caches};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// async fn find_user(id: u64) -> Result<String, std::io::Error> {
///     Ok(format!("user {id}"))
/// }
///
/// let caches = Caches::builder().memory(64 << 20).build()?;
/// let users = caches.open::<String>("users", CacheOptions::new())?;
/// let user = users.get_or_load(&42, || find_user(42)).await?;
/// assert_eq!(*user, "user 42");
/// assert_eq!(users.peek(&42).as_deref(), Some(&"user 42".to_owned()));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Caches {
    pub(crate) shared: Arc<Shared>,
}

impl Caches {
    /// Chooses budget, engine and tiers first.
    #[must_use]
    pub fn builder() -> CachesBuilder {
        CachesBuilder::default()
    }

    /// Opens the cache of this name. Opened again with the same type it is the same cache, with the options of
    /// the first time.
    ///
    /// # Errors
    /// `Invalid` for a name that is no [`Namespace`], for options that contradict each other (all of them are
    /// named), and when the name is open with another type; `Closed`.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "options are made for one cache: a builder's value reads best"
    )]
    pub fn open<V: Send + Sync + 'static>(&self, name: &str, options: CacheOptions<V>) -> Result<Cache<V>> {
        let name = Namespace::new(name)?;
        if self.shared.is_closed() {
            return Err(closed().with_key(name));
        }
        options.validate().map_err(|error| error.with_operation("open").with_key(&name))?;
        let mut spaces = self.shared.spaces.lock();
        if let Some(space) = spaces.get(&name) {
            if space.value_type.0 == TypeId::of::<V>() {
                return Ok(Cache::new(Arc::clone(space)));
            }
            return Err(Error::invalid(format!(
                "the cache is open with values of type `{}`, not `{}`",
                space.value_type.1,
                type_name::<V>()
            ))
            .with_operation("open")
            .with_key(&name)
            .with_remedy("choose another name for one of them"));
        }
        let value_type = (TypeId::of::<V>(), type_name::<V>());
        let shared = Arc::clone(&self.shared);
        let (codec, wire) = (options.codec(), options.wire.clone());
        let space = Space::new(shared, name.clone(), value_type, options.settings, codec, wire);
        let space = Arc::new(space);
        spaces.insert(name, Arc::clone(&space));
        Ok(Cache::new(space))
    }

    /// The lower tiers as one tier, if there are any.
    #[must_use]
    pub fn tier(&self) -> Option<&Arc<dyn CacheTier>> {
        self.shared.lower.as_ref()
    }

    /// How many removals wait for the lower tiers to answer again.
    #[must_use]
    pub fn pending_removals(&self) -> usize {
        self.shared.recovery.len()
    }

    /// The state of each lower tier's circuit breaker, by the tier's name, from the top.
    #[must_use]
    pub fn breakers(&self) -> Vec<(String, BreakerState)> {
        let state = |guard: &Arc<GuardedTier>| (guard.name().into_owned(), guard.gate().state());
        self.shared.guards.iter().map(state).collect()
    }

    /// How many keys have writes that wait to reach the lower tiers; see
    /// [`WriteMode::Behind`](crate::WriteMode::Behind).
    #[must_use]
    pub fn pending_writes(&self) -> usize {
        self.shared.behind.len()
    }

    /// Sends the writes that wait ([`WriteMode::Behind`](crate::WriteMode::Behind)) to the lower tiers, for at most
    /// `limit`.
    ///
    /// # Errors
    /// `Timeout` when some are left, with their number; they go on waiting.
    ///
    /// # Cancel safety
    /// Cancel-safe: what has not been sent goes on waiting.
    pub async fn flush(&self, limit: Duration) -> Result<()> {
        self.shared.drain_behind(limit).await
    }

    /// True while changes by other processes are heard; `None` without a backplane.
    #[must_use]
    pub fn hears_others(&self) -> Option<bool> {
        self.shared.coherence.as_ref().map(Coherence::is_connected)
    }

    /// Treats everything in L1 as stale: changes by other nodes may have gone unheard.
    pub fn assume_stale(&self) {
        self.shared.spaces().iter().for_each(|space| space.mark_gap());
    }
}
