//! Connections and transactions as the host holds them.

use super::connect::Role;
use super::link::{Link, Links};
use super::shared::Shared;
use crate::error::{SqlxResultExt, closed};
use crate::pool::Hold;
use aeth_core::Result;
use deadpool::managed::Object;
use sqlx::sqlite::SqliteConnection;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) enum Source {
    Pooled(Object<Links>),
    Aside(Box<Link>),
}

/// A connection on loan, given back when dropped. `&mut` of it is an sqlx executor.
///
/// Dropping a statement's future or stream part-way stops the statement; the connection is cleaned before
/// anybody gets it again. So is one that is dropped with a transaction open: it is rolled back.
///
/// It dereferences to nothing on purpose: what goes through the executor is timed, limited and counted.
/// [`bare`](Self::bare) gives sqlx's own connection where that is needed.
#[derive(Debug)]
pub struct SqliteConn {
    pub(super) source: Option<Source>,
    pub(super) shared: Arc<Shared>,
    hold: Option<Hold>,
    pub(super) role: Role,
    pub(super) statement_timeout: Option<Duration>,
}

impl SqliteConn {
    pub(super) fn new(object: Object<Links>, shared: Arc<Shared>, hold: Hold, role: Role) -> Self {
        let statement_timeout = shared.options.statement_timeout;
        Self { source: Some(Source::Pooled(object)), shared, hold: Some(hold), role, statement_timeout }
    }

    pub(super) fn aside(link: Link, shared: Arc<Shared>, hold: Hold) -> Self {
        let source = Some(Source::Aside(Box::new(link)));
        Self { source, shared, hold: Some(hold), role: Role::Maintenance, statement_timeout: None }
    }

    /// Sets how long each statement on this loan may take; `None` for no limit.
    pub fn set_statement_timeout(&mut self, timeout: Option<Duration>) {
        self.statement_timeout = timeout;
    }

    /// sqlx's own connection, for what only it can do. Statements on it are neither timed nor limited, and the
    /// connection is rolled back when it comes home.
    ///
    /// # Errors
    /// `Closed` when the database was closed.
    pub fn bare(&mut self) -> Result<&mut SqliteConnection> {
        let link = self.link().ok_or_else(closed)?;
        link.control.limit(None);
        link.flags.bare = true;
        Ok(&mut link.raw)
    }

    /// Begins a transaction on this connection: on a writer one that holds the write lock from the start
    /// (`BEGIN IMMEDIATE`), on a reader one that sees the database as it is at its first statement.
    ///
    /// # Errors
    /// `Busy` when another process holds the lock for longer than the busy timeout; as for statements.
    ///
    /// # Cancel safety
    /// Cancel-safe: a transaction that was begun meanwhile is rolled back.
    pub async fn begin(mut self) -> Result<SqliteTransaction> {
        let begin = if self.role == Role::Writer { "BEGIN IMMEDIATE" } else { "BEGIN DEFERRED" };
        if let Some(link) = self.link() {
            link.flags.transaction = true;
        }
        let begun = sqlx::query(begin).execute(&mut self).await;
        if begun.is_err()
            && let Some(link) = self.link()
        {
            link.flags.transaction = false;
        }
        begun.storage().map_err(|error| error.with_operation("begin"))?;
        Ok(SqliteTransaction { conn: self })
    }

    pub(super) fn link(&mut self) -> Option<&mut Link> {
        match self.source.as_mut()? {
            Source::Pooled(object) => Some(&mut *object),
            Source::Aside(link) => Some(link),
        }
    }
}

impl Drop for SqliteConn {
    fn drop(&mut self) {
        match self.source.take() {
            Some(Source::Pooled(object)) if !object.flags.is_clean() => {
                if object.flags.transaction {
                    self.shared.recorder.rollbacks.increment();
                }
                if let Some(hold) = self.hold.take() {
                    self.shared.quarantine(object, hold);
                }
            }
            Some(Source::Aside(link)) => {
                // Its thread ends with it; what runs must not keep the thread.
                link.control.stop(true);
            }
            // Back to the pool, as it is.
            Some(Source::Pooled(_)) | None => {}
        }
    }
}

/// An open transaction. `&mut` of it is an sqlx executor; dropped without
/// [`commit`](Self::commit), it is rolled back.
#[derive(Debug)]
pub struct SqliteTransaction {
    pub(super) conn: SqliteConn,
}

impl SqliteTransaction {
    /// Makes it durable (as the database's [`Synchronous`](crate::Synchronous) says) and seen by others.
    ///
    /// # Errors
    /// `Full`, `Unavailable`, `Busy`: it is then rolled back.
    ///
    /// # Cancel safety
    /// Whether it was committed is unknown when the call is dropped.
    pub async fn commit(mut self) -> Result<()> {
        let committed = sqlx::query("COMMIT").execute(&mut self.conn).await;
        // Of a failed one the connection is cleaned on its way home.
        committed.storage().map_err(|error| error.with_operation("commit"))?;
        if let Some(link) = self.conn.link() {
            link.flags.transaction = false;
        }
        self.conn.shared.recorder.commits.increment();
        Ok(())
    }

    /// Takes it back, and waits until that is done. Dropping it does the same in the background.
    ///
    /// # Errors
    /// `Unavailable` when the connection is gone, which rolls it back as well.
    ///
    /// # Cancel safety
    /// Cancel-safe: it is rolled back in any case.
    pub async fn rollback(mut self) -> Result<()> {
        sqlx::query("ROLLBACK").execute(&mut self.conn).await.storage()?;
        if let Some(link) = self.conn.link() {
            link.flags.transaction = false;
        }
        self.conn.shared.recorder.rollbacks.increment();
        Ok(())
    }

    /// Sets how long each of the following statements may take; `None` for no limit.
    pub fn set_statement_timeout(&mut self, timeout: Option<Duration>) {
        self.conn.set_statement_timeout(timeout);
    }

    /// sqlx's own connection, with this transaction open on it. Savepoints are free to use; ending the
    /// transaction is not.
    ///
    /// # Errors
    /// As [`SqliteConn::bare`].
    pub fn bare(&mut self) -> Result<&mut SqliteConnection> {
        self.conn.bare()
    }
}
