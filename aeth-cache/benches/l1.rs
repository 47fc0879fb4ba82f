//! A hit of the first level against a raw `moka::sync` hit, in one process on the same keys.
//!
//! 100,000 text keys, values of 100 bytes, Zipf 0.99 over a shuffled key space, everything fits: all hits.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench")]

use aeth_cache::{Cache, CacheOptions, Caches, L1Engine};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const KEYS: usize = 100_000;
const LOOKUPS: usize = 1 << 20;

fn keys() -> Vec<Arc<str>> {
    (0..KEYS).map(|n| format!("user:{n:08}").into()).collect()
}

/// Zipf-distributed indices, by inversion of the cumulative weights.
fn zipf() -> Vec<usize> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut ranks: Vec<usize> = (0..KEYS).collect();
    rng.shuffle(&mut ranks);
    let mut sum = 0.0;
    let cumulative: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += 1.0 / (rank as f64).powf(0.99);
            sum
        })
        .collect();
    (0..LOOKUPS)
        .map(|_| {
            let at = rng.f64() * sum;
            ranks[cumulative.partition_point(|weight| *weight < at).min(KEYS - 1)]
        })
        .collect()
}

fn open(engine: L1Engine) -> (Caches, Cache<Bytes>) {
    let caches = Caches::builder().memory(256 << 20).engine(engine).build().unwrap();
    let cache = caches.open("bench", CacheOptions::raw().fresh_for(Duration::from_secs(3600))).unwrap();
    (caches, cache)
}

fn hits(criterion: &mut Criterion) {
    let (keys, order) = (keys(), zipf());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("l1_hit");
    group.sample_size(60).measurement_time(Duration::from_secs(5));

    let raw = moka::sync::Cache::builder()
        .max_capacity(200_000)
        .build_with_hasher(foldhash::fast::RandomState::default());
    keys.iter().for_each(|key| raw.insert(Arc::clone(key), Bytes::from(vec![7; 100])));
    raw.run_pending_tasks();
    let mut at = 0;
    let mut next = || {
        at = (at + 1) & (LOOKUPS - 1);
        order[at]
    };
    group.bench_function("moka_sync_raw", |bench| {
        bench.iter(|| black_box(raw.get(&*keys[next()])).is_some());
    });
    for (name, engine) in [("quick", L1Engine::Quick), ("moka", L1Engine::Moka)] {
        let (_caches, cache) = open(engine);
        runtime.block_on(async {
            for key in &keys {
                cache.put(&**key, Bytes::from(vec![7; 100])).await.unwrap();
            }
        });
        group.bench_function(format!("peek_{name}"), |bench| {
            bench.iter(|| black_box(cache.peek(&*keys[next()])).is_some());
        });
        let _guard = runtime.enter();
        group.bench_function(format!("get_{name}"), |bench| {
            bench.iter(|| {
                let hit = futures_util::FutureExt::now_or_never(cache.get(&*keys[next()]));
                black_box(hit).is_some()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hits);
criterion_main!(benches);
