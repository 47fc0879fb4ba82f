//! Reads whose requests are late now and then, with hedging and without.

use super::contents;
use crate::BoxError;
use crate::row::Row;
use aeth_core::blob::BlobStoreExt;
use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource};
use aeth_core::policy::{HedgeSettings, Policy, PolicyStore};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_core::{BlobPath, SystemClock};
use aeth_files::MemoryStore;
use futures_util::{StreamExt, stream};
use std::time::{Duration, Instant};

const READS: usize = 20_000;
const AT_ONCE: usize = 32;
const USUAL: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_millis(100);

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // One request of a hundred takes twenty times as long, whoever sends it.
        let tail = || FaultPlan::new(1).chance("get", 0.01, Fault::Delay(LATE));
        let hedged =
            Policy::default().with_hedge(HedgeSettings::default().with_after(Duration::from_millis(1)));
        let plain = reads(tail(), Policy::default(), READS).await?;
        let ours = reads(tail(), hedged.clone(), READS).await?;
        let against = ("without hedging", plain.p99);
        report(Row::against("p99, 1 % of the requests × 20, hedged", "ms", ours.p99, against).at_most(0.2));
        report(Row::absolute("hedged: more requests", "%", ours.extra(READS)).at_most(5.0));
        // Everything is slow from some moment on, and then some of it fails.
        let slow = FaultPlan::new(1).range("get", 2_001, u64::MAX, Fault::Delay(LATE));
        let brown = reads(slow, hedged.clone(), 6_000).await?;
        report(Row::absolute("brown-out, all × 20: more requests", "%", brown.extra(4_000)).at_most(1.0));
        let failing = FaultPlan::new(1).chance("get", 0.3, Fault::unavailable());
        let failing = reads(failing.chance("get", 0.2, Fault::Delay(LATE)), hedged, 4_000).await?;
        let what = "brown-out, 30 % fail, 14 % × 20: more requests";
        report(Row::absolute(what, "%", 100.0 * failing.hedges as f64 / 4_000.0).at_most(1.0));
        Ok(())
    })
}

/// What so many reads came to.
struct Came {
    /// Milliseconds.
    p99: f64,
    requests: u64,
    reads: u64,
    hedges: u64,
}

impl Came {
    /// The requests that were sent besides one for each read, in percent of `reads`.
    fn extra(&self, reads: usize) -> f64 {
        100.0 * self.requests.saturating_sub(self.reads) as f64 / reads as f64
    }
}

/// Takes the number of hedges out of a guard's metrics.
struct Hedges(u64);

impl Collector for Hedges {
    fn counter(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: u64) {
        if descriptor.name == "aeth_policy_hedges" {
            self.0 += value;
        }
    }

    fn gauge(&mut self, _: &Descriptor, _: &[Label<'_>], _: f64) {}

    fn histogram(&mut self, _: &Descriptor, _: &[Label<'_>], _: &HistogramSnapshot) {}
}

async fn reads(plan: FaultPlan, policy: Policy, count: usize) -> Result<Came, BoxError> {
    let path = BlobPath::new("a")?;
    let below = MemoryStore::new();
    below.put(&path, contents(4 << 10, 1)).await?;
    // The usual delay comes on top for those that are late; it is the same for both contestants.
    let usual = FaultPlan::new(1).every("get", 1, Fault::Delay(USUAL));
    let faulty = FaultyStore::new(FaultyStore::new(below, usual.clone()), plan.clone());
    let store = PolicyStore::new(faulty, policy, SystemClock::shared());
    let mut times: Vec<f64> = stream::iter(0..count)
        .map(|_| async {
            let began = Instant::now();
            // One that fails after its attempts took its time as well.
            drop(store.get_bytes(&path).await);
            began.elapsed().as_secs_f64() * 1e3
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    times.sort_by(f64::total_cmp);
    let p99 = times.get(count * 99 / 100).copied().unwrap_or(f64::NAN);
    let mut hedges = Hedges(0);
    store.guard().collect(&mut hedges);
    let hedges = hedges.0;
    Ok(Came { p99, requests: plan.calls("get"), reads: count as u64, hedges })
}
