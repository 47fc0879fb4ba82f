//! The cache level of whatever engine is behind a handle.

use crate::database::Database;
#[cfg(feature = "postgres")]
use crate::postgres::{PostgresCacheTier, PostgresTierOptions};
#[cfg(feature = "sqlite")]
use crate::sqlite::{SqliteCacheTier, SqliteTierOptions};
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierStatistics,
};
use aeth_core::observe::{Collector, MetricsSource};
use aeth_core::{Key, Namespace, Result, Tag};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::time::Duration;

/// How a [`SqlCacheTier`] keeps its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqlTierOptions {
    /// Its name in metrics. Default `database`.
    pub name: String,
    /// Budget in bytes, as the engine's own level counts them. Default 1 GiB.
    pub capacity: u64,
    /// The largest entry that is kept, in bytes. Default 16 MiB.
    pub entry_max: u64,
}

impl Default for SqlTierOptions {
    fn default() -> Self {
        Self { name: "database".to_owned(), capacity: 1 << 30, entry_max: 16 << 20 }
    }
}

impl SqlTierOptions {
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

#[derive(Debug, Clone)]
enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteCacheTier),
    #[cfg(feature = "postgres")]
    Postgres(PostgresCacheTier),
}

/// Does the same with the engine's own level, whichever it is.
macro_rules! each {
    ($this:expr, $tier:ident => $work:expr) => {
        match &$this.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite($tier) => $work,
            #[cfg(feature = "postgres")]
            Inner::Postgres($tier) => $work,
        }
    };
}

/// A cache level in a database, whatever engine is behind the handle: the third one, below memory and Redis. It
/// survives restarts and is shared by all who use the database.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # async fn example(dir: &std::path::Path) -> aeth_core::Result<()> {
/// use aeth_db::{Database, SqlCacheTier, SqlTierOptions, SqliteOptions, Synchronous};
/// // A cache has a database of its own in SQLite: its writes must not queue with the host's.
/// let options = SqliteOptions::new(dir.join("cache.db")).synchronous(Synchronous::Normal);
/// let db = Database::open_sqlite(options).await?;
/// let tier = SqlCacheTier::open(&db, SqlTierOptions::default().capacity(256 << 20)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqlCacheTier {
    inner: Inner,
}

impl SqlCacheTier {
    /// Makes the tables where they are missing.
    ///
    /// # Errors
    /// `Invalid` for a budget without room; as [`Database::migrate`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(db: &Database, options: SqlTierOptions) -> Result<Self> {
        let SqlTierOptions { name, capacity, entry_max } = options;
        #[cfg(feature = "postgres")]
        if let Ok(db) = db.postgres() {
            let options = PostgresTierOptions::default().name(name).capacity(capacity).entry_max(entry_max);
            return Ok(PostgresCacheTier::open(db.clone(), options).await?.into());
        }
        #[cfg(feature = "sqlite")]
        {
            let options = SqliteTierOptions::default().name(name).capacity(capacity).entry_max(entry_max);
            Ok(SqliteCacheTier::open(db.sqlite()?.clone(), options).await?.into())
        }
        #[cfg(not(feature = "sqlite"))]
        {
            Err(aeth_core::Error::unsupported("no engine with a cache level is behind the handle"))
        }
    }
}

#[cfg(feature = "postgres")]
impl From<PostgresCacheTier> for SqlCacheTier {
    fn from(tier: PostgresCacheTier) -> Self {
        Self { inner: Inner::Postgres(tier) }
    }
}

#[cfg(feature = "sqlite")]
impl From<SqliteCacheTier> for SqlCacheTier {
    fn from(tier: SqliteCacheTier) -> Self {
        Self { inner: Inner::Sqlite(tier) }
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CacheTier for SqlCacheTier {
    fn name(&self) -> Cow<'_, str> {
        each!(self, tier => tier.name())
    }

    fn capabilities(&self) -> TierCapabilities {
        each!(self, tier => tier.capabilities())
    }

    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup> {
        each!(self, tier => tier.get_now(namespace, key))
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        each!(self, tier => tier.get_many(namespace, keys).await)
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key) -> Lookup {
        each!(self, tier => tier.get_one(namespace, key).await)
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        each!(self, tier => tier.put_many(namespace, entries).await)
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        each!(self, tier => tier.remove_many(namespace, keys).await)
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        each!(self, tier => tier.invalidate_tags(namespace, tags).await)
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        each!(self, tier => tier.clear(namespace).await)
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        each!(self, tier => tier.get_or_lease_many(namespace, keys, ttl).await)
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        each!(self, tier => tier.fill(namespace, key, token, entry).await)
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        each!(self, tier => tier.release(namespace, key, token).await)
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        each!(self, tier => tier.invalidations())
    }

    fn statistics(&self) -> TierStatistics {
        each!(self, tier => tier.statistics())
    }
}

impl MetricsSource for SqlCacheTier {
    fn component(&self) -> Cow<'_, str> {
        each!(self, tier => tier.component())
    }

    fn collect(&self, out: &mut dyn Collector) {
        each!(self, tier => tier.collect(out));
    }
}
