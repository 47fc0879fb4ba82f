//! What all clones of a handle share.

use super::conn::{PostgresConn, Role};
use super::fleet::{Fleet, Standing};
use super::link::{Link, Links};
use super::listen::Subscriber;
use super::lock::Locks;
use super::node::{Node, SETTLE};
use super::options::{Pooler, PostgresOptions};
use super::statistics::ServerStatistics;
use crate::error::{closed, from_sqlx};
use crate::observe::Recorder;
use crate::pool::Hold;
use aeth_core::{Error, ErrorKind, Result, Tasks};
use deadpool::managed::{Object, PoolError, TimeoutType, Timeouts};
use parking_lot::RwLock;
use sqlx::{Connection, PgConnection};
use std::fmt::Write;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// A connection that was interrupted so often is closed: what it prepared in vain stays on the server.
const INTERRUPTIONS: u32 = 64;

/// Brings a session back to what it was when it was opened, but for the prepared statements that sqlx knows.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *;
SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES";

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: PostgresOptions,
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) fleet: Fleet,
    pub(super) recorder: Recorder,
    pub(super) tasks: Tasks,
    pub(super) closing: AtomicBool,
    pub(super) locks: Locks,
    /// What the server counted when it was last asked.
    pub(super) figures: RwLock<Option<Arc<ServerStatistics>>>,
    /// The session that listens.
    pub(super) hub: OnceLock<Sender<Subscriber>>,
}

impl Shared {
    pub(super) fn pooled(&self) -> bool {
        self.options.pooler == Pooler::Transaction
    }

    /// How long the server may be silent before its connection is given up.
    pub(super) fn patience(&self, statement_timeout: Option<Duration>) -> Option<Duration> {
        statement_timeout.map(|timeout| timeout.saturating_add(SETTLE))
    }

    pub(super) fn now(&self) -> Duration {
        self.recorder.clock.monotonic()
    }

