//! Keeps the budget.

use super::SqliteCacheTier;
use super::rows::millis;
use crate::error::SqlxResultExt;
use aeth_core::Result;
use std::sync::atomic::Ordering::Relaxed;

/// Entries that one transaction removes: other writers must not wait for long.
const BATCH: i64 = 256;

impl SqliteCacheTier {
    /// Reads how much there is.
    pub(super) async fn measure(&self) -> Result<u64> {
        let mut reader = self.inner.db.read().await?;
        let (entries, bytes): (i64, i64) = sqlx::query_as("SELECT entries, bytes FROM aeth_cache_total")
            .fetch_one(&mut reader)
            .await
            .storage()?;
        let bytes = u64::try_from(bytes).unwrap_or(0);
        self.figures().entries.store(u64::try_from(entries).unwrap_or(0), Relaxed);
        self.figures().bytes.store(bytes, Relaxed);
        Ok(bytes)
    }

    /// Brings the level back under its budget after `written` bytes. A failure is no failure of what was
    /// written: the next one tries again.
    pub(super) async fn make_room(&self, written: u64) {
        let figures = self.figures();
        let about = figures.bytes.fetch_add(written, Relaxed).saturating_add(written);
        if about <= self.inner.options.capacity {
            return;
        }
        if let Err(error) = self.evict().await {
            tracing::debug!(%error, "the cache level could not be brought under its budget");
        }
    }

    async fn evict(&self) -> Result<()> {
        // A little more than needed, so that not every store evicts.
        let goal = self.inner.options.capacity - self.inner.options.capacity / 16;
        if self.measure().await? <= self.inner.options.capacity {
            return Ok(());
        }
        let now = millis(self.now());
        let expired = "DELETE FROM aeth_cache_entry WHERE id IN
            (SELECT id FROM aeth_cache_entry WHERE usable_until <= ? ORDER BY usable_until LIMIT ?)";
        while self.delete(expired, &[now, BATCH]).await? == BATCH.unsigned_abs() {}
        // As many of the oldest as reach the goal, found by a running sum.
        let oldest = "DELETE FROM aeth_cache_entry WHERE id IN
            (SELECT id FROM
                (SELECT id, sum(bytes) OVER (ORDER BY tick, id) - bytes AS before
                 FROM (SELECT id, tick, bytes FROM aeth_cache_entry ORDER BY tick, id LIMIT ?2))
             WHERE before < (SELECT bytes FROM aeth_cache_total) - ?1)";
        while self.measure().await? > goal {
            let gone = self.delete(oldest, &[millis(goal), BATCH]).await?;
            self.figures().evictions.add(gone);
            if gone == 0 {
                break;
            }
        }
        self.delete("DELETE FROM aeth_cache_lease WHERE until <= ?", &[now]).await?;
        Ok(())
    }

    async fn delete(&self, sql: &'static str, arguments: &[i64]) -> Result<u64> {
        let expires = sql.contains("usable_until <=");
        let deleting = self.inner.db.transact(|tx| {
            let arguments = arguments.to_vec();
            Box::pin(async move {
                let query = arguments.into_iter().fold(sqlx::query(sql), |query, value| query.bind(value));
                Ok(query.execute(tx).await?.rows_affected())
            })
        });
        let gone = deleting.await?;
        if expires {
            self.figures().expirations.add(gone);
        }
        Ok(gone)
    }
}
