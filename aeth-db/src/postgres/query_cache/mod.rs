//! Results of queries, kept until a table that they came from changes.
//!
//! Every watched table has a trigger that appends a row (table, transaction) to `aeth_change`, in the transaction
//! that changes it: writers wait for nobody. A result is stored with the snapshot in which it was read and the tables
//! that were locked while it was. It holds as long as no change row of those tables is visible that was not visible in
//! that snapshot; change and row become visible at one instant, so there is nothing to race with.

mod fresh;
mod load;
mod query;
mod schema;
mod stored;

use super::handle::PostgresDatabase;
use crate::error::SqlxResultExt;
use crate::migrate::Migrations;
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, Lookup};
use aeth_core::observe::Counter;
use aeth_core::{ClockExt, Error, Namespace, Result};
use fresh::Freshness;
pub use query::CachedQuery;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;
use stored::Stored;

/// How fresh a cached result must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheFreshness {
    /// As fresh as if the query ran now: one indexed check on the primary.
    #[default]
    Strict,
    /// As fresh as the last notification that was heard: no check while the subscription stands, so what another
    /// session committed shows after the notification's delay. It needs tables that are watched with notification.
    Eventual,
}

/// How results are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryCacheOptions {
    /// How long a result is kept at most, and how long change rows are. Default 1 hour.
    pub keep: Duration,
    /// Where they stand in the cache level. Default `aeth-query`.
    pub namespace: String,
}

impl Default for QueryCacheOptions {
    fn default() -> Self {
        Self { keep: Duration::from_secs(3600), namespace: "aeth-query".to_owned() }
    }
}

impl QueryCacheOptions {
    /// Sets how long a result is kept at most.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// Sets where they stand in the cache level.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }
}

/// What a query cache has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueryCacheStatistics {
    /// Results that were there and held.
    pub hits: u64,
    /// Results that were not there.
    pub misses: u64,
    /// Results that were there, and a table had changed.
    pub outdated: u64,
    /// Times that the level did not answer or could not store.
    pub unavailable: u64,
}

/// A cache of query results that is never stale by a race. Cheap to clone; all clones are the same cache.
///
/// ```
/// # async fn example(db: aeth_db::PostgresDatabase, tier: std::sync::Arc<dyn aeth_core::cache::CacheTier>)
/// # -> aeth_core::Result<()> {
/// use aeth_db::{CacheFreshness, CachedQuery, QueryCache, QueryCacheOptions};
/// let cache = QueryCache::open(db, tier, QueryCacheOptions::default()).await?;
/// cache.watch("users", false).await?;
/// let query = CachedQuery::new("SELECT id, name FROM users WHERE team = $1").bind(7_i64);
/// let users: Vec<(i64, String)> = cache.fetch(query, CacheFreshness::Strict).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct QueryCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: PostgresDatabase,
    tier: Arc<dyn CacheTier>,
    namespace: Namespace,
    keep: Duration,
    /// Role, search path, database: who asks is part of what is asked.
    who: String,
    fresh: Arc<Freshness>,
    hits: Counter,
    misses: Counter,
    outdated: Counter,
    unavailable: Counter,
}

