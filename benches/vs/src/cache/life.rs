//! What a process with a cache needs and keeps: memory over the budget, and the hit ratio after a restart.

use std::time::{Duration, Instant};

use aeth_cache::{Cache, CacheOptions, Caches, Warming};
use aeth_core::Lifecycle;
use bytes::Bytes;

use super::process;
use crate::row::Row;
use crate::{BoxError, runtime};

const BUDGET: u64 = 256 << 20;
const HOT: u64 = 100_000;
const OURS: &str = "ours";
const MOKA: &str = "moka";

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    memory(report)?;
    restart(report)
}

/// Resident bytes over the budget after the cache was filled six times over with values of 100 bytes to 16 KiB; each
/// contestant in a process of its own, because what one has freed the next would not ask for again.
fn memory(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let [ours, moka] = [OURS, MOKA].map(process::memory);
    let what = "resident memory over the budget, under writes";
    let (ours, moka) = (ours?, moka?);
    eprintln!("{what}: ours {ours:.2}, moka::sync with a weigher {moka:.2}");
    report(Row::absolute(what, "x", ours).at_most(1.15));
    report(Row::against(what, "x", ours, ("moka::sync", moka)).at_most(1.0));
    Ok(())
}

/// What a contestant takes at the most, divided by its budget.
pub(super) fn measure_memory(contestant: &str) -> Result<f64, BoxError> {
    let runtime = runtime()?;
    let before = resident()?;
    if contestant == MOKA {
        let cache = moka::sync::Cache::builder()
            .max_capacity(BUDGET)
            .weigher(|_: &u64, value: &Bytes| u32::try_from(value.len()).unwrap_or(u32::MAX))
            .build();
        return overshoot(before, |key, value| {
            cache.insert(key, value);
            Ok(())
        });
    }
    let caches = Caches::builder().memory(BUDGET).build()?;
    let cache = caches.open::<Bytes>("memory", CacheOptions::raw().fresh_for(Duration::from_secs(36_000)))?;
    overshoot(before, |key, value| Ok(runtime.block_on(cache.put(&key, value))?))
}

fn overshoot(before: u64, put: impl Fn(u64, Bytes) -> Result<(), BoxError>) -> Result<f64, BoxError> {
    let mut rng = fastrand::Rng::with_seed(3);
    let (mut written, mut peak, mut key) = (0, 0, 0_u64);
    while written < 6 * BUDGET {
        let length = 100 << rng.u32(0..8);
        written += length as u64;
        key += 1;
        put(key, Bytes::from(vec![1; length]))?;
        if key.is_multiple_of(4096) {
            peak = peak.max(resident()?);
        }
    }
    Ok(peak.saturating_sub(before) as f64 / BUDGET as f64)
}

fn resident() -> Result<u64, BoxError> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in the status")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// 100,000 hot keys, a close, a start: how long until what was saved is back, and how much of it.
fn restart(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let dir = tempfile::tempdir()?;
    let start = || -> Result<(Caches, Cache<Bytes>), BoxError> {
        let caches = Caches::builder().memory(BUDGET).warming(Warming::in_dir(dir.path())).build()?;
        let cache = caches.open("hot", CacheOptions::raw().fresh_for(Duration::from_secs(36_000)))?;
        Ok((caches, cache))
    };
    let hits = |cache: &Cache<Bytes>| (0..HOT).filter(|key| cache.peek(key).is_some()).count() as f64;
    runtime()?.block_on(async {
        let (caches, cache) = start()?;
        for key in 0..HOT {
            cache.put(&key, Bytes::from(vec![7; 100])).await?;
        }
        let before = hits(&cache);
        caches.close(Duration::from_secs(30)).await?;
        let began = Instant::now();
        let (caches, cache) = start()?;
        caches.warm_up()?.wait().await?;
        let took = began.elapsed().as_secs_f64();
        let after = hits(&cache);
        report(Row::absolute("restart with 100,000 hot keys: until warm", "s", took).at_most(2.0));
        report(
            Row::absolute("restart with 100,000 hot keys: of the former hits", "%", after / before * 100.0)
                .at_least(90.0),
        );
        Ok(())
    })
}
