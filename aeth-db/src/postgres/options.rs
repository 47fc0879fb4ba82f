//! How a database is reached and used.

use super::endpoint::Endpoints;
use super::target::TargetSession;
use aeth_core::{Clock, Error, Result, Secret, SystemClock};
use sqlx::postgres::{PgConnectOptions, PgPool};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What stands between the program and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Pooler {
    /// Nothing, or something that gives each client a server session of its own.
    #[default]
    None,
    /// PgBouncer in transaction mode, or another pooler that gives a server session for a transaction only.
    ///
    /// Statements are not prepared; one with values, outside of a transaction, runs in one of its own and its rows
    /// are gathered before the first is given (the two messages that it takes could otherwise reach two servers).
    /// What needs a session is `Unsupported`: cancelling a dropped statement (its connection is closed instead),
    /// time limits for one loan, named locks, listening.
    Transaction,
}

/// How a PostgreSQL database is opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    pub(super) endpoints: Endpoints,
    pub(super) password: Option<Secret>,
    /// Its name in metrics and messages. Default `main`.
    pub name: String,
    /// What the server shows as the session's application. Default `aetherius`.
    pub application_name: String,
    /// Connections to each server, 1 to 10,000. One more is kept for probing and cancelling. Default 10.
    pub max_connections: usize,
    /// How long a caller waits for a connection. Default 30 s.
    pub acquire_timeout: Duration,
    /// How long a connection may take to open. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a connection is used at most; up to a tenth less, by chance, so that they do not all end at once.
    /// Default 30 minutes.
    pub max_lifetime: Option<Duration>,
    /// A connection that was not used for so long is asked whether it lives before it is handed out. Default 30 s.
    pub idle_check: Duration,
    /// How long a statement may take on the server. Default 60 s. When the server has not said anything for ten
    /// seconds longer, its connection is given up.
    pub statement_timeout: Option<Duration>,
    /// How long a statement waits for a lock. Default 10 s.
    pub lock_timeout: Option<Duration>,
    /// How long a transaction may be open without a statement. Default 5 minutes.
    pub idle_in_transaction_timeout: Option<Duration>,
    /// From when on a statement is slow. Default 200 ms.
    pub slow_after: Duration,
    /// Prepared statements that each connection keeps. Default 256.
    pub statement_cache: usize,
    /// How often each server is asked for its role and position. Default 500 ms.
    pub probe_interval: Duration,
    /// How long a read waits for a replica to reach its token before it goes to the primary. Default 50 ms.
    pub replica_wait: Duration,
    /// How long callers wait for a primary to appear, where there are several servers. Default 15 s.
    pub failover_timeout: Duration,
    /// Which server [`open`](crate::PostgresDatabase::open) insists on finding. Default: what the URL's
    /// `target_session_attrs` says, else any.
    pub target: Option<TargetSession>,
    /// What stands between. Default nothing.
    pub pooler: Pooler,
    /// The cluster's system identifier (`pg_control_system()`); servers with another one are refused. Default: the
    /// primary's when it is opened.
    pub system_identifier: Option<u64>,
    /// The clock. Default: the machine's.
    pub clock: Arc<dyn Clock>,
}

impl PostgresOptions {
    /// The database at a URL: `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=…`.
    ///
    /// Several hosts, separated by commas, are one cluster with replicas: `postgres://user@a:5432,b:5432/app`.
    /// `target_session_attrs` has libpq's meaning; the other parameters are sqlx's. The URL is a secret, because it
    /// may hold the password. Mistakes in it show when the database is opened.
    pub fn new(url: impl Into<Vec<u8>>) -> Self {
        Self::with(Endpoints::Url(Secret::new(url)))
    }

