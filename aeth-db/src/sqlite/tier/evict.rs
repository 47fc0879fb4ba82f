//! Keeps the budget.

use super::SqliteCacheTier;
use super::rows::{Totals, millis, totals};
use crate::error::SqlxResultExt;
use aeth_core::Result;
use std::sync::atomic::Ordering::Relaxed;

/// Entries that one transaction removes: other writers must not wait for long.
const BATCH: i64 = 256;

impl SqliteCacheTier {
    /// Reads how much there is.
    pub(super) async fn measure(&self) -> Result<Totals> {
        let mut reader = self.inner.db.read().await?;
        let totals = totals(&mut reader).await.storage()?;
        self.note(totals);
        Ok(totals)
    }

    pub(super) fn note(&self, totals: Totals) {
        self.figures().entries.store(totals.entries, Relaxed);
        self.figures().bytes.store(totals.bytes, Relaxed);
    }

    /// Brings the level back under its budget after a store that left so much. A failure is no failure of what
    /// was written: the next one tries again.
    pub(super) async fn make_room(&self, after: Totals) {
        self.note(after);
        if after.bytes <= self.inner.options.capacity {
            return;
        }
        if let Err(error) = self.evict().await {
            tracing::debug!(%error, "the cache level could not be brought under its budget");
        }
    }

    async fn evict(&self) -> Result<()> {
        // A little more than needed, so that not every store evicts.
        let goal = self.inner.options.capacity - self.inner.options.capacity / 16;
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
        while self.measure().await?.bytes > goal {
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