impl QueryCache {
    /// Makes what is missing in the database, and begins to listen for changes and to trim their rows.
    ///
    /// # Errors
    /// `Invalid` for a namespace that is none or a time of nothing; as [`PostgresDatabase::migrate`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(
        db: PostgresDatabase,
        tier: Arc<dyn CacheTier>,
        options: QueryCacheOptions,
    ) -> Result<Self> {
        let named = |error: Error| error.with_operation("open").with_component("query-cache");
        let namespace = Namespace::new(options.namespace.as_str()).map_err(|error| named(error.into()))?;
        if options.keep.is_zero() {
            return Err(named(Error::invalid("must be longer than nothing").with_key("keep")));
        }
        let migrations = Migrations::new("aeth-change").step(1, "changes", schema::TABLES);
        db.migrate(&migrations).await.map_err(named)?;
        let mut conn = db.write_at(Location::caller()).await.map_err(named)?;
        let who: String =
            sqlx::query_scalar(schema::WHO).fetch_one(&mut conn).await.storage().map_err(named)?;
        drop(conn);
        let fresh = Arc::new(Freshness::default());
        let inner = Inner {
            namespace,
            keep: options.keep,
            who,
            fresh: Arc::clone(&fresh),
            hits: Counter::new(),
            misses: Counter::new(),
            outdated: Counter::new(),
            unavailable: Counter::new(),
            db,
            tier,
        };
        let inner = Arc::new(inner);
        let tasks = &inner.db.shared.tasks;
        // The handles are not needed: close of the database ends the tasks.
        drop(tasks.spawn_until_closed(fresh::hear(Arc::downgrade(&inner))));
        drop(tasks.spawn_until_closed(load::trim_forever(Arc::downgrade(&inner))));
        Ok(Self { inner })
    }

    /// Watches a table: from now on queries that read it may be kept. The name may carry a schema; it is quoted as it
    /// stands. With `notify`, each transaction that changes it also notifies, for [`CacheFreshness::Eventual`]; commits
    /// that notify queue on the server.
    ///
    /// # Errors
    /// `Unsupported` for what is no plain table, or is part of an inheritance tree (its triggers would not see all
    /// changes); `Denied` unless the role owns it; `Invalid` when there is none; `Busy` when it is locked for too long.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    ///
    /// [`CacheFreshness::Eventual`]: crate::CacheFreshness::Eventual
    pub async fn watch(&self, table: &str, notify: bool) -> Result<()> {
        let named =
            |error: Error| error.with_operation("watch").with_component("query-cache").with_key(table);
        let mut conn = self.inner.db.write_at(Location::caller()).await.map_err(named)?;
        let watched: Result<bool> = sqlx::query_scalar("SELECT aeth_change_watch($1, $2)")
            .bind(table)
            .bind(notify)
            .fetch_one(&mut conn)
            .await
            .storage();
        if watched.map_err(named)? {
            return Ok(());
        }
        Err(named(
            Error::unsupported("only a plain table outside of any inheritance tree can be watched")
                .with_remedy("watch the tables that a view reads; leave partitioned tables uncached"),
        ))
    }

    /// The rows of a query, from the level if they hold, else from the primary.
    ///
    /// # Errors
    /// `Unsupported` for a query that reads a table which is not watched or a catalogue, one with volatile or
    /// time-dependent functions, or one over row-level security, unless it was
    /// [declared](CachedQuery::deterministic); `Denied` for one that writes; otherwise those of the query. A level that
    /// does not answer is no error.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn fetch<T>(&self, query: CachedQuery, fresh: CacheFreshness) -> Result<Vec<T>>
    where
        T: for<'r> FromRow<'r, PgRow> + Serialize + DeserializeOwned + Send + Unpin,
    {
        let inner = &*self.inner;
        let named = |error: Error| error.with_operation("fetch").with_component("query-cache");
        let timeline = inner.db.shared.fleet.newest();
        let key = query.key::<T>(&inner.who, timeline)?;
        let stored = match inner.tier.get(&inner.namespace, &key).await {
            Lookup::Hit(entry) => Stored::open(&entry.value),
            Lookup::Unavailable(error) => {
                inner.unavailable.increment();
                tracing::debug!(%error, "the cache level does not answer");
                None
            }
            _ => None,
        };
        if let Some(stored) = stored {
            let holds = match fresh {
                CacheFreshness::Eventual if stored.notified && inner.fresh.holds(&key, &stored.tables) => {
                    true
                }
                _ => self.holds(&key, &stored).await.map_err(named)?,
            };
            if holds && let Some(rows) = stored.rows() {
                inner.hits.increment();
                return Ok(rows);
            }
            inner.outdated.increment();
        } else {
            inner.misses.increment();
        }
        let epoch = inner.fresh.epoch();
        // Large, and not what a hit needs.
        let (rows, stored) = Box::pin(self.load(query)).await.map_err(named)?;
        if let Some(stored) = stored {
            let now = inner.db.shared.recorder.clock.unix_millis();
            let keep = u64::try_from(inner.keep.as_millis()).unwrap_or(u64::MAX);
            let entry = Entry::new(stored.seal(), now, now.saturating_add(keep));
            match inner.tier.put(&inner.namespace, key.clone(), entry).await {
                Ok(_) => inner.fresh.seen(key, epoch),
                Err(error) => {
                    inner.unavailable.increment();
                    tracing::debug!(%error, "a result could not be kept");
                }
            }
        }
        Ok(rows)
    }

    /// What it has done since it was opened.
    #[must_use]
    pub fn statistics(&self) -> QueryCacheStatistics {
        QueryCacheStatistics {
            hits: self.inner.hits.get(),
            misses: self.inner.misses.get(),
            outdated: self.inner.outdated.get(),
            unavailable: self.inner.unavailable.get(),
        }
    }

    /// Whether nothing that it came from has changed: one indexed look on the primary.
    async fn holds(&self, key: &aeth_core::Key, stored: &Stored) -> Result<bool> {
        let epoch = self.inner.fresh.epoch();
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        let holds: bool = sqlx::query_scalar(schema::HOLDS)
            .bind(&stored.snapshot)
            .bind(&stored.tables)
            .fetch_one(&mut conn)
            .await
            .storage()?;
        if holds {
            self.inner.fresh.seen(key.clone(), epoch);
        }
        Ok(holds)
    }
}
