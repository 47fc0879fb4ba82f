//! Fresh, stale, gone; what happens when loads are slow or fail; on a clock that the test owns.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use crate::support;

use aeth_cache::{CacheOptions, CallOptions, EntryState, Item};
use aeth_core::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{Failure, Source, Test, mocked, secs, settle};

async fn fails() -> Result<u64, Failure> {
    Err("the source is down".into())
}

#[tokio::test]
async fn an_entry_is_fresh_then_stale_then_gone() -> Test {
    let (caches, clock) = mocked();
    let cache =
        caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(10)).usable_for(secs(60)))?;
    let lenient = cache.with(CallOptions::new().allow_stale(true));
    cache.put(&1, 7).await?;
    clock.advance(Duration::from_millis(9999));
    assert_eq!(cache.peek(&1).as_deref(), Some(&7));
    clock.advance(Duration::from_millis(1));
    assert_eq!(cache.peek(&1), None);
    assert_eq!(cache.get(&1).await?, None);
    assert_eq!(lenient.peek(&1).as_deref(), Some(&7));
    assert_eq!(lenient.get(&1).await?.as_deref(), Some(&7));
    assert_eq!(cache.explain(&1).await?.local.unwrap().state, EntryState::Stale);
    clock.advance(secs(50));
    assert_eq!(lenient.peek(&1), None);
    assert_eq!(cache.explain(&1).await?.local, None);
    Ok(())
}

#[tokio::test]
async fn a_wall_clock_that_steps_changes_nothing() -> Test {
    let (caches, clock) = mocked();
    let cache = caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(10)))?;
    cache.put(&1, 7).await?;
    clock.step_back(secs(86_400));
    clock.advance(secs(9));
    assert_eq!(cache.peek(&1).as_deref(), Some(&7));
    clock.advance(secs(1));
    assert_eq!(cache.peek(&1), None);
    cache.put(&1, 8).await?;
    clock.step_forward(secs(200_000));
    assert_eq!(cache.peek(&1).as_deref(), Some(&8));
    Ok(())
}

#[tokio::test]
async fn a_failed_load_serves_the_stale_value_and_is_not_repeated_at_once() -> Test {
    let (caches, clock) = mocked();
    let options = || CacheOptions::new().fresh_for(secs(10)).usable_for(secs(100)).retry_after(secs(5));
    let cache = caches.open::<u64>("safe", options())?;
    let strict = caches.open::<u64>("strict", options().fail_safe(false))?;
    for cache in [&cache, &strict] {
        cache.put(&1, 7).await?;
    }
    clock.advance(secs(11));
    assert!(strict.get_or_load(&1, fails).await.is_err());
    let tries = Arc::new(AtomicU64::new(0));
    let attempt = || {
        let tries = Arc::clone(&tries);
        move || {
            tries.fetch_add(1, Ordering::SeqCst);
            fails()
        }
    };
    for _ in 0..5 {
        assert_eq!(*cache.get_or_load(&1, attempt()).await?, 7);
    }
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    assert_eq!(cache.explain(&1).await?.local.unwrap().state, EntryState::KeptAfterFailure);
    clock.advance(secs(6));
    assert_eq!(*cache.get_or_load(&1, attempt()).await?, 7);
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    // Not beyond its usable time.
    clock.advance(secs(90));
    assert!(cache.get_or_load(&1, attempt()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_slow_load_serves_the_stale_value_and_goes_on() -> Test {
    let (caches, clock) = mocked();
    let options =
        CacheOptions::new().fresh_for(secs(10)).usable_for(secs(100)).soft_timeout(Duration::from_millis(50));
    let cache = caches.open::<u64>("numbers", options)?;
    cache.put(&1, 7).await?;
    clock.advance(secs(11));
    let source = Source::gated(8);
    let load = source.clone();
    assert_eq!(*clock.drive(cache.get_or_load(&1, move || load.load())).await?, 7);
    assert_eq!(source.loads(), 1);
    source.let_go(1);
    settle().await;
    assert_eq!(cache.peek(&1).as_deref(), Some(&8));
    Ok(())
}

#[tokio::test]
async fn stale_while_revalidate_does_not_wait() -> Test {
    let (caches, clock) = mocked();
    let options = CacheOptions::new().fresh_for(secs(10)).usable_for(secs(100)).stale_while_revalidate();
    let cache = caches.open::<u64>("numbers", options)?;
    cache.put(&1, 7).await?;
    clock.advance(secs(11));
    let source = Source::gated(8);
    for _ in 0..10 {
        let load = source.clone();
        assert_eq!(*cache.get_or_load(&1, move || load.load()).await?, 7);
    }
    settle().await;
    assert_eq!(source.loads(), 1);
    source.let_go(1);
    settle().await;
    assert_eq!(cache.peek(&1).as_deref(), Some(&8));
    Ok(())
}

#[tokio::test]
async fn early_refresh_happens_before_expiry_and_in_the_background() -> Test {
    let (caches, clock) = mocked();
    let options = CacheOptions::new().fresh_for(secs(100)).early_refresh(1.0);
    let cache = caches.open::<u64>("numbers", options)?;
    // A load that takes 20 seconds of a time of 100 is refreshed early soon.
    for key in 0..200_u64 {
        let wait = clock.clone();
        let load = move || async move {
            aeth_core::Clock::sleep(&wait, secs(20)).await;
            Ok::<_, Failure>(1)
        };
        clock.drive(cache.get_or_load(&key, load)).await?;
        // All of them are to be looked at the same age, half of their time.
        clock.advance(secs(50));
        let source = Source::open(2);
        let again = source.clone();
        assert_eq!(*cache.get_or_load(&key, move || again.load()).await?, 1);
        settle().await;
        if source.loads() == 1 {
            assert_eq!(cache.peek(&key).as_deref(), Some(&2));
            return Ok(());
        }
    }
    // The chance that none of 200 is early by 2.5 load times is 10⁻⁷.
    Err("no entry was refreshed early".into())
}

#[tokio::test]
async fn jitter_spreads_the_end_of_freshness() -> Test {
    let (caches, clock) = mocked();
    let cache = caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(100)).jitter(0.2))?;
    for key in 0..1000_u64 {
        cache.put(&key, key).await?;
    }
    let alive = || (0..1000_u64).filter(|key| cache.peek(key).is_some()).count();
    clock.advance(secs(79));
    assert_eq!(alive(), 1000);
    clock.advance(secs(21));
    assert!((350..650).contains(&alive()), "{}", alive());
    clock.advance(secs(21));
    assert_eq!(alive(), 0);
    Ok(())
}

#[tokio::test]
async fn absence_is_cached_for_its_own_time() -> Test {
    let (caches, clock) = mocked();
    let cache = caches.open::<u64>("numbers", CacheOptions::new().negative_for(secs(5)))?;
    let loads = Arc::new(AtomicU64::new(0));
    let absent = || {
        let loads = Arc::clone(&loads);
        move || async move {
            loads.fetch_add(1, Ordering::SeqCst);
            Ok::<Option<u64>, Failure>(None)
        }
    };
    for _ in 0..3 {
        assert_eq!(cache.find_or_load(&1, absent()).await?, None);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    let never = || async { Ok::<u64, Failure>(1) };
    assert_eq!(cache.get_or_load(&1, never).await.unwrap_err().kind(), ErrorKind::NotFound);
    clock.advance(secs(5));
    assert_eq!(*cache.get_or_load(&1, never).await?, 1);
    // Where nothing is said, absence is not kept.
    let plain = caches.open::<u64>("plain", CacheOptions::new())?;
    for _ in 0..3 {
        assert_eq!(plain.find_or_load(&1, absent()).await?, None);
    }
    assert_eq!(loads.load(Ordering::SeqCst), 4);
    Ok(())
}

#[tokio::test]
async fn an_item_has_its_own_times_and_a_call_has_too() -> Test {
    let (caches, clock) = mocked();
    let cache = caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(10)))?;
    cache.put_item("item", Item::new(1).with_fresh_for(secs(2))).await?;
    cache.with(CallOptions::new().fresh_for(secs(5))).put("call", 2).await?;
    cache.put("cache", 3).await?;
    let state = || ["item", "call", "cache"].map(|key| cache.peek(key).is_some());
    clock.advance(secs(1));
    assert_eq!(state(), [true, true, true]);
    clock.advance(secs(2));
    assert_eq!(state(), [false, true, true]);
    clock.advance(secs(3));
    assert_eq!(state(), [false, false, true]);
    Ok(())
}

