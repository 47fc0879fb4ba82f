//! What differs by call, what is told of each tier, and queues that run over.

use super::Scene;
use crate::support::{Failure, Source, Test, builder, mocked, secs, settle};
use aeth_cache::{CacheOptions, CallOptions, EntryState, MemoryTier, TierReport};
use aeth_core::sim::Fault;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_call_decides_how_long_a_failure_is_believed_and_how_far_times_are_spread() -> Test {
    let (caches, clock) = mocked();
    let options = CacheOptions::new().fresh_for(secs(10)).usable_for(secs(1000)).retry_after(secs(1));
    let cache = caches.open::<u64>("numbers", options)?;
    cache.put(&1, 7).await?;
    clock.advance(secs(11));
    let fails = || async { Err::<u64, Failure>("the source is down".into()) };
    let patient = cache.with(CallOptions::new().retry_after(secs(60)));
    assert_eq!(*patient.get_or_load(&1, fails).await?, 7);
    let source = Source::open(8);
    let load = || {
        let source = source.clone();
        move || source.load()
    };
    clock.advance(secs(59));
    assert_eq!((*cache.get_or_load(&1, load()).await?, source.loads()), (7, 0));
    clock.advance(secs(1));
    assert_eq!((*cache.get_or_load(&1, load()).await?, source.loads()), (8, 1));

    // More than half in either direction is not to be had.
    let spread = cache.with(CallOptions::new().fresh_for(secs(100)).jitter(9.0));
    for key in 10..1010_u64 {
        spread.put(&key, key).await?;
    }
    let alive = || (10..1010_u64).filter(|key| cache.peek(key).is_some()).count();
    clock.advance(secs(49));
    assert_eq!(alive(), 1000);
    clock.advance(secs(51));
    assert!((350..650).contains(&alive()), "{}", alive());
    clock.advance(secs(51));
    assert_eq!(alive(), 0);
    Ok(())
}

#[tokio::test]
async fn a_call_decides_about_early_refresh() -> Test {
    let (caches, clock) = mocked();
    let cache = caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(100)))?;
    let eager = cache.with(CallOptions::new().early_refresh(100.0));
    for key in 0..50_u64 {
        let wait = clock.clone();
        let load = move || async move {
            aeth_core::Clock::sleep(&wait, secs(20)).await;
            Ok::<_, Failure>(1)
        };
        clock.drive(eager.get_or_load(&key, load)).await?;
        // A hundred times twenty seconds early, with few exceptions: at once.
        let source = Source::open(2);
        let again = source.clone();
        assert_eq!(*cache.get_or_load(&key, move || again.load()).await?, 1);
        settle().await;
        if source.loads() == 1 {
            assert_eq!(cache.peek(&key).as_deref(), Some(&2));
            return Ok(());
        }
    }
    Err("no entry was refreshed early".into())
}

#[tokio::test]
async fn a_call_decides_how_long_a_copy_is_trusted() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open::<u64>("c", CacheOptions::new().fresh_for(secs(600)))?;
    cache.with(CallOptions::new().local_fresh_for(secs(1))).put("short", 1).await?;
    cache.put("long", 1).await?;
    scene.clock.advance(secs(2));
    assert_eq!((cache.peek("short"), cache.peek("long").as_deref()), (None, Some(&1)));
    assert_eq!(cache.get("short").await?.as_deref(), Some(&1), "the tier confirms it");
    assert_eq!(scene.plan.calls("get"), 1);
    Ok(())
}

#[tokio::test]
async fn each_tier_of_a_stack_is_explained() -> Test {
    let scene = Scene::new();
    let upper = MemoryTier::new(1 << 20, scene.clock.shared())?;
    let faulty = aeth_core::sim::FaultyTier::new(scene.tier.clone(), scene.plan.clone());
    let caches = builder(&scene.clock).tier(Arc::new(upper)).tier(Arc::new(faulty)).build()?;
    let cache = caches.open::<u64>("c", CacheOptions::new().fresh_for(secs(10)).usable_for(secs(60)))?;
    cache.put("k", 1).await?;
    scene.clock.advance(secs(11));
    let told = cache.explain("k").await?;
    assert_eq!(told.local.as_ref().map(|report| report.state), Some(EntryState::Stale));
    let states = |told: &aeth_cache::Explanation| -> Vec<Option<EntryState>> {
        let state = |report: &TierReport| match report {
            TierReport::Entry(report) => Some(report.state),
            _ => None,
        };
        told.lower.iter().map(|(_, report)| state(report)).collect()
    };
    assert_eq!(states(&told), [Some(EntryState::Stale); 2]);
    scene.plan.go_down(Fault::unavailable());
    let told = cache.explain("k").await?;
    assert_eq!(states(&told), [Some(EntryState::Stale), None]);
    assert!(told.to_string().contains("unavailable"), "{told}");
    Ok(())
}

/// More removals than are kept become one: everything of the namespace goes, rather than one old value staying.
#[tokio::test]
async fn removals_beyond_what_is_kept_clear_the_namespace() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let options = || CacheOptions::new().fresh_for(secs(6000)).tier_timeout(Duration::from_millis(100));
    let (cache, other) = (caches.open::<u64>("c", options())?, caches.open::<u64>("other", options())?);
    for cache in [&cache, &other] {
        cache.put("untouched", 1).await?;
        cache.put(&7, 1).await?;
    }
    scene.plan.go_down(Fault::unavailable());
    let keys: Vec<u64> = (0..70_000).collect();
    assert!(cache.remove_many(&keys).await.is_err());
    assert_eq!(caches.pending_removals(), 1, "one clear for all of them");
    scene.plan.come_up();
    scene.pass(2).await;
    assert_eq!(caches.pending_removals(), 0);
    assert_eq!((scene.stored("c", "7").await, scene.stored("c", "untouched").await), (None, None));
    assert!(scene.stored("other", "7").await.is_some(), "another namespace is another's");
    assert_eq!(other.get(&7).await?.as_deref(), Some(&1));
    Ok(())
}
