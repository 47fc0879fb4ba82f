//! How a database is opened.

use aeth_core::{Clock, Error, Result, SystemClock};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Synchronous {
    /// When it is on the disk: it survives a power cut. One fsync for each transaction.
    #[default]
    Full,
    /// When the system has it: it survives a crash of the process; a power cut may take the last transactions
    /// back, and never damages the database.
    Normal,
}

/// How a SQLite database is opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The file; `None` for a database in memory, which ends with its handle.
    pub path: Option<PathBuf>,
    /// Its name in metrics and messages. Default `main`.
    pub name: String,
    /// Whether the file is made when it is missing. Default true.
    pub create: bool,
    /// When a commit counts as done. Default [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// Connections for readers, 1 to 256. Default: one for each processor, at least 4 and at most 16. In memory
    /// there is one connection for readers and the writer.
    pub readers: usize,
    /// How long [`read`](crate::SqliteDatabase::read) and [`write`](crate::SqliteDatabase::write) wait for a
    /// connection. Default 30 s.
    pub acquire_timeout: Duration,
    /// How long a statement waits for a lock that another *process* holds. Default 5 s.
    pub busy_timeout: Duration,
    /// How long one statement may take, until its last row was taken; `None` for no limit. Waiting for a lock is
    /// not interrupted by it. Default 60 s.
    pub statement_timeout: Option<Duration>,
    /// From when on a statement is slow. Default 200 ms.
    pub slow_after: Duration,
    /// Prepared statements that each connection keeps. Default 256.
    pub statement_cache: usize,
    /// Size of the write-ahead log, in bytes, from which on health is degraded. Default 256 MiB.
    pub wal_limit: u64,
    /// How often sizes are read for the metrics. Default 10 s.
    pub sample_interval: Duration,
    /// The clock. Default: the machine's.
    pub clock: Arc<dyn Clock>,
}

impl SqliteOptions {
    /// The database in this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let processors = std::thread::available_parallelism().map_or(4, usize::from);
        Self {
            path: Some(path.into()),
            name: "main".to_owned(),
            create: true,
            synchronous: Synchronous::Full,
            readers: processors.clamp(4, 16),
            acquire_timeout: Duration::from_secs(30),
            busy_timeout: Duration::from_secs(5),
            statement_timeout: Some(Duration::from_secs(60)),
            slow_after: Duration::from_millis(200),
            statement_cache: 256,
            wal_limit: 256 << 20,
            sample_interval: Duration::from_secs(10),
            clock: SystemClock::shared(),
        }
    }

    /// A database in memory: it ends with its handle. One connection serves readers and writers, so that a task
    /// must give back the one before it asks for another.
    #[must_use]
    pub fn memory() -> Self {
        Self { path: None, ..Self::new("") }
    }

    /// Sets its name in metrics and messages.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets whether the file is made when it is missing.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets when a commit counts as done.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Sets the number of connections for readers.
    #[must_use]
    pub fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// Sets how long callers wait for a connection.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets how long a statement waits for another process's lock.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// Sets how long one statement may take.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Sets from when on a statement is slow.
    #[must_use]
    pub fn slow_after(mut self, slow_after: Duration) -> Self {
        self.slow_after = slow_after;
        self
    }

    /// Sets how many prepared statements each connection keeps.
    #[must_use]
    pub fn statement_cache(mut self, statements: usize) -> Self {
        self.statement_cache = statements;
        self
    }

    /// Sets the size of the log from which on health is degraded, in bytes.
    #[must_use]
    pub fn wal_limit(mut self, bytes: u64) -> Self {
        self.wal_limit = bytes;
        self
    }

    /// Sets how often sizes are read.
    #[must_use]
    pub fn sample_interval(mut self, interval: Duration) -> Self {
        self.sample_interval = interval;
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |message: &'static str, key: &'static str| {
            Err(Error::invalid(message).with_operation("open").with_component("database").with_key(key))
        };
        if !(1..=256).contains(&self.readers) {
            return invalid("must be from 1 to 256", "readers");
        }
        if self.statement_cache == 0 {
            return invalid("must be at least 1", "statement_cache");
        }
        if self.acquire_timeout.is_zero() {
            return invalid("must be longer than nothing", "acquire_timeout");
        }
        if self.statement_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return invalid("must be longer than nothing; none is `None`", "statement_timeout");
        }
        match &self.path {
            Some(path) if path.as_os_str().is_empty() => invalid("must not be empty", "path"),
            // The driver hands the name over as UTF-8.
            Some(path) if path.to_str().is_none() => invalid("must be UTF-8", "path"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("path", &self.path)
            .field("name", &self.name)
            .field("synchronous", &self.synchronous)
            .field("readers", &self.readers)
            .finish_non_exhaustive()
    }
}
