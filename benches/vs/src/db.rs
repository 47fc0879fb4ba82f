//! PostgreSQL on this machine: pools around the same driver, and a cache level beside a plain table.

use std::time::{Duration, Instant};

use aeth_core::cache::{CacheTier, CacheTierExt, Entry};
use aeth_core::{ClockExt, Key, Namespace, SystemClock};
use aeth_db::sqlx::{self, Connection, PgConnection, PgPool, postgres::PgPoolOptions};
use aeth_db::{PostgresCacheTier, PostgresDatabase, PostgresOptions, PostgresTierOptions};

use crate::BoxError;
use crate::measure::median;
use crate::row::Row;

const ROWS: i32 = 100_000;
const TASKS: usize = 16;
const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_secs(1);
const SELECT: &str = "SELECT balance FROM accounts WHERE id = $1";

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let server = testkit::Postgres::builder().setting("shared_buffers", "256MB").start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let socket = server.socket_dir().display().to_string().replace('/', "%2F");
        let url = format!("postgres://postgres@{socket}:{}/postgres", server.port());
        let options = PostgresOptions::new(url.as_str()).max_connections(TASKS);
        let db = PostgresDatabase::open(options).await?;
        let make = format!(
            "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, filler text NOT NULL);
             INSERT INTO accounts SELECT i, i, repeat('x', 84) FROM generate_series(1, {ROWS}) i;
             ANALYZE accounts"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut db.write().await?).await?;
        pools(&db, &url, report).await?;
        alone(&db, &url, report).await?;
        level(&db, report).await
    })
}

/// Point selects of 16 tasks over 16 connections.
async fn pools(db: &PostgresDatabase, url: &str, report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let pool =
        |ping| PgPoolOptions::new().max_connections(TASKS as u32).test_before_acquire(ping).connect(url);
    let (defaults, tuned) = (pool(true).await?, pool(false).await?);
    let mut rates = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let db = db.clone();
        rates[0].push(rate(move |id| ours(db.clone(), id)).await?);
        for (rates, pool) in rates[1..].iter_mut().zip([&defaults, &tuned]) {
            let pool = pool.clone();
            rates.push(rate(move |id| sqlx_pool(pool.clone(), id)).await?);
        }
    }
    let [ours, defaults, tuned] = rates.map(median);
    let what = "prepared point select, 16 tasks on 16 connections";
    report(Row::against(what, "queries/s", ours, ("sqlx PgPool, defaults", defaults)).at_least(2.3));
    report(Row::against(what, "queries/s", ours, ("sqlx PgPool, no ping before", tuned)).at_least(1.5));
    Ok(())
}

async fn ours(db: PostgresDatabase, id: i32) -> Result<i32, BoxError> {
    let mut conn = db.write().await?;
    Ok(sqlx::query_scalar(SELECT).bind(id).fetch_one(&mut conn).await?)
}

async fn sqlx_pool(pool: PgPool, id: i32) -> Result<i32, BoxError> {
    Ok(sqlx::query_scalar(SELECT).bind(id).fetch_one(&pool).await?)
}

/// Queries a second of all tasks together, in one turn.
async fn rate<F>(query: impl Fn(i32) -> F + Clone + Send + 'static) -> Result<f64, BoxError>
where
    F: Future<Output = Result<i32, BoxError>> + Send,
{
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (query, mut rng) = (query.clone(), fastrand::Rng::with_seed(task as u64));
        tasks.spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < TURN {
                let id = rng.i32(1..=ROWS);
                if query(id).await? != id {
                    return Err("a wrong row".into());
                }
                done += 1;
            }
            Ok::<_, BoxError>(done)
        });
    }
    let mut done = 0;
    while let Some(ended) = tasks.join_next().await {
        done += ended??;
    }
    Ok(f64::from(done) / started.elapsed().as_secs_f64())
}