    /// The database whose URL stands in a file.
    ///
    /// # Errors
    /// As [`Secret::from_file`].
    pub fn from_url_file(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::with(Endpoints::Url(Secret::from_file(path)?)))
    }

    /// The database whose URL is the environment variable `name`, or stands in the file that `{name}_FILE` names.
    ///
    /// # Errors
    /// As [`Secret::from_env`].
    pub fn from_env(name: &str) -> Result<Self> {
        Ok(Self::with(Endpoints::Url(Secret::from_env(name)?)))
    }

    /// The servers of one cluster, as sqlx describes them.
    pub fn from_servers(servers: impl IntoIterator<Item = PgConnectOptions>) -> Self {
        Self::with(Endpoints::Servers(servers.into_iter().collect()))
    }

    /// The server of a pool that the host has already. Connections are taken from it and go back to it: both share
    /// its limit, so leave room for whoever uses the pool itself.
    #[must_use]
    pub fn from_pool(pool: PgPool) -> Self {
        let most = pool.options().get_max_connections() as usize;
        Self::with(Endpoints::Pool(pool)).max_connections(most.max(1))
    }

    fn with(endpoints: Endpoints) -> Self {
        Self {
            endpoints,
            password: None,
            name: "main".to_owned(),
            application_name: "aetherius".to_owned(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_lifetime: Some(Duration::from_secs(1800)),
            idle_check: Duration::from_secs(30),
            statement_timeout: Some(Duration::from_secs(60)),
            lock_timeout: Some(Duration::from_secs(10)),
            idle_in_transaction_timeout: Some(Duration::from_secs(300)),
            slow_after: Duration::from_millis(200),
            statement_cache: 256,
            probe_interval: Duration::from_millis(500),
            replica_wait: Duration::from_millis(50),
            failover_timeout: Duration::from_secs(15),
            target: None,
            pooler: Pooler::None,
            system_identifier: None,
            clock: SystemClock::shared(),
        }
    }

    /// Sets the password, in place of the URL's.
    #[must_use]
    pub fn password(mut self, password: Secret) -> Self {
        self.password = Some(password);
        self
    }

    /// Reads the password from a file, in place of the URL's.
    ///
    /// # Errors
    /// As [`Secret::from_file`].
    pub fn password_file(self, path: impl AsRef<Path>) -> Result<Self> {
        Ok(self.password(Secret::from_file(path)?))
    }

    /// Sets its name in metrics and messages.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets what the server shows as the session's application.
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// Sets the number of connections to each server.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how long callers wait for a connection.
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout;
        self
    }

    /// Sets how long a connection may take to open.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long a connection is used at most.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Sets after how long without use a connection is asked whether it lives.
    #[must_use]
    pub fn idle_check(mut self, idle: Duration) -> Self {
        self.idle_check = idle;
        self
    }

    /// Sets how long a statement may take on the server.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Sets how long a statement waits for a lock.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Sets how long a transaction may be open without a statement.
    #[must_use]
    pub fn idle_in_transaction_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_in_transaction_timeout = timeout;
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

    /// Sets how often each server is asked for its role and position.
    #[must_use]
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// Sets how long a read waits for a replica before it goes to the primary.
    #[must_use]
    pub fn replica_wait(mut self, wait: Duration) -> Self {
        self.replica_wait = wait;
        self
    }

    /// Sets how long callers wait for a primary to appear.
    #[must_use]
    pub fn failover_timeout(mut self, timeout: Duration) -> Self {
        self.failover_timeout = timeout;
        self
    }

    /// Sets which server must be found when the database is opened.
    #[must_use]
    pub fn target(mut self, target: TargetSession) -> Self {
        self.target = Some(target);
        self
    }

    /// Says what stands between the program and the server.
    #[must_use]
    pub fn pooler(mut self, pooler: Pooler) -> Self {
        self.pooler = pooler;
        self
    }

    /// Sets the cluster's system identifier.
    #[must_use]
    pub fn system_identifier(mut self, identifier: u64) -> Self {
        self.system_identifier = Some(identifier);
        self
    }

    /// Sets the clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks everything that can be checked without a connection.
    ///
    /// # Errors
    /// `Invalid` for impossible options and a wrong URL, of which no part is in the error.
    pub fn validate(&self) -> Result<()> {
        self.check()?;
        super::endpoint::places(self).map(drop)
    }

    pub(super) fn check(&self) -> Result<()> {
        let invalid = |message: &'static str, key: &'static str| {
            Err(Error::invalid(message).with_operation("open").with_component("database").with_key(key))
        };
        if !(1..=10_000).contains(&self.max_connections) {
            return invalid("must be from 1 to 10,000", "max_connections");
        }
        for (duration, key) in [
            (Some(self.acquire_timeout), "acquire_timeout"),
            (Some(self.connect_timeout), "connect_timeout"),
            (Some(self.probe_interval), "probe_interval"),
            (self.max_lifetime, "max_lifetime"),
            (self.statement_timeout, "statement_timeout"),
            (self.lock_timeout, "lock_timeout"),
            (self.idle_in_transaction_timeout, "idle_in_transaction_timeout"),
        ] {
            if duration.is_some_and(|duration| duration < Duration::from_millis(1)) {
                return invalid(
                    "must be at least a millisecond; none is `None`, where that is possible",
                    key,
                );
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("name", &self.name)
            .field("max_connections", &self.max_connections)
            .field("pooler", &self.pooler)
            .finish_non_exhaustive()
    }
}
