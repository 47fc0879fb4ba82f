//! Tiers that hang, fail and come back.

use super::Scene;
use crate::support::{Failure, Test, builder, figures, secs};
use aeth_cache::{Cache, CacheOptions, Caches, CallOptions, Tiers};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, Lookup};
use aeth_core::policy::{BreakerSettings, BreakerState};
use aeth_core::sim::{Fault, FaultPlan, FaultyTier};
use aeth_core::{Clock, ErrorKind, Key, Namespace};
use std::sync::Arc;
use std::time::Duration;

const SOFT: Duration = Duration::from_millis(20);

/// A cache with one stale value over a tier.
async fn stale(scene: &Scene, caches: &Caches) -> Result<Cache<u64>, Failure> {
    let options = CacheOptions::new().fresh_for(secs(10)).usable_for(secs(10_000)).tier_soft_timeout(SOFT);
    let cache = caches.open::<u64>("c", options)?;
    cache.put(&1, 7).await?;
    scene.clock.advance(secs(11));
    Ok(cache)
}

#[tokio::test]
async fn a_hung_tier_costs_its_soft_timeout_until_the_breaker_opens() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = stale(&scene, &caches).await?;
    scene.plan.go_down(Fault::Hang);
    let state = || caches.breakers()[0].1;
    // With the put that went well these are the eight that it takes.
    for _ in 0..7 {
        assert_eq!(state(), BreakerState::Closed);
        let began = scene.clock.monotonic();
        assert_eq!(scene.clock.drive(cache.get(&1)).await?.as_deref(), Some(&7));
        assert_eq!(scene.clock.monotonic() - began, SOFT);
    }
    assert_eq!(state(), BreakerState::Open);
    let calls = scene.plan.calls("get");
    let began = scene.clock.monotonic();
    for _ in 0..1000 {
        assert_eq!(cache.get(&1).await?.as_deref(), Some(&7));
        assert_eq!(cache.get_many(&[1]).await?[0].as_deref(), Some(&7));
    }
    assert_eq!((scene.plan.calls("get"), scene.clock.monotonic()), (calls, began));
    // What is not here is unavailable at once, and not a miss.
    assert_eq!(cache.get(&2).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // A load goes on without the tier.
    assert_eq!(*cache.get_or_load(&2, || async { Ok::<_, Failure>(8) }).await?, 8);
    assert_eq!(scene.plan.calls("lease"), 0);
    let figures = figures(&caches);
    assert_eq!(figures["aeth_cache_tier_breaker memory"], 2.0);
    assert!(figures["aeth_cache_tier_refused memory"] > 0.0);
    // After its time one caller probes; when that fails it is open for twice as long.
    scene.clock.advance(Duration::from_millis(500));
    assert_eq!(state(), BreakerState::HalfOpen);
    assert_eq!(scene.clock.drive(cache.get(&1)).await?.as_deref(), Some(&7));
    assert_eq!((state(), scene.plan.calls("get")), (BreakerState::Open, calls + 1));
    scene.clock.advance(Duration::from_millis(900));
    assert_eq!(state(), BreakerState::Open);
    scene.clock.advance(Duration::from_millis(100));
    scene.plan.come_up();
    cache.get(&1).await?;
    assert_eq!(state(), BreakerState::Closed);
    Ok(())
}

#[tokio::test]
async fn a_call_has_its_own_patience_with_tiers() -> Test {
    let scene = Scene::new();
    let caches = scene.builder().without_breaker().build()?;
    let cache = stale(&scene, &caches).await?;
    scene.plan.go_down(Fault::Hang);
    let began = scene.clock.monotonic();
    let call = CallOptions::new().tier_soft_timeout(Duration::from_millis(3));
    assert_eq!(scene.clock.drive(cache.with(call).get(&1)).await?.as_deref(), Some(&7));
    assert_eq!(scene.clock.monotonic() - began, Duration::from_millis(3));
    let call = call.tier_timeout(Duration::from_millis(40));
    let error = scene.clock.drive(cache.with(call).get(&2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(scene.clock.monotonic() - began, Duration::from_millis(43));
    let strict = cache.with(call.fail_safe(false));
    assert!(scene.clock.drive(strict.get(&1)).await.is_err(), "no stale value for who wants none");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_goes_away_is_no_failure() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = stale(&scene, &caches).await?;
    scene.plan.go_down(Fault::Hang);
    for _ in 0..50 {
        let call = tokio::time::timeout(Duration::from_millis(1), cache.get(&1));
        assert!(call.await.is_err());
    }
    assert_eq!(caches.breakers()[0].1, BreakerState::Closed);
    Ok(())
}

#[tokio::test]
async fn removals_reach_a_tier_that_is_back_although_its_breaker_is_open() -> Test {
    let scene = Scene::new();
    let settings = BreakerSettings::default().with_open(secs(3600), secs(3600));
    let caches = scene.builder().breaker(settings).build()?;
    let cache = caches.open::<u64>("c", CacheOptions::new().fresh_for(secs(7200)))?;
    for key in 0..20_u64 {
        cache.put(&key, key).await?;
    }
    scene.plan.go_down(Fault::unavailable());
    for key in 0..20_u64 {
        assert!(cache.remove(&key).await.is_err());
    }
    assert_eq!(caches.breakers()[0].1, BreakerState::Open);
    scene.plan.come_up();
    scene.pass(1).await;
    assert_eq!((caches.pending_removals(), caches.breakers()[0].1), (0, BreakerState::Closed));
    assert_eq!(scene.stored("c", "3").await, None);
    Ok(())
}

#[tokio::test]
async fn one_hung_part_does_not_hold_up_the_stack() -> Test {
    let scene = Scene::new();
    let plan = FaultPlan::new(1).with_clock(scene.clock.shared());
    let upper = FaultyTier::new(aeth_cache::MemoryTier::new(1 << 20, scene.clock.shared())?, plan.clone());
    let parts: Vec<Arc<dyn CacheTier>> = vec![Arc::new(upper), Arc::new(scene.tier.clone())];
    let stack = Tiers::new(parts, scene.clock.shared())?;
    let (space, key) = (Namespace::new("c")?, Key::new("k")?);
    let entry = Entry::new("v", 0, u64::MAX);
    scene.tier.put(&space, key.clone(), entry).await?;
    plan.go_down(Fault::Hang);
    let began = scene.clock.monotonic();
    let mut took = began;
    for _ in 0..40 {
        assert!(matches!(scene.clock.drive(stack.get(&space, &key)).await, Lookup::Hit(_)));
        took = scene.clock.monotonic() - began;
    }
    // Eight look-ups cost the limit of a part, the other 32 nothing.
    assert_eq!(took, secs(8));
    Ok(())
}

#[tokio::test]
async fn without_a_breaker_every_call_is_made() -> Test {
    let scene = Scene::new();
    let caches = scene.builder().without_breaker().build()?;
    let cache = stale(&scene, &caches).await?;
    scene.plan.go_down(Fault::unavailable());
    for _ in 0..100 {
        assert_eq!(cache.get(&1).await?.as_deref(), Some(&7));
    }
    assert_eq!(scene.plan.calls("get"), 100);
    assert_eq!(
        builder(&scene.clock).call_timeout(Duration::ZERO).build().unwrap_err().kind(),
        ErrorKind::Invalid
    );
    Ok(())
}