/// One task: what the pool adds to a bare connection.
async fn alone(db: &PostgresDatabase, url: &str, report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let mut bare = PgConnection::connect(url).await?;
    let mut times = [const { Vec::new() }; 2];
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..20_000 {
        let id = rng.i32(1..=ROWS);
        let started = Instant::now();
        if round % 2 == 0 {
            ours(db.clone(), id).await?;
        } else {
            let _: i32 = sqlx::query_scalar(SELECT).bind(id).fetch_one(&mut bare).await?;
        }
        // The first of each prepare.
        if round > 1_000 {
            times[round % 2].push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    let [ours, bare] = times.map(median);
    let row = Row::against("point select, one task, median", "µs", ours, ("bare sqlx connection", bare));
    report(row.at_most(1.3));
    Ok(())
}

const CAPACITY: u64 = 16 << 20;
const VALUE: usize = 1_000;
const BATCH: usize = 100;
/// What a plain table of this capacity holds.
const HELD: i64 = (CAPACITY as i64) / (VALUE as i64 + 140);

/// Ten times its capacity goes through the cache level, and through a plain table that deletes its oldest rows.
async fn level(db: &PostgresDatabase, report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let options = PostgresTierOptions::default().capacity(CAPACITY);
    let tier = PostgresCacheTier::open(db.clone(), options).await?;
    let space = Namespace::new("bench")?;
    let now = SystemClock::new().unix_millis();
    let plain =
        "CREATE TABLE plain (id bigserial PRIMARY KEY, key_hash bigint UNIQUE, key bytea, value bytea)";
    sqlx::raw_sql(plain).execute(&mut db.write().await?).await?;
    let batches = CAPACITY as usize * 10 / VALUE / BATCH;
    let (mut ours, mut plain) = (Duration::ZERO, Duration::ZERO);
    for batch in 0..batches {
        let names: Vec<String> = (0..BATCH).map(|n| format!("key-{}", batch * BATCH + n)).collect();
        let value = vec![batch as u8; VALUE];
        let entry = Entry::new(value.clone(), now, now + 3_600_000);
        let entries = names.iter().map(|name| Ok((Key::new(name.as_str())?, entry.clone())));
        let entries = entries.collect::<Result<Vec<_>, BoxError>>()?;
        let started = Instant::now();
        tier.put_many(&space, entries).await?;
        ours += started.elapsed();
        let started = Instant::now();
        let mut conn = db.write().await?;
        sqlx::query(
            "INSERT INTO plain (key_hash, key, value)
             SELECT hashtextextended(k, 0), k::bytea, $2 FROM unnest($1::text[]) k
             ON CONFLICT (key_hash) DO UPDATE SET key = excluded.key, value = excluded.value",
        )
        .bind(&names)
        .bind(&value)
        .execute(&mut conn)
        .await?;
        sqlx::query("DELETE FROM plain WHERE id <= (SELECT max(id) FROM plain) - $1")
            .bind(HELD)
            .execute(&mut conn)
            .await?;
        plain += started.elapsed();
    }
    let puts = (batches * BATCH) as f64;
    let peer = ("plain table, FIFO", puts / plain.as_secs_f64());
    report(
        Row::against("cache level, puts in batches of 100", "entries/s", puts / ours.as_secs_f64(), peer)
            .at_least(1.0),
    );
    let sizes =
        "SELECT sum(pg_total_relation_size(oid)) FILTER (WHERE relname ~ '^aeth_cache_[0-3]$')::bigint,
        sum(pg_total_relation_size(oid)) FILTER (WHERE relname = 'plain')::bigint FROM pg_class";
    let (ours, plain): (i64, i64) = sqlx::query_as(sizes).fetch_one(&mut db.write().await?).await?;
    let mib = |bytes: i64| bytes as f64 / f64::from(1 << 20);
    let what = "cache level, size after 10 times its 16 MiB";
    report(Row::against(what, "MiB", mib(ours), ("plain table, FIFO", mib(plain))).at_most(1.0));
    report(Row::absolute(what, "MiB", mib(ours)).at_most(18.0));
    let keys = (0..BATCH).map(|n| Key::new(format!("key-{}", batches * BATCH - 1 - n)));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let (mut one, mut many) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let started = Instant::now();
        let first = tier.get(&space, &keys[0]).await;
        one.push(started.elapsed().as_secs_f64() * 1e6);
        let started = Instant::now();
        let all = tier.get_many(&space, &keys).await;
        many.push(started.elapsed().as_secs_f64() * 1e6);
        if first.hit().is_none() || all.into_iter().any(|answer| answer.hit().is_none()) {
            return Err("an entry is gone".into());
        }
    }
    let single = ("100 single gets", median(one) * 100.0);
    report(
        Row::against("cache level, get of 100 keys in one round trip", "µs", median(many), single)
            .at_most(0.5),
    );
    Ok(())
}
