//! The handle that is the same for every engine.

use crate::migrate::{MigrationReport, Migrations};
use crate::observe::{SlowQuery, StatementStatistics};
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
    Sqlite,
}

#[derive(Debug, Clone)]
enum Inner {
    Sqlite(SqliteDatabase),
}

/// A database, whatever engine is behind it. Cheap to clone; all clones are the same database.
///
/// What every engine does is here; statements go through the typed side, [`sqlite`](Self::sqlite).
#[derive(Debug, Clone)]
pub struct Database {
    inner: Inner,
}

impl Database {
    /// Opens a SQLite database.
    ///
    /// # Errors
    /// As [`SqliteDatabase::open`].
    ///
    /// # Cancel safety
    /// As [`SqliteDatabase::open`].
    pub async fn open_sqlite(options: SqliteOptions) -> Result<Self> {
        Ok(SqliteDatabase::open(options).await?.into())
    }

    /// Which engine it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.inner {
            Inner::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// The typed side of SQLite.
    ///
    /// # Errors
    /// `Unsupported` when another engine is behind the handle.
    pub fn sqlite(&self) -> Result<&SqliteDatabase> {
        match &self.inner {
            Inner::Sqlite(sqlite) => Ok(sqlite),
        }
    }

    /// Brings a schema to its latest version.
    ///
    /// # Errors
    /// As [`SqliteDatabase::migrate`].
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing, or everything, was applied.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<MigrationReport> {
        match &self.inner {
            Inner::Sqlite(sqlite) => sqlite.migrate(migrations).await,
        }
    }

    /// Looks for damage and gives back what was found.
    ///
    /// # Errors
    /// As [`SqliteDatabase::check_integrity`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn check_integrity(&self, integrity: Integrity) -> Result<Vec<String>> {
        match &self.inner {
            Inner::Sqlite(sqlite) => sqlite.check_integrity(integrity).await,
        }
    }

    /// Statements that were slow, the oldest first.
    #[must_use]
    pub fn slow_queries(&self) -> Vec<SlowQuery> {
        match &self.inner {
            Inner::Sqlite(sqlite) => sqlite.slow_queries(),
        }
    }

    /// Figures of the statements by fingerprint, the most expensive first.
    #[must_use]
    pub fn statement_statistics(&self) -> Vec<StatementStatistics> {
        match &self.inner {
            Inner::Sqlite(sqlite) => sqlite.statement_statistics(),
        }
    }
}

impl From<SqliteDatabase> for Database {
    fn from(sqlite: SqliteDatabase) -> Self {
        Self { inner: Inner::Sqlite(sqlite) }
    }
}

impl MetricsSource for Database {
    fn component(&self) -> Cow<'_, str> {
        match &self.inner {
            Inner::Sqlite(sqlite) => MetricsSource::component(sqlite),
        }
    }

    fn collect(&self, out: &mut dyn Collector) {
        match &self.inner {
            Inner::Sqlite(sqlite) => sqlite.collect(out),
        }
    }
}

#[async_trait]
impl HealthCheck for Database {
    fn component(&self) -> Cow<'_, str> {
        match &self.inner {
            Inner::Sqlite(sqlite) => HealthCheck::component(sqlite),
        }
    }

    async fn check(&self) -> Health {
        match &self.inner {
            Inner::Sqlite(sqlite) => sqlite.check().await,
        }
    }
}

#[async_trait]
impl Lifecycle for Database {
    async fn close(&self, deadline: Duration) -> Result<()> {
        match &self.inner {
            Inner::Sqlite(sqlite) => sqlite.close(deadline).await,
        }
    }
}
