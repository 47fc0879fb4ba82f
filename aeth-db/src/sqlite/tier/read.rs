//! Look-ups.

use super::SqliteCacheTier;
use crate::error::SqlxResultExt;
use aeth_core::cache::{Entry, Lookup, decode_envelope};
use aeth_core::{Key, Namespace, Result};
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

/// Keys that one statement asks for.
const BATCH: usize = 128;

impl SqliteCacheTier {
    pub(super) async fn look_up(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let figures = self.figures();
        let found = match self.fetch(namespace, keys).await {
            Ok(found) => found,
            Err(error) => {
                figures.unavailable.add(keys.len() as u64);
                let error = Self::named(error, "get_many");
                return keys.iter().map(|_| Lookup::Unavailable(error.clone())).collect();
            }
        };
        let answers: Vec<Lookup> = keys
            .iter()
            .map(|key| found.get(key.as_bytes()).map_or(Lookup::Miss, |entry| Lookup::Hit(entry.clone())))
            .collect();
        let misses = answers.iter().filter(|answer| answer.is_miss()).count() as u64;
        figures.misses.add(misses);
        figures.hits.add(keys.len() as u64 - misses);
        answers
    }

    /// The usable entries among these keys.
    pub(super) async fn fetch(&self, namespace: &Namespace, keys: &[Key]) -> Result<HashMap<Vec<u8>, Entry>> {
        let mut found = HashMap::with_capacity(keys.len());
        if keys.is_empty() {
            return Ok(found);
        }
        let mut reader = self.inner.db.read().await?;
        for batch in keys.chunks(BATCH) {
            // Powers of two, so that few statements are prepared; the last key fills up.
            let places = batch.len().next_power_of_two();
            let sql = format!(
                "SELECT key, envelope FROM aeth_cache_entry WHERE namespace = ? AND key IN ({})",
                vec!["?"; places].join(", ")
            );
            let mut query = sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(AssertSqlSafe(sql))
                .bind(namespace.as_str().to_owned());
            for place in 0..places {
                let key = batch.get(place).or(batch.last());
                query = query.bind(key.map(|key| key.as_bytes().to_vec()));
            }
            for (key, envelope) in query.fetch_all(&mut reader).await.storage()? {
                if let Some(entry) = self.open_envelope(envelope) {
                    found.insert(key, entry);
                }
            }
        }
        Ok(found)
    }

    /// The entry, if it is sound and may still be used.
    pub(super) fn open_envelope(&self, envelope: Vec<u8>) -> Option<Entry> {
        match decode_envelope(envelope.into()) {
            Ok(entry) => entry.is_usable(self.now()).then_some(entry),
            Err(_) => {
                self.figures().damaged.increment();
                None
            }
        }
    }
}
