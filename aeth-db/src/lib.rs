//! The database of an application's storage, over sqlx.
//!
//! [`Database`] is one cheap, non-generic handle, whatever engine is behind it; [`Database::sqlite`] gives the
//! typed side, whose connections and transactions are sqlx executors: queries, `FromRow`, macros and streams
//! work as with sqlx's own.
//!
//! What the handle adds to sqlx:
//! - a pool without pings: a connection that was returned clean is handed out as it is, one whose future was
//!   dropped part-way is interrupted, rolled back and only then handed out again;
//! - SQLite as a server-less database should be run: write-ahead log, one writer that queues in the process
//!   instead of failing with "database is locked", many readers that never wait for it, durable commits;
//! - [transactions that are repeated](SqliteDatabase::transact) when another process was in the way;
//! - [migrations](Migrations) in a table of their own, checked against what was applied;
//! - time limits for statements, slow-query capture with a histogram for each
//!   [fingerprint](StatementStatistics), errors with kinds and remedies;
//! - [snapshots](SqliteDatabase::snapshot_to) while it is written to, and integrity checks;
//! - a [cache level](SqliteCacheTier) in a table, with leases and tags;
//! - metrics, health, and a close that leaves one file behind.
//!
//! And for PostgreSQL (`PostgresDatabase`, feature `postgres`):
//! - `write()` and `read(Consistency)` over a primary and its replicas, chosen by health, lag and load; a position
//!   token that a web service keeps in a cookie, so that users read their own writes on any replica; failover to the
//!   newer timeline, and no use of a primary that was left behind;
//! - statements are cancelled on the server when their future is dropped; a session that was changed is reset before
//!   anybody gets it again;
//! - transactions that are repeated when they could not be serialised, and never when their outcome is unknown;
//! - named locks with fencing numbers, notifications with gaps told, a backplane between nodes;
//! - a cache level in UNLOGGED generations, and a query cache that tables' changes end without a race;
//! - the server's statistics as metrics, and findings with evidence of what could be better;
//! - PgBouncer in transaction mode.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # async fn example(dir: &std::path::Path) -> aeth_core::Result<()> {
//! use aeth_db::{Database, Migrations, SqliteOptions, SqlxResultExt};
//!
//! let db = Database::open_sqlite(SqliteOptions::new(dir.join("app.db"))).await?;
//! let migrations = Migrations::new("app").step(1, "files", "CREATE TABLE files (name TEXT PRIMARY KEY)");
//! db.migrate(&migrations).await?;
//!
//! let sqlite = db.sqlite()?;
//! let mut writer = sqlite.write().await?;
//! sqlx::query("INSERT INTO files VALUES (?)").bind("a").execute(&mut writer).await.storage()?;
//! drop(writer);
//! let mut reader = sqlite.read().await?;
//! let count: i64 =
//!     sqlx::query_scalar("SELECT count(*) FROM files").fetch_one(&mut reader).await.storage()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `sqlite` | the embedded engine, bundled |
//! | `postgres` | PostgreSQL 12 or later, with replicas; TLS by rustls |
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod database;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod error;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod migrate;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod observe;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod statement;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod tier;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod transact;

#[cfg(feature = "postgres")]
pub use postgres::{
    Begin, CacheFreshness, CachedQuery, Consistency, Finding, Isolation, ListenEvent, Pooler,
    PostgresBackplane, PostgresCacheTier, PostgresConn, PostgresDatabase, PostgresLeaderLock,
    PostgresOptions, PostgresTierOptions, PostgresTransaction, QueryCache, QueryCacheOptions,
    QueryCacheStatistics, ServerStatus, Standing, TargetSession, Token, Topic,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{
    Integrity, Snapshot, SqliteCacheTier, SqliteConn, SqliteDatabase, SqliteOptions, SqliteTierOptions,
    SqliteTransaction, Synchronous,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use {
    database::{Database, Engine},
    error::{SqlxResultExt, TransactError, from_sqlx},
    migrate::{MigrationReport, Migrations},
    observe::{SlowQuery, StatementStatistics},
    sqlx,
    transact::TransactOptions,
};
