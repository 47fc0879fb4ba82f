//! Connections as the host holds them.

use super::link::{Link, Links};
use super::node::Node;
use super::shared::Shared;
use super::token::Token;
use super::transaction::{Begin, PostgresTransaction};
use crate::error::{SqlxResultExt, closed};
use crate::pool::Hold;
use aeth_core::{Error, Result};
use deadpool::managed::Object;
use sqlx::{PgConnection, Row};
use std::sync::Arc;
use std::time::Duration;

/// What a connection was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Reader,
    Writer,
}

/// The position up to which everything that was acknowledged is in the log. Asynchronous commits are not flushed yet.
pub(super) const POSITION: &str = "SELECT ((CASE current_setting('synchronous_commit')
    WHEN 'off' THEN pg_current_wal_insert_lsn() ELSE pg_current_wal_flush_lsn() END) - '0/0')::bigint";

/// A connection on loan, given back when dropped. `&mut` of it is an sqlx executor.
///
/// Dropping a statement's future or stream part-way cancels the statement on the server; the connection is cleaned
/// before anybody gets it again. So is one that is dropped with a transaction open (it is rolled back), or after a
/// statement that changed its session (`SET`, `LISTEN`, advisory locks, temporary tables). What a function of the
/// database changes unseen is not known: call [`mark_changed`](Self::mark_changed) then.
///
/// It dereferences to nothing on purpose: what goes through the executor is timed, limited and counted.
/// [`bare`](Self::bare) gives sqlx's own connection where that is needed.
#[derive(Debug)]
pub struct PostgresConn {
    pub(super) object: Option<Object<Links>>,
    pub(super) shared: Arc<Shared>,
    pub(super) node: Arc<Node>,
    hold: Option<Hold>,
    pub(super) role: Role,
    pub(super) statement_timeout: Option<Duration>,
}

impl PostgresConn {
    pub(super) fn new(
        object: Object<Links>,
        shared: Arc<Shared>,
        node: Arc<Node>,
        hold: Hold,
        role: Role,
    ) -> Self {
        let statement_timeout = shared.options.statement_timeout;
        Self { object: Some(object), shared, node, hold: Some(hold), role, statement_timeout }
    }

    /// The server at the other end, as `host:port`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.node.address
    }

    /// True when the server is a standby.
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.object.as_ref().is_some_and(|link| link.opened.recovering)
    }

    /// The server's process for this session.
    #[must_use]
    pub fn backend_pid(&self) -> i32 {
        self.object.as_ref().map_or(0, |link| link.opened.pid)
    }

    /// Sets how long each statement on this loan may take; `None` for no limit. It ends with the loan.
    ///
    /// # Errors
    /// `Unsupported` behind a pooler for transactions: use a transaction there; as for statements.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn set_statement_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        if self.shared.pooled() {
            return Err(Error::unsupported("a pooler for transactions keeps no settings")
                .with_operation("set_statement_timeout")
                .with_component("database")
                .with_remedy("begin a transaction and set it there"));
        }
        let millis = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
        let link = self.link().ok_or_else(closed)?;
        link.flags.session = true;
        let sql = format!("SET statement_timeout = {millis}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut *self).await.storage()?;
        self.statement_timeout = timeout;
        Ok(())
    }

    /// Says that the session was changed in a way that its statements do not show: it is reset when it comes home.
    pub fn mark_changed(&mut self) {
        if let Some(link) = self.link() {
            link.flags.session = true;
        }
    }

    /// sqlx's own connection, for what only it can do (`COPY`, for example). Statements on it are neither timed nor
    /// limited, and the session is reset when it comes home.
    ///
    /// # Errors
    /// `Closed` when the database was closed.
    pub fn bare(&mut self) -> Result<&mut PgConnection> {
        let link = self.link().ok_or_else(closed)?;
        link.flags.bare = true;
        Ok(link.raw())
    }

    /// A token that covers everything which was committed on the primary before the call.
    ///
    /// # Errors
    /// `Precondition` on a connection to a standby; as for statements.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn token(&mut self) -> Result<Token> {
        let link = self.link().ok_or_else(closed)?;
        let opened = link.opened;
        if opened.recovering {
            return Err(Error::new(aeth_core::ErrorKind::Precondition, "a standby gives no tokens")
                .with_operation("token")
                .with_component("database")
                .with_remedy("ask a connection of `write()`"));
        }
        let row: Option<sqlx::postgres::PgRow> =
            sqlx::raw_sql(POSITION).fetch_optional(&mut *self).await.storage()?;
        let lsn: i64 = row.ok_or(sqlx::Error::RowNotFound).and_then(|row| row.try_get(0)).storage()?;
        Ok(Token { system: opened.system, timeline: opened.timeline, lsn: lsn.cast_unsigned() })
    }

    /// Begins a transaction on this connection, of the database's default isolation.
    ///
    /// # Errors
    /// As for statements.
    ///
    /// # Cancel safety
    /// Cancel-safe: a transaction that was begun meanwhile is rolled back.
    pub async fn begin(self) -> Result<PostgresTransaction> {
        self.begin_with(Begin::default()).await
    }

    /// Begins a transaction of this sort.
    ///
    /// # Errors
    /// As for statements.
    ///
    /// # Cancel safety
    /// Cancel-safe: a transaction that was begun meanwhile is rolled back.
    pub async fn begin_with(self, begin: Begin) -> Result<PostgresTransaction> {
        PostgresTransaction::begin(self, begin).await
    }

    pub(super) fn link(&mut self) -> Option<&mut Link> {
        self.object.as_deref_mut()
    }
}

impl Drop for PostgresConn {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else { return };
        object.used = self.shared.now();
        if object.flags.is_untouched() {
            // Back to the pool, as it is.
            return;
        }
        if object.flags.transaction {
            self.shared.recorder.rollbacks.increment();
        }
        if let Some(hold) = self.hold.take() {
            self.shared.quarantine(&self.node, object, hold);
        }
    }
}
