//! What the pools keep.

use super::node::SETTLE;
use super::options::{Pooler, PostgresOptions};
use super::sight::{Sight, look};
use crate::error::from_sqlx;
use crate::observe::Prepared;
use crate::statement::Flags;
use aeth_core::{Clock, ClockExt, Error, ErrorKind, Result};
use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A connection of our own, or one on loan from the host's pool.
#[derive(Debug)]
pub(super) enum Raw {
    Own(PgConnection),
    Host(PoolConnection<Postgres>),
}

/// A connection with what is known of it.
#[derive(Debug)]
pub(super) struct Link {
    raw: Raw,
    pub(super) flags: Flags,
    /// Its prepared statements.
    prepared: Prepared,
    /// What the server was when it was opened.
    pub(super) opened: Sight,
    /// The opener's when it was opened.
    generation: u64,
    ends: Option<Duration>,
    pub(super) used: Duration,
    /// Statements that were broken off: each may have left a prepared statement that nobody knows.
    pub(super) interrupted: u32,
}

impl Link {
    pub(super) fn raw(&mut self) -> &mut PgConnection {
        match &mut self.raw {
            Raw::Own(connection) => connection,
            Raw::Host(connection) => connection,
        }
    }

    /// The connection and what is known of it, borrowed apart.
    pub(super) fn apart(&mut self) -> (&mut PgConnection, (&mut Flags, &mut Prepared)) {
        let raw = match &mut self.raw {
            Raw::Own(connection) => connection,
            Raw::Host(connection) => &mut **connection,
        };
        (raw, (&mut self.flags, &mut self.prepared))
    }

    /// Ends it in order, without waiting for long.
    pub(super) async fn close(self) {
        let closing = async move {
            match self.raw {
                Raw::Own(connection) => connection.close().await,
                Raw::Host(connection) => connection.close().await,
            }
        };
        // One that cannot be closed is dropped, which closes it as well.
        drop(tokio::time::timeout(Duration::from_secs(1), closing).await);
    }

    /// Ends it at once.
    pub(super) fn discard(mut self) {
        if let Raw::Host(connection) = &mut self.raw {
            connection.close_on_drop();
        }
    }
}

/// Makes connections to one server.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) connect: PgConnectOptions,
    host: Option<PgPool>,
    timeout: Duration,
    lifetime: Option<Duration>,
    idle_check: Duration,
    pooler: Pooler,
    statement_cache: usize,
    clock: Arc<dyn Clock>,
    /// Raised when the connections of before must not be used any more.
    pub(super) generation: AtomicU64,
}

impl Opener {
    pub(super) fn new(connect: PgConnectOptions, host: Option<PgPool>, options: &PostgresOptions) -> Self {
        Self {
            connect,
            host,
            timeout: options.connect_timeout,
            lifetime: options.max_lifetime,
            idle_check: options.idle_check,
            pooler: options.pooler,
            statement_cache: options.statement_cache,
            clock: Arc::clone(&options.clock),
            generation: AtomicU64::new(0),
        }
    }

    /// A connection beside the pool.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let opened = self.clock.timeout(self.timeout, Box::pin(self.connect.connect())).await;
        opened.map_err(|_| self.late())?.map_err(refused)
    }

    fn late(&self) -> Error {
        Error::timeout(format!("the server did not answer within {:?}", self.timeout))
            .with_remedy("check host and port, and that no firewall swallows the packets")
    }

    async fn open(&self) -> Result<Link> {
        let generation = self.generation.load(Relaxed);
        let mut raw = match &self.host {
            None => Raw::Own(self.connect().await?),
            Some(pool) => Raw::Host(Box::pin(pool.acquire()).await.map_err(refused)?),
        };
        let connection = match &mut raw {
            Raw::Own(connection) => connection,
            Raw::Host(connection) => connection,
        };
        let now = self.clock.monotonic();
        let looked = self.clock.timeout(self.timeout, look(connection, now)).await;
        let opened = looked.map_err(|_| self.late())?.map_err(refused)?;
        // Not all at once: up to a tenth earlier.
        let ends =
            self.lifetime.map(|lifetime| now.saturating_add(lifetime.mul_f64(1.0 - fastrand::f64() / 10.0)));
        Ok(Link {
            raw,
            flags: Flags::default(),
            prepared: Prepared::new(self.statement_cache),
            opened,
            generation,
            ends,
            used: now,
            interrupted: 0,
        })
    }
}

/// A connection that could not be opened.
fn refused(error: sqlx::Error) -> Error {
    let made = from_sqlx(error);
    if made.kind() == ErrorKind::Unavailable && made.remedy().is_none() {
        return made.with_remedy("check host and port, and that the server runs and may be reached");
    }
    made
}

/// The manager of one server's pool.
#[derive(Debug)]
pub(super) struct Links(pub(super) Arc<Opener>);

impl Manager for Links {
    type Type = Link;
    type Error = Error;

    async fn create(&self) -> Result<Link> {
        // Rare, and large.
        Box::pin(self.0.open()).await
    }

    /// No ping, unless it was not used for long: a connection that comes back dirty was settled before it got here.
    async fn recycle(&self, link: &mut Link, _: &Metrics) -> RecycleResult<Error> {
        let opener = &*self.0;
        if !link.flags.is_untouched() {
            return Err(RecycleError::message("not clean"));
        }
        if link.generation != opener.generation.load(Relaxed) {
            return Err(RecycleError::message("the server is another one now"));
        }
        let now = opener.clock.monotonic();
        if link.ends.is_some_and(|ends| now >= ends) {
            return Err(RecycleError::message("its time is over"));
        }
        let idle = now.saturating_sub(link.used);
        // A pooler may have parked the server's side: asking it costs a transaction there and tells nothing.
        if idle >= opener.idle_check && opener.pooler == Pooler::None {
            let pinged = opener.clock.timeout(SETTLE, link.raw().ping()).await;
            pinged
                .map_err(RecycleError::Backend)?
                .map_err(|error| RecycleError::Backend(from_sqlx(error)))?;
        }
        Ok(())
    }
}
