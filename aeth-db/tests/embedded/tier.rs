//! The cache level keeps the laws, its budget and its entries.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use aeth_core::cache::{CacheTier, CacheTierExt, Entry, PutOutcome, TierCapability};
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::conformance::metrics_source;
use aeth_core::{Clock, ClockExt, ErrorKind, Key, Namespace, SystemClock};
use aeth_db::{
    Database, SqlCacheTier, SqlTierOptions, SqliteCacheTier, SqliteDatabase, SqliteOptions,
    SqliteTierOptions, Synchronous,
};
use std::path::Path;
use std::sync::Arc;

async fn open(dir: &Path, options: SqliteTierOptions) -> SqliteCacheTier {
    let db = SqliteOptions::new(dir.join("cache.db")).synchronous(Synchronous::Normal);
    SqliteCacheTier::open(SqliteDatabase::open(db).await.unwrap(), options).await.unwrap()
}

fn space() -> Namespace {
    Namespace::new("space").unwrap()
}

fn entry(bytes: usize) -> Entry {
    let now = SystemClock::new().unix_millis();
    Entry::new(vec![7; bytes], now, now + 3_600_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_laws_with_a_second_handle() {
    let dir = tempfile::tempdir().unwrap();
    let one = open(dir.path(), SqliteTierOptions::default()).await;
    let two = open(dir.path(), SqliteTierOptions::default()).await;
    let clock: Arc<dyn Clock> = SystemClock::shared();
    TierSubject::new(one.clone(), clock).with_other(two).run().await.into_result().unwrap();
    metrics_source::run_all(Arc::new(one)).await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_too() {
    // By the handle that does not know the engine.
    let db = Database::open_sqlite(SqliteOptions::memory()).await.unwrap();
    let tier = SqlCacheTier::open(&db, SqlTierOptions::default()).await.unwrap();
    assert_eq!(tier.name(), "database");
    assert!(!tier.capabilities().has(TierCapability::Persistent));
    TierSubject::new(tier, SystemClock::shared()).run().await.into_result().unwrap();
}

#[tokio::test]
async fn ten_times_its_budget_leaves_the_newest_within_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteTierOptions::default().capacity(1 << 20).entry_max(100_000);
    let tier = open(dir.path(), options).await;
    let key = |n: usize| Key::new(format!("key-{n}")).unwrap();
    let mut largest = 0;
    for batch in 0..200 {
        let entries = (0..50).map(|n| (key(batch * 50 + n), entry(1000))).collect();
        tier.put_many(&space(), entries).await.unwrap();
        largest = largest.max(std::fs::metadata(dir.path().join("cache.db")).unwrap().len());
    }
    let statistics = tier.statistics();
    assert!(statistics.bytes.unwrap() <= 1 << 20, "{statistics:?}");
    assert!(statistics.evictions > 8_000 && statistics.puts == 10_000, "{statistics:?}");
    assert!(largest < 2 << 20, "the file does not grow with what went through: {largest}");
    let newest: Vec<Key> = (9_500..10_000).map(key).collect();
    assert!(tier.get_many(&space(), &newest).await.into_iter().all(|answer| answer.hit().is_some()));
    assert!(tier.get(&space(), &key(0)).await.is_miss());
}

#[tokio::test]
async fn what_is_too_large_is_rejected_and_what_was_there_goes() {
    let dir = tempfile::tempdir().unwrap();
    let tier = open(dir.path(), SqliteTierOptions::default().entry_max(10_000)).await;
    let key = Key::new("key").unwrap();
    tier.put_many(&space(), vec![(key.clone(), entry(10))]).await.unwrap();
    let outcome = tier.put_many(&space(), vec![(key.clone(), entry(20_000))]).await.unwrap();
    assert_eq!(outcome, [PutOutcome::Rejected]);
    assert!(tier.get(&space(), &key).await.is_miss());
    let db = SqliteDatabase::open(SqliteOptions::memory()).await.unwrap();
    let none = SqliteCacheTier::open(db, SqliteTierOptions::default().capacity(0)).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn entries_survive_a_restart_and_damaged_ones_are_misses() {
    let dir = tempfile::tempdir().unwrap();
    let (sound, damaged) = (Key::new("sound").unwrap(), Key::new("damaged").unwrap());
    let tier = open(dir.path(), SqliteTierOptions::default()).await;
    let both = vec![(sound.clone(), entry(100)), (damaged.clone(), entry(100))];
    tier.put_many(&space(), both).await.unwrap();
    drop(tier);
    let db = SqliteDatabase::open(SqliteOptions::new(dir.path().join("cache.db"))).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::query("UPDATE aeth_cache_entry SET envelope = zeroblob(160) WHERE key = ?")
        .bind(damaged.as_bytes().to_vec())
        .execute(&mut writer)
        .await
        .unwrap();
    drop(writer);
    let tier = SqliteCacheTier::open(db, SqliteTierOptions::default()).await.unwrap();
    assert_eq!(tier.statistics().entries, Some(2));
    assert!(tier.get(&space(), &sound).await.hit().is_some());
    assert!(tier.get(&space(), &damaged).await.is_miss());
    assert_eq!(tier.statistics().damaged, 1);
}
