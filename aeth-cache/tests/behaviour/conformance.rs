//! The laws of a tier, on the tiers of this crate.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use aeth_cache::{BlobTier, MemoryTier, Tiers};
use aeth_core::SystemClock;
use aeth_core::cache::CacheTier;
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::sim::MockClock;
use aeth_files::{Durability, LocalDir, LocalDirOptions, MemoryStore};
use std::sync::Arc;

fn memory(clock: &MockClock) -> MemoryTier {
    MemoryTier::new(64 << 20, clock.shared()).unwrap()
}

async fn check(tier: impl CacheTier, clock: MockClock) {
    let time = clock.clone();
    let subject = TierSubject::new(tier, clock.shared()).with_advance(move |by| time.advance(by));
    subject.run().await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_tier() {
    let clock = MockClock::new();
    check(memory(&clock), clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_tier_on_real_time_with_a_second_handle() {
    let clock = SystemClock::shared();
    let tier = MemoryTier::new(64 << 20, Arc::clone(&clock)).unwrap();
    TierSubject::new(tier.clone(), clock)
        .with_other(tier)
        .with_rounds(100)
        .run()
        .await
        .into_result()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_tier_stacked() {
    let clock = MockClock::new();
    let tiers = Tiers::new(vec![Arc::new(memory(&clock))], clock.shared()).unwrap();
    check(tiers, clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_tiers_stacked() {
    let clock = MockClock::new();
    let tiers = Tiers::new(vec![Arc::new(memory(&clock)), Arc::new(memory(&clock))], clock.shared()).unwrap();
    check(tiers, clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stack_in_a_stack() {
    let clock = MockClock::new();
    let inner = Tiers::new(vec![Arc::new(memory(&clock)), Arc::new(memory(&clock))], clock.shared()).unwrap();
    let tiers = Tiers::new(vec![Arc::new(memory(&clock)), Arc::new(inner)], clock.shared()).unwrap();
    check(tiers, clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blobs_in_memory() {
    let clock = MockClock::new();
    let tier = BlobTier::new(Arc::new(MemoryStore::new()), "cache/", clock.shared()).unwrap();
    check(tier, clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn blobs_in_files_with_a_second_handle() {
    let (clock, dir) = (MockClock::new(), tempfile::tempdir().unwrap());
    let options = LocalDirOptions::default().with_durability(Durability::None);
    let open = || async {
        let store = LocalDir::open_with(dir.path(), options.clone()).await.unwrap();
        BlobTier::new(Arc::new(store), "", clock.shared()).unwrap()
    };
    let time = clock.clone();
    let subject = TierSubject::new(open().await, clock.shared())
        .with_advance(move |by| time.advance(by))
        .with_other(open().await)
        .with_rounds(6);
    subject.run().await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_over_blobs() {
    let clock = MockClock::new();
    let blobs = BlobTier::new(Arc::new(MemoryStore::new()), "", clock.shared()).unwrap();
    let parts: Vec<Arc<dyn CacheTier>> = vec![Arc::new(memory(&clock)), Arc::new(blobs)];
    check(Tiers::new(parts, clock.shared()).unwrap(), clock).await;
}

#[tokio::test]
async fn what_is_over_is_swept_and_damage_is_a_miss() {
    use aeth_core::blob::BlobStoreExt;
    use aeth_core::cache::{CacheTierExt, Entry, Lookup};
    use aeth_core::{ClockExt, Key, Namespace};
    use futures_util::TryStreamExt;
    let (clock, store) = (MockClock::new(), MemoryStore::new());
    let tier = BlobTier::new(Arc::new(store.clone()), "p/", clock.shared()).unwrap();
    let space = Namespace::new("n").unwrap();
    let now = clock.unix_millis();
    for (key, until) in [("short", now + 1000), ("long", now + 100_000), ("broken", now + 100_000)] {
        tier.put(&space, Key::new(key).unwrap(), Entry::new("v", now, until)).await.unwrap();
    }
    let blobs: Vec<_> = store.list(None).try_collect().await.unwrap();
    assert!(blobs.len() == 3 && blobs.iter().all(|blob| blob.path.as_str().starts_with("p/ns-n/k/")));
    for (at, blob) in blobs.iter().enumerate() {
        // Each blob in turn is cut short, to everybody a miss, and put back.
        let whole = store.get_bytes(&blob.path).await.unwrap();
        store.put(&blob.path, whole.slice(..whole.len() - 1)).await.unwrap();
        let mut misses = 0;
        for key in ["short", "long", "broken"] {
            misses += usize::from(tier.get(&space, &Key::new(key).unwrap()).await.is_miss());
        }
        assert_eq!((misses, tier.statistics().damaged), (1, at as u64 + 1));
        store.put(&blob.path, whole).await.unwrap();
    }
    let broken = Key::new("broken").unwrap();
    clock.advance(std::time::Duration::from_secs(2));
    for blob in &blobs {
        let front = store.get_bytes(&blob.path).await.unwrap();
        if matches!(tier.get(&space, &broken).await, Lookup::Hit(_)) {
            store.put(&blob.path, "x").await.unwrap();
            if matches!(tier.get(&space, &broken).await, Lookup::Hit(_)) {
                store.put(&blob.path, front).await.unwrap();
            }
        }
    }
    assert_eq!(tier.sweep(&space).await.unwrap(), 2, "one is over, one is damaged");
    assert!(matches!(tier.get(&space, &Key::new("long").unwrap()).await, Lookup::Hit(_)));
}
