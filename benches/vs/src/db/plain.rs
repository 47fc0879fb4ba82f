//! The baseline of a cache in a database: the table of Rails' Solid Cache, and what it does to keep its size.

use std::time::{Duration, Instant};

use aeth_db::{PostgresDatabase, sqlx};

use super::execute;
use crate::BoxError;

/// What it reckons for each entry beside key and value.
const OVERHEAD: usize = 140;
/// Entries of which some are deleted, and how many, for each hundred that are written.
const CANDIDATES: i64 = 300;
const DELETED: i64 = 200;

/// The table, in a database of ours, by the same pool and driver.
pub(super) struct Plain {
    db: PostgresDatabase,
    /// Entries that fit.
    most: i64,
}

impl Plain {
    pub(super) async fn make(db: &PostgresDatabase, capacity: u64, entry: usize) -> Result<Self, BoxError> {
        let sql = "CREATE TABLE plain (id bigserial PRIMARY KEY, key bytea NOT NULL, value bytea NOT NULL,
                created_at timestamptz NOT NULL DEFAULT now(), key_hash bigint NOT NULL, byte_size int NOT NULL);
             CREATE UNIQUE INDEX ON plain (key_hash); CREATE INDEX ON plain (byte_size);
             CREATE INDEX ON plain (key_hash, byte_size)";
        execute(db, sql.into()).await?;
        Ok(Self { db: db.clone(), most: capacity as i64 / (entry + OVERHEAD) as i64 })
    }

    /// Writes a batch, and deletes some of the oldest when there are too many.
    pub(super) async fn put(&self, names: &[String], value: &[u8]) -> Result<Duration, BoxError> {
        let started = Instant::now();
        let mut conn = self.db.write().await?;
        sqlx::query(
            "INSERT INTO plain (key, value, key_hash, byte_size)
             SELECT k::bytea, $2, hashtextextended(k, 0), length(k) + length($2) + 140 FROM unnest($1::text[]) k
             ON CONFLICT (key_hash) DO UPDATE SET key = excluded.key, value = excluded.value,
                byte_size = excluded.byte_size",
        )
        .bind(names)
        .bind(value)
        .execute(&mut conn)
        .await?;
        let held: Option<i64> =
            sqlx::query_scalar("SELECT max(id) - min(id) + 1 FROM plain").fetch_one(&mut conn).await?;
        if held.is_some_and(|held| held > self.most) {
            sqlx::query(
                "DELETE FROM plain WHERE id IN (SELECT id FROM (SELECT id FROM plain ORDER BY id LIMIT $1) oldest
                 ORDER BY random() LIMIT $2)",
            )
            .bind(CANDIDATES)
            .bind(DELETED)
            .execute(&mut conn)
            .await?;
        }
        Ok(started.elapsed())
    }

    pub(super) async fn get(&self, name: &str) -> Result<bool, BoxError> {
        let sql = "SELECT key, value FROM plain WHERE key_hash = hashtextextended($1, 0)";
        let found: Option<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as(sql).bind(name).fetch_optional(&mut self.db.write().await?).await?;
        Ok(found.is_some_and(|(key, _)| key == name.as_bytes()))
    }
}
