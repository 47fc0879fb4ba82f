//! Transactions that are repeated.

use super::handle::PostgresDatabase;
use super::token::Token;
use super::transaction::{Begin, Isolation, PostgresTransaction};
use crate::error::{TransactError, is_altered, kind_of};
use crate::transact::TransactOptions;
use aeth_core::{Error, ErrorKind, Result, Retry};
use futures_core::future::BoxFuture;
use std::panic::Location;

/// Why an attempt failed, and whether another one may be made.
enum Failure {
    /// It was rolled back.
    Undone(TransactError),
    /// The connection was lost while it was committed.
    Unknown(Error),
}

impl PostgresDatabase {
    /// Runs `work` in a transaction on the primary: committed when it returns Ok, rolled back otherwise.
    ///
    /// It is run again, with full jitter between the attempts, when it could not be serialised, when it was the
    /// victim of a deadlock, when its connection was lost before the commit was sent, and when the primary changed;
    /// so `work` must do nothing outside of the transaction that cannot be repeated. A commit whose outcome is
    /// unknown is not repeated, unless [`TransactOptions::idempotent`] says that it may be.
    ///
    /// ```
    /// # use aeth_db::{Isolation, PostgresDatabase, TransactOptions};
    /// # async fn example(db: &PostgresDatabase) -> aeth_core::Result<()> {
    /// let left: i64 = db
    ///     .transact(Isolation::Serializable, TransactOptions::default(), |tx| {
    ///         Box::pin(async move {
    ///             sqlx::query("UPDATE stock SET n = n - 1 WHERE item = $1").bind(7).execute(&mut *tx).await?;
    ///             Ok(sqlx::query_scalar("SELECT n FROM stock WHERE item = $1").bind(7).fetch_one(&mut *tx).await?)
    ///         })
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `work` returned, as ours; `Busy` marked exhausted when the attempts are used up; those of
    /// [`write`](Self::write) and of [`PostgresTransaction::commit`].
    ///
    /// # Cancel safety
    /// Rolled back, unless the commit was under way: then whether it took effect is unknown.
    #[track_caller]
    pub fn transact<T, F>(
        &self,
        isolation: Isolation,
        options: TransactOptions,
        work: F,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: for<'t> FnMut(&'t mut PostgresTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        let place = Location::caller();
        async move {
            let begin = Begin::default().isolation(isolation);
            self.repeat((begin, options, false), work, place).await.map(|(value, _)| value)
        }
    }

    /// Like [`transact`](Self::transact), and gives the token by which a reader sees what was committed.
    ///
    /// # Errors
    /// As [`transact`](Self::transact).
    ///
    /// # Cancel safety
    /// As [`transact`](Self::transact).
    #[track_caller]
    pub fn transact_with_token<T, F>(
        &self,
        isolation: Isolation,
        options: TransactOptions,
        work: F,
    ) -> impl Future<Output = Result<(T, Token)>> + Send
    where
        T: Send,
        F: for<'t> FnMut(&'t mut PostgresTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        let place = Location::caller();
        async move {
            let begin = Begin::default().isolation(isolation);
            let (value, token) = self.repeat((begin, options, true), work, place).await?;
            let token = token.ok_or_else(|| Error::other("the server gave no position"))?;
            Ok((value, token))
        }
    }

    async fn repeat<T, F>(
        &self,
        (begin, options, position): (Begin, TransactOptions, bool),
        mut work: F,
        place: &'static Location<'static>,
    ) -> Result<(T, Option<Token>)>
    where
        T: Send,
        F: for<'t> FnMut(&'t mut PostgresTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        let recorder = &self.shared.recorder;
        let named = |error: Error| error.with_operation("transact").with_component("database");
        let mut attempt = 0;
        loop {
            let failure = match self.once((begin, position), &mut work, place).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            attempt += 1;
            let (again, error) = match failure {
                Failure::Undone(failure) => {
                    if failure.is_conflict() {
                        recorder.conflicts.increment();
                    }
                    (undone_by_chance(&failure, options.lock_timeouts), Error::from(failure))
                }
                Failure::Unknown(error) => (options.idempotent, error),
            };
            if !again {
                return Err(named(error));
            }
            if attempt >= options.attempts.max(1) {
                return Err(named(error.with_retry(Retry::Exhausted)));
            }
            recorder.retries.increment();
            recorder.clock.sleep(options.wait(attempt)).await;
        }
    }

    async fn once<T, F>(
        &self,
        (begin, position): (Begin, bool),
        work: &mut F,
        place: &'static Location<'static>,
    ) -> Result<(T, Option<Token>), Failure>
    where
        F: for<'t> FnMut(&'t mut PostgresTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        let undone = |error: Error| Failure::Undone(TransactError::Storage(error));
        let conn = self.write_at(place).await.map_err(undone)?;
        let mut transaction = conn.begin_with(begin).await.map_err(undone)?;
        let value = match work(&mut transaction).await {
            Ok(value) => value,
            Err(failure) => {
                // The failure is what matters; a connection that cannot roll back is closed.
                drop(transaction.rollback().await);
                return Err(Failure::Undone(failure));
            }
        };
        let committed = if position {
            transaction.commit_with_token().await.map(Some)
        } else {
            transaction.commit().await.map(|()| None)
        };
        match committed {
            Ok(token) => Ok((value, token)),
            Err(error) if error.retry() == Retry::Never && is_loss(error.kind()) => {
                Err(Failure::Unknown(error))
            }
            Err(error) => Err(undone(error)),
        }
    }
}

fn is_loss(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Timeout)
}

/// Whether what was rolled back may well succeed the next time. Waiting for a lock once more is the host's choice.
fn undone_by_chance(failure: &TransactError, lock_timeouts: bool) -> bool {
    match failure {
        TransactError::Abort(_) => false,
        TransactError::Sql(error) => chance(error, lock_timeouts),
        TransactError::Storage(error) => {
            if !error.retry().is_worthwhile() {
                return false;
            }
            // sqlx's error may have become ours inside the work: it is the source then.
            let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
            source.map_or_else(
                || matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unavailable),
                |error| chance(error, lock_timeouts),
            )
        }
    }
}

fn chance(error: &sqlx::Error, lock_timeouts: bool) -> bool {
    let sqlx::Error::Database(database) = error else {
        return kind_of(error) == ErrorKind::Unavailable;
    };
    match database.code().as_deref() {
        Some("40001" | "40P01" | "25006" | "57P01" | "57P02" | "57P03" | "08006" | "08003" | "53300") => true,
        Some("55P03") => lock_timeouts,
        _ => is_altered(&**database),
    }
}
