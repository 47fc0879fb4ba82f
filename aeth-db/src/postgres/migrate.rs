//! Applies migrations.

use super::handle::PostgresDatabase;
use super::transaction::{Begin, PostgresTransaction};
use crate::error::{SqlxResultExt, from_sqlx};
use crate::migrate::{Applied, MigrationReport, Migrations, Step};
use aeth_core::{Error, Result};
use sqlx::AssertSqlSafe;
use std::panic::Location;

/// Only one process at a time looks and applies; the number is arbitrary and ours.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7022108431298634541)";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS aeth_migrations (
    schema text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema, version)
)";

impl PostgresDatabase {
    /// Brings a schema to its latest version: all new steps in one transaction, so that either all of them were
    /// applied or none, and processes that start at once apply them once. What cannot run in a transaction
    /// (`CREATE INDEX CONCURRENTLY`) cannot be a step.
    ///
    /// # Errors
    /// `Precondition` when the database is ahead of the program; `Corrupt` when an applied step was changed;
    /// `Invalid` when steps are not numbered 1, 2, 3, … or a step's SQL fails (the step is named); `Busy` when a
    /// table is locked for longer than the lock timeout; as [`write`](Self::write).
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing, or everything, was applied.
    #[track_caller]
    pub fn migrate(&self, migrations: &Migrations) -> impl Future<Output = Result<MigrationReport>> + Send {
        let place = Location::caller();
        async move {
            let migrated = self.apply(migrations, place).await;
            migrated.map_err(|error| error.with_operation("migrate").with_component("database"))
        }
    }

    async fn apply(
        &self,
        migrations: &Migrations,
        place: &'static Location<'static>,
    ) -> Result<MigrationReport> {
        let mut transaction = self.write_at(place).await?.begin_with(Begin::default()).await?;
        // A step may take as long as its table is large, and another process as long as its own steps.
        transaction.set_statement_timeout(None).await?;
        sqlx::raw_sql("SET LOCAL lock_timeout = 0").execute(&mut transaction).await.storage()?;
        sqlx::raw_sql(LOCK).execute(&mut transaction).await.storage()?;
        if self.shared.options.lock_timeout.is_some() {
            sqlx::raw_sql("SET LOCAL lock_timeout TO DEFAULT").execute(&mut transaction).await.storage()?;
        }
        sqlx::raw_sql(TABLE).execute(&mut transaction).await.storage()?;
        let applied = applied(&mut transaction, migrations.schema()).await?;
        let from = applied.last().map_or(0, |row| row.version);
        let steps = migrations.plan(&applied)?;
        for step in steps {
            let run = sqlx::raw_sql(AssertSqlSafe(step.sql.to_string()));
            run.execute(&mut transaction).await.map_err(|error| named(error, step))?;
            let version = i32::try_from(step.version).unwrap_or(i32::MAX);
            sqlx::query(
                "INSERT INTO aeth_migrations (schema, version, name, checksum) VALUES ($1, $2, $3, $4)",
            )
            .bind(migrations.schema().to_owned())
            .bind(version)
            .bind(step.name.to_string())
            .bind(step.checksum())
            .execute(&mut transaction)
            .await
            .storage()?;
        }
        transaction.commit().await?;
        Ok(MigrationReport::new(from, steps.last().map_or(from, |step| step.version)))
    }
}

/// The step is named, with the server's own words: they name the place in its SQL.
fn named(error: sqlx::Error, step: &Step) -> Error {
    let error = from_sqlx(error);
    let text = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let remedy = error.remedy().map(ToOwned::to_owned);
    let named = Error::new(error.kind(), format!("step {} (`{}`) fails: {text}", step.version, step.name))
        .with_source(error);
    match remedy {
        Some(remedy) => named.with_remedy(remedy),
        None => named,
    }
}

async fn applied(transaction: &mut PostgresTransaction, schema: &str) -> Result<Vec<Applied>> {
    let rows: Vec<(i32, String, String)> = sqlx::query_as(
        "SELECT version, name, checksum FROM aeth_migrations WHERE schema = $1 ORDER BY version",
    )
    .bind(schema.to_owned())
    .fetch_all(transaction)
    .await
    .storage()?;
    let row = |(version, name, checksum): (i32, String, String)| Applied {
        version: u32::try_from(version).unwrap_or(0),
        name,
        checksum,
    };
    Ok(rows.into_iter().map(row).collect())
}
