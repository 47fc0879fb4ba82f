//! The tier.

use super::error::{self, COMPONENT};
use super::gather::Gather;
use super::link::Link;
use super::lookup::{Form, Found, Lookups, Wanted};
use super::names::Names;
use super::singles::{Single, Singles};
use super::state::{self, States};
use super::stats::Stats;
use super::watch::Watch;
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::{Error, Key, Namespace, Result, Tag, async_trait};
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;
use tokio::sync::oneshot;

/// Batches of single look-ups that may be on their way at a time: while the server works at one, others go out, come
/// in, and are taken apart.
const FLIGHTS: usize = 4;

/// Redis as a cache tier: shared by all processes, with leases and tags; made by [`Redis::tier`].
///
/// - A look-up is one round trip, `MGET` or (with leases) one script for the whole batch; where most look-ups
///   with lease hit, `MGET` goes first there too, and the script only for what it did not find fresh. Look-ups of single
///   keys that are made at the same time leave together: as one command, or as one each where
///   [`coalesce`](super::RedisOptions::coalesce) says so. In a cluster each key is a command of its own, and
///   all of them are on their way at once.
/// - An entry is kept until its `usable_until` by the server's own expiry, at most
///   [`keep`](super::RedisOptions::keep).
/// - Bytes under our keys that are foreign or damaged are a miss, and counted.
/// - Nothing is stored by a loader that began before a put, remove, invalidation or clear that has returned,
///   on whichever node; see [`redis`](super) for how.
///
/// Errors: `Unavailable` and `Timeout` when the server does not answer, with what it said where it said
/// something; `Full` when it has reached its `maxmemory` and evicts nothing; `Denied` when user or password are
/// wrong or may not do this; `Closed` after [`close`](aeth_core::Lifecycle::close).
///
/// [`Redis::tier`]: super::Redis::tier
#[derive(Clone)]
pub struct RedisTier {
    lookups: Arc<Lookups>,
    singles: Arc<Gather<Singles>>,
    watch: Arc<Watch>,
}

impl RedisTier {
    pub(super) fn new(link: Arc<Link>, names: Names) -> Self {
        let (tasks, coalesce) = (link.tasks.clone(), link.options.coalesce);
        let (states, stats) = (Arc::new(States::default()), Arc::new(Stats::default()));
        let leaning = AtomicI32::new(0);
        let watch = Watch::new(Arc::clone(&link), names.clone());
        let lookups = Arc::new(Lookups { link, names, states, stats, leaning });
        let form = if coalesce { Form::Together } else { Form::Apart };
        let singles = Singles { lookups: Arc::clone(&lookups), form };
        let singles = Arc::new(Gather::new(singles, FLIGHTS, tasks));
        Self { lookups, singles, watch }
    }

    async fn find_one(&self, namespace: &Namespace, key: &Key, lease: Option<Duration>) -> Found {
        let (answer, answered) = oneshot::channel();
        self.singles.add(Single { namespace: namespace.clone(), key: key.clone(), lease, answer });
        answered.await.unwrap_or_else(|_| Found::Unavailable(error::closed()))
    }

    async fn find(&self, namespace: &Namespace, keys: &[Key], lease: Option<Duration>) -> Vec<Found> {
        match keys {
            [] => Vec::new(),
            [key] => vec![self.find_one(namespace, key, lease).await],
            _ => {
                let wanted: Vec<Wanted<'_>> =
                    keys.iter().map(|key| Wanted { namespace, key, lease }).collect();
                // A look-up that is gathered waits for its answer only, and needs no room for this.
                Box::pin(self.lookups.find(&wanted, Form::Together)).await
            }
        }
    }
}

impl fmt::Debug for RedisTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTier").field("link", &self.lookups.link).finish_non_exhaustive()
    }
}

fn looked_up(found: Found, namespace: &Namespace) -> Lookup {
    match found {
        Found::Hit(entry) | Found::Stale(entry, _) => Lookup::Hit(entry),
        Found::Miss | Found::Granted(_) | Found::Held => Lookup::Miss,
        Found::Unavailable(error) => Lookup::Unavailable(within("get", namespace)(error)),
    }
}

fn within(operation: &'static str, namespace: &Namespace) -> impl Fn(Error) -> Error {
    move |error| error.with_operation(operation).with_key(namespace)
}

#[async_trait]
impl CacheTier for RedisTier {
    fn name(&self) -> Cow<'_, str> {
        COMPONENT.into()
    }

    fn capabilities(&self) -> TierCapabilities {
        use TierCapability::{Lease, LeaseEvents, Persistent, Shared, Tags};
        [Lease, LeaseEvents, Tags, Persistent, Shared].into_iter().collect()
    }

    fn get_now(&self, _namespace: &Namespace, _key: &[u8]) -> Option<Lookup> {
        None
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let found = self.find(namespace, keys, None).await;
        found.into_iter().map(|found| looked_up(found, namespace)).collect()
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key) -> Lookup {
        looked_up(self.find_one(namespace, key, None).await, namespace)
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        self.lookups.put(namespace, &entries).await.map_err(within("put_many", namespace))
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        self.lookups.remove(namespace, keys).await.map_err(within("remove_many", namespace))
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let Lookups { link, names, states, .. } = &*self.lookups;
        let told = state::invalidate(link, names, namespace, tags).await;
        match told.map_err(within("invalidate_tags", namespace))? {
            Some(told) => states.invalidated(namespace, told, tags),
            None => states.forget(namespace),
        }
        Ok(())
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        let Lookups { link, names, states, .. } = &*self.lookups;
        let mut command = redis::cmd("UNLINK");
        command.arg(names.state(namespace));
        link.ask(command).await.map_err(within("clear", namespace))?;
        states.forget(namespace);
        Ok(())
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        let found = self.find(namespace, keys, Some(ttl)).await;
        let lookup = |(found, key)| match found {
            Found::Hit(entry) => LeaseLookup::Hit(entry),
            Found::Stale(entry, token) => LeaseLookup::Stale(entry, token),
            Found::Granted(token) => LeaseLookup::Granted(token),
            Found::Miss | Found::Held => {
                self.watch.met(namespace, key);
                LeaseLookup::Held
            }
            Found::Unavailable(error) => {
                LeaseLookup::Unavailable(within("get_or_lease_many", namespace)(error))
            }
        };
        found.into_iter().zip(keys).map(lookup).collect()
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        let filled = Box::pin(self.lookups.fill(namespace, key, token, &entry)).await;
        filled.map_err(within("fill", namespace))
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        self.lookups.release(namespace, key, token).await.map_err(within("release", namespace))
    }

    /// The ends of leases that look-ups here met as held; changes travel on the
    /// [backplane](super::RedisBackplane).
    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        Some(self.watch.listen())
    }

    fn statistics(&self) -> TierStatistics {
        self.lookups.stats.snapshot()
    }
}
