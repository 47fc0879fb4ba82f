//! What subscribers are told.

use super::Scene;
use crate::support::{Failure, Test, secs};
use aeth_cache::{CacheEvent, CacheEvents, CacheOptions, Caches, EventKind, Item};
use aeth_core::policy::BreakerState;
use aeth_core::sim::Fault;
use bytes::Bytes;
use futures_util::FutureExt;

fn told(events: &mut CacheEvents) -> Vec<CacheEvent> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

fn kinds(events: &mut CacheEvents) -> Vec<EventKind> {
    told(events).iter().filter_map(CacheEvent::kind).collect()
}

#[tokio::test]
async fn each_answer_and_change_is_told_once() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open::<u64>("c", CacheOptions::new().fresh_for(secs(10)).usable_for(secs(60)))?;
    let mut all = caches.events(&EventKind::ALL);
    let mut loads = caches.events(&[EventKind::Load]);
    let fail = || async { Err::<u64, Failure>("no".into()) };
    cache.get_or_load(&1, || async { Ok::<_, Failure>(1) }).await?;
    cache.get(&1).await?;
    cache.put_item(&2, Item::new(2).with_tag("t")?).await?;
    assert!(cache.peek(&3).is_none());
    cache.invalidate_tag("t").await?;
    cache.remove(&2).await?;
    scene.clock.advance(secs(11));
    cache.get_or_load(&1, fail).await?;
    cache.clear().await?;
    let expected = {
        use EventKind::{Cleared, Hit, Load, Miss, Put, Removed, Stale, TagsInvalidated};
        [Load, Miss, Hit, Put, Miss, TagsInvalidated, Removed, Load, Stale, Cleared]
    };
    assert_eq!(kinds(&mut all), expected);
    let loads = told(&mut loads);
    let [CacheEvent::Load { key: Some(key), error: None, .. }, CacheEvent::Load { error: Some(_), .. }] =
        &loads[..]
    else {
        return Err(format!("{loads:?}").into());
    };
    assert_eq!(key.as_bytes(), b"1");
    // Another process finds it in the tier.
    cache.put(&4, 4).await?;
    let other = scene.caches();
    let mut events = other.events(&EventKind::ALL);
    other.open::<u64>("c", CacheOptions::new().fresh_for(secs(10)))?.get(&4).await?;
    assert_eq!(kinds(&mut events), [EventKind::TierHit]);
    Ok(())
}

#[tokio::test]
async fn outages_and_their_end_are_told() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open::<u64>("c", CacheOptions::new())?;
    let mut events = caches.events(&[EventKind::Breaker, EventKind::Recovery]);
    scene.plan.go_down(Fault::unavailable());
    for key in 0..10_u64 {
        assert!(cache.remove(&key).await.is_err());
    }
    assert!(
        matches!(&told(&mut events)[..], [CacheEvent::Breaker { tier, state: BreakerState::Open }] if tier == "memory")
    );
    scene.plan.come_up();
    scene.pass(1).await;
    let after = told(&mut events);
    assert!(matches!(after[0], CacheEvent::Breaker { state: BreakerState::Closed, .. }), "{after:?}");
    assert!(matches!(after[1], CacheEvent::Recovery { sent: 10, pending: 0, .. }), "{after:?}");
    Ok(())
}

#[tokio::test]
async fn evictions_are_told_and_slow_subscribers_miss_some() -> Test {
    let caches = Caches::builder().memory(64 << 10).build()?;
    let cache = caches.open::<Bytes>("c", CacheOptions::raw())?;
    let mut events = caches.events(&[EventKind::Evicted]);
    let mut slow = caches.events(&EventKind::ALL);
    for n in 0..5000_u64 {
        cache.put(&n, Bytes::from(vec![0; 1000])).await?;
    }
    let missed = told(&mut events).iter().any(|event| matches!(event, CacheEvent::Missed(_)));
    assert!(missed, "5000 puts and as many evictions are more than are held");
    cache.put(&0, Bytes::from(vec![0; 1000])).await?;
    cache.put(&1, Bytes::from(vec![0; 1000])).await?;
    assert!(matches!(slow.next().await, Some(CacheEvent::Missed(_))));
    let mut evicted = false;
    for n in 0..200_u64 {
        cache.put(&n, Bytes::from(vec![0; 1000])).await?;
        evicted |= told(&mut events).iter().any(|event| matches!(event, CacheEvent::Evicted(_)));
    }
    assert!(evicted);
    // The end of the caches is the end of the stream.
    drop((cache, caches));
    Ok(())
}
