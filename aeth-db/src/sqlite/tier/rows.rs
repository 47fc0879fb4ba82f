//! Single rows, within a transaction.

use crate::SqliteTransaction;
use aeth_core::cache::{Entry, encode_envelope};
use aeth_core::{Key, Namespace};

/// Milliseconds as SQLite keeps them; times beyond the year 292,000,000 are one.
pub(super) fn millis(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// The signed number that sorts like the unsigned one.
fn ordered(version: u64) -> i64 {
    (version ^ (1 << 63)).cast_signed()
}

/// An entry made ready to be stored.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: Key,
    entry: Entry,
    envelope: Vec<u8>,
}

impl Row {
    pub(super) fn new(key: Key, entry: Entry) -> Self {
        let envelope = encode_envelope(&entry).to_vec();
        Self { key, entry, envelope }
    }

    /// What it takes from the budget.
    pub(super) fn bytes(&self) -> u64 {
        (self.key.as_bytes().len() + self.envelope.len()) as u64
    }

    /// Stores it unless a greater version is there (false then), which voids the lease on the key.
    pub(super) async fn store(
        &self,
        tx: &mut SqliteTransaction,
        namespace: &Namespace,
        now: u64,
    ) -> Result<bool, sqlx::Error> {
        const STORE: &str = "
            INSERT INTO aeth_cache_entry (namespace, key, tick, usable_until, version, bytes, envelope)
            VALUES (?1, ?2, (SELECT tick FROM aeth_cache_total), ?3, ?4, ?5, ?6)
            ON CONFLICT (namespace, key) DO UPDATE SET
                tick = excluded.tick, usable_until = excluded.usable_until, version = excluded.version,
                bytes = excluded.bytes, envelope = excluded.envelope
            WHERE ?7 OR aeth_cache_entry.version <= excluded.version OR aeth_cache_entry.usable_until <= ?8
            RETURNING id";
        let stored: Option<i64> = sqlx::query_scalar(STORE)
            .bind(namespace.as_str().to_owned())
            .bind(self.key.as_bytes().to_vec())
            .bind(millis(self.entry.usable_until))
            .bind(ordered(self.entry.version))
            .bind(i64::try_from(self.bytes()).unwrap_or(i64::MAX))
            .bind(self.envelope.clone())
            .bind(self.entry.version == 0)
            .bind(millis(now))
            .fetch_optional(&mut *tx)
            .await?;
        let Some(id) = stored else { return Ok(false) };
        for tag in self.entry.tags.iter() {
            sqlx::query("INSERT OR IGNORE INTO aeth_cache_tag VALUES (?, ?, ?)")
                .bind(namespace.as_str().to_owned())
                .bind(tag.as_str().to_owned())
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        Ok(true)
    }
}

/// Removes an entry.
pub(super) async fn remove(
    tx: &mut SqliteTransaction,
    namespace: &Namespace,
    key: &Key,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM aeth_cache_entry WHERE namespace = ? AND key = ?")
        .bind(namespace.as_str().to_owned())
        .bind(key.as_bytes().to_vec())
        .execute(tx)
        .await
        .map(drop)
}

/// Voids the lease on a key.
pub(super) async fn void(
    tx: &mut SqliteTransaction,
    namespace: &Namespace,
    key: &Key,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM aeth_cache_lease WHERE namespace = ? AND key = ?")
        .bind(namespace.as_str().to_owned())
        .bind(key.as_bytes().to_vec())
        .execute(tx)
        .await
        .map(drop)
}

/// Voids every lease of a namespace.
pub(super) async fn void_all(tx: &mut SqliteTransaction, namespace: &Namespace) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM aeth_cache_lease WHERE namespace = ?")
        .bind(namespace.as_str().to_owned())
        .execute(tx)
        .await
        .map(drop)
}

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Totals {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// How much there is, for whoever asks.
pub(super) async fn totals<'c, E>(executor: E) -> Result<Totals, sqlx::Error>
where
    E: sqlx::Executor<'c, Database = sqlx::Sqlite>,
{
    let (entries, bytes): (i64, i64) =
        sqlx::query_as("SELECT entries, bytes FROM aeth_cache_total").fetch_one(executor).await?;
    let unsigned = |count| u64::try_from(count).unwrap_or(0);
    Ok(Totals { entries: unsigned(entries), bytes: unsigned(bytes) })
}
