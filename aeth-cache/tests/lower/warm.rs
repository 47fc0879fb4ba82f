//! Restarts: what comes back, and what must not.

use super::Scene;
use crate::support::{Failure, Test, builder, secs, settle};
use aeth_cache::{Cache, CacheOptions, Caches, Item, MemoryTier, Warming};
use aeth_core::blob::BlobStoreExt;
use aeth_core::cache::{CacheTierExt, Entry};
use aeth_core::sim::MockClock;
use aeth_core::{ErrorKind, Key, Lifecycle, Namespace};
use aeth_files::MemoryStore;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn options() -> CacheOptions<u64> {
    CacheOptions::new().fresh_for(secs(600)).usable_for(secs(1200))
}

/// The work on files takes real time, so that a clock that waits for nothing must not be waited for.
fn in_dir(dir: &Path) -> Warming {
    Warming::in_dir(dir).rate(u32::MAX)
}

/// A process that keeps its warmth in a directory.
fn start(clock: &MockClock, dir: &Path) -> Result<(Caches, Cache<u64>), Failure> {
    let caches = builder(clock).warming(in_dir(dir)).build()?;
    let cache = caches.open("c", options())?;
    Ok((caches, cache))
}

#[tokio::test]
async fn a_restart_begins_where_the_close_ended() -> Test {
    let (clock, dir) = (MockClock::new(), tempfile::tempdir()?);
    let (caches, cache) = start(&clock, dir.path())?;
    for key in 0..100_u64 {
        cache.put(&key, key).await?;
    }
    cache.put_item("short", Item::new(1).with_fresh_for(secs(5)).with_usable_for(secs(5))).await?;
    cache.put_item("tagged", Item::new(1).with_tag("t")?).await?;
    cache.put_item("kept", Item::new(1).with_tag("u")?.with_version(7)).await?;
    cache.remove(&3).await?;
    cache.invalidate_tag("t").await?;
    caches.close(secs(5)).await?;
    assert_eq!(cache.peek(&1), None, "a closed cache serves nothing");

    clock.advance(secs(60));
    let (caches, cache) = start(&clock, dir.path())?;
    cache.remove(&4).await?;
    cache.put(&5, 555).await?;
    let report = caches.warm_up()?.wait().await?;
    assert_eq!(report.problem.map(|error| error.to_string()), None);
    let restore = report.restore;
    assert_eq!((restore.restored + restore.changed, restore.expired), (100, 1), "{restore:?}");
    // A key may share its stripe with one of the two that have changed, and then it stays out too.
    assert!((2..10).contains(&restore.changed), "{restore:?}");
    for key in ["3", "4", "short", "tagged"] {
        assert_eq!(cache.peek(key), None, "{key} must not come back");
    }
    assert_eq!(cache.peek(&5).as_deref(), Some(&555));
    let kept = cache.explain("kept").await?.local.unwrap();
    assert_eq!((kept.fresh_for, kept.version), (secs(540), 7), "the time while it was down counts");
    cache.invalidate_tag("u").await?;
    assert_eq!(cache.peek("kept"), None, "its tags came back with it");
    // A crash: what was restored once is not restored again.
    drop((caches, cache));
    let (caches, cache) = start(&clock, dir.path())?;
    let report = caches.warm_up()?.wait().await?;
    assert_eq!((report.restore.restored, cache.peek(&1)), (0, None));
    assert_eq!((report.keys, report.missing.len()), (101, 101), "the keys are still known");
    Ok(())
}

#[tokio::test]
async fn a_wall_clock_that_stepped_back_restores_nothing() -> Test {
    let (clock, dir) = (MockClock::new(), tempfile::tempdir()?);
    let (caches, cache) = start(&clock, dir.path())?;
    cache.put(&1, 1).await?;
    caches.close(secs(5)).await?;
    clock.step_back(secs(3600));
    let (caches, cache) = start(&clock, dir.path())?;
    let restore = caches.warm_up()?.wait().await?.restore;
    assert_eq!((restore.expired, cache.peek(&1)), (1, None));
    Ok(())
}