    /// Takes a connection to one server, one that is what that server was last seen to be.
    pub(super) async fn take(
        self: &Arc<Self>,
        node: &Arc<Node>,
        role: Role,
        (place, wait): (&'static Location<'static>, Duration),
    ) -> Result<PostgresConn> {
        if self.closing.load(Relaxed) {
            return Err(closed());
        }
        let asked = self.now();
        // One that is free is had at once, without a timer; those who wait already come first all the same.
        let limits = Timeouts { wait: Some(Duration::ZERO), ..node.pool.timeouts() };
        let object = match node.pool.timeout_get(&limits).await {
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                // Boxed, as it is large and rarely needed.
                Box::pin(node.pool.timeout_get(&Timeouts { wait: Some(wait), ..limits })).await
            }
            had => had,
        };
        let object = object.map_err(|error| self.refused(node, wait, error))?;
        let now = self.now();
        self.recorder.pool_wait.record_duration(now.saturating_sub(asked));
        let (standing, seen) = {
            let state = self.fleet.state.read();
            state.views.get(node.index).map_or((Standing::Unknown, None), |view| (view.standing, view.sight))
        };
        let opened = object.opened;
        let same = seen.is_some_and(|seen| {
            (seen.system, seen.timeline, seen.recovering)
                == (opened.system, opened.timeline, opened.recovering)
        });
        if !same || matches!(standing, Standing::Stale | Standing::Rival | Standing::Foreign) {
            Object::take(object).discard();
            node.kick.notify_one();
            return Err(Error::unavailable("the server is not what it was"));
        }
        let hold = node.holders.enter(place, now);
        Ok(PostgresConn::new(object, Arc::clone(self), Arc::clone(node), hold, role))
    }

    fn refused(&self, node: &Node, wait: Duration, error: PoolError<Error>) -> Error {
        let refusal = match error {
            PoolError::Timeout(TimeoutType::Wait) => {
                self.recorder.pool_timeouts.increment();
                let message = format!(
                    "no connection within {wait:.1?}: {} of {} in use: {}",
                    node.holders.count(),
                    node.pool.status().max_size,
                    node.holders.describe(self.now()),
                );
                Error::new(ErrorKind::Timeout, message)
                    .with_remedy("hold connections for less long, or configure more of them")
            }
            PoolError::Timeout(_) => Error::timeout("the connection did not open in time"),
            PoolError::Backend(error) => error,
            PoolError::Closed => closed(),
            other => Error::other("the pool failed").with_source(other),
        };
        refusal.with_operation("acquire").with_component("database").with_key(&node.address)
    }

    /// Cleans a connection whose holder went away, and only then gives it back.
    pub(super) fn quarantine(self: &Arc<Self>, node: &Arc<Node>, mut object: Object<Links>, hold: Hold) {
        hold.settling();
        if object.flags.broken || object.flags.suspect {
            node.kick.notify_one();
        }
        if tokio::runtime::Handle::try_current().is_err() {
            // Nobody is there to clean it: closing it rolls back.
            Object::take(object).discard();
            drop(hold);
            return;
        }
        let (node, pooled) = (Arc::clone(node), self.pooled());
        let work = async move {
            let settled = tokio::time::timeout(SETTLE, settle(&mut object, &node, pooled)).await;
            match settled {
                Ok(Ok(())) => drop(object),
                Ok(Err(error)) => {
                    tracing::debug!(server = node.address, %error, "a connection is closed, not cleaned");
                    Object::take(object).discard();
                }
                Err(_) => Object::take(object).discard(),
            }
            drop(hold);
        };
        // The handle is not needed: close waits for the task.
        drop(self.tasks.spawn(work));
    }

    /// All servers and what they are taken for, for messages.
    pub(super) fn describe(&self) -> String {
        let state = self.fleet.state.read();
        let mut text = String::new();
        for (node, view) in self.nodes.iter().zip(&state.views) {
            let separator = if text.is_empty() { "" } else { "; " };
            let what = match (&view.standing, &view.error) {
                (Standing::Down, Some(error)) => error.message().to_owned(),
                (standing, _) => format!("{standing:?}").to_lowercase(),
            };
            // Writing into a string cannot fail.
            let _: std::fmt::Result = write!(text, "{separator}{}: {what}", node.address);
        }
        text
    }
}

/// Brings a connection back to a clean state: stops what runs, ends what is open, forgets what was set.
async fn settle(link: &mut Link, node: &Node, pooled: bool) -> Result<()> {
    let flags = link.flags;
    if flags.broken || flags.suspect {
        return Err(Error::unavailable("the connection is broken"));
    }
    if pooled && (flags.running || flags.session || flags.opened || flags.bare) {
        return Err(Error::unsupported("a pooler stands between: sessions cannot be cleaned"));
    }
    if flags.running {
        link.interrupted += 1;
        if link.interrupted > INTERRUPTIONS {
            return Err(Error::unavailable("the connection was interrupted too often"));
        }
        if link.raw().should_flush() && !flags.bare {
            // What was not sent must not be sent now: nobody waits for it.
            return Err(Error::unavailable("a statement was dropped before it was sent"));
        }
        node.cancel(link.opened).await?;
        drain(link.raw()).await?;
    }
    if flags.transaction || flags.opened || flags.bare {
        drain(link.raw()).await?;
        sqlx::raw_sql("ROLLBACK").execute(link.raw()).await.map_err(from_sqlx)?;
    }
    if flags.session || flags.bare {
        sqlx::raw_sql(RESET).execute(link.raw()).await.map_err(from_sqlx)?;
    }
    link.flags = Default::default();
    Ok(())
}

/// Takes in what is still to come, errors of what was stopped among it.
async fn drain(connection: &mut PgConnection) -> Result<()> {
    for _ in 0..16 {
        match connection.ping().await {
            Ok(()) => return Ok(()),
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(from_sqlx(error)),
        }
    }
    Err(Error::unavailable("the connection does not come to rest"))
}
