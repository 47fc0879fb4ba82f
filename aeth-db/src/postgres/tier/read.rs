//! Look-ups.

use super::gather::Wanted;
use super::schema::GENERATIONS;
use super::{PostgresCacheTier, hash, millis};
use crate::error::SqlxResultExt;
use crate::postgres::conn::PostgresConn;
use aeth_core::cache::{Entry, LeaseLookup, LeaseToken, Lookup, decode_envelope};
use aeth_core::{Key, Namespace, Result};
use std::collections::HashMap;
use std::panic::Location;
use std::time::Duration;

/// Keys of one statement: more would hold too many of the server's locks, or too much memory.
pub(super) const BATCH: usize = 128;

/// An envelope, and whether it stands in the oldest generation.
pub(super) type Found = (Vec<u8>, bool);

/// Every generation. Conditions are put on the whole: the planner brings them down to each table's index.
macro_rules! every {
    () => {
        "(SELECT 0 AS generation, * FROM aeth_cache_0 UNION ALL SELECT 1, * FROM aeth_cache_1
        UNION ALL SELECT 2, * FROM aeth_cache_2 UNION ALL SELECT 3, * FROM aeth_cache_3) every"
    };
}

/// Whether the generation is the oldest one.
macro_rules! oldest {
    () => {
        "coalesce((e.generation - (SELECT current FROM aeth_cache_state) + 3) % 4 = 0, false)"
    };
}

/// One key by its hash in every generation. Each value is a parameter of its own, so that the server sees that a plan
/// for these values is no better than one for all: it keeps the plan, which is dearer to make than to run. The offset
/// keeps the look at the tags from becoming a join, which would read all tags of the namespace.
const FIND_ONE: &str = concat!(
    "SELECT e.envelope, ",
    oldest!(),
    " FROM (SELECT * FROM ",
    every!(),
    " WHERE hash = $2 AND namespace = $1 AND key = $3 ORDER BY seq DESC LIMIT 1) e
    WHERE e.usable_until > $4 AND NOT EXISTS (SELECT FROM aeth_cache_tag t
        WHERE t.namespace = $1 AND t.tag = ANY (e.tags) AND t.seq > e.seq OFFSET 0)"
);

