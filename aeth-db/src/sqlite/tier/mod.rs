//! A cache level in SQLite.
//!
//! One table of entries (the cache's envelope and what is needed to judge it without opening it), one of tags,
//! one of leases. Every change is one transaction, so that the fence needs no more than rows: a lease is a row
//! with a token, whatever changes the key deletes it, and a fill must delete it itself to store.

mod evict;
mod lease;
mod read;
mod rows;
mod schema;
mod write;

use super::handle::SqliteDatabase;
use crate::tier::{self, Figures};
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::observe::{Collector, MetricsSource};
use aeth_core::{ClockExt, Error, Key, Namespace, Result, Tag};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How a [`SqliteCacheTier`] keeps its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteTierOptions {
    /// Its name in metrics. Default `sqlite`.
    pub name: String,
    /// Budget in bytes of keys and envelopes; the file is larger by the tables' own needs, some tens of percent.
    /// Default 1 GiB.
    pub capacity: u64,
    /// The largest entry that is kept, in bytes. Default 16 MiB.
    pub entry_max: u64,
}

impl Default for SqliteTierOptions {
    fn default() -> Self {
        Self { name: "sqlite".to_owned(), capacity: 1 << 30, entry_max: 16 << 20 }
    }
}

impl SqliteTierOptions {
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

/// A cache level in a SQLite database: it survives restarts and is shared by the processes of one machine.
///
/// Give it a database of its own, with [`Synchronous::Normal`](crate::Synchronous::Normal): a cache need not
/// survive a power cut to the last entry, and its writes must not queue with the host's. What is the longest
/// there goes first when the budget is used up, expired entries before all others.
///
/// Times are those of the database's clock; leases of several processes rely on one machine's wall clock.
///
/// ```
/// # async fn example(dir: &std::path::Path) -> aeth_core::Result<()> {
/// use aeth_db::{SqliteCacheTier, SqliteDatabase, SqliteOptions, SqliteTierOptions, Synchronous};
/// let options = SqliteOptions::new(dir.join("cache.db")).name("cache").synchronous(Synchronous::Normal);
/// let db = SqliteDatabase::open(options).await?;
/// let tier = SqliteCacheTier::open(db, SqliteTierOptions::default()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteCacheTier {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: SqliteDatabase,
    options: SqliteTierOptions,
    figures: Figures,
}

impl SqliteCacheTier {
    /// Makes the tables where they are missing.
    ///
    /// # Errors
    /// `Invalid` for a budget of 0; as [`SqliteDatabase::migrate`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(db: SqliteDatabase, options: SqliteTierOptions) -> Result<Self> {
        if options.capacity == 0 || options.entry_max == 0 {
            return Err(Error::invalid("a cache level without room")
                .with_operation("open")
                .with_component("sqlite-cache")
                .with_key("capacity"));
        }
        db.migrate(&schema::migrations()).await?;
        let tier = Self { inner: Arc::new(Inner { db, options, figures: Figures::default() }) };
        tier.measure().await?;
        Ok(tier)
    }

    fn now(&self) -> u64 {
        self.inner.db.shared.recorder.clock.unix_millis()
    }

    fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    fn named(error: Error, operation: &'static str) -> Error {
        error.with_operation(operation).with_component("sqlite-cache")
    }
}

#[async_trait]
impl CacheTier for SqliteCacheTier {
    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.inner.options.name)
    }

    fn capabilities(&self) -> TierCapabilities {
        let both = [TierCapability::Lease, TierCapability::Tags];
        let in_a_file = [TierCapability::Persistent, TierCapability::Shared];
        let more = if self.inner.db.path().is_some() { &in_a_file[..] } else { &[] };
        both.iter().chain(more).copied().collect()
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
        self.take_tags_away(namespace, tags).await.map_err(|error| Self::named(error, "invalidate_tags"))
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        self.take_all_away(namespace).await.map_err(|error| Self::named(error, "clear"))
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
        self.figures().statistics(self.inner.options.capacity, true)
    }
}

impl MetricsSource for SqliteCacheTier {
    fn component(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.inner.options.name)
    }

    fn collect(&self, out: &mut dyn Collector) {
        tier::collect(&self.inner.options.name, &self.statistics(), out);
    }
}
