//! Transactions as the host holds them.

use super::conn::{POSITION, PostgresConn};
use super::executor::left_behind;
use super::token::Token;
use crate::error::{SqlxResultExt, closed, from_sqlx};
use crate::statement::silent;
use aeth_core::{Error, ErrorKind, Result, Retry};
use sqlx::{PgConnection, Row};
use std::fmt::Write;
use std::time::Duration;

/// How far a transaction is kept apart from others
/// (<https://www.postgresql.org/docs/current/transaction-iso.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    #[default]
    ReadCommitted,
    /// All statements see what was committed before the first; a write to what another one has changed fails and
    /// is repeated.
    RepeatableRead,
    /// As if one ran after the other; what cannot be so fails and is repeated.
    Serializable,
}

/// What sort of transaction is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Begin {
    /// Default: the database's.
    pub isolation: Option<Isolation>,
    /// Whether it may not write. Default false.
    pub read_only: bool,
    /// How long each of its statements may take. Default: the handle's.
    pub statement_timeout: Option<Duration>,
    /// How long each waits for a lock. Default: the handle's.
    pub lock_timeout: Option<Duration>,
}

impl Begin {
    /// Sets the isolation.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// Sets whether it may not write.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Sets how long each of its statements may take.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = Some(timeout);
        self
    }

    /// Sets how long each of its statements waits for a lock.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = Some(timeout);
        self
    }

    /// All of it in one message.
    fn sql(&self) -> String {
        let mut sql = "BEGIN".to_owned();
        sql.push_str(match self.isolation {
            None => "",
            Some(Isolation::ReadCommitted) => " ISOLATION LEVEL READ COMMITTED",
            Some(Isolation::RepeatableRead) => " ISOLATION LEVEL REPEATABLE READ",
            Some(Isolation::Serializable) => " ISOLATION LEVEL SERIALIZABLE",
        });
        if self.read_only {
            sql.push_str(" READ ONLY");
        }
        for (name, limit) in
            [("statement_timeout", self.statement_timeout), ("lock_timeout", self.lock_timeout)]
        {
            if let Some(limit) = limit {
                // Writing into a string cannot fail. 0 would be no limit.
                let _: std::fmt::Result = write!(sql, "; SET LOCAL {name} = {}", limit.as_millis().max(1));
            }
        }
        sql
    }
}

/// An open transaction. `&mut` of it is an sqlx executor; dropped without [`commit`](Self::commit), it is rolled
/// back.
#[derive(Debug)]
pub struct PostgresTransaction {
    pub(super) conn: PostgresConn,
    /// The host had the bare connection: whether the transaction still stands must be asked.
    bare: bool,
}

/// Ends it, with the statement timeout off: a commit that waits for a synchronous standby and runs out of time would
/// be reported as done without being there.
const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

impl PostgresTransaction {
    pub(super) async fn begin(mut conn: PostgresConn, begin: Begin) -> Result<Self> {
        let failed = |error: Error| error.with_operation("begin").with_component("database");
        if let Some(error) = left_behind(&conn) {
            return Err(failed(error));
        }
        if let Some(timeout) = begin.statement_timeout {
            conn.statement_timeout = Some(timeout);
        }
        let patience = conn.shared.patience(conn.statement_timeout);
        let link = conn.link().ok_or_else(closed)?;
        (link.flags.transaction, link.flags.running) = (true, true);
        let sql = begin.sql();
        let work = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(link.raw());
        let begun = within(patience, work).await;
        link.flags.running = false;
        if let Err(error) = begun {
            link.flags.broken |= !matches!(error, sqlx::Error::Database(_));
            return Err(failed(from_sqlx(error)));
        }
        link.flags.failed = false;
        Ok(Self { conn, bare: false })
    }

    /// Makes it durable, as the server's `synchronous_commit` says, and seen by others.
    ///
    /// # Errors
    /// `Busy` when it could not be serialised, `Precondition` when one of its statements has failed, the error of a
    /// deferred constraint: it is then rolled back. `Unavailable` and `Timeout`, marked as not to be repeated:
    /// whether it was committed is unknown.
    ///
    /// # Cancel safety
    /// Whether it was committed is unknown when the call is dropped.
    pub async fn commit(self) -> Result<()> {
        self.finish(false).await.map(drop)
    }

