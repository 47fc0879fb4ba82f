//! Transactions that are repeated.

use super::conn::SqliteTransaction;
use super::handle::SqliteDatabase;
use crate::error::TransactError;
use crate::transact::TransactOptions;
use aeth_core::{Error, Result, Retry};
use futures_core::future::BoxFuture;
use std::panic::Location;

impl SqliteDatabase {
    /// Runs `work` in a write transaction: committed when it returns Ok, rolled back otherwise.
    ///
    /// Writers of this handle queue in order and never fail because of one another. When another *process* held
    /// the lock for longer than the busy timeout, the whole is run again, so `work` must do nothing outside of
    /// the transaction that cannot be repeated.
    ///
    /// ```
    /// # use aeth_db::{SqliteDatabase, SqlxResultExt};
    /// # async fn example(db: &SqliteDatabase) -> aeth_core::Result<()> {
    /// let id: i64 = db
    ///     .transact(|tx| {
    ///         Box::pin(async move {
    ///             sqlx::query("INSERT INTO users (name) VALUES (?)").bind("ann").execute(&mut *tx).await?;
    ///             Ok(sqlx::query_scalar("SELECT last_insert_rowid()").fetch_one(&mut *tx).await?)
    ///         })
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `work` returned, as ours; `Busy` marked exhausted when the attempts are used up; `Full`,
    /// `Unavailable` of the commit; `Timeout` when the writer was not free in time; `Closed`.
    ///
    /// # Cancel safety
    /// Rolled back, unless the commit was under way: then whether it took effect is unknown.
    #[track_caller]
    pub fn transact<T, F>(&self, work: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: for<'t> FnMut(&'t mut SqliteTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        self.transact_at(TransactOptions::default(), work, Location::caller())
    }

    /// Like [`transact`](Self::transact), repeated as `options` say.
    ///
    /// # Errors
    /// As [`transact`](Self::transact).
    ///
    /// # Cancel safety
    /// As [`transact`](Self::transact).
    #[track_caller]
    pub fn transact_with<T, F>(
        &self,
        options: TransactOptions,
        work: F,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: for<'t> FnMut(&'t mut SqliteTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        self.transact_at(options, work, Location::caller())
    }

    async fn transact_at<T, F>(
        &self,
        options: TransactOptions,
        mut work: F,
        place: &'static Location<'static>,
    ) -> Result<T>
    where
        T: Send,
        F: for<'t> FnMut(&'t mut SqliteTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        let recorder = &self.shared.recorder;
        let mut attempt = 0;
        loop {
            let failure = match self.once(&mut work, place).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if failure.is_conflict() {
                recorder.conflicts.increment();
            }
            attempt += 1;
            if !failure.is_worth_repeating() {
                return Err(Error::from(failure).with_operation("transact").with_component("database"));
            }
            if attempt >= options.attempts.max(1) {
                return Err(Error::from(failure)
                    .with_retry(Retry::Exhausted)
                    .with_operation("transact")
                    .with_component("database"));
            }
            recorder.retries.increment();
            recorder.clock.sleep(options.wait(attempt)).await;
        }
    }

    async fn once<T, F>(&self, work: &mut F, place: &'static Location<'static>) -> Result<T, TransactError>
    where
        F: for<'t> FnMut(&'t mut SqliteTransaction) -> BoxFuture<'t, Result<T, TransactError>> + Send,
    {
        let mut transaction = self.begin_at(place).await?;
        match work(&mut transaction).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(failure) => {
                // The failure is what matters; a connection that cannot roll back is closed.
                drop(transaction.rollback().await);
                Err(failure)
            }
        }
    }
}
