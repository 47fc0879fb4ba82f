//! What all clones of a handle share.

use super::conn::SqliteConn;
use super::connect::{Role, connect};
use super::link::{Link, Links};
use super::options::SqliteOptions;
use crate::error::{closed, from_sqlx};
use crate::observe::{Prepared, Recorder};
use crate::pool::{Hold, Holders};
use crate::statement::Flags;
use aeth_core::{Error, ErrorKind, Result, Tasks};
use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode, TimeoutType, Timeouts};
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long a connection may take to open or to become clean before it is given up.
const SETTLE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) pool: Pool<Links>,
    pub(super) holders: Holders,
    what: &'static str,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: SqliteOptions,
    pub(super) writer: Lane,
    /// `None` in memory, where the writer serves readers too.
    pub(super) readers: Option<Lane>,
    pub(super) recorder: Recorder,
    pub(super) tasks: Tasks,
    pub(super) closing: AtomicBool,
    pub(super) size: AtomicU64,
    pub(super) wal_size: AtomicU64,
    /// A check has found damage.
    pub(super) damaged: AtomicBool,
}

impl Lane {
    pub(super) fn new(options: &SqliteOptions, role: Role, size: usize, what: &'static str) -> Result<Self> {
        let pool = Pool::builder(Links { options: options.clone(), role })
            .max_size(size)
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(options.acquire_timeout),
                create: Some(options.busy_timeout.saturating_add(SETTLE)),
                recycle: Some(SETTLE),
            })
            .build()
            .map_err(|error| Error::invalid("the pool cannot be built").with_source(error))?;
        Ok(Self { pool, holders: Holders::new(), what })
    }
}

impl Shared {
    pub(super) fn lane(&self, role: Role) -> &Lane {
        match (role, &self.readers) {
            (Role::Reader, Some(readers)) => readers,
            _ => &self.writer,
        }
    }

    /// Takes a connection from its pool.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        role: Role,
        place: &'static Location<'static>,
    ) -> Result<SqliteConn> {
        if self.closing.load(Relaxed) {
            return Err(closed());
        }
        let lane = self.lane(role);
        let clock = &self.recorder.clock;
        let asked = clock.monotonic();
        let object = lane.pool.get().await.map_err(|error| self.refused(lane, error))?;
        let now = clock.monotonic();
        self.recorder.pool_wait.record_duration(now.saturating_sub(asked));
        Ok(SqliteConn::new(object, Arc::clone(self), lane.holders.enter(place, now), role))
    }

    /// A connection of its own, beside the pools; in memory the writer's.
    pub(super) async fn aside(self: &Arc<Self>, place: &'static Location<'static>) -> Result<SqliteConn> {
        if self.options.path.is_none() {
            return self.acquire(Role::Writer, place).await;
        }
        if self.closing.load(Relaxed) {
            return Err(closed());
        }
        let opened = connect(&self.options, Role::Maintenance).await;
        let (raw, control) = opened.map_err(|error| from_sqlx(error).with_component("database"))?;
        let hold = self.lane(Role::Reader).holders.enter(place, self.recorder.clock.monotonic());
        let prepared = Prepared::new(self.options.statement_cache);
        let link = Link { raw, control, flags: Flags::default(), prepared };
        Ok(SqliteConn::aside(link, Arc::clone(self), hold))
    }

    fn refused(&self, lane: &Lane, error: PoolError<sqlx::Error>) -> Error {
        let refusal = match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                self.recorder.pool_timeouts.increment();
                let holders = lane.holders.describe(self.recorder.clock.monotonic());
                let message = format!(
                    "no {} within {:?}: {} of {} in use: {holders}",
                    lane.what,
                    self.options.acquire_timeout,
                    lane.holders.count(),
                    lane.pool.status().max_size,
                );
                Error::new(ErrorKind::Timeout, message)
                    .with_remedy("hold connections for less long, or configure more of them")
            }
            PoolError::Timeout(_) => Error::timeout("the connection did not open in time"),
            PoolError::Backend(error) => from_sqlx(error),
            PoolError::Closed => closed(),
            other => Error::other("the pool failed").with_source(other),
        };
        refusal.with_operation("acquire").with_component("database")
    }

    /// Cleans a connection whose caller went away, and only then gives it back.
    pub(super) fn quarantine(self: &Arc<Self>, mut object: Object<Links>, hold: Hold) {
        hold.settling();
        if tokio::runtime::Handle::try_current().is_err() {
            // Nobody is there to clean it: closing it rolls back.
            drop(Object::take(object));
            drop(hold);
            return;
        }
        let work = async move {
            let settled = tokio::time::timeout(SETTLE, object.settle()).await;
            if !matches!(settled, Ok(Ok(()))) || object.flags.broken {
                tracing::debug!("a connection could not be cleaned and is closed");
                drop(Object::take(object));
            } else {
                drop(object);
            }
            drop(hold);
        };
        // The handle is not needed: close waits for the task.
        drop(self.tasks.spawn(work));
    }

    /// Path of the write-ahead log.
    pub(super) fn wal_path(&self) -> Option<PathBuf> {
        let mut path = self.options.path.clone()?.into_os_string();
        path.push("-wal");
        Some(path.into())
    }

    /// Reads the sizes for metrics and health.
    pub(super) async fn sample(&self) {
        let (Some(path), Some(wal)) = (&self.options.path, self.wal_path()) else { return };
        let size = tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len());
        let wal_size = tokio::fs::metadata(wal).await.map_or(0, |metadata| metadata.len());
        self.size.store(size, Relaxed);
        self.wal_size.store(wal_size, Relaxed);
    }
}
