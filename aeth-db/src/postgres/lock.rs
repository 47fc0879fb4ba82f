//! Named locks with fencing numbers.
//!
//! All locks of a handle are advisory locks of one session beside the pools, so that the server frees them the moment
//! that the process dies. What a lock protects is protected by its number: a table counts it up, and the primary's
//! timeline stands before it, so that it grows across a promotion that lost the last counts.

use super::handle::PostgresDatabase;
use super::shared::Shared;
use super::sight::look;
use crate::error::from_sqlx;
use crate::migrate::Migrations;
use aeth_core::coord::{LeaderLock, Leadership};
use aeth_core::{Error, ErrorKind, Result, Retry};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Row};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};

/// Bits of the number that the table counts; the timeline has the others.
const COUNTED: u32 = 40;

/// The server notices a dead machine in some ten seconds; no idle limit of the server's may free a lock.
const SETTINGS: &str =
    "SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET tcp_user_timeout = 10000; SET idle_session_timeout = 0; SET synchronous_commit = on";

/// The session that has the locks.
#[derive(Debug, Default)]
pub(super) struct Locks {
    session: Mutex<Session>,
    migrated: OnceCell<()>,
}

#[derive(Debug, Default)]
struct Session {
    connection: Option<PgConnection>,
    /// Counts the sessions: what was held in an earlier one is lost.
    number: u64,
    timeline: u32,
    held: HashSet<String>,
}

/// A [`LeaderLock`] over a database: advisory locks with fencing numbers.
///
/// The leadership lasts as long as the session that took it, whatever its ttl: the server ends it when the process
/// dies. A promotion ends it too; [`renew`](Leadership::renew) says so. It needs the right to create the table
/// `aeth_fence`, and one connection beside the pools.
#[derive(Debug, Clone)]
pub struct PostgresLeaderLock {
    shared: Arc<Shared>,
    db: PostgresDatabase,
}

impl PostgresDatabase {
    /// Named locks with fencing numbers.
    #[must_use]
    pub fn leader_lock(&self) -> PostgresLeaderLock {
        PostgresLeaderLock { shared: Arc::clone(&self.shared), db: self.clone() }
    }

    /// Takes the named lock, waiting for it at most so long.
    ///
    /// # Errors
    /// `Busy` when somebody else has it all the time; as [`LeaderLock::try_acquire`].
    ///
    /// # Cancel safety
    /// Cancel-safe: a lock that was taken meanwhile is freed.
    pub async fn lock(&self, name: &str, wait: Duration) -> Result<Box<dyn Leadership>> {
        let lock = self.leader_lock();
        let clock = &self.shared.recorder.clock;
        let until = clock.monotonic().saturating_add(wait);
        let mut pause = Duration::from_millis(10);
        loop {
            if let Some(led) = lock.try_acquire(name, wait).await? {
                return Ok(led);
            }
            let left = until.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return Err(Error::new(ErrorKind::Busy, "somebody else has the lock")
                    .with_operation("lock")
                    .with_component("database")
                    .with_key(name));
            }
            clock.sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0).min(left)).await;
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }
}

#[async_trait]
impl LeaderLock for PostgresLeaderLock {
    fn name(&self) -> Cow<'_, str> {
        "postgres".into()
    }

    async fn try_acquire(&self, name: &str, _ttl: Duration) -> Result<Option<Box<dyn Leadership>>> {
        let named = |error: Error| {
            error.with_operation("acquire").with_component("database").with_key(name.escape_default())
        };
        if name.is_empty() || name.contains('\0') {
            return Err(named(Error::invalid("a lock's name must not be empty and not hold a zero byte")));
        }
        if self.shared.pooled() {
            return Err(named(
                Error::unsupported("a pooler for transactions keeps no session for locks")
                    .with_remedy("open a handle that goes to the server itself"),
            ));
        }
        let migrations = Migrations::new("aeth-fence").step(
            1,
            "numbers",
            "CREATE TABLE aeth_fence (name text PRIMARY KEY, number bigint NOT NULL)",
        );
        let migrate = || async { self.db.migrate(&migrations).await.map(drop) };
        Box::pin(self.shared.locks.migrated.get_or_try_init(migrate)).await.map_err(named)?;
        // On a task of its own: half a conversation would end the session and all the locks with it.
        let (shared, name) = (Arc::clone(&self.shared), name.to_owned());
        let taken = self.shared.tasks.spawn(async move { take(&shared, name).await }).await;
        let taken =
            taken.map_err(|error| Error::other("taking the lock was broken off").with_source(error))?;
        Ok(taken?.map(|held| Box::new(held) as Box<dyn Leadership>))
    }
}

/// Where a name's lock is among the numbers of all advisory locks.
fn number_of(name: &str) -> i64 {
    let digest = Sha256::new().chain_update("aeth-lock:").chain_update(name).finalize();
    i64::from_le_bytes(digest.first_chunk().copied().unwrap_or_default())
}

