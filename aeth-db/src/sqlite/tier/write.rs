//! Changes.

use super::SqliteCacheTier;
use super::rows::{Row, remove, totals, void, void_all};
use aeth_core::cache::{Entry, PutOutcome};
use aeth_core::{Key, Namespace, Result, Tag};
use std::sync::Arc;

impl SqliteCacheTier {
    pub(super) async fn store(
        &self,
        namespace: &Namespace,
        entries: Vec<(Key, Entry)>,
    ) -> Result<Vec<PutOutcome>> {
        let now = self.now();
        let rows: Arc<[Row]> = entries.into_iter().map(|(key, entry)| Row::new(key, entry)).collect();
        let most = self.inner.options.entry_max.min(self.inner.options.capacity);
        let outcomes = self.inner.db.transact(|tx| {
            let (rows, namespace) = (Arc::clone(&rows), namespace.clone());
            Box::pin(async move {
                let mut outcomes = Vec::with_capacity(rows.len());
                for row in rows.iter() {
                    outcomes.push(if row.bytes() > most {
                        // What is there is older than what was refused.
                        remove(tx, &namespace, &row.key).await?;
                        void(tx, &namespace, &row.key).await?;
                        PutOutcome::Rejected
                    } else if row.store(tx, &namespace, now).await? {
                        PutOutcome::Stored
                    } else {
                        PutOutcome::Superseded
                    });
                }
                Ok((outcomes, totals(tx).await?))
            })
        });
        let (outcomes, totals) = outcomes.await?;
        let stored = outcomes.iter().filter(|outcome| **outcome == PutOutcome::Stored).count();
        self.figures().puts.add(stored as u64);
        self.make_room(totals).await;
        Ok(outcomes)
    }

    pub(super) async fn take_away(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let keys: Arc<[Key]> = keys.into();
        let removal = self.inner.db.transact(|tx| {
            let (keys, namespace) = (Arc::clone(&keys), namespace.clone());
            Box::pin(async move {
                for key in keys.iter() {
                    remove(tx, &namespace, key).await?;
                    void(tx, &namespace, key).await?;
                }
                Ok(totals(tx).await?)
            })
        });
        self.note(removal.await?);
        self.figures().removals.add(keys.len() as u64);
        Ok(())
    }

    pub(super) async fn take_tags_away(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let tags: Arc<[Tag]> = tags.into();
        let removal = self.inner.db.transact(|tx| {
            let (tags, namespace) = (Arc::clone(&tags), namespace.clone());
            Box::pin(async move {
                const TAKE: &str = "DELETE FROM aeth_cache_entry WHERE id IN
                    (SELECT entry FROM aeth_cache_tag WHERE namespace = ? AND tag = ?)";
                for tag in tags.iter() {
                    sqlx::query(TAKE)
                        .bind(namespace.as_str().to_owned())
                        .bind(tag.as_str().to_owned())
                        .execute(&mut *tx)
                        .await?;
                }
                // Which tags a loader will bring is not known: none of those under way may fill.
                void_all(tx, &namespace).await?;
                Ok(totals(tx).await?)
            })
        });
        self.note(removal.await?);
        Ok(())
    }

    pub(super) async fn take_all_away(&self, namespace: &Namespace) -> Result<()> {
        let removal = self.inner.db.transact(|tx| {
            let namespace = namespace.clone();
            Box::pin(async move {
                sqlx::query("DELETE FROM aeth_cache_entry WHERE namespace = ?")
                    .bind(namespace.as_str().to_owned())
                    .execute(&mut *tx)
                    .await?;
                void_all(tx, &namespace).await?;
                Ok(totals(tx).await?)
            })
        });
        self.note(removal.await?);
        Ok(())
    }
}