#[tokio::test]
async fn damaged_and_missing_files_leave_the_cache_cold() -> Test {
    let (clock, dir) = (MockClock::new(), tempfile::tempdir()?);
    let (caches, cache) = start(&clock, dir.path())?;
    let first = caches.warm_up()?.wait().await?;
    assert!(first.problem.is_none() && first.keys == 0);
    cache.put(&1, 1).await?;
    caches.close(secs(5)).await?;
    for name in ["keys.aetw", "values.aetw"] {
        std::fs::write(dir.path().join(name), b"AETW and something else that is long enough")?;
    }
    let (caches, _cache) = start(&clock, dir.path())?;
    let report = caches.warm_up()?.wait().await?;
    assert_eq!(report.problem.unwrap().kind(), ErrorKind::Corrupt);
    let without = builder(&clock).build()?;
    assert_eq!(without.warm_up().unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

#[tokio::test]
async fn a_snapshot_brings_back_only_what_has_not_changed_since() -> Test {
    let clock = MockClock::new();
    let caches = builder(&clock).build()?;
    let cache = caches.open("c", options())?;
    let other = caches.open("other", options())?;
    for key in 0..10_u64 {
        cache.put_item(&key, Item::new(key).with_tag(format!("tag {}", key % 2))?).await?;
        other.put(&key, key).await?;
    }
    let snapshot = caches.snapshot(u64::MAX).await?;
    other.clear().await?;
    cache.remove(&2).await?;
    cache.put(&4, 444).await?;
    cache.invalidate_tag("tag 1").await?;
    assert!((0..10_u64).filter(|key| cache.peek(key).is_some()).count() == 4);
    let restore = caches.restore(snapshot.clone()).await?;
    assert_eq!((restore.restored, restore.newer), (0, 3), "{restore:?}");
    assert_eq!((cache.peek(&2), cache.peek(&1), other.peek(&0)), (None, None, None));
    assert_eq!(cache.peek(&4).as_deref(), Some(&444));
    // Into another process it does not go: nobody knows what changed in the first one since.
    let stranger = builder(&clock).build()?;
    let copy = stranger.open("c", options())?;
    assert_eq!((stranger.restore(snapshot.clone()).await?.changed, copy.peek(&0)), (20, None));
    assert_eq!(stranger.restore(snapshot.slice(1..)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    Ok(())
}

#[tokio::test]
async fn what_memory_has_pushed_out_comes_back_from_a_snapshot() -> Test {
    let clock = MockClock::new();
    let caches = builder(&clock).memory(64 << 10).build()?;
    let cache = caches.open::<bytes::Bytes>("c", CacheOptions::raw().fresh_for(secs(600)))?;
    cache.put("k", bytes::Bytes::from(vec![7; 1000])).await?;
    let snapshot = caches.snapshot(u64::MAX).await?;
    for n in 0..500_u64 {
        cache.put(&n, bytes::Bytes::from(vec![1; 1000])).await?;
    }
    // Stripes are shared: the one of `k` may have moved, which only costs the restore.
    let before = cache.peek("k").is_some();
    let restore = caches.restore(snapshot).await?;
    assert!(before || restore.restored + restore.changed == 1, "{restore:?}");
    Ok(())
}

#[tokio::test]
async fn with_a_shared_tier_restored_values_are_confirmed_first() -> Test {
    let scene = Scene::new();
    let dir = tempfile::tempdir()?;
    let open = || -> Result<(Caches, Cache<u64>), Failure> {
        let tier =
            crate::support::tier::Slow::new(scene.tier.clone(), aeth_core::sim::SimRng::new(1)).shared();
        let caches =
            builder(&scene.clock).tier(Arc::new(tier)).warming(in_dir(dir.path()).batch(2)).build()?;
        let cache = caches.open("c", options())?;
        Ok((caches, cache))
    };
    let (caches, cache) = open()?;
    for key in 0..10_u64 {
        cache.put(&key, key).await?;
    }
    caches.close(secs(5)).await?;
    // Another process changes two of them while this one is down.
    let elsewhere = scene.caches().open::<u64>("c", options())?;
    elsewhere.put(&1, 111).await?;
    elsewhere.remove(&2).await?;
    let (caches, cache) = open()?;
    let report = caches.warm_up()?.wait().await?;
    assert_eq!((report.restore.restored, report.read), (10, 9), "{report:?}");
    assert_eq!(report.missing, [(Namespace::new("c")?, Key::new("2")?)]);
    assert_eq!(cache.peek(&1).as_deref(), Some(&111));
    assert_eq!(cache.peek(&2), None, "stale, and gone below");
    assert_eq!(cache.peek(&3).as_deref(), Some(&3));
    Ok(())
}

#[tokio::test]
async fn the_hottest_keys_are_saved_first_and_read_at_the_rate_allowed() -> Test {
    let clock = MockClock::new();
    let tier = MemoryTier::new(8 << 20, clock.shared())?;
    let store: Arc<dyn aeth_core::blob::BlobStore> = Arc::new(MemoryStore::new());
    let open = |keys| -> Result<(Caches, Cache<u64>), Failure> {
        let warming =
            Warming::in_blobs(Arc::clone(&store), "warm/").values(false).keys(keys).rate(10).batch(5);
        let caches = builder(&clock).tier(Arc::new(tier.clone())).warming(warming).build()?;
        let cache = caches.open("c", options())?;
        Ok((caches, cache))
    };
    let (caches, cache) = open(20)?;
    for key in 0..100_u64 {
        cache.put(&key, key).await?;
    }
    // Keys 40 to 59 are hot.
    for _ in 0..200 {
        (40..60_u64).for_each(|key| drop(cache.peek(&key)));
    }
    // The periodic save; a crash afterwards.
    settle().await;
    clock.advance(secs(60));
    while !store.exists(&aeth_core::BlobPath::new("warm/keys.aetw")?).await? {
        settle().await;
    }
    drop((caches, cache));
    let (caches, cache) = open(20)?;
    let began = aeth_core::Clock::monotonic(&clock);
    let warmup = caches.warm_up()?;
    let report = clock.drive(warmup.wait()).await?;
    assert_eq!((report.keys, report.read), (20, 20), "{report:?}");
    let here = (40..60_u64).filter(|key| cache.peek(key).is_some()).count();
    assert!(here >= 18, "of 20 hot keys {here} are back");
    let took = aeth_core::Clock::monotonic(&clock) - began;
    assert!(took >= Duration::from_millis(1900), "20 keys at 10 a second took {took:?}");
    Ok(())
}

#[tokio::test]
async fn entries_planted_below_are_found_by_their_saved_keys() -> Test {
    let (clock, dir) = (MockClock::new(), tempfile::tempdir()?);
    let (caches, cache) = start(&clock, dir.path())?;
    cache.put(&1, 1).await?;
    assert_eq!(caches.save_hot_keys().await?, 1);
    drop((caches, cache));
    // The next process has a tier, and only one of its caches is open.
    let tier = MemoryTier::new(1 << 20, clock.shared())?;
    let value = aeth_cache::Codec::encode(&aeth_cache::Postcard::default(), &9_u64)?;
    let now = aeth_core::ClockExt::unix_millis(&clock);
    let entry = Entry::new(value, now, now + 60_000).with_codec(aeth_core::cache::CodecId::POSTCARD, 0);
    tier.put(&Namespace::new("c")?, Key::new("1")?, entry).await?;
    let caches = builder(&clock).tier(Arc::new(tier)).warming(in_dir(dir.path())).build()?;
    assert_eq!(caches.warm_up()?.wait().await?.not_open, 1);
    let cache = caches.open("c", options())?;
    let report = caches.warm_up()?.wait().await?;
    assert_eq!((report.read, cache.peek(&1).as_deref()), (1, Some(&9)));
    Ok(())
}
