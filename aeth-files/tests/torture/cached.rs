//! Readers against writers through one cached handle.

use super::world::{Happened, World};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_files::{Cached, MemoryStore};
use std::time::Duration;

const PAGE: usize = 4 << 10;

/// What may go wrong below: delays always, lost answers in one case of three.
fn faults(seed: u64) -> FaultPlan {
    let moment = || Fault::Delay(Duration::from_micros(200));
    let plan = FaultPlan::new(seed);
    let plan = match seed % 3 {
        0 => ["put", "delete", "copy", "rename", "complete"]
            .into_iter()
            .fold(plan, |plan, operation| plan.chance(operation, 0.1, Fault::Lost)),
        _ => plan,
    };
    plan.chance("get", 0.3, moment()).chance("put", 0.3, moment()).chance("copy", 0.3, moment())
}

/// Writers put, stream, upload, copy, rename and delete while readers read: no read is older than what was
/// acknowledged before it began, and none is a mixture.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_cached_reads_are_never_stale() {
    let (mut all, mut hits) = (Happened::default(), 0);
    for case in testkit::campaign("cached-readers", 6) {
        let seed = case.seed();
        let dir = testkit::temp_dir();
        let below = FaultyStore::new(MemoryStore::new(), faults(seed));
        let ages = [Duration::ZERO, Duration::MAX, Duration::from_secs(1)];
        let builder = Cached::builder(below)
            .page_size(PAGE as u32)
            .window(2 * PAGE as u64)
            .revalidate_after(ages[(seed / 3 % 3) as usize]);
        let builder = match seed % 4 {
            // A place for few pages, so that they come and go.
            0 => builder.memory(8 * PAGE as u64),
            1 => builder.dir(dir.path().join("pages"), 1 << 20),
            _ => builder.memory(16 << 20),
        };
        let store = builder.open().await.unwrap();
        let happened = World::new(store.clone(), true).run(seed, 120).await;
        all.reads += happened.reads;
        all.writes += happened.writes;
        all.unknown += happened.unknown;
        all.broken_off += happened.broken_off;
        hits += store.statistics().hits;
    }
    println!("cached: 0 stale; {hits} pages from the cache; {all:?}");
    assert!(all.reads > 0 && hits > 0);
}
