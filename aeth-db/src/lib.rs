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
//! - a [cache level](SqlCacheTier) in tables, with leases and tags;
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
//! - the server's statistics, `pg_stat_statements` among them, as metrics, and findings with the evidence and the
//!   statement that would mend it;
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
//! # PostgreSQL with replicas
//! ```
//! # #[cfg(feature = "postgres")]
//! # async fn example(cookie: &str) -> aeth_core::Result<String> {
//! use aeth_db::{Consistency, Isolation, PostgresDatabase, PostgresOptions, SqlxResultExt, TransactOptions};
//!
//! // The URL, or the file in `DATABASE_URL_FILE`, names all servers of the cluster, in any order:
//! // postgres://app@one,two,three/app?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem
//! let options = PostgresOptions::from_env("DATABASE_URL")?.password_file("/run/secrets/db")?;
//! let db = PostgresDatabase::open(options.max_connections(16)).await?;
//!
//! // A write, repeated when it cannot be serialised, and the position at which it is seen.
//! let (left, token) = db
//!     .transact_with_token(Isolation::Serializable, TransactOptions::default(), |tx| {
//!         Box::pin(async move {
//!             let sql = "UPDATE stock SET n = n - 1 WHERE item = $1 RETURNING n";
//!             Ok(sqlx::query_scalar::<_, i64>(sql).bind(7).fetch_one(&mut *tx).await?)
//!         })
//!     })
//!     .await?;
//! let set_cookie = format!("position={token}; HttpOnly; SameSite=Lax; Max-Age=3600");
//!
//! // The same user's next request, on another machine: any replica that has his write, else the primary. A cookie
//! // that was tampered with is no token, or one that can only make his own reads slower or fail.
//! let fresh = cookie.parse().map_or(Consistency::Eventual, Consistency::AtLeast);
//! let mut reader = db.read(fresh).await?;
//! let n: i64 =
//!     sqlx::query_scalar("SELECT n FROM stock WHERE item = $1").bind(7).fetch_one(&mut reader).await.storage()?;
//! # let _ = (left, n);
//! # Ok(set_cookie)
//! # }
//! ```
//!
//! # With sqlx
//! `&mut` of a connection or transaction of ours is an [`Executor`](sqlx::Executor): `query`, `query_as`, `query!`,
//! `query_as!`, `QueryBuilder`, `raw_sql` and streams take it. What wants sqlx's own connection (`COPY`, `migrate!`,
//! savepoints) gets it by `bare()`, and the connection is cleaned afterwards:
//!
//! ```ignore
//! static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();
//!
//! let mut conn = db.write().await?;
//! MIGRATOR.run(conn.bare()?).await?;
//! let note = sqlx::query!("SELECT body FROM notes WHERE id = $1", 7_i64).fetch_one(&mut conn).await.storage()?;
//! ```
//!
//! A pool that the program has already is taken as it is: [`PostgresOptions::from_pool`]. The crate re-exports
//! [`sqlx`], so that versions always fit.
//!
//! # Errors
//! [`SqlxResultExt::storage`] turns sqlx's errors into [`aeth_core::Error`]: a kind, whether it is worth another
//! attempt, and what to do about it; [`from_sqlx`] has the table. No error holds a password or the values of a
//! statement.
//!
//! # What is not promised
//! - Through PgBouncer in transaction mode ([`Pooler::Transaction`]) what needs a session is `Unsupported`: named locks,
//!   listening, stopping a dropped statement on the server.
//! - The cache level of PostgreSQL is UNLOGGED: a crash of the server and a promotion empty it.
//! - A commit whose answer was lost may have taken effect; it is told as `Unavailable`, marked never to be repeated.
//! - With asynchronous replication a promotion can lose what was acknowledged. A token of what was lost is then an error,
//!   never older data.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `sqlite` | the embedded engine, bundled |
//! | `postgres` | PostgreSQL 12 or later, with replicas; TLS by rustls |
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod cache_tier;
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
    QueryCacheStatistics, ReplicaLag, ServerStatement, ServerStatistics, ServerStatus, Standing,
    StatementTotals, TargetSession, Token, Topic,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{
    Integrity, Snapshot, SqliteCacheTier, SqliteConn, SqliteDatabase, SqliteOptions, SqliteTierOptions,
    SqliteTransaction, Synchronous,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use {
    cache_tier::{SqlCacheTier, SqlTierOptions},
    database::{Database, Engine},
    error::{SqlxResultExt, TransactError, from_sqlx},
    migrate::{MigrationReport, Migrations},
    observe::{SlowQuery, StatementStatistics},
    sqlx,
    transact::TransactOptions,
};
