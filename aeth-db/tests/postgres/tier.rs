//! The cache level: the laws, the budget, the round trips, a crash.

use crate::support::{fresh, number, psql, until, with};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, PutOutcome};
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::conformance::metrics_source;
use aeth_core::{ClockExt, ErrorKind, Key, Lifecycle, Namespace, SystemClock};
use aeth_db::{
    Database, Migrations, Pooler, PostgresCacheTier, PostgresDatabase, PostgresOptions, PostgresTierOptions,
    SqlCacheTier, SqlTierOptions,
};
use futures_util::future::join_all;
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
    let before = statements(&db);
    let found = tier.get_many(&space(), &keys).await;
    assert!(found.into_iter().all(|answer| answer.hit().is_some()));
    assert_eq!(statements(&db) - before, 1);
}

fn statements(db: &PostgresDatabase) -> u64 {
    db.statement_statistics().iter().map(|s| s.time.count()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn single_gets_that_meet_leave_together() {
    let (db, _) = fresh().await;
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
    let spaces = [space(), Namespace::new("other").unwrap()];
    for (at, space) in spaces.iter().enumerate() {
        let entries = (0..32).map(|n| (key(n), entry(100 * at + n))).collect();
        tier.put_many(space, entries).await.unwrap();
    }
    let keys: Vec<Key> = (0..33).map(key).collect();
    let wanted = || spaces.iter().flat_map(|space| keys.iter().map(move |key| (space, key)));
    let before = statements(&db);
    let found = join_all(wanted().map(|(space, key)| tier.get(space, key))).await;
    // How many exactly, the machine decides; one by one they are 66.
    assert!(statements(&db) - before <= 33, "66 keys were {} statements", statements(&db) - before);
    for (at, answer) in found.into_iter().enumerate() {
        let length = answer.hit().map(|entry| entry.value.len());
        // The last of each is in neither, and what is asked for in one is not answered from the other.
        assert_eq!(length, (at % 33 < 32).then_some(100 * (at / 33) + at % 33), "{at}");
    }
    let statistics = tier.statistics();
    assert_eq!((statistics.hits, statistics.misses, statistics.unavailable), (64, 2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_away_takes_nothing_from_those_who_wait() {
    let (db, name) = fresh().await;
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
    tier.put_many(&space(), (0..8).map(|n| (key(n), entry(10))).collect()).await.unwrap();
    let mut blocker = db.write().await.unwrap().begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE aeth_cache_0").execute(&mut blocker).await.unwrap();
    // As many as may be on their way, and no more, since all of them are spawned before anybody answers.
    let first: Vec<_> = (0..4)
        .map(|n| {
            let tier = tier.clone();
            tokio::spawn(async move { tier.get(&space(), &key(n)).await })
        })
        .collect();
    let stuck = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("they wait for the table", async || psql(&name, stuck) == "4").await;
    let (spaces, keys) = (space(), [key(4), key(5), key(6)]);
    let mut waiting: Vec<_> = keys.iter().map(|key| Box::pin(tier.get(&spaces, key))).collect();
    for get in &mut waiting {
        assert!(futures_util::poll!(get).is_pending());
    }
    // One of those who wait goes away too.
    drop(waiting.pop());
    for get in first {
        get.abort();
        assert!(get.await.unwrap_err().is_cancelled());
    }
    blocker.rollback().await.unwrap();
    let found = tokio::time::timeout(Duration::from_secs(20), join_all(waiting)).await.unwrap();
    assert!(found.into_iter().all(|answer| answer.hit().is_some()));
    // Nothing was left behind that would keep the next from leaving.
    for n in 0..8 {
        assert!(tier.get(&space(), &key(n)).await.hit().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_told_when_the_database_is_closed() {
    let (db, name) = fresh().await;
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
    let other = PostgresDatabase::open(PostgresOptions::new(Postgres::shared().url(&name))).await.unwrap();
    let mut blocker = other.write().await.unwrap().begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE aeth_cache_0").execute(&mut blocker).await.unwrap();
    let gets = (0..12).map(|n| {
        let tier = tier.clone();
        tokio::spawn(async move { tier.get(&space(), &key(n)).await })
    });
    let gets: Vec<_> = gets.collect();
    let stuck = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("they wait for the table", async || psql(&name, stuck) == "4").await;
    // Closing does not wait for ever for those that are on their way.
    drop(db.close(Duration::from_millis(300)).await);
    blocker.rollback().await.unwrap();
    for get in gets {
        let answered = tokio::time::timeout(Duration::from_secs(20), get).await;
        assert!(answered.expect("an answer, whichever it is").is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_keeps_the_plans_of_look_ups() {
    let (db, _) = with(|options| options.max_connections(1)).await;
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
    tier.put_many(&space(), (0..50).map(|n| (key(n), entry(10))).collect()).await.unwrap();
    let keys: Vec<Key> = (0..50).map(key).collect();
    for n in 0..20 {
        assert!(tier.get(&space(), &key(n)).await.hit().is_some());
        tier.get_many(&space(), keys.get(..=n).unwrap()).await;
    }
    let mut conn = db.write().await.unwrap();
    let made =
        "SELECT sum(custom_plans)::bigint FROM pg_prepared_statements WHERE statement LIKE '%UNION ALL%'";
    // The server tries five of each before it decides.
    assert!(number(&mut conn, made).await <= 10);
    let kept =
        "SELECT sum(generic_plans)::bigint FROM pg_prepared_statements WHERE statement LIKE '%UNION ALL%'";
    assert!(number(&mut conn, kept).await >= 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_batch_the_last_of_a_key_stays_and_an_older_version_does_not() {
    let (db, _) = fresh().await;
    let tier = PostgresCacheTier::open(db, PostgresTierOptions::default()).await.unwrap();
    let of = |n: usize, bytes: usize, version: u64| (key(n), entry(bytes).with_version(version));
    let all = vec![of(1, 1, 0), of(2, 2, 0), of(1, 3, 0)];
    assert_eq!(tier.put_many(&space(), all).await.unwrap(), [PutOutcome::Stored; 3]);
    let length = async |n| tier.get(&space(), &key(n)).await.hit().map(|entry| entry.value.len());
    assert_eq!((length(1).await, length(2).await), (Some(3), Some(2)));
    // Versions, in one batch with what has none and with what is there twice.
    tier.put_many(&space(), vec![of(3, 5, 5), of(4, 4, 4)]).await.unwrap();
    let mixed = vec![of(3, 4, 4), of(4, 9, 9), of(1, 7, 0)];
    let outcomes = [PutOutcome::Superseded, PutOutcome::Stored, PutOutcome::Stored];
    assert_eq!(tier.put_many(&space(), mixed).await.unwrap(), outcomes);
    assert_eq!((length(3).await, length(4).await, length(1).await), (Some(5), Some(9), Some(7)));
    let twice = vec![of(5, 9, 9), of(5, 8, 8), of(5, 10, 10)];
    let outcomes = [PutOutcome::Stored, PutOutcome::Superseded, PutOutcome::Stored];
    assert_eq!(tier.put_many(&space(), twice).await.unwrap(), outcomes);
    assert_eq!(length(5).await, Some(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_step_stored_is_found_and_replaced() {
    let (db, name) = fresh().await;
    let (new, _) = fresh().await;
    // As it was applied before there was a second step: another text than this one is refused as damaged.
    let first = Migrations::new("aeth-cache").step(
        1,
        "generations, tags and leases",
        include_str!("aeth-cache-1.sql"),
    );
    db.migrate(&first).await.unwrap();
    let tier = PostgresCacheTier::open(new.clone(), PostgresTierOptions::default()).await.unwrap();
    tier.put_many(&space(), vec![(key(1), entry(10))]).await.unwrap();
    let row: (i64, Vec<u8>, i64, Vec<u8>) =
        sqlx::query_as("SELECT hash, key, usable_until, envelope FROM aeth_cache_0")
            .fetch_one(&mut new.write().await.unwrap())
            .await
            .unwrap();
    let put = "SELECT aeth_cache_put('space', ARRAY[$1::bigint], ARRAY[$2::bytea], ARRAY[$3::bigint], ARRAY[$3::bigint],
        ARRAY[-9223372036854775808], ARRAY[E'\\x1f'], ARRAY[$4::bytea], 0)";
    let (hash, bytes, until, envelope) = row;
    let query = sqlx::query(put).bind(hash).bind(bytes).bind(until).bind(envelope);
    query.execute(&mut db.write().await.unwrap()).await.unwrap();
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
    assert!(tier.get(&space(), &key(1)).await.hit().is_some());
    tier.put_many(&space(), vec![(key(1), entry(20)), (key(2), entry(20))]).await.unwrap();
    let found = tier.get_many(&space(), &[key(1), key(2)]).await;
    assert!(found.into_iter().all(|answer| answer.hit().is_some_and(|entry| entry.value.len() == 20)));
    assert_eq!(psql(&name, "SELECT count(*) FROM aeth_cache_0"), "2");
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
