//! Applies migrations.

use super::handle::SqliteDatabase;
use crate::error::{SqlxResultExt, TransactError};
use crate::migrate::{Applied, MigrationReport, Migrations};
use aeth_core::{ClockExt, Error, Result};
use sqlx::AssertSqlSafe;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS aeth_migrations (
    schema TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL,
    PRIMARY KEY (schema, version)
) WITHOUT ROWID";

impl SqliteDatabase {
    /// Brings a schema to its latest version: all new steps in one transaction, so that either all of them were
    /// applied or none, and two processes that start at once apply them once.
    ///
    /// # Errors
    /// `Precondition` when the database is ahead of the program; `Corrupt` when an applied step was changed;
    /// `Invalid` when steps are not numbered 1, 2, 3, … or a step's SQL fails (the step is named); `Busy`,
    /// `Full`, `Denied`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing, or everything, was applied.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<MigrationReport> {
        let now = i64::try_from(self.shared.recorder.clock.unix_millis()).unwrap_or(i64::MAX);
        let migrated = self.transact(|transaction| {
            let migrations = migrations.clone();
            Box::pin(async move {
                // A step may take as long as its table is large.
                transaction.set_statement_timeout(None);
                sqlx::query(TABLE).execute(&mut *transaction).await?;
                let applied = applied(transaction, migrations.schema()).await?;
                let steps = migrations.plan(&applied)?;
                for step in steps {
                    let run = sqlx::raw_sql(AssertSqlSafe(step.sql.to_string()));
                    run.execute(&mut *transaction).await.map_err(|error| named(error, step))?;
                    sqlx::query("INSERT INTO aeth_migrations VALUES (?, ?, ?, ?, ?)")
                        .bind(migrations.schema().to_owned())
                        .bind(step.version)
                        .bind(step.name.to_string())
                        .bind(step.checksum())
                        .bind(now)
                        .execute(&mut *transaction)
                        .await?;
                }
                let from = applied.last().map_or(0, |row| row.version);
                Ok(MigrationReport::new(from, steps.last().map_or(from, |step| step.version)))
            })
        });
        migrated.await.map_err(|error| error.with_operation("migrate").with_component("database"))
    }
}

/// A busy engine is tried again as it is; any other failure is the step's.
fn named(error: sqlx::Error, step: &crate::migrate::Step) -> TransactError {
    let failure = TransactError::Sql(error);
    if failure.is_worth_repeating() {
        return failure;
    }
    let error = Error::from(failure);
    let text = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let named = Error::new(error.kind(), format!("step {} (`{}`) fails: {text}", step.version, step.name))
        .with_source(error);
    TransactError::Storage(named)
}

async fn applied(
    transaction: &mut super::SqliteTransaction,
    schema: &str,
) -> Result<Vec<Applied>, TransactError> {
    let rows: Vec<(u32, String, String)> = sqlx::query_as(
        "SELECT version, name, checksum FROM aeth_migrations WHERE schema = ? ORDER BY version",
    )
    .bind(schema.to_owned())
    .fetch_all(transaction)
    .await
    .storage()?;
    Ok(rows.into_iter().map(|(version, name, checksum)| Applied { version, name, checksum }).collect())
}