async fn take(shared: &Arc<Shared>, name: String) -> Result<Option<Held>> {
    let mut session = shared.locks.session.lock().await;
    if session.held.contains(&name) && session.alive(shared).await {
        return Ok(None);
    }
    let (number, timeline) = (number_of(&name), session.connect(shared).await?);
    let locked = session
        .ask(shared, async |connection| {
            let row = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(number).fetch_one(&mut *connection);
            if !row.await?.try_get::<bool, _>(0)? {
                return Ok(None);
            }
            let count = "INSERT INTO aeth_fence AS f VALUES ($1, 1)
                ON CONFLICT (name) DO UPDATE SET number = f.number + 1 RETURNING number";
            let row = sqlx::query(count).bind(&name).fetch_one(connection).await?;
            row.try_get::<i64, _>(0).map(Some)
        })
        .await?;
    let Some(count) = locked else { return Ok(None) };
    session.held.insert(name.clone());
    let fencing = u64::from(timeline) << COUNTED | (count.cast_unsigned() & ((1 << COUNTED) - 1));
    let session = session.number;
    Ok(Some(Held { shared: Arc::clone(shared), name, session, fencing, over: false }))
}

impl Session {
    /// Makes sure that there is a session on the primary; gives its timeline.
    async fn connect(&mut self, shared: &Shared) -> Result<u32> {
        if self.alive(shared).await {
            return Ok(self.timeline);
        }
        let primary = shared.fleet.primary().and_then(|(index, _)| shared.nodes.get(index));
        let node = primary.ok_or_else(|| {
            Error::unavailable(format!("there is no primary: {}", shared.describe()))
                .with_operation("acquire")
                .with_component("database")
        })?;
        let mut connection = Box::pin(node.opener.connect()).await?;
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await.map_err(from_sqlx)?;
        let sight = look(&mut connection, shared.now()).await.map_err(from_sqlx)?;
        if sight.recovering || sight.timeline < shared.fleet.newest() {
            node.kick.notify_one();
            return Err(Error::unavailable("the server is not what it was").with_key(&node.address));
        }
        self.number += 1;
        self.timeline = sight.timeline;
        self.connection = Some(connection);
        Ok(self.timeline)
    }

    /// Whether the session stands, on the newest timeline. One that does not has lost everything.
    async fn alive(&mut self, shared: &Shared) -> bool {
        if shared.fleet.newest() > self.timeline {
            self.end();
        }
        self.connection.is_some()
            && self.ask(shared, async |c| sqlx::raw_sql("SELECT 1").execute(c).await).await.is_ok()
    }

    /// Does something in the session; a failure that is not the server's own answer ends it.
    async fn ask<T>(
        &mut self,
        shared: &Shared,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T> {
        let Some(connection) = &mut self.connection else {
            return Err(Error::unavailable("the session of the locks ended"));
        };
        let limit = shared.options.connect_timeout;
        let asked = tokio::time::timeout(limit, work(connection)).await;
        match asked {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                // A lock that was taken but not counted must not stay.
                self.end();
                Err(from_sqlx(error).with_component("database"))
            }
            Err(_) => {
                self.end();
                Err(Error::timeout(format!("the server did not answer within {limit:?}")))
            }
        }
    }

    fn end(&mut self) {
        self.connection = None;
        self.held.clear();
    }
}

/// A lock that is held.
#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    name: String,
    session: u64,
    fencing: u64,
    over: bool,
}

async fn free(shared: &Shared, name: &str, number: u64) -> Result<()> {
    let mut session = shared.locks.session.lock().await;
    if session.number != number || !session.held.remove(name) {
        return Ok(());
    }
    let key = number_of(name);
    let freed = session
        .ask(shared, async |connection| {
            sqlx::query("SELECT pg_advisory_unlock($1)").bind(key).execute(connection).await
        })
        .await;
    // A session that failed has ended, which frees it as well.
    freed.map(drop)
}

#[async_trait]
impl Leadership for Held {
    fn fencing(&self) -> u64 {
        self.fencing
    }

    async fn renew(&self) -> Result<()> {
        let (shared, name, number) = (Arc::clone(&self.shared), self.name.clone(), self.session);
        let asked = self.shared.tasks.spawn(async move {
            let mut session = shared.locks.session.lock().await;
            session.number == number && session.held.contains(&name) && session.alive(&shared).await
        });
        match asked.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::new(ErrorKind::Precondition, "the session that held the lock has ended")
                .with_retry(Retry::Never)
                .with_operation("renew")
                .with_component("database")
                .with_key(self.name.escape_default())
                .with_remedy("stop what the lock protects at once; take it again before going on")),
            Err(error) => Err(Error::unavailable("the renewal was broken off").with_source(error)),
        }
    }

    async fn release(mut self: Box<Self>) -> Result<()> {
        self.over = true;
        let (shared, name, number) = (Arc::clone(&self.shared), self.name.clone(), self.session);
        let freed = self.shared.tasks.spawn(async move { free(&shared, &name, number).await }).await;
        freed.map_err(|error| Error::unavailable("the release was broken off").with_source(error))?
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.over || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (shared, name, number) = (Arc::clone(&self.shared), self.name.clone(), self.session);
        // Nobody waits for it; close waits for the task.
        drop(self.shared.tasks.spawn(async move {
            if let Err(error) = free(&shared, &name, number).await {
                tracing::debug!(%error, "a lock that was dropped ended with its session");
            }
        }));
    }
}