/// All keys at once. The arrays are hidden behind subqueries for the same reason: knowing how long they are, the
/// server would make a new plan for each look-up.
const FIND: &str = concat!(
    "SELECT k.n, e.envelope, ",
    oldest!(),
    " FROM unnest((SELECT $1::text[]), (SELECT $2::bigint[]), (SELECT $3::bytea[]))
        WITH ORDINALITY AS k (namespace, hash, key, n)
    CROSS JOIN LATERAL (SELECT * FROM ",
    every!(),
    " WHERE hash = k.hash AND namespace = k.namespace AND key = k.key ORDER BY seq DESC LIMIT 1) e
    WHERE e.usable_until > $4 AND NOT EXISTS (SELECT FROM aeth_cache_tag t
        WHERE t.namespace = k.namespace AND t.tag = ANY (e.tags) AND t.seq > e.seq OFFSET 0)"
);

const _: () = assert!(GENERATIONS == 4, "the statements name each generation");

impl PostgresCacheTier {
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
            .map(|key| found.get(key).map_or(Lookup::Miss, |entry| Lookup::Hit(entry.clone())))
            .collect();
        let misses = answers.iter().filter(|answer| answer.is_miss()).count() as u64;
        figures.misses.add(misses);
        figures.hits.add(keys.len() as u64 - misses);
        answers
    }

    /// The usable entries among these keys.
    async fn fetch(&self, namespace: &Namespace, keys: &[Key]) -> Result<HashMap<Key, Entry>> {
        let mut found = HashMap::with_capacity(keys.len());
        if keys.is_empty() {
            return Ok(found);
        }
        let mut old = Vec::new();
        let mut note = |key: &Key, (envelope, oldest): Found| {
            if let Some(entry) = self.open_envelope(envelope) {
                if oldest {
                    old.push(key.clone());
                }
                found.insert(key.clone(), entry);
            }
        };
        if let [key] = keys {
            if let Some(one) = self.find_gathered(namespace, key).await? {
                note(key, one);
            }
        } else {
            let mut conn = self.inner.db.write_at(Location::caller()).await?;
            for batch in keys.chunks(BATCH) {
                let answers = self.find(&mut conn, batch.iter().map(|key| (namespace, key))).await?;
                for (key, answer) in batch.iter().zip(answers) {
                    if let Some(answer) = answer {
                        note(key, answer);
                    }
                }
            }
        }
        if !old.is_empty() {
            self.promote(namespace, old);
        }
        Ok(found)
    }

    /// One key, on a connection of its own.
    pub(super) async fn find_one(&self, namespace: &Namespace, key: &Key) -> Result<Option<Found>> {
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        sqlx::query_as(FIND_ONE)
            .bind(namespace.as_str())
            .bind(hash(namespace, key))
            .bind(key.as_bytes())
            .bind(millis(self.now()))
            .fetch_optional(&mut conn)
            .await
            .storage()
    }

    /// What several callers want, in one statement.
    pub(super) async fn find_wanted(&self, batch: &[Wanted]) -> Result<Vec<Option<Found>>> {
        match batch {
            [] => Ok(Vec::new()),
            [one] => Ok(vec![self.find_one(&one.namespace, &one.key).await?]),
            several => {
                let mut conn = self.inner.db.write_at(Location::caller()).await?;
                self.find(&mut conn, several.iter().map(|wanted| (&wanted.namespace, &wanted.key))).await
            }
        }
    }

    /// What is found for each of these keys, which are at most [`BATCH`].
    async fn find<'k>(
        &self,
        conn: &mut PostgresConn,
        keys: impl ExactSizeIterator<Item = (&'k Namespace, &'k Key)> + Clone + Send,
    ) -> Result<Vec<Option<Found>>> {
        let mut found: Vec<Option<Found>> = (0..keys.len()).map(|_| None).collect();
        let rows: Vec<(i64, Vec<u8>, bool)> = sqlx::query_as(FIND)
            .bind(keys.clone().map(|(namespace, _)| namespace.as_str()).collect::<Vec<_>>())
            .bind(keys.clone().map(|(namespace, key)| hash(namespace, key)).collect::<Vec<_>>())
            .bind(keys.map(|(_, key)| key.as_bytes()).collect::<Vec<_>>())
            .bind(millis(self.now()))
            .fetch_all(conn)
            .await
            .storage()?;
        for (n, envelope, oldest) in rows {
            let place = usize::try_from(n).unwrap_or(0).wrapping_sub(1);
            if let Some(place) = found.get_mut(place) {
                *place = Some((envelope, oldest));
            }
        }
        Ok(found)
    }

    /// The entry, if it is sound and may still be used.
    fn open_envelope(&self, envelope: Vec<u8>) -> Option<Entry> {
        match decode_envelope(envelope.into()) {
            Ok(entry) => entry.is_usable(self.now()).then_some(entry),
            Err(_) => {
                self.figures().damaged.increment();
                None
            }
        }
    }

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
        // What is fresh needs no lock.
        let now = self.now();
        let mut found = self.fetch(namespace, keys).await?;
        found.retain(|_, entry| entry.is_fresh(now));
        let wanted: Vec<&Key> = keys.iter().filter(|key| !found.contains_key(*key)).collect();
        let mut granted = Vec::with_capacity(wanted.len());
        for batch in wanted.chunks(BATCH) {
            granted.extend(self.grant(namespace, batch, ttl).await?);
        }
        let mut granted = granted.into_iter();
        Ok(keys
            .iter()
            .map(|key| match found.get(key) {
                Some(entry) => LeaseLookup::Hit(entry.clone()),
                None => granted.next().unwrap_or(LeaseLookup::Held),
            })
            .collect())
    }

    async fn grant(&self, namespace: &Namespace, keys: &[&Key], ttl: Duration) -> Result<Vec<LeaseLookup>> {
        let now = self.now();
        let until = now.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        let hashes: Vec<i64> = keys.iter().map(|key| hash(namespace, key)).collect();
        let bytes: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let tokens: Vec<u128> = keys.iter().map(|_| fastrand::u128(1..)).collect();
        let token_bytes: Vec<Vec<u8>> = tokens.iter().map(|token| token.to_le_bytes().to_vec()).collect();
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        let sql = "SELECT n, granted, envelope FROM aeth_cache_grant($1, $2, $3, $4, $5, $6) ORDER BY n";
        let rows: Vec<(i32, bool, Option<Vec<u8>>)> = sqlx::query_as(sql)
            .bind(namespace.as_str())
            .bind(hashes)
            .bind(bytes)
            .bind(token_bytes)
            .bind(millis(until))
            .bind(millis(now))
            .fetch_all(&mut conn)
            .await
            .storage()?;
        let answers = rows.into_iter().zip(tokens).map(|((_, granted, envelope), token)| {
            let entry = envelope.and_then(|envelope| self.open_envelope(envelope));
            match (granted, entry) {
                (true, Some(entry)) => LeaseLookup::Stale(entry, LeaseToken::new(token)),
                (true, None) => LeaseLookup::Granted(LeaseToken::new(token)),
                (false, Some(entry)) => LeaseLookup::Hit(entry),
                (false, None) => LeaseLookup::Held,
            }
        });
        Ok(answers.collect())
    }

    /// Carries entries of the oldest generation over into the newest, in the background.
    fn promote(&self, namespace: &Namespace, keys: Vec<Key>) {
        let Ok(permit) = std::sync::Arc::clone(&self.inner.promoting).try_acquire_owned() else { return };
        let (tier, namespace) = (self.clone(), namespace.clone());
        let work = async move {
            if let Err(error) = tier.carry_over(&namespace, &keys).await {
                tracing::debug!(%error, "entries could not be carried over");
            }
            drop(permit);
        };
        // Nobody waits for it; it ends with the handle.
        drop(self.inner.db.shared.tasks.spawn_until_closed(work));
    }

    async fn carry_over(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let mut conn = self.inner.db.write_at(Location::caller()).await?;
        for batch in keys.chunks(BATCH) {
            let hashes: Vec<i64> = batch.iter().map(|key| hash(namespace, key)).collect();
            let bytes: Vec<&[u8]> = batch.iter().map(Key::as_bytes).collect();
            sqlx::query("SELECT aeth_cache_promote($1, $2, $3, $4)")
                .bind(namespace.as_str())
                .bind(hashes)
                .bind(bytes)
                .bind(millis(self.now()))
                .execute(&mut conn)
                .await
                .storage()?;
        }
        Ok(())
    }
}
