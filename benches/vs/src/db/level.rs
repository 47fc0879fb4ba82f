//! The cache level: what goes through it, what it leaves behind.

use std::time::{Duration, Instant};

use aeth_core::cache::{CacheTier, CacheTierExt, Entry};
use aeth_core::{ClockExt, Key, Namespace, SystemClock};
use aeth_db::{PostgresCacheTier, PostgresDatabase, PostgresTierOptions, sqlx};

use super::TASKS;
use super::plain::Plain;
use crate::BoxError;
use crate::measure::median;
use crate::row::Row;

const CAPACITY: u64 = 16 << 20;
const VALUE: usize = 1_000;
const BATCH: usize = 100;

/// What one table, or one set of them, has cost so far.
#[derive(Debug, Clone, Copy)]
struct Cost {
    bytes: f64,
    dead: f64,
}

fn names(batch: usize) -> Vec<String> {
    (0..BATCH).map(|n| format!("key-{}", batch * BATCH + n)).collect()
}

/// Ten times its capacity goes through the cache level, and through the plain table.
pub(super) async fn run(db: &PostgresDatabase, report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let options = PostgresTierOptions::default().capacity(CAPACITY);
    let tier = PostgresCacheTier::open(db.clone(), options).await?;
    let plain = Plain::make(db, CAPACITY, VALUE).await?;
    let space = Namespace::new("bench")?;
    let now = SystemClock::new().unix_millis();
    let batches = CAPACITY as usize * 10 / VALUE / BATCH;
    let (mut times, mut logs) = ([Duration::ZERO; 2], [0.0; 2]);
    let mut twice = None;
    for batch in 0..batches {
        let (names, value) = (names(batch), vec![batch as u8; VALUE]);
        let entry = Entry::new(value.clone(), now, now + 3_600_000);
        let entries = names.iter().map(|name| Ok((Key::new(name.as_str())?, entry.clone())));
        let entries = entries.collect::<Result<Vec<_>, BoxError>>()?;
        let before = log(db).await?;
        let started = Instant::now();
        tier.put_many(&space, entries).await?;
        times[0] += started.elapsed();
        let between = log(db).await?;
        times[1] += plain.put(&names, &value).await?;
        logs[0] += between - before;
        logs[1] += log(db).await? - between;
        if batch == batches / 5 {
            twice = Some(costs(db).await?);
        }
    }
    let puts = (batches * BATCH) as f64;
    let [rate, peer] = times.map(|time| puts / time.as_secs_f64());
    let against = |rate| ("Solid Cache's plain table", rate);
    report(
        Row::against("cache level, puts in batches of 100", "entries/s", rate, against(peer)).at_least(1.0),
    );
    let what = "cache level, log written for each entry";
    report(Row::against(what, "bytes", logs[0] / puts, against(logs[1] / puts)).at_most(0.1));
    let (Some([twice, _]), [ours, peer]) = (twice, costs(db).await?) else { return Err("no sizes".into()) };
    let what = "cache level, size after 10 times its 16 MiB";
    report(Row::against(what, "MiB", ours.bytes, against(peer.bytes)).at_most(1.0));
    report(Row::against(what, "MiB", ours.bytes, ("itself after 2 times", twice.bytes)).at_most(1.1));
    let what = "cache level, dead rows that expiry leaves to vacuum";
    report(Row::against(what, "rows", ours.dead, against(peer.dead.max(1.0))).at_most(0.01));
    gets(&tier, &plain, &space, batches - 1, report).await
}

async fn gets(
    tier: &PostgresCacheTier,
    plain: &Plain,
    space: &Namespace,
    batch: usize,
    report: &mut dyn FnMut(Row),
) -> Result<(), BoxError> {
    let names = names(batch);
    let keys = names.iter().map(|name| Key::new(name.as_str())).collect::<Result<Vec<_>, _>>()?;
    let [mut one, mut many, mut peer] = [const { Vec::new() }; 3];
    for round in 0..2_000 {
        let at = round % BATCH;
        let started = Instant::now();
        let first = tier.get(space, &keys[at]).await;
        one.push(started.elapsed().as_secs_f64() * 1e6);
        let started = Instant::now();
        let theirs = plain.get(&names[at]).await?;
        peer.push(started.elapsed().as_secs_f64() * 1e6);
        let started = Instant::now();
        let all = tier.get_many(space, &keys).await;
        many.push(started.elapsed().as_secs_f64() * 1e6);
        if first.hit().is_none() || !theirs || all.into_iter().any(|answer| answer.hit().is_none()) {
            return Err("an entry is gone".into());
        }
    }
    let (one, many, peer) = (median(one), median(many), median(peer));
    let against = ("Solid Cache's plain table", peer);
    report(Row::against("cache level, get of one key", "µs", one, against).at_most(1.5));
    let single = ("100 single gets", one * 100.0);
    report(Row::against("cache level, get of 100 keys in one round trip", "µs", many, single).at_most(0.25));
    report(
        Row::absolute("cache level, gets of 16 tasks", "gets/s", rate(tier, space, &keys).await?)
            .at_least(10_000.0),
    );
    Ok(())
}

/// Gets a second of all tasks together.
async fn rate(tier: &PostgresCacheTier, space: &Namespace, keys: &[Key]) -> Result<f64, BoxError> {
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (tier, space, keys) = (tier.clone(), space.clone(), keys.to_vec());
        tasks.spawn(async move {
            let mut done = 0_usize;
            while started.elapsed() < Duration::from_secs(3) {
                if tier.get(&space, &keys[(task * 7 + done) % keys.len()]).await.hit().is_none() {
                    return Err("an entry is gone".into());
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
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// Where the server's log is, in bytes.
async fn log(db: &PostgresDatabase) -> Result<f64, BoxError> {
    let at: f64 = sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::float8")
        .fetch_one(&mut db.write().await?)
        .await?;
    Ok(at)
}

/// What the cache level has cost, and the plain table.
async fn costs(db: &PostgresDatabase) -> Result<[Cost; 2], BoxError> {
    let mut conn = db.write().await?;
    sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut conn).await?;
    let sql = "SELECT (sum(pg_total_relation_size(oid)) / 1048576.0)::float8,
        sum(pg_stat_get_dead_tuples(oid))::float8 FROM pg_class WHERE relkind = 'r' AND relname ~ $1";
    let mut costs = [Cost { bytes: 0.0, dead: 0.0 }; 2];
    for (cost, tables) in costs.iter_mut().zip(["^aeth_cache_", "^plain$"]) {
        let (bytes, dead) = sqlx::query_as(sql).bind(tables).fetch_one(&mut conn).await?;
        *cost = Cost { bytes, dead };
    }
    Ok(costs)
}
