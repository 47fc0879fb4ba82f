//! Integrity and the write-ahead log.

use super::handle::SqliteDatabase;
use crate::error::SqlxResultExt;
use aeth_core::Result;
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;

/// How much of the database is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Integrity {
    /// Every page's structure (`PRAGMA quick_check`).
    Quick,
    /// That, and every index against its table (`PRAGMA integrity_check`), and every foreign key.
    Full,
}

impl SqliteDatabase {
    /// Looks for damage. Readers and writers go on meanwhile. What was found is given back, at most 100 findings
    /// of each sort, none for a sound database; health is down after damage was found, until a check finds none.
    ///
    /// # Errors
    /// `Corrupt` when the damage keeps the check from running; `Denied`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe: it is stopped.
    #[track_caller]
    pub fn check_integrity(&self, integrity: Integrity) -> impl Future<Output = Result<Vec<String>>> + Send {
        self.check_at(integrity, Location::caller())
    }

    async fn check_at(&self, integrity: Integrity, place: &'static Location<'static>) -> Result<Vec<String>> {
        let checked = self.findings(integrity, place).await;
        match &checked {
            Ok(findings) => self.shared.damaged.store(!findings.is_empty(), Relaxed),
            Err(error) if error.kind() == aeth_core::ErrorKind::Corrupt => {
                self.shared.damaged.store(true, Relaxed);
            }
            Err(_) => {}
        }
        checked.map_err(|error| error.with_operation("check").with_component("database"))
    }

    async fn findings(&self, integrity: Integrity, place: &'static Location<'static>) -> Result<Vec<String>> {
        let mut connection = self.shared.aside(place).await?;
        connection.set_statement_timeout(None);
        let pragma = match integrity {
            Integrity::Quick => "PRAGMA quick_check",
            Integrity::Full => "PRAGMA integrity_check",
        };
        let mut findings: Vec<String> =
            sqlx::query_scalar(pragma).fetch_all(&mut connection).await.storage()?;
        findings.retain(|finding| finding != "ok");
        if integrity == Integrity::Full {
            let orphans: Vec<(String, Option<i64>, String)> =
                sqlx::query_as("SELECT \"table\", rowid, parent FROM pragma_foreign_key_check LIMIT 100")
                    .fetch_all(&mut connection)
                    .await
                    .storage()?;
            findings.extend(orphans.into_iter().map(|(table, row, parent)| {
                let row = row.map_or_else(|| "?".to_owned(), |row| row.to_string());
                format!("row {row} of table {table} refers to a row of {parent} that does not exist")
            }));
        }
        Ok(findings)
    }

    /// Brings the write-ahead log into the database file and empties it, as far as readers allow. SQLite does so
    /// by itself as it grows; this is for the moment before a copy or after a burst. Gives the bytes left in the
    /// log.
    ///
    /// # Errors
    /// `Timeout` when the writer is not free; `Full`, `Unavailable`, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn checkpoint(&self) -> impl Future<Output = Result<u64>> + Send {
        self.checkpoint_at(Location::caller())
    }

    async fn checkpoint_at(&self, place: &'static Location<'static>) -> Result<u64> {
        let mut writer = self.write_at(place).await?;
        writer.set_statement_timeout(None);
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(&mut writer).await.storage()?;
        drop(writer);
        self.shared.sample().await;
        Ok(self.shared.wal_size.load(Relaxed))
    }
}
