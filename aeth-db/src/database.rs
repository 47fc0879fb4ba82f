//! The handle that is the same for every engine.

use crate::migrate::{MigrationReport, Migrations};
use crate::observe::{SlowQuery, StatementStatistics};
#[cfg(feature = "postgres")]
use crate::postgres::{PostgresDatabase, PostgresOptions, QueryCache, QueryCacheOptions};
#[cfg(feature = "sqlite")]
use crate::sqlite::{Integrity, SqliteDatabase, SqliteOptions};
use aeth_core::observe::{Collector, Health, HealthCheck, MetricsSource};
use aeth_core::{Lifecycle, Result};
use async_trait::async_trait;
use std::borrow::Cow;
use std::time::Duration;

/// The engine behind a [`Database`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// SQLite, embedded.
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres,
}

#[derive(Debug, Clone)]
enum Inner {
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteDatabase),
    #[cfg(feature = "postgres")]
    Postgres(PostgresDatabase),
}

/// Does the same with the typed side, whichever it is.
macro_rules! each {
    ($this:expr, $typed:ident => $work:expr) => {
        match &$this.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite($typed) => $work,
            #[cfg(feature = "postgres")]
            Inner::Postgres($typed) => $work,
        }
    };
}

/// A database, whatever engine is behind it. Cheap to clone; all clones are the same database.
///
/// What every engine does is here; statements go through the typed side, `sqlite()` or `postgres()`.
#[derive(Debug, Clone)]
pub struct Database {
    inner: Inner,
}

impl Database {
    /// Opens a PostgreSQL database.
    ///
    /// # Errors
    /// As [`PostgresDatabase::open`].
    ///
    /// # Cancel safety
    /// As [`PostgresDatabase::open`].
    #[cfg(feature = "postgres")]
    pub async fn open_postgres(options: PostgresOptions) -> Result<Self> {
        Ok(PostgresDatabase::open(options).await?.into())
    }

    /// Opens a SQLite database.
    ///
    /// # Errors
    /// As [`SqliteDatabase::open`].
    ///
    /// # Cancel safety
    /// As [`SqliteDatabase::open`].
    #[cfg(feature = "sqlite")]
    pub async fn open_sqlite(options: SqliteOptions) -> Result<Self> {
        Ok(SqliteDatabase::open(options).await?.into())
    }

    /// Which engine it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => Engine::Sqlite,
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Engine::Postgres,
        }
    }

    /// The typed side of SQLite.
    ///
    /// # Errors
    /// `Unsupported` when another engine is behind the handle.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(&self) -> Result<&SqliteDatabase> {
        match &self.inner {
            Inner::Sqlite(sqlite) => Ok(sqlite),
            #[cfg(feature = "postgres")]
            Inner::Postgres(_) => Err(Self::another("SQLite", "PostgreSQL")),
        }
    }

    /// The typed side of PostgreSQL.
    ///
    /// # Errors
    /// `Unsupported` when another engine is behind the handle.
    #[cfg(feature = "postgres")]
    pub fn postgres(&self) -> Result<&PostgresDatabase> {
        match &self.inner {
            #[cfg(feature = "sqlite")]
            Inner::Sqlite(_) => Err(Self::another("PostgreSQL", "SQLite")),
            Inner::Postgres(postgres) => Ok(postgres),
        }
    }

    #[cfg(all(feature = "sqlite", feature = "postgres"))]
    fn another(wanted: &str, found: &str) -> aeth_core::Error {
        aeth_core::Error::unsupported(format!("the database is {found}, not {wanted}"))
            .with_component("database")
            .with_remedy("open the other engine, or ask `engine()` first")
    }

    /// Brings a schema to its latest version.
    ///
    /// # Errors
    /// As the typed side's `migrate`.
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing, or everything, was applied.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<MigrationReport> {
        each!(self, typed => typed.migrate(migrations).await)
    }

    /// Looks for damage and gives back what was found.
    ///
    /// # Errors
    /// As [`SqliteDatabase::check_integrity`]; `Unsupported` for PostgreSQL, whose own tool is `pg_amcheck`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[cfg(feature = "sqlite")]
    pub async fn check_integrity(&self, integrity: Integrity) -> Result<Vec<String>> {
        self.sqlite()?.check_integrity(integrity).await
    }

    /// A cache of query results over a cache level.
    ///
    /// # Errors
    /// As [`QueryCache::open`]; `Unsupported` for SQLite, which reads in this process: a result would cost as much from
    /// a level as from the tables. Keep decoded values in the typed cache there.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[cfg(feature = "postgres")]
    pub async fn query_cache(
        &self,
        tier: std::sync::Arc<dyn aeth_core::cache::CacheTier>,
        options: QueryCacheOptions,
    ) -> Result<QueryCache> {
        let postgres = self.postgres().map_err(|error| {
            error.with_operation("query_cache").with_remedy("keep decoded values in the typed cache")
        })?;
        QueryCache::open(postgres.clone(), tier, options).await
    }

    /// Statements that were slow, the oldest first.
    #[must_use]
    pub fn slow_queries(&self) -> Vec<SlowQuery> {
        each!(self, typed => typed.slow_queries())
    }

    /// Figures of the statements by fingerprint, the most expensive first.
    #[must_use]
    pub fn statement_statistics(&self) -> Vec<StatementStatistics> {
        each!(self, typed => typed.statement_statistics())
    }
}

#[cfg(feature = "postgres")]
impl From<PostgresDatabase> for Database {
    fn from(postgres: PostgresDatabase) -> Self {
        Self { inner: Inner::Postgres(postgres) }
    }
}

#[cfg(feature = "sqlite")]
impl From<SqliteDatabase> for Database {
    fn from(sqlite: SqliteDatabase) -> Self {
        Self { inner: Inner::Sqlite(sqlite) }
    }
}

impl MetricsSource for Database {
    fn component(&self) -> Cow<'_, str> {
        each!(self, typed => MetricsSource::component(typed))
    }

    fn collect(&self, out: &mut dyn Collector) {
        each!(self, typed => typed.collect(out))
    }
}

#[async_trait]
impl HealthCheck for Database {
    fn component(&self) -> Cow<'_, str> {
        each!(self, typed => HealthCheck::component(typed))
    }

    async fn check(&self) -> Health {
        each!(self, typed => typed.check().await)
    }
}

#[async_trait]
impl Lifecycle for Database {
    async fn close(&self, deadline: Duration) -> Result<()> {
        each!(self, typed => typed.close(deadline).await)
    }
}
