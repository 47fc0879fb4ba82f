//! Which server a caller gets.

use super::conn::{POSITION, PostgresConn, Role};
use super::fleet::{Standing, lost};
use super::node::Node;
use super::shared::Shared;
use super::sight::Sight;
use super::target::TargetSession;
use super::token::Token;
use crate::error::{closed, from_sqlx};
use aeth_core::{ClockExt, Error, ErrorKind, Result, Retry};
use sqlx::Row;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Consistency {
    /// Sees everything that was committed: on the primary.
    Strong,
    /// Sees at least what the token names: on a replica that has replayed it, else, after a short wait, on the
    /// primary. Never older.
    AtLeast(Token),
    /// Is at most so old, give or take the probe's interval: on a replica that is, else on the primary. The age is
    /// measured by this process's own clock and the primary's log positions, not by the servers' clocks.
    Bounded(Duration),
    /// On any replica that answers, else on the primary.
    Eventual,
}

type Place = &'static Location<'static>;

/// What a waiter has.
struct Waiting {
    changes: watch::Receiver<u64>,
    until: Duration,
}

impl Shared {
    fn waiting(&self, limit: Duration) -> Waiting {
        self.waiting_since(self.now(), limit)
    }

    fn waiting_since(&self, begun: Duration, limit: Duration) -> Waiting {
        Waiting { changes: self.fleet.changes(), until: begun.saturating_add(limit) }
    }

    /// Waits for the next probe; false when the time is over.
    async fn wait(&self, waiting: &mut Waiting) -> bool {
        let left = waiting.until.saturating_sub(self.now());
        if left.is_zero() || self.closing.load(Relaxed) {
            return false;
        }
        self.nodes.iter().for_each(|node| node.kick.notify_one());
        // The sender lives as long as `self`; the time is looked at above.
        drop(self.recorder.clock.timeout(left, waiting.changes.changed()).await);
        true
    }

    fn failover_timeout(&self) -> Duration {
        if self.nodes.len() > 1 { self.options.failover_timeout } else { Duration::ZERO }
    }

    /// A connection to the primary.
    pub(super) async fn writer(self: &Arc<Self>, place: Place) -> Result<PostgresConn> {
        self.primary(Role::Writer, place).await
    }