#[tokio::test]
async fn a_call_decides_about_failure_and_absence() -> Test {
    let (caches, clock) = mocked();
    let cache =
        caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(10)).usable_for(secs(100)))?;
    cache.put(&1, 7).await?;
    clock.advance(secs(11));
    let strict = cache.with(CallOptions::new().fail_safe(false));
    assert!(strict.get_or_load(&1, fails).await.is_err());
    assert_eq!(*cache.get_or_load(&1, fails).await?, 7);
    let absent = || async { Ok::<Option<u64>, Failure>(None) };
    let remembers = cache.with(CallOptions::new().negative_for(secs(5)));
    assert_eq!(remembers.find_or_load(&2, absent).await?, None);
    let present = || async { Ok::<_, Failure>(Some(2)) };
    assert_eq!(cache.find_or_load(&2, present).await?, None, "the absence is cached");
    clock.advance(secs(5));
    assert_eq!(cache.find_or_load(&2, present).await?.as_deref(), Some(&2));
    // Its own hard timeout, instead of the half minute of the cache.
    let hurried = cache.with(CallOptions::new().hard_timeout(Duration::from_millis(5)));
    let hangs = || std::future::pending::<Result<u64, Failure>>();
    let began = aeth_core::Clock::monotonic(&clock);
    let late = clock.drive(hurried.get_or_load(&3, hangs)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    assert_eq!(aeth_core::Clock::monotonic(&clock) - began, Duration::from_millis(5));
    Ok(())
}

#[tokio::test]
async fn reload_loads_although_there_is_a_fresh_value() -> Test {
    let (caches, _clock) = mocked();
    let cache = caches.open::<u64>("numbers", CacheOptions::new())?;
    cache.put(&1, 1).await?;
    let two = || async { Ok::<_, Failure>(2) };
    assert_eq!(*cache.get_or_load(&1, two).await?, 1);
    assert_eq!(*cache.with(CallOptions::new().reload(true)).get_or_load(&1, two).await?, 2);
    assert_eq!(cache.peek(&1).as_deref(), Some(&2));
    Ok(())
}
