//! A hit of the first level: 100,000 keys, Zipf-distributed look-ups, everything fits.
//!
//! What is looked up is text of its own, in the order of the look-ups, as a caller has it at hand who has just made it
//! (from a request, say). With the very allocations that were inserted instead, the peer, which keeps those, would find
//! each of its keys in the processor's caches already; and all would mostly be measured at fetching their input.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aeth_cache::{Cache, CacheOptions, Caches, L1Engine};
use bytes::Bytes;
use futures_util::FutureExt;

use crate::measure::cpu_nanoseconds;
use crate::row::Row;
use crate::{BoxError, runtime};

/// A key as it is looked up.
type Text = [u8; 13];

const KEYS: usize = 100_000;
const LOOKUPS: usize = 1 << 20;
/// Hits over which allocations are counted.
const COUNTED: u64 = 100_000;

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let keys: Vec<Arc<str>> = (0..KEYS).map(|n| format!("user:{n:08}").into()).collect();
    let order = zipf(&keys);
    let raw = moka::sync::Cache::builder()
        .max_capacity(2 * KEYS as u64)
        .build_with_hasher(foldhash::fast::RandomState::default());
    keys.iter().for_each(|key| raw.insert(Arc::clone(key), value()));
    raw.run_pending_tasks();
    let (_quick, quick) = filled(L1Engine::Quick, &keys)?;
    let (_moka, moka) = filled(L1Engine::Moka, &keys)?;
    let (_adaptive, adaptive) = filled(L1Engine::Adaptive, &keys)?;

    // Calls that are futures are polled where they stand: a hit is ready at once.
    let got = |key: &str| matches!(quick.get(key).now_or_never(), Some(Ok(Some(_))));
    let times = cpu_nanoseconds(&mut [
        &mut |n| look(&order, n, |key| black_box(raw.get(key)).is_some()),
        &mut |n| look(&order, n, |key| black_box(quick.peek(key)).is_some()),
        &mut |n| look(&order, n, |key| black_box(moka.peek(key)).is_some()),
        &mut |n| look(&order, n, got),
        &mut |n| look(&order, n, |key| black_box(adaptive.peek(key)).is_some()),
    ]);
    let peer = ("moka::sync", times[0]);
    report(Row::against("L1 hit, default engine", "ns", times[1], peer).at_most(0.5));
    report(Row::against("L1 hit, moka engine", "ns", times[2], peer).at_most(1.25));
    report(Row::against("L1 hit, adaptive engine", "ns", times[4], peer).at_most(1.0));
    report(Row::against("L1 hit by async get, default engine", "ns", times[3], peer).at_most(0.55));

    let counted = allocation_counter::measure(|| {
        look(&order, COUNTED, |key| quick.peek(key).is_some() && got(key));
    });
    let each = counted.count_total as f64 / COUNTED as f64;
    report(Row::absolute("heap allocations per hit, default engine", "", each).at_most(0.0));
    Ok(())
}

/// Looks `n` keys up; everything fits, so every look-up hits.
fn look(order: &[Text], n: u64, hit: impl Fn(&str) -> bool) {
    let mut misses = 0_u64;
    for (_, text) in (0..n).zip(order.iter().cycle()) {
        misses += u64::from(!std::str::from_utf8(text).is_ok_and(&hit));
    }
    assert_eq!(misses, 0, "a look-up missed");
}

fn value() -> Bytes {
    Bytes::from(vec![7; 100])
}

fn filled(engine: L1Engine, keys: &[Arc<str>]) -> Result<(Caches, Cache<Bytes>), BoxError> {
    let caches = Caches::builder().memory(256 << 20).engine(engine).build()?;
    let cache = caches.open("bench", CacheOptions::raw().fresh_for(Duration::from_secs(3600)))?;
    runtime()?.block_on(async {
        for key in keys {
            cache.put(&**key, value()).await?;
        }
        Ok::<_, BoxError>(())
    })?;
    Ok((caches, cache))
}

/// Zipf-distributed keys of a shuffled key space, by inversion of the cumulative weights.
fn zipf(keys: &[Arc<str>]) -> Vec<Text> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut ranks: Vec<usize> = (0..KEYS).collect();
    rng.shuffle(&mut ranks);
    let mut sum = 0.0;
    let mut cumulative = Vec::with_capacity(KEYS);
    for rank in 1..=KEYS {
        sum += (rank as f64).powf(-0.99);
        cumulative.push(sum);
    }
    let draw = |at: f64| ranks[cumulative.partition_point(|weight| *weight < at).min(KEYS - 1)];
    let text = |at: usize| keys[at].as_bytes().try_into().unwrap_or_default();
    (0..LOOKUPS).map(|_| text(draw(rng.f64() * sum))).collect()
}
