//! Recording a value: what every operation of ours pays.

use std::hint::black_box;

use aeth_core::observe::{Counter, Histogram};
use prometheus_client::metrics::counter::Counter as PeerCounter;
use prometheus_client::metrics::histogram::{Histogram as PeerHistogram, exponential_buckets};

use crate::BoxError;
use crate::measure::nanoseconds;
use crate::row::Row;

/// Threads of the contended rows.
const THREADS: u64 = 2;

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let (ours, peer) = (Counter::new(), PeerCounter::<u64>::default());
    let times = nanoseconds(&mut [&mut |n| (0..n).for_each(|_| black_box(&ours).increment()), &mut |n| {
        for _ in 0..n {
            black_box(&peer).inc();
        }
    }]);
    report(Row::against("counter, one thread", "ns", times[0], ("prometheus-client", times[1])).at_most(1.1));

    let (ours, peer) = (Histogram::new(), PeerHistogram::new(exponential_buckets(1_000.0, 2.0, 20)));
    let times = nanoseconds(&mut [&mut |n| values(n, |value| black_box(&ours).record(value)), &mut |n| {
        values(n, |value| black_box(&peer).observe(value as f64))
    }]);
    report(
        Row::against("histogram, one thread", "ns", times[0], ("prometheus-client", times[1])).at_most(1.0),
    );
    let times = nanoseconds(&mut [&mut |n| contended(n, |value| black_box(&ours).record(value)), &mut |n| {
        contended(n, |value| black_box(&peer).observe(value as f64))
    }]);
    let millions = |nanoseconds: f64| 1e3 / nanoseconds;
    let peers = ("prometheus-client", millions(times[1]));
    report(Row::against("histogram, two threads on one", "M/s", millions(times[0]), peers).at_least(1.0));
    report(Row::absolute("error of a quantile", "%", worst_error(&Histogram::new())).at_most(12.5));
    Ok(())
}

/// How far the median of single values is from them, at worst, in percent.
fn worst_error(empty: &Histogram) -> f64 {
    let mut worst = 0.0_f64;
    values(2_000, |value| {
        let before = empty.snapshot();
        empty.record(value);
        let told = empty.snapshot().since(&before).quantile(0.5);
        worst = worst.max((told as f64 - value as f64).abs() / value as f64 * 100.0);
    });
    worst
}

/// Values spread over six decades, as latencies are.
fn values(n: u64, mut record: impl FnMut(u64)) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..n {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        record(1_000 << (state >> 60) | (state >> 54));
    }
}

fn contended(n: u64, record: impl Fn(u64) + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| values(n / THREADS + 1, &record));
        }
    });
}
