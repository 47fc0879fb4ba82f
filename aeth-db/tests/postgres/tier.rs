//! The cache level: the laws, the budget, the round trips, a crash.

use crate::support::{fresh, psql, until};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, PutOutcome};
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::conformance::metrics_source;
use aeth_core::{ClockExt, ErrorKind, Key, Namespace, SystemClock};
use aeth_db::{
    Database, Pooler, PostgresCacheTier, PostgresDatabase, PostgresOptions, PostgresTierOptions,
    SqlCacheTier, SqlTierOptions,
};
use std::sync::Arc;
use std::time::Duration;
use testkit::{PgBouncer, Postgres};

fn space() -> Namespace {
    Namespace::new("space").unwrap()
}

fn entry(bytes: usize) -> Entry {
    let now = SystemClock::new().unix_millis();
    Entry::new(vec![7; bytes], now, now + 3_600_000)
}

fn key(n: usize) -> Key {
    Key::new(format!("key-{n}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_laws_with_a_second_handle() {
    let (one, name) = fresh().await;
    let two = PostgresDatabase::open(PostgresOptions::new(Postgres::shared().url(&name))).await.unwrap();
    let one = PostgresCacheTier::open(one, PostgresTierOptions::default()).await.unwrap();
    let two = PostgresCacheTier::open(two, PostgresTierOptions::default()).await.unwrap();
    let report = TierSubject::new(one.clone(), SystemClock::shared()).with_other(two).run().await;
    println!("{report}");
    report.into_result().unwrap();
    metrics_source::run_all(Arc::new(one)).await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_laws_behind_a_pooler_and_by_the_common_handle() {
    let name = Postgres::shared().database();
    let bouncer = PgBouncer::start(Postgres::shared());
    let options = PostgresOptions::new(bouncer.url(&name)).pooler(Pooler::Transaction);
    let db = Database::open_postgres(options).await.unwrap();
    let tier = SqlCacheTier::open(&db, SqlTierOptions::default()).await.unwrap();
    TierSubject::new(tier, SystemClock::shared()).run().await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_times_its_budget_leaves_the_newest_and_the_asked_for_within_it() {
    let (db, name) = fresh().await;
    let options = PostgresTierOptions::default().capacity(2 << 20);
    let tier = PostgresCacheTier::open(db.clone(), options).await.unwrap();
    let sizes =
        "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relname ~ '^aeth_cache_[0-3]$'";
    let mut largest = 0;
    for batch in 0..400 {
        let mut entries: Vec<_> = (0..50).map(|n| (key(batch * 50 + n), entry(1000))).collect();
        if batch == 0 {
            entries.push((Key::new("asked for").unwrap(), entry(1000)));
        }
        tier.put_many(&space(), entries).await.unwrap();
        // What is asked for again and again is carried over.
        until("what is asked for stays", async || {
            tier.get(&space(), &Key::new("asked for").unwrap()).await.hit().is_some()
        })
        .await;
        if batch % 20 == 0 {
            largest = largest.max(psql(&name, sizes).parse::<u64>().unwrap());
        }
    }
    assert!(largest < 3 << 20, "the tables do not grow with what went through: {largest}");
    assert!(tier.statistics().bytes.unwrap() < 3 << 20, "{:?}", tier.statistics());
    let newest: Vec<Key> = (19_900..20_000).map(key).collect();
    let found = tier.get_many(&space(), &newest).await;
    assert!(found.into_iter().all(|answer| answer.hit().is_some()));
    assert!(tier.get(&space(), &key(0)).await.is_miss());
    let dead = "SELECT coalesce(sum(pg_stat_get_dead_tuples(oid)), 0) FROM pg_class WHERE relname ~ '^aeth_cache_[0-3]$'";
    psql(&name, "SELECT pg_stat_force_next_flush()");
    assert!(psql(&name, dead).parse::<u64>().unwrap() < 500, "expiry leaves nothing to vacuum");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_keys_are_one_round_trip() {
    let (db, _) = fresh().await;
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
    let entries: Vec<_> = (0..100).map(|n| (key(n), entry(100))).collect();
    tier.put_many(&space(), entries).await.unwrap();
    let keys: Vec<Key> = (0..100).map(key).collect();
    let statements = || db.statement_statistics().iter().map(|s| s.time.count()).sum::<u64>();
    let before = statements();
    let found = tier.get_many(&space(), &keys).await;
    assert!(found.into_iter().all(|answer| answer.hit().is_some()));
    assert_eq!(statements() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_rejected_and_impossible_budgets_refused() {
    let (db, _) = fresh().await;
    let none = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default().capacity(0)).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Invalid);
    let tier = PostgresCacheTier::open(db, PostgresTierOptions::default().entry_max(10_000)).await.unwrap();
    tier.put_many(&space(), vec![(key(1), entry(10))]).await.unwrap();
    let outcome = tier.put_many(&space(), vec![(key(1), entry(20_000))]).await.unwrap();
    assert_eq!(outcome, [PutOutcome::Rejected]);
    assert!(tier.get(&space(), &key(1)).await.is_miss());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_server_empties_it_and_it_goes_on() {
    let mut server = Postgres::start();
    let options = PostgresOptions::new(server.url("postgres")).probe_interval(Duration::from_millis(20));
    let db = PostgresDatabase::open(options).await.unwrap();
    let tier = PostgresCacheTier::open(db, PostgresTierOptions::default()).await.unwrap();
    tier.put_many(&space(), vec![(key(1), entry(10))]).await.unwrap();
    assert!(tier.get(&space(), &key(1)).await.hit().is_some());
    server.kill();
    let answer = tier.get(&space(), &key(1)).await;
    assert!(answer.hit().is_none());
    assert!(tier.statistics().unavailable > 0, "an outage is no miss");
    server.restart();
    until("it answers", async || tier.get(&space(), &key(1)).await.is_miss()).await;
    tier.put_many(&space(), vec![(key(1), entry(10))]).await.unwrap();
    assert!(tier.get(&space(), &key(1)).await.hit().is_some());
}
