//! Redis hangs, and comes back.

use super::workers;
use crate::BoxError;
use crate::measure::median;
use crate::row::Row;
use aeth_cache::redis::{Redis, RedisOptions};
use aeth_cache::{Cache, CacheOptions, Caches};
use aeth_core::SystemClock;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SOFT: Duration = Duration::from_millis(20);
const KEYS: u64 = 2000;
/// Passes over the keys before the one that is measured.
const WARM_UP: usize = 20;
/// Removals that fail while Redis is away.
const REMOVED: u64 = 1000;

fn open(url: &str, options: CacheOptions<u64>) -> Result<(Caches, Cache<u64>), BoxError> {
    let redis = RedisOptions::new(url).with_command_timeout(Duration::from_millis(500));
    let redis = Redis::open(redis, SystemClock::shared())?;
    let caches = Caches::builder()
        .memory(16 << 20)
        .tier(Arc::new(redis.tier()))
        .backplane(Arc::new(redis.backplane()))
        .build()?;
    let cache = caches.open("bench", options)?;
    Ok((caches, cache))
}

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let runtime = workers(2)?;
    runtime.block_on(hung(report))?;
    runtime.block_on(back(report))
}

/// Readers that have a stale value while the server is frozen.
async fn hung(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let server = testkit::Redis::start();
    let options = CacheOptions::new()
        .fresh_for(Duration::from_millis(100))
        .usable_for(Duration::from_secs(3600))
        .soft_timeout(SOFT)
        .tier_soft_timeout(SOFT);
    let (_caches, cache) = open(&server.url(), options)?;
    for start in (0..KEYS).step_by(500) {
        cache.put_many((start..start + 500).map(|key| (key, key)).collect()).await?;
    }
    // Keys that share a place with another may not be kept by a batch.
    let kept: Vec<u64> = (0..KEYS).filter(|key| cache.peek(key).is_some()).collect();
    let check = async |key| assert_eq!(*cache.get(&key).await.ok().flatten().unwrap_or_default(), key);
    let hit = {
        // What a hit costs through the same call, of as many keys: one alone would lie in the processor's caches.
        let fresh = cache.with(aeth_cache::CallOptions::new().fresh_for(Duration::from_secs(600)));
        for start in (KEYS..2 * KEYS).step_by(500) {
            fresh.put_many((start..start + 500).map(|key| (key, key)).collect()).await?;
        }
        let kept: Vec<u64> = (KEYS..2 * KEYS).filter(|key| cache.peek(key).is_some()).collect();
        median(settled(&kept, &check).await)
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.pause();
    // The first ones: nobody knows yet that the server hangs.
    let mut first = each(&kept[..200], &check).await;
    report(
        Row::absolute("Redis hung: p99 of a get with a stale value", "ms", p99(&mut first) / 1e6)
            .at_most(SOFT.as_secs_f64() * 1e3 + 2.0),
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    let middle = median(settled(&kept, &check).await);
    report(Row::against("Redis hung: a get when it is known", "ns", middle, ("an L1 hit", hit)).at_most(1.5));
    server.resume();
    Ok(())
}

async fn each(keys: &[u64], call: impl AsyncFn(u64)) -> Vec<f64> {
    let mut times = Vec::new();
    for &key in keys {
        let begun = Instant::now();
        call(key).await;
        times.push(begun.elapsed().as_secs_f64() * 1e9);
    }
    times
}

/// The same after the processor has come back to speed: a pass takes less than a millisecond.
async fn settled(keys: &[u64], call: impl AsyncFn(u64)) -> Vec<f64> {
    for _ in 0..WARM_UP {
        drop(each(keys, &call).await);
    }
    each(keys, &call).await
}

fn p99(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}

/// Removals that could not be sent, and how soon they are once the server answers again.
async fn back(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let mut took = Vec::new();
    let mut lost = 0_u64;
    for _ in 0..5 {
        let builder = testkit::Redis::builder().option("save", "").option("appendonly", "yes");
        let mut server = builder.option("appendfsync", "always").start();
        let options = || CacheOptions::new().fresh_for(Duration::from_secs(600));
        let (caches, cache) = open(&server.url(), options())?;
        cache.put_many((0..REMOVED).map(|key| (key, key)).collect()).await?;
        server.kill();
        for key in 0..REMOVED {
            // It fails, which is the point.
            drop(cache.remove(&key).await);
        }
        server.restart();
        let begun = Instant::now();
        while caches.pending_removals() > 0 && begun.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        took.push(begun.elapsed().as_secs_f64());
        let (_other, other) = open(&server.url(), options())?;
        let keys: Vec<u64> = (0..REMOVED).collect();
        lost += other.get_many(&keys).await?.iter().flatten().count() as u64;
    }
    report(Row::absolute("Redis back: 1,000 waiting removals sent after", "s", median(took)).at_most(1.0));
    report(Row::absolute("Redis back: removals lost", "", lost as f64).at_most(0.0));
    Ok(())
}
