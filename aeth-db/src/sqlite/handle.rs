//! The typed handle.

use super::conn::{SqliteConn, SqliteTransaction};
use super::connect::{Role, preflight, probe};
use super::options::SqliteOptions;
use super::shared::{Lane, Shared};
use super::{connect, observe};
use crate::error::from_sqlx;
use crate::observe::{Recorder, SlowQuery, StatementStatistics};
use aeth_core::{Error, Result, Tasks};
use std::panic::Location;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A SQLite database: one writer, many readers. Cheap to clone; all clones are the same database.
///
/// Readers see the last committed state and never wait for the writer; writers of this handle queue in order.
/// Other processes may use the file at the same time.
#[derive(Debug, Clone)]
pub struct SqliteDatabase {
    pub(super) shared: Arc<Shared>,
}

impl SqliteDatabase {
    /// Opens the database, in WAL mode, and makes sure that it can be written.
    ///
    /// # Errors
    /// `Invalid` for impossible options or a directory in the place of the file; `NotFound` when its directory
    /// does not exist, or the file and it is not to be made; `Corrupt` when the file is something else;
    /// `Denied` on a read-only file system or without the rights; `Full`; `Busy` when another process has locked
    /// it for longer than the busy timeout; `Unsupported` on a file system without shared memory.
    ///
    /// # Cancel safety
    /// Cancel-safe; an empty database may have been made.
    pub async fn open(options: SqliteOptions) -> Result<Self> {
        options.check()?;
        let tasks = Tasks::new();
        if let Some(path) = options.path.clone() {
            let create = options.create;
            let looked = tasks.spawn_blocking(move || preflight(&path, create)).await;
            looked.map_err(|error| Error::other("opening was broken off").with_source(error))??;
        }
        let key = options.path.as_deref().map_or_else(|| ":memory:".into(), Path::to_string_lossy);
        let writer = Lane::new(&options, Role::Writer, 1, "writer")?;
        let readers = match &options.path {
            Some(_) => Some(Lane::new(&options, Role::Reader, options.readers, "reader")?),
            None => None,
        };
        let (mut raw, _control) = connect::connect(&options, Role::Writer).await.map_err(|error| {
            from_sqlx(error).with_operation("open").with_component("database").with_key(&key)
        })?;
        probe(&mut raw, &options).await?;
        let shared = Shared {
            recorder: Recorder::new(Arc::clone(&options.clock), options.slow_after),
            writer,
            readers,
            tasks,
            closing: false.into(),
            size: 0.into(),
            wal_size: 0.into(),
            damaged: false.into(),
            options,
        };
        let database = Self { shared: Arc::new(shared) };
        // The pool's own connections are there before the first is given back.
        drop(database.write().await?);
        drop(sqlx::Connection::close(raw).await);
        let sampling = observe::sample_forever(
            Arc::downgrade(&database.shared),
            database.shared.options.sample_interval,
        );
        // The handle is not needed: close ends the task.
        drop(database.shared.tasks.spawn_until_closed(sampling));
        Ok(database)
    }

    /// A connection for statements that change nothing; the engine refuses others (`Denied`). Waits while all
    /// are in use.
    ///
    /// # Errors
    /// `Timeout` when none became free within the acquire timeout, saying who has them; `Closed`; what opening
    /// a connection gives.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn read(&self) -> impl Future<Output = Result<SqliteConn>> + Send + use<> {
        self.clone().acquire(Role::Reader, Location::caller())
    }

    /// The connection that writes. Callers queue in order. Without a transaction each statement is one of its
    /// own.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn write(&self) -> impl Future<Output = Result<SqliteConn>> + Send + use<> {
        self.clone().acquire(Role::Writer, Location::caller())
    }

    /// Begins a write transaction, which holds the write lock from the start.
    ///
    /// # Errors
    /// As [`read`](Self::read); `Busy` when another process holds the lock for longer than the busy timeout.
    ///
    /// # Cancel safety
    /// Cancel-safe: it is rolled back.
    #[track_caller]
    pub fn begin(&self) -> impl Future<Output = Result<SqliteTransaction>> + Send {
        self.begin_at(Location::caller())
    }

    /// Begins a read transaction: all its statements see the same state.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn begin_read(&self) -> impl Future<Output = Result<SqliteTransaction>> + Send {
        let place = Location::caller();
        async move { self.read_at(place).await?.begin().await }
    }

    /// Statements that were slow, the oldest first; the last 128 are kept.
    #[must_use]
    pub fn slow_queries(&self) -> Vec<SlowQuery> {
        self.shared.recorder.slow_queries()
    }

    /// Figures of the statements by fingerprint, the most expensive first.
    #[must_use]
    pub fn statement_statistics(&self) -> Vec<StatementStatistics> {
        self.shared.recorder.statistics()
    }

    /// The file; `None` in memory.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.shared.options.path.as_deref()
    }

    pub(super) async fn begin_at(&self, place: &'static Location<'static>) -> Result<SqliteTransaction> {
        self.write_at(place).await?.begin().await
    }

    pub(super) async fn read_at(&self, place: &'static Location<'static>) -> Result<SqliteConn> {
        self.shared.acquire(Role::Reader, place).await
    }

    pub(super) async fn write_at(&self, place: &'static Location<'static>) -> Result<SqliteConn> {
        self.shared.acquire(Role::Writer, place).await
    }

    async fn acquire(self, role: Role, place: &'static Location<'static>) -> Result<SqliteConn> {
        self.shared.acquire(role, place).await
    }

    /// How long the longest a caller waits for a connection.
    #[must_use]
    pub fn acquire_timeout(&self) -> Duration {
        self.shared.options.acquire_timeout
    }
}
