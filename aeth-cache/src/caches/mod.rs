//! The caches of an application, which share one first level and one set of lower tiers.

mod builder;
mod health;
mod held;
mod lifecycle;
mod metrics;

pub use builder::{CachesBuilder, L1Engine};

use crate::behind::Behind;
pub(crate) use held::Held;

use crate::cache::Cache;
use crate::coherence::{Coherence, Leases};
use crate::error::closed;
use crate::events::{CacheEvents, EventKind, Events};
use crate::flight::Flights;
use crate::guard::GuardedTier;
use crate::l1::{KeyHasher, L1};
use crate::options::CacheOptions;
use crate::recovery::Recovery;
use crate::space::Space;
use crate::tiers::Tiers;
use crate::time::CoarseClock;
use crate::warm::{Heat, RestoreReport, Warmth, Warmup};
use aeth_core::cache::CacheTier;
use aeth_core::policy::BreakerState;
use aeth_core::{Error, Namespace, Result, Tasks};
use bytes::Bytes;
use parking_lot::Mutex;
use std::any::{TypeId, type_name};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

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
    pub(crate) events: Arc<Events>,
    pub(crate) heat: Heat,
    pub(crate) warmth: Option<Warmth>,
    /// Tells this process's caches from all others.
    pub(crate) instance: u64,
    /// Changes that have begun and not ended.
    changing: AtomicUsize,
    pub(crate) coherence: Option<Coherence>,
    pub(crate) leases: Leases,
    pub(crate) tasks: Tasks,
    /// Ends when the last handle is gone.
    pub(crate) gone: watch::Receiver<()>,
    closed: AtomicBool,
    spaces: Mutex<BTreeMap<Namespace, Arc<Space>>>,
}

/// A change under way, for which a close waits.
#[derive(Debug)]
pub(crate) struct Changing(Arc<Shared>);

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.changing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Begins a change, unless the caches are closed.
    pub(crate) fn change(self: &Arc<Self>) -> Result<Changing> {
        // In this order: a close sees this change, or this change sees the close.
        self.changing.fetch_add(1, Ordering::SeqCst);
        let changing = Changing(Arc::clone(self));
        if self.closed.load(Ordering::SeqCst) { Err(closed()) } else { Ok(changing) }
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
    held: Arc<Held>,
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
                return Ok(Cache::new(Arc::clone(space), Arc::clone(&self.held)));
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
        Ok(Cache::new(space, Arc::clone(&self.held)))
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

    /// What happens from now on, of these kinds ([`EventKind::ALL`] for all of them).
    ///
    /// Watching hits, misses or puts makes each of them dearer by about a microsecond; the other kinds are rare.
    #[must_use]
    pub fn events(&self, kinds: &[EventKind]) -> CacheEvents {
        self.shared.events.subscribe(kinds)
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

    /// Begins to warm up: restores what was saved at the last close, then reads what was hot from the lower tiers. To
    /// be called when the caches are open; those that are not by then stay cold.
    ///
    /// Nothing comes back whose time is over, or that was changed here since the start. Where others write too (a
    /// shared tier, a backplane) a restored value is stale until the lower tiers have confirmed it.
    ///
    /// # Errors
    /// `Invalid` without [`CachesBuilder::warming`], and outside of a tokio runtime; `Closed`. Whatever else goes
    /// wrong is in the report.
    pub fn warm_up(&self) -> Result<Warmup> {
        self.shared.warm_up()
    }

    /// Saves the keys of the first level now, as [`Warming`](crate::Warming) does from time to time. Gives how many.
    ///
    /// # Errors
    /// Those of the place; 0 keys without [`CachesBuilder::warming`].
    ///
    /// # Cancel safety
    /// Cancel-safe: the keys saved before stay, or are replaced whole.
    pub async fn save_hot_keys(&self) -> Result<usize> {
        self.shared.save_keys().await
    }

    /// The values of the first level with the state of their keys, at most `bytes` of them, the hottest first. The
    /// format has a version; values of caches that seal are sealed.
    ///
    /// # Errors
    /// `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn snapshot(&self, bytes: u64) -> Result<Bytes> {
        if self.shared.is_closed() {
            return Err(closed().with_operation("snapshot"));
        }
        let shared = Arc::clone(&self.shared);
        let work = move || shared.write_values(&shared.kept(), bytes, false);
        let done = self.shared.tasks.spawn_blocking(work).await;
        done.map_err(|error| Error::other("the snapshot ended early").with_source(error))
    }

    /// Puts the values of a [`snapshot`](Self::snapshot) back, where nothing stands: those whose time is not over and
    /// whose key has not been put, removed, invalidated or cleared since. Of another process only what was saved at
    /// its close ([`Warming`](crate::Warming)) is taken, because nobody knows what changed there afterwards.
    ///
    /// # Errors
    /// `Corrupt` for damaged bytes, `Unsupported` for those of a newer release; `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe: it goes on, and its report is lost.
    pub async fn restore(&self, snapshot: Bytes) -> Result<RestoreReport> {
        if self.shared.is_closed() {
            return Err(closed().with_operation("restore"));
        }
        let shared = Arc::clone(&self.shared);
        let done = self.shared.tasks.spawn_blocking(move || shared.restore(&snapshot)).await;
        done.map_err(|error| Error::other("the restore ended early").with_source(error))?
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
