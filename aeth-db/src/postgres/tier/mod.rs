//! A cache level in PostgreSQL.

mod gather;
mod read;
mod schema;
mod write;

use super::handle::PostgresDatabase;
use crate::tier::{self, Figures};
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::observe::{Collector, MetricsSource};
use aeth_core::{ClockExt, Error, Key, Namespace, Result, Tag};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How a [`PostgresCacheTier`] keeps its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresTierOptions {
    /// Its name in metrics. Default `postgres`.
    pub name: String,
    /// Budget in bytes of tables and indexes together, at least 1 MiB. Default 1 GiB.
    pub capacity: u64,
    /// The largest entry that is kept, in bytes; never more than a quarter of the budget. Default 16 MiB.
    pub entry_max: u64,
}

impl Default for PostgresTierOptions {
    fn default() -> Self {
        Self { name: "postgres".to_owned(), capacity: 1 << 30, entry_max: 16 << 20 }
    }
}

impl PostgresTierOptions {
    /// Sets its name in metrics.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the budget in bytes.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Sets the size of the largest entry that is kept, in bytes.
    #[must_use]
    pub fn entry_max(mut self, bytes: u64) -> Self {
        self.entry_max = bytes;
        self
    }
}

/// A cache level in a PostgreSQL database: shared by all processes, kept over their restarts.
///
/// Its tables are UNLOGGED and in four generations: what is the longest there goes first, a whole generation at a
/// time by `TRUNCATE`, so that expiry leaves nothing to vacuum; what is asked for in the oldest one is carried over
/// into the newest. A look-up of many keys is one round trip, and so is a store; look-ups of
/// single keys that meet on their way leave together. A crash of the server and a promotion empty it.
///
/// Times are those of the database handle's clock. It makes its tables and functions where they are missing, in the
/// first schema of the search path.
///
/// ```
/// # async fn example(db: aeth_db::PostgresDatabase) -> aeth_core::Result<()> {
/// use aeth_db::{PostgresCacheTier, PostgresTierOptions};
/// let tier = PostgresCacheTier::open(db, PostgresTierOptions::default().capacity(256 << 20)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresCacheTier {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: PostgresDatabase,
    options: PostgresTierOptions,
    figures: Figures,
    /// Bytes stored since the sizes were looked at.
    unseen: AtomicU64,
    /// One task at a time carries entries over.
    promoting: Arc<Semaphore>,
    gather: gather::Gather,
}

impl PostgresCacheTier {
    /// Makes the tables where they are missing.
    ///
    /// # Errors
    /// `Invalid` for a budget of less than 1 MiB or an entry size of 0; as [`PostgresDatabase::migrate`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(db: PostgresDatabase, options: PostgresTierOptions) -> Result<Self> {
        if options.capacity < 1 << 20 || options.entry_max == 0 {
            return Err(Error::invalid("a cache level without room")
                .with_operation("open")
                .with_component("postgres-cache")
                .with_key("capacity")
                .with_remedy("give it at least 1 MiB"));
        }
        db.migrate(&schema::migrations()).await?;
        let inner = Inner {
            db,
            options,
            figures: Figures::default(),
            unseen: AtomicU64::new(0),
            promoting: Arc::new(Semaphore::new(1)),
            gather: gather::Gather::default(),
        };
        let tier = Self { inner: Arc::new(inner) };
        tier.rotate().await?;
        Ok(tier)
    }

    fn now(&self) -> u64 {
        self.inner.db.shared.recorder.clock.unix_millis()
    }

    fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    fn named(error: Error, operation: &'static str) -> Error {
        error.with_operation(operation).with_component("postgres-cache")
    }
}

/// Where a key stands: 64 bits that tell it from others as far as it matters.
fn hash(namespace: &Namespace, key: &Key) -> i64 {
    let digest = Sha256::new()
        .chain_update(namespace.as_str().as_bytes())
        .chain_update([0])
        .chain_update(key.as_bytes())
        .finalize();
    i64::from_le_bytes(digest.first_chunk().copied().unwrap_or_default())
}

/// Milliseconds as the tables keep them.
fn millis(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

#[async_trait]
impl CacheTier for PostgresCacheTier {
    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.inner.options.name)
    }

    fn capabilities(&self) -> TierCapabilities {
        [TierCapability::Lease, TierCapability::Tags, TierCapability::Persistent, TierCapability::Shared]
            .into_iter()
            .collect()
    }

    fn get_now(&self, _: &Namespace, _: &[u8]) -> Option<Lookup> {
        None
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        self.look_up(namespace, keys).await
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        self.store(namespace, entries).await.map_err(|error| Self::named(error, "put_many"))
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        self.take_away(namespace, keys).await.map_err(|error| Self::named(error, "remove_many"))
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let tags = tags.iter().map(|tag| tag.as_str().to_owned()).collect();
        self.invalidate(namespace, tags).await.map_err(|error| Self::named(error, "invalidate_tags"))
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        let whole = vec![String::new()];
        self.invalidate(namespace, whole).await.map_err(|error| Self::named(error, "clear"))
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        self.look_up_or_lease(namespace, keys, ttl).await
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        self.store_leased(namespace, key, token, entry).await.map_err(|error| Self::named(error, "fill"))
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        self.end_lease(namespace, key, token).await.map_err(|error| Self::named(error, "release"))
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        None
    }

    fn statistics(&self) -> TierStatistics {
        self.figures().statistics(self.inner.options.capacity, false)
    }
}

impl MetricsSource for PostgresCacheTier {
    fn component(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.inner.options.name)
    }

    fn collect(&self, out: &mut dyn Collector) {
        tier::collect(&self.inner.options.name, &self.statistics(), out);
    }
}
