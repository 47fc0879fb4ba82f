//! Changes.

use super::read::BATCH;
use super::schema::GENERATIONS;
use super::{PostgresCacheTier, hash, millis};
use crate::error::SqlxResultExt;
use aeth_core::cache::{Entry, FillOutcome, LeaseToken, PutOutcome, encode_envelope};
use aeth_core::{Key, Namespace, Result};
use std::panic::Location;
use std::sync::atomic::Ordering::Relaxed;

/// The signed number that sorts like the unsigned one.
fn ordered(version: u64) -> i64 {
    (version ^ (1 << 63)).cast_signed()
}

/// The tags as one text; the empty one stands for the namespace.
fn tags(entry: &Entry) -> String {
    let mut text = String::new();
    for tag in entry.tags.iter() {
        text.push('\x1f');
        text.push_str(tag.as_str());
    }
    // Split at the separator, an empty text would be no element at all.
    if text.is_empty() { "\x1f".to_owned() } else { text }
}

/// An entry made ready to be stored.
struct Row {
    key: Key,
    hash: i64,
    entry: Entry,
    envelope: Vec<u8>,
}

impl Row {
    fn new(namespace: &Namespace, key: Key, entry: Entry) -> Self {
        let (hash, envelope) = (hash(namespace, &key), encode_envelope(&entry).to_vec());
        Self { key, hash, entry, envelope }
    }

    fn bytes(&self) -> u64 {
        (self.key.as_bytes().len() + self.envelope.len()) as u64
    }
}

impl PostgresCacheTier {
    fn share(&self) -> u64 {
        self.inner.options.capacity / GENERATIONS as u64
    }

    fn most(&self) -> u64 {
        self.inner.options.entry_max.min(self.share())
    }

    pub(super) async fn store(
        &self,
        namespace: &Namespace,
        entries: Vec<(Key, Entry)>,
    ) -> Result<Vec<PutOutcome>> {
        let rows: Vec<Row> =
            entries.into_iter().map(|(key, entry)| Row::new(namespace, key, entry)).collect();
        let mut outcomes = vec![PutOutcome::Rejected; rows.len()];
        let most = self.most();
        let mut bytes = 0;
        // What is there is older than what was refused.
        let refused: Vec<Key> =
            rows.iter().filter(|row| row.bytes() > most).map(|row| row.key.clone()).collect();
        if !refused.is_empty() {
            self.take_away(namespace, &refused).await?;
        }
        let kept: Vec<(usize, &Row)> =
            rows.iter().enumerate().filter(|(_, row)| row.bytes() <= most).collect();
        for batch in kept.chunks(BATCH) {
            let stored = self.put(namespace, batch).await?;
            for ((place, row), stored) in batch.iter().zip(stored) {
                let outcome = if stored { PutOutcome::Stored } else { PutOutcome::Superseded };
                if let Some(slot) = outcomes.get_mut(*place) {
                    *slot = outcome;
                }
                bytes += row.bytes();
            }
        }
        let stored = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Stored).count();
        self.figures().puts.add(stored as u64);
        self.stored(bytes).await;
        Ok(outcomes)
    }

    async fn put(&self, namespace: &Namespace, rows: &[(usize, &Row)]) -> Result<Vec<bool>> {
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        let each = || rows.iter().map(|(_, row)| *row);
        sqlx::query_scalar("SELECT aeth_cache_put($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(namespace.as_str())
            .bind(each().map(|row| row.hash).collect::<Vec<_>>())
            .bind(each().map(|row| row.key.as_bytes()).collect::<Vec<_>>())
            .bind(each().map(|row| millis(row.entry.fresh_until)).collect::<Vec<_>>())
            .bind(each().map(|row| millis(row.entry.usable_until)).collect::<Vec<_>>())
            .bind(each().map(|row| ordered(row.entry.version)).collect::<Vec<_>>())
            .bind(each().map(|row| tags(&row.entry)).collect::<Vec<_>>())
            .bind(each().map(|row| row.envelope.as_slice()).collect::<Vec<_>>())
            .bind(millis(self.now()))
            .fetch_one(&mut conn)
            .await
            .storage()
    }

    pub(super) async fn store_leased(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        let row = Row::new(namespace, key.clone(), entry);
        if row.bytes() > self.most() {
            self.end_lease(namespace, key, token).await?;
            return Ok(FillOutcome::Voided);
        }
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        let stored: bool =
            sqlx::query_scalar("SELECT aeth_cache_fill($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                .bind(namespace.as_str())
                .bind(row.hash)
                .bind(key.as_bytes())
                .bind(token.get().to_le_bytes().to_vec())
                .bind(millis(row.entry.fresh_until))
                .bind(millis(row.entry.usable_until))
                .bind(ordered(row.entry.version))
                .bind(tags(&row.entry))
                .bind(row.envelope.as_slice())
                .bind(millis(self.now()))
                .fetch_one(&mut conn)
                .await
                .storage()?;
        drop(conn);
        if !stored {
            return Ok(FillOutcome::Voided);
        }
        self.figures().puts.increment();
        self.stored(row.bytes()).await;
        Ok(FillOutcome::Stored)
    }

    pub(super) async fn end_lease(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        sqlx::query("DELETE FROM aeth_cache_lease WHERE namespace = $1 AND key = $2 AND token = $3")
            .bind(namespace.as_str())
            .bind(key.as_bytes())
            .bind(token.get().to_le_bytes().to_vec())
            .execute(&mut conn)
            .await
            .storage()
            .map(drop)
    }

    pub(super) async fn take_away(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        for batch in keys.chunks(BATCH) {
            sqlx::query("SELECT aeth_cache_remove($1, $2, $3)")
                .bind(namespace.as_str())
                .bind(batch.iter().map(|key| hash(namespace, key)).collect::<Vec<_>>())
                .bind(batch.iter().map(Key::as_bytes).collect::<Vec<_>>())
                .execute(&mut conn)
                .await
                .storage()?;
        }
        self.figures().removals.add(keys.len() as u64);
        Ok(())
    }

    pub(super) async fn invalidate(&self, namespace: &Namespace, tags: Vec<String>) -> Result<()> {
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        sqlx::query("SELECT aeth_cache_invalidate($1, $2)")
            .bind(namespace.as_str())
            .bind(tags)
            .execute(&mut conn)
            .await
            .storage()
            .map(drop)
    }

    /// Looks at the sizes from time to time. A failure is no failure of what was stored: the next one tries again.
    async fn stored(&self, bytes: u64) {
        let unseen = self.inner.unseen.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if unseen < self.share() / 16 {
            return;
        }
        self.inner.unseen.store(0, Relaxed);
        if let Err(error) = self.rotate().await {
            tracing::debug!(%error, "the cache level could not be brought under its budget");
        }
    }

    /// Begins a new generation when the current one has its share.
    pub(super) async fn rotate(&self) -> Result<()> {
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        let (bytes, dropped): (i64, i64) =
            sqlx::query_as("SELECT bytes, dropped FROM aeth_cache_rotate($1, $2)")
                .bind(millis(self.share()))
                .bind(millis(self.now()))
                .fetch_one(&mut conn)
                .await
                .storage()?;
        self.figures().bytes.store(u64::try_from(bytes).unwrap_or(0), Relaxed);
        self.figures().evictions.add(u64::try_from(dropped).unwrap_or(0));
        Ok(())
    }
}