    /// Commits, and gives the token by which a reader sees it. It costs no further round trip.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); `Precondition` on a standby.
    ///
    /// # Cancel safety
    /// As [`commit`](Self::commit).
    pub async fn commit_with_token(self) -> Result<Token> {
        if self.conn.is_standby() {
            return Err(Error::new(ErrorKind::Precondition, "a standby gives no tokens")
                .with_operation("commit")
                .with_component("database"));
        }
        let token = self.finish(true).await?;
        token.ok_or_else(|| Error::other("the server gave no position").with_operation("commit"))
    }

    async fn finish(mut self, position: bool) -> Result<Option<Token>> {
        let failed = |error: Error| error.with_operation("commit").with_component("database");
        if let Some(error) = left_behind(&self.conn) {
            return Err(failed(error));
        }
        if self.bare {
            // An aborted transaction answers "COMMIT" with a rollback, and calls it success.
            sqlx::raw_sql("SELECT 1").execute(&mut self.conn).await.map_err(|e| failed(from_sqlx(e)))?;
        }
        let patience = self.conn.shared.patience(self.conn.statement_timeout);
        let recorder = std::sync::Arc::clone(&self.conn.shared);
        let link = self.conn.link().ok_or_else(closed)?;
        if link.flags.failed {
            return Err(failed(
                Error::new(ErrorKind::Precondition, "a statement of the transaction has failed")
                    .with_remedy("return its error from the transaction, or use a savepoint"),
            ));
        }
        let opened = link.opened;
        link.flags.running = true;
        let sql = if position { format!("{COMMIT}; {POSITION}") } else { COMMIT.to_owned() };
        let work = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_optional(link.raw());
        let row = match within(patience, work).await {
            Ok(row) => row,
            Err(error) => {
                let refused = matches!(&error, sqlx::Error::Database(error)
                    if !matches!(error.code().as_deref(), Some("57P01" | "57P02" | "40003")));
                link.flags.running = false;
                link.flags.broken |= !refused;
                let error = failed(from_sqlx(error));
                return Err(if refused {
                    error
                } else {
                    error
                        .with_retry(Retry::Never)
                        .with_remedy("whether it was committed is unknown: look before doing it again")
                });
            }
        };
        (link.flags.running, link.flags.transaction) = (false, false);
        recorder.recorder.commits.increment();
        let lsn = row.and_then(|row| row.try_get::<i64, _>(0).ok());
        Ok(lsn.map(|lsn| Token {
            system: opened.system,
            timeline: opened.timeline,
            lsn: lsn.cast_unsigned(),
        }))
    }

    /// Takes it back, and waits until that is done. Dropping it does the same in the background.
    ///
    /// # Errors
    /// `Unavailable` when the connection is gone, which rolls it back as well.
    ///
    /// # Cancel safety
    /// Cancel-safe: it is rolled back in any case.
    pub async fn rollback(mut self) -> Result<()> {
        let patience = self.conn.shared.patience(self.conn.statement_timeout);
        let shared = std::sync::Arc::clone(&self.conn.shared);
        let link = self.conn.link().ok_or_else(closed)?;
        if link.flags.running || link.flags.broken {
            // Stopped and rolled back on its way home.
            return Ok(());
        }
        link.flags.running = true;
        let rolled = within(patience, sqlx::raw_sql("ROLLBACK").execute(link.raw())).await;
        link.flags.running = false;
        link.flags.broken |= rolled.is_err();
        rolled.storage()?;
        (link.flags.transaction, link.flags.failed) = (false, false);
        shared.recorder.rollbacks.increment();
        Ok(())
    }

    /// Sets how long each of the following statements may take; `None` for no limit. It ends with the transaction.
    ///
    /// # Errors
    /// As for statements.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn set_statement_timeout(&mut self, timeout: Option<Duration>) -> Result<()> {
        let millis = timeout.map_or(0, |timeout| timeout.as_millis().max(1));
        let sql = format!("SET LOCAL statement_timeout = {millis}");
        let link = self.conn.link().ok_or_else(closed)?;
        link.flags.running = true;
        let set = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(link.raw()).await;
        link.flags.running = false;
        set.storage()?;
        self.conn.statement_timeout = timeout;
        Ok(())
    }

    /// The server's process for this session.
    #[must_use]
    pub fn backend_pid(&self) -> i32 {
        self.conn.backend_pid()
    }

    /// sqlx's own connection, with this transaction open on it. Savepoints are free to use; ending the transaction
    /// is not.
    ///
    /// # Errors
    /// As [`PostgresConn::bare`].
    pub fn bare(&mut self) -> Result<&mut PgConnection> {
        self.bare = true;
        self.conn.bare()
    }
}

async fn within<T>(
    patience: Option<Duration>,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match patience {
        Some(patience) => tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(silent())),
        None => work.await,
    }
}
