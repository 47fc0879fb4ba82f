//! What the handle costs over a bare connection. Prints a table; asserts only what must hold on any machine.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

use aeth_db::{SqliteDatabase, SqliteOptions};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::time::{Duration, Instant};

const QUERY: &str = "SELECT s FROM t WHERE n = ?";

fn p50(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1e3
}

#[tokio::test(flavor = "multi_thread")]
async fn point_selects() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = SqliteDatabase::open(SqliteOptions::new(&path)).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 10000)
         INSERT INTO t SELECT n, hex(randomblob(50)) FROM c",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    drop(writer);
    let options = SqliteConnectOptions::new().filename(&path).disable_statement_logging();
    let mut bare = options.connect().await.unwrap();
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options.clone()).await.unwrap();
    let rounds = if cfg!(debug_assertions) { 2_000 } else { 20_000 };
    let (mut bare_us, mut loan_us, mut held_us, mut pool_us) = (vec![], vec![], vec![], vec![]);
    let mut held = db.read().await.unwrap();
    // In turns of a hundred, so that none lives off another's warmth.
    for turn in 0..rounds / 100 {
        let keys = || (0..100).map(move |n| i64::from((turn * 100 + n) * 7919 % 10_000) + 1);
        for key in keys() {
            let started = Instant::now();
            drop(sqlx::query_scalar::<_, String>(QUERY).bind(key).fetch_one(&mut bare).await.unwrap());
            bare_us.push(started.elapsed());
        }
        for key in keys() {
            let started = Instant::now();
            drop(sqlx::query_scalar::<_, String>(QUERY).bind(key).fetch_one(&mut held).await.unwrap());
            held_us.push(started.elapsed());
        }
        for key in keys() {
            let started = Instant::now();
            let mut reader = db.read().await.unwrap();
            drop(sqlx::query_scalar::<_, String>(QUERY).bind(key).fetch_one(&mut reader).await.unwrap());
            drop(reader);
            loan_us.push(started.elapsed());
        }
        for key in keys() {
            let started = Instant::now();
            drop(sqlx::query_scalar::<_, String>(QUERY).bind(key).fetch_one(&pool).await.unwrap());
            pool_us.push(started.elapsed());
        }
    }
    let (bare, held, loan, pooled) = (p50(bare_us), p50(held_us), p50(loan_us), p50(pool_us));
    println!(
        "point select, p50 in µs: bare connection {bare:.1}, held loan {held:.1} ({:.2} x), \
         a loan for each {loan:.1} ({:.2} x), sqlx pool {pooled:.1} ({:.2} x)",
        held / bare,
        loan / bare,
        pooled / bare
    );

    let until = Duration::from_secs(1);
    let ours = concurrent(16, until, move |key| {
        let db = db.clone();
        async move {
            let mut reader = db.read().await.unwrap();
            drop(sqlx::query_scalar::<_, String>(QUERY).bind(key).fetch_one(&mut reader).await.unwrap());
        }
    })
    .await;
    let theirs = concurrent(16, until, move |key| {
        let pool = pool.clone();
        async move {
            drop(sqlx::query_scalar::<_, String>(QUERY).bind(key).fetch_one(&pool).await.unwrap());
        }
    })
    .await;
    println!("16 tasks, 4 connections: ours {ours:.0}/s, sqlx pool {theirs:.0}/s ({:.2} x)", ours / theirs);
    assert!(ours > 0.0 && theirs > 0.0);
}

async fn concurrent<F, W>(tasks: i64, length: Duration, work: F) -> f64
where
    F: Fn(i64) -> W + Clone + Send + 'static,
    W: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let work = work.clone();
        set.spawn(async move {
            let mut done = 0_u64;
            while started.elapsed() < length {
                work((task * 613 + i64::try_from(done).unwrap()) % 10_000 + 1).await;
                done += 1;
            }
            done
        });
    }
    set.join_all().await.into_iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_level() {
    use aeth_core::cache::{CacheTier, Entry};
    use aeth_core::{Key, Namespace};
    use aeth_db::{SqliteCacheTier, SqliteTierOptions, Synchronous};
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(dir.path().join("cache.db")).synchronous(Synchronous::Normal);
    let db = SqliteDatabase::open(options).await.unwrap();
    let tier = SqliteCacheTier::open(db, SqliteTierOptions::default()).await.unwrap();
    let space = Namespace::new("space").unwrap();
    let key = |n: u32| Key::new(format!("key-{n}")).unwrap();
    let (mut put_one, mut put_many, mut get_one, mut get_many) = (vec![], vec![], vec![], vec![]);
    for turn in 0..20 {
        let hundred: Vec<u32> = (turn * 100..turn * 100 + 100).collect();
        let entry = || Entry::new(vec![7; 512], 0, u64::MAX);
        for n in &hundred {
            let started = Instant::now();
            tier.put_many(&space, vec![(key(*n), entry())]).await.unwrap();
            put_one.push(started.elapsed());
        }
        let entries: Vec<_> = hundred.iter().map(|n| (key(*n), entry())).collect();
        let keys: Vec<_> = hundred.iter().map(|n| key(*n)).collect();
        let started = Instant::now();
        tier.put_many(&space, entries).await.unwrap();
        put_many.push(started.elapsed());
        for one in keys.chunks(1) {
            let started = Instant::now();
            let found = tier.get_many(&space, one).await;
            get_one.push(started.elapsed());
            assert!(!found.iter().any(aeth_core::cache::Lookup::is_miss));
        }
        let started = Instant::now();
        let found = tier.get_many(&space, &keys).await;
        get_many.push(started.elapsed());
        assert!(!found.iter().any(aeth_core::cache::Lookup::is_miss));
    }
    println!(
        "cache level, 512-byte values, p50 in µs: get {:.1}, get of 100 {:.1}, put {:.1}, put of 100 {:.1}",
        p50(get_one),
        p50(get_many),
        p50(put_one),
        p50(put_many)
    );
}