    async fn primary(self: &Arc<Self>, role: Role, place: Place) -> Result<PostgresConn> {
        // The first attempt is nearly always the last: only one that fails pays for being told of the next probe.
        let (begun, mut waiting) = (self.now(), None);
        loop {
            let mut failure = None;
            if let Some(node) = self.fleet.primary().and_then(|(index, _)| self.nodes.get(index)) {
                match self.take(node, role, (place, self.options.acquire_timeout)).await {
                    Ok(conn) => return Ok(conn),
                    Err(error) if error.kind() == ErrorKind::Unavailable => {
                        node.kick.notify_one();
                        failure = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
            // A probe that ended in between is missed; waiting asks for another one.
            let waiting = waiting.get_or_insert_with(|| self.waiting_since(begun, self.failover_timeout()));
            if !self.wait(waiting).await {
                // With one server its own words say more.
                let alone = failure.or_else(|| self.only_error());
                return Err(alone.filter(|_| self.nodes.len() == 1).unwrap_or_else(|| self.no_primary()));
            }
        }
    }

    fn only_error(&self) -> Option<Error> {
        self.fleet.state.read().views.first().and_then(|view| view.error.clone())
    }

    fn no_primary(&self) -> Error {
        if self.closing.load(Relaxed) {
            return closed();
        }
        Error::unavailable(format!("there is no primary: {}", self.describe()))
            .with_operation("acquire")
            .with_component("database")
            .with_remedy("wait for a promotion, or start the primary")
    }

    /// A connection to a server that is fresh enough.
    pub(super) async fn reader(self: &Arc<Self>, fresh: Consistency, place: Place) -> Result<PostgresConn> {
        match fresh {
            Consistency::Strong => self.primary(Role::Reader, place).await,
            Consistency::AtLeast(token) => self.at_least(token, place).await,
            Consistency::Bounded(age) => {
                let now = self.now();
                let young = |sight: &Sight| {
                    self.fleet.state.read().staleness(sight, now).is_some_and(|stale| stale <= age)
                };
                self.replica_or_primary(young, place).await
            }
            Consistency::Eventual => self.replica_or_primary(|_| true, place).await,
        }
    }

    async fn replica_or_primary(
        self: &Arc<Self>,
        fits: impl Fn(&Sight) -> bool + Send + Sync,
        place: Place,
    ) -> Result<PostgresConn> {
        match self.replica(&fits, place).await? {
            Some(conn) => Ok(conn),
            None => self.primary(Role::Reader, place).await,
        }
    }

    /// A connection to one of the standbys that fit; `None` when none does or none can be reached.
    async fn replica(
        self: &Arc<Self>,
        fits: &(impl Fn(&Sight) -> bool + Send + Sync),
        place: Place,
    ) -> Result<Option<PostgresConn>> {
        let mut left: Vec<Arc<Node>> = {
            let views: Vec<_> = {
                let state = self.fleet.state.read();
                state.views.iter().map(|view| (view.standing, view.sight)).collect()
            };
            let standbys = self.nodes.iter().zip(views);
            standbys
                .filter(|(_, (standing, sight))| {
                    *standing == Standing::Standby && sight.as_ref().is_some_and(fits)
                })
                .map(|(node, _)| Arc::clone(node))
                .collect()
        };
        while let Some(node) = choose(&mut left) {
            match self.take(&node, Role::Reader, (place, self.options.acquire_timeout)).await {
                Ok(conn) => return Ok(Some(conn)),
                Err(error) if error.kind() == ErrorKind::Closed => return Err(error),
                // Another one may do.
                Err(error) => tracing::debug!(server = node.address, %error, "a standby gave no connection"),
            }
        }
        Ok(None)
    }

    async fn at_least(self: &Arc<Self>, token: Token, place: Place) -> Result<PostgresConn> {
        self.check_system(token)?;
        let mut waiting = self.waiting(self.options.replica_wait);
        if self.nodes.len() == 1 {
            return self.primary_with(token, place).await;
        }
        let mut awaited = None;
        loop {
            let reached = |sight: &Sight| sight.lsn >= token.lsn && self.leads_to(token, sight);
            if let Some(mut conn) = self.replica(&reached, place).await?
                && self.shows(&mut conn, token).await
            {
                return Ok(conn);
            }
            // Without a standby that could get there, there is nothing to wait for.
            let hope = {
                let state = self.fleet.state.read();
                state.views.iter().any(|view| view.standing == Standing::Standby)
            };
            if !hope {
                break;
            }
            awaited.get_or_insert_with(|| Awaited::new(&self.nodes));
            if !self.wait(&mut waiting).await {
                break;
            }
        }
        drop(awaited);
        self.primary_with(token, place).await
    }

    /// The primary, if it has what the token names.
    async fn primary_with(self: &Arc<Self>, token: Token, place: Place) -> Result<PostgresConn> {
        let mut waiting = self.waiting(self.failover_timeout());
        loop {
            let mut conn = self.primary(Role::Reader, place).await?;
            let opened = conn.object.as_ref().map(|link| link.opened).ok_or_else(closed)?;
            if token.timeline > opened.timeline {
                drop(conn);
                // Another process has seen a promotion of which we have not heard yet.
                if self.wait(&mut waiting).await {
                    continue;
                }
                return Err(Error::unavailable(
                    "the token is of a newer timeline than any server that answers",
                )
                .with_retry(Retry::After(Duration::ZERO))
                .with_operation("read")
                .with_component("database")
                .with_key(token)
                .with_remedy("wait for the new primary"));
            }
            let descends = self.fleet.state.read().descends(token, opened.timeline);
            match descends {
                Some(true) => {}
                // The history may be on its way.
                None if self.wait(&mut waiting).await => continue,
                known => return Err(lost(token, known.is_some())),
            }
            let seen = self.fleet.primary().map_or(0, |(_, sight)| sight.lsn);
            if token.timeline < opened.timeline || seen >= token.lsn || opened.lsn >= token.lsn {
                return Ok(conn);
            }
            let position = position(&mut conn).await?;
            return if position >= token.lsn { Ok(conn) } else { Err(lost(token, true)) };
        }
    }

    fn check_system(&self, token: Token) -> Result<()> {
        match self.fleet.state.read().identity {
            Some(identity) if identity != token.system => {
                Err(Error::new(ErrorKind::Precondition, "the token is of another cluster")
                    .with_operation("read")
                    .with_component("database")
                    .with_key(token)
                    .with_remedy("forget the token"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a server in this state follows the history of which the token is a part.
    fn leads_to(&self, token: Token, sight: &Sight) -> bool {
        self.fleet.state.read().descends(token, sight.timeline) == Some(true)
    }

    /// Whether this very session sees what the token names. What was seen of the server before the session began
    /// proves nothing: it may have crashed and begun again further back.
    async fn shows(&self, conn: &mut PostgresConn, token: Token) -> bool {
        let Some(opened) = conn.object.as_ref().map(|link| link.opened) else { return false };
        if !self.leads_to(token, &opened) {
            return false;
        }
        if opened.lsn >= token.lsn {
            return true;
        }
        let seen = self.fleet.state.read().views.get(conn.node.index).and_then(|view| view.sight);
        if seen.is_some_and(|seen| seen.taken > opened.taken && seen.lsn >= token.lsn) {
            return true;
        }
        position(conn).await.is_ok_and(|position| position >= token.lsn)
    }

    /// A connection to the least loaded server with these properties.
    pub(super) async fn session(
        self: &Arc<Self>,
        target: TargetSession,
        place: Place,
    ) -> Result<PostgresConn> {
        let mut waiting = self.waiting(self.failover_timeout());
        loop {
            let mut fitting = self.fitting(target);
            let mut failure = None;
            while let Some(node) = choose(&mut fitting) {
                let standby = self.fleet.primary().is_none_or(|(index, _)| index != node.index);
                let role = if standby { Role::Reader } else { Role::Writer };
                match self.take(&node, role, (place, self.options.acquire_timeout)).await {
                    Ok(conn) => return Ok(conn),
                    Err(error) => failure = Some(error),
                }
            }
            if !self.wait(&mut waiting).await {
                return Err(failure.unwrap_or_else(|| self.none_is(target)));
            }
        }
    }

    /// The servers that have these properties; of those that are preferred, if there are any.
    fn fitting(&self, target: TargetSession) -> Vec<Arc<Node>> {
        let state = self.fleet.state.read();
        let with = |wanted: TargetSession| -> Vec<Arc<Node>> {
            let views = self.nodes.iter().zip(&state.views);
            views
                .filter(|(_, view)| matches!(view.standing, Standing::Primary | Standing::Standby))
                .filter(|(_, view)| {
                    view.sight.is_some_and(|sight| wanted.admits(sight.recovering, sight.read_only))
                })
                .map(|(node, _)| Arc::clone(node))
                .collect()
        };
        if target == TargetSession::PreferStandby {
            let standbys = with(TargetSession::Standby);
            if !standbys.is_empty() {
                return standbys;
            }
        }
        with(target)
    }

    fn none_is(&self, target: TargetSession) -> Error {
        Error::unavailable(format!("no server is {target}: {}", self.describe()))
            .with_operation("acquire")
            .with_component("database")
            .with_remedy("wait for a promotion or a standby, or name all servers of the cluster")
    }

    /// Insists that there is such a server.
    pub(super) fn target(&self, target: TargetSession) -> Result<()> {
        if !self.fitting(target).is_empty() {
            return Ok(());
        }
        let first = self.fleet.state.read().views.iter().find_map(|view| view.error.clone());
        Err(first.map_or_else(
            || self.none_is(target),
            |error| if self.nodes.len() == 1 { error } else { error.with_key(self.describe()) },
        ))
    }
}

/// Where the session's server is, asked on the session itself.
async fn position(conn: &mut PostgresConn) -> Result<u64> {
    let sql = if conn.is_standby() { "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint" } else { POSITION };
    let row = sqlx::raw_sql(sql).fetch_one(&mut *conn).await;
    let position: Result<i64, sqlx::Error> = row.and_then(|row| row.try_get(0));
    position.map(i64::cast_unsigned).map_err(from_sqlx)
}

/// The less loaded of two that are drawn; it is taken out.
fn choose(nodes: &mut Vec<Arc<Node>>) -> Option<Arc<Node>> {
    let one = fastrand::usize(..nodes.len().max(1));
    let other = fastrand::usize(..nodes.len().max(1));
    let load = |at: usize| nodes.get(at).map_or(u64::MAX, |node| node.load());
    let at = if load(other) < load(one) { other } else { one };
    (at < nodes.len()).then(|| nodes.swap_remove(at))
}

/// Makes the probes hurry while it lives.
struct Awaited<'n>(&'n [Arc<Node>]);

impl<'n> Awaited<'n> {
    fn new(nodes: &'n [Arc<Node>]) -> Self {
        for node in nodes {
            node.awaited.fetch_add(1, Relaxed);
        }
        Self(nodes)
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        for node in self.0 {
            node.awaited.fetch_sub(1, Relaxed);
        }
    }
}
