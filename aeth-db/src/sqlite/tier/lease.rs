//! Leases.

use super::SqliteCacheTier;
use super::rows::{Row, millis, totals};
use crate::SqliteTransaction;
use aeth_core::cache::{Entry, FillOutcome, LeaseLookup, LeaseToken};
use aeth_core::{Key, Namespace, Result};
use std::sync::Arc;
use std::time::Duration;

/// What became of one key for which the first look found nothing fresh.
#[derive(Debug, Clone)]
enum Granted {
    /// It came meanwhile, or is stale and being refreshed by somebody else.
    Entry(Entry),
    /// It is stale, and this caller refreshes it.
    Stale(Entry, u128),
    Token(u128),
    Held,
}

impl SqliteCacheTier {
    pub(super) async fn look_up_or_lease(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        let answered = self.try_look_up_or_lease(namespace, keys, ttl).await;
        let figures = self.figures();
        match answered {
            Ok(answers) => {
                let hit = |a: &&LeaseLookup| matches!(a, LeaseLookup::Hit(_) | LeaseLookup::Stale(..));
                let hits = answers.iter().filter(hit).count() as u64;
                figures.hits.add(hits);
                figures.misses.add(answers.len() as u64 - hits);
                answers
            }
            Err(error) => {
                figures.unavailable.add(keys.len() as u64);
                let error = Self::named(error, "get_or_lease_many");
                keys.iter().map(|_| LeaseLookup::Unavailable(error.clone())).collect()
            }
        }
    }

    async fn try_look_up_or_lease(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Result<Vec<LeaseLookup>> {
        // What is fresh needs no write lock.
        let now = self.now();
        let mut found = self.fetch(namespace, keys).await?;
        found.retain(|_, entry| entry.is_fresh(now));
        let wanted: Arc<[Key]> =
            keys.iter().filter(|key| !found.contains_key(key.as_bytes())).cloned().collect();
        let mut granted = self.grant(namespace, &wanted, ttl).await?.into_iter();
        Ok(keys
            .iter()
            .map(|key| match found.get(key.as_bytes()) {
                Some(entry) => LeaseLookup::Hit(entry.clone()),
                None => match granted.next() {
                    Some(Granted::Entry(entry)) => LeaseLookup::Hit(entry),
                    Some(Granted::Stale(entry, token)) => LeaseLookup::Stale(entry, LeaseToken::new(token)),
                    Some(Granted::Token(token)) => LeaseLookup::Granted(LeaseToken::new(token)),
                    Some(Granted::Held) | None => LeaseLookup::Held,
                },
            })
            .collect())
    }

    async fn grant(&self, namespace: &Namespace, keys: &Arc<[Key]>, ttl: Duration) -> Result<Vec<Granted>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now();
        let until = now.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let granting = self.inner.db.transact(|tx| {
            let (keys, namespace, tier) = (Arc::clone(keys), namespace.clone(), self.clone());
            Box::pin(async move {
                let mut answers = Vec::with_capacity(keys.len());
                for key in keys.iter() {
                    answers.push(tier.grant_one(tx, &namespace, key, (now, until)).await?);
                }
                Ok(answers)
            })
        });
        granting.await
    }

    async fn grant_one(
        &self,
        tx: &mut SqliteTransaction,
        namespace: &Namespace,
        key: &Key,
        (now, until): (u64, u64),
    ) -> Result<Granted, sqlx::Error> {
        let present: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT envelope FROM aeth_cache_entry WHERE namespace = ? AND key = ? AND usable_until > ?",
        )
        .bind(namespace.as_str().to_owned())
        .bind(key.as_bytes().to_vec())
        .bind(millis(now))
        .fetch_optional(&mut *tx)
        .await?;
        let present = present.and_then(|envelope| self.open_envelope(envelope));
        if let Some(entry) = present.as_ref().filter(|entry| entry.is_fresh(now)) {
            return Ok(Granted::Entry(entry.clone()));
        }
        let token = fastrand::u128(1..);
        let granted = sqlx::query(
            "INSERT INTO aeth_cache_lease VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (namespace, key) DO UPDATE SET token = excluded.token, until = excluded.until
             WHERE aeth_cache_lease.until <= ?5",
        )
        .bind(namespace.as_str().to_owned())
        .bind(key.as_bytes().to_vec())
        .bind(token.to_le_bytes().to_vec())
        .bind(millis(until))
        .bind(millis(now))
        .execute(&mut *tx)
        .await?;
        Ok(match (granted.rows_affected() > 0, present) {
            (true, Some(entry)) => Granted::Stale(entry, token),
            (false, Some(entry)) => Granted::Entry(entry),
            (true, None) => Granted::Token(token),
            (false, None) => Granted::Held,
        })
    }

    pub(super) async fn store_leased(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        let row = Arc::new(Row::new(key.clone(), entry));
        let most = self.inner.options.entry_max.min(self.inner.options.capacity);
        let now = self.now();
        let filling = self.inner.db.transact(|tx| {
            let (row, namespace) = (Arc::clone(&row), namespace.clone());
            Box::pin(async move {
                let ours = end(tx, &namespace, &row.key, token, Some(now)).await?;
                let stored = ours && row.bytes() <= most && row.store(tx, &namespace, now).await?;
                Ok(if stored { Some(totals(tx).await?) } else { None })
            })
        });
        let Some(totals) = filling.await? else { return Ok(FillOutcome::Voided) };
        self.figures().puts.increment();
        self.make_room(totals).await;
        Ok(FillOutcome::Stored)
    }

    pub(super) async fn end_lease(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        let ending = self.inner.db.transact(|tx| {
            let (namespace, key) = (namespace.clone(), key.clone());
            Box::pin(async move {
                end(tx, &namespace, &key, token, None).await?;
                Ok(())
            })
        });
        ending.await
    }
}

/// Ends the lease with this token; true when it was there and, if asked, had not run out.
async fn end(
    tx: &mut SqliteTransaction,
    namespace: &Namespace,
    key: &Key,
    token: LeaseToken,
    valid_at: Option<u64>,
) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query(
        "DELETE FROM aeth_cache_lease WHERE namespace = ? AND key = ? AND token = ? AND until > ?",
    )
    .bind(namespace.as_str().to_owned())
    .bind(key.as_bytes().to_vec())
    .bind(token.get().to_le_bytes().to_vec())
    .bind(valid_at.map_or(i64::MIN, millis))
    .execute(tx)
    .await?;
    Ok(ended.rows_affected() > 0)
}
