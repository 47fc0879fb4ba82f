//! The typed cache: keys, types, tags, versions, budgets, figures.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use crate::support;

use aeth_cache::{CacheOptions, Caches, EntryState, Item, L1Engine};
use aeth_core::observe::{HealthCheck, Status};
use aeth_core::{ErrorKind, Tag};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use support::{Failure, Test, caches, figures, mocked, numbers, secs};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[tokio::test]
async fn values_come_back_as_they_were() -> Test {
    let caches = caches();
    let users = caches.open::<User>("users", CacheOptions::default())?;
    let user = User { id: 42, name: "Ada".into() };
    let found = {
        let user = user.clone();
        users.get_or_load(&42, move || async move { Ok::<_, std::io::Error>(user) }).await?
    };
    assert_eq!(*found, user);
    assert_eq!(users.get(&42).await?.as_deref(), Some(&user));
    assert!(std::sync::Arc::ptr_eq(&found, &users.peek(&42).unwrap()), "a hit is the very same value");
    users.remove(&42).await?;
    assert_eq!(users.get(&42).await?, None);
    users.put_many(vec![(1, user.clone()), (2, user.clone())]).await?;
    assert_eq!(users.get_many(&[1, 3, 2]).await?.iter().filter(|user| user.is_some()).count(), 2);
    users.remove_many(&[1, 2]).await?;
    assert_eq!(users.get_many(&[1, 2]).await?, [None, None]);
    Ok(())
}

#[tokio::test]
async fn a_name_has_one_type() -> Test {
    let caches = caches();
    let first = caches.open::<u64>("numbers", CacheOptions::new())?;
    first.put(&1, 1).await?;
    let again = caches.open::<u64>("numbers", CacheOptions::new())?;
    assert_eq!(again.peek(&1).as_deref(), Some(&1));
    let error = caches.open::<String>("numbers", CacheOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("u64"), "{error}");
    assert_eq!(caches.open::<u64>("no name", CacheOptions::new()).unwrap_err().kind(), ErrorKind::Invalid);
    let other = caches.open::<u64>("others", CacheOptions::new())?;
    assert_eq!(other.peek(&1), None, "namespaces are apart");
    Ok(())
}

#[test]
fn options_that_contradict_are_all_named() {
    let options =
        CacheOptions::new().fresh_for(secs(10)).usable_for(secs(1)).jitter(2.0).lease_for(Duration::ZERO);
    let error = caches().open::<u64>("numbers", options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for part in ["usable_for", "jitter", "lease_for"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(Caches::builder().memory(100).build().unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn keys_that_are_empty_or_too_long_are_refused() -> Test {
    let cache = numbers(&caches());
    for key in [String::new(), "k".repeat(513)] {
        assert_eq!(cache.peek(&key), None);
        assert_eq!(cache.get(&key).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(cache.put(&key, 1).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(cache.remove(&key).await.unwrap_err().kind(), ErrorKind::Invalid);
        let load = || async { Ok::<_, Failure>(1) };
        assert_eq!(cache.get_or_load(&key, load).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    for key in [&[0_u8, 255, 13, 10][..], &[7; 512], &[7; 30], &[7; 31]] {
        cache.put(key, 1).await?;
        assert_eq!(cache.peek(key).as_deref(), Some(&1));
    }
    assert_eq!(cache.peek(&("x".repeat(600), 1_u8)), None);
    Ok(())
}

#[tokio::test]
async fn tags_take_their_entries_and_no_others() -> Test {
    let cache = numbers(&caches());
    cache.put_item("a", Item::new(1).with_tag("x")?).await?;
    cache.put_item("b", Item::new(2).with_tag("x")?.with_tag("y")?).await?;
    cache.put_item("c", Item::new(3).with_tag("z")?).await?;
    cache.put("d", 4).await?;
    let state = || ["a", "b", "c", "d"].map(|key| cache.peek(key).is_some());
    cache.invalidate_tag("y").await?;
    assert_eq!(state(), [true, false, true, true]);
    cache.invalidate_tags(&[Tag::new("x")?, Tag::new("unused")?]).await?;
    assert_eq!(state(), [false, false, true, true]);
    cache.put_item("a", Item::new(5).with_tag("x")?).await?;
    assert_eq!(cache.peek("a").as_deref(), Some(&5));
    cache.clear().await?;
    assert_eq!(state(), [false; 4]);
    cache.put("d", 4).await?;
    assert_eq!(cache.peek("d").as_deref(), Some(&4));
    assert!(Item::new(1).with_tag("").is_err());
    let mut item = Item::new(1);
    for n in 0..Item::<u64>::MAX_TAGS {
        item = item.with_tag(n.to_string())?;
    }
    assert!(item.with_tag("one more").is_err());
    Ok(())
}

#[tokio::test]
async fn a_greater_version_is_never_replaced_by_a_smaller_one() -> Test {
    let cache = numbers(&caches());
    cache.put_item("k", Item::new(5).with_version(5)).await?;
    cache.put_item("k", Item::new(4).with_version(4)).await?;
    assert_eq!(cache.peek("k").as_deref(), Some(&5));
    cache.put_item("k", Item::new(6).with_version(6)).await?;
    assert_eq!(cache.peek("k").as_deref(), Some(&6));
    cache.put("k", 0).await?;
    assert_eq!(cache.peek("k").as_deref(), Some(&0));
    Ok(())
}

#[tokio::test]
async fn a_gap_makes_everything_stale_and_loses_nothing() -> Test {
    let (caches, _clock) = mocked();
    let cache =
        caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(10)).usable_for(secs(60)))?;
    cache.put(&1, 7).await?;
    caches.assume_stale();
    assert_eq!(cache.peek(&1), None);
    assert_eq!(cache.explain(&1).await?.local.unwrap().state, EntryState::StaleByGap);
    let failing = || async { Err::<u64, Failure>("down".into()) };
    assert_eq!(*cache.get_or_load(&1, failing).await?, 7);
    caches.assume_stale();
    assert_eq!(*cache.get_or_load(&1, || async { Ok::<_, Failure>(8) }).await?, 8);
    assert_eq!(cache.peek(&1).as_deref(), Some(&8));
    Ok(())
}

#[tokio::test]
async fn the_budget_is_shared_and_held() -> Test {
    for engine in [L1Engine::Quick, L1Engine::Moka, L1Engine::Adaptive] {
        let caches = Caches::builder().memory(4 << 20).engine(engine).build()?;
        let small = caches.open::<Bytes>("small", CacheOptions::raw())?;
        let large = caches.open::<Bytes>("large", CacheOptions::raw())?;
        for n in 0..2000_u64 {
            small.put(&n, Bytes::from(vec![1; 1000])).await?;
            large.put(&n, Bytes::from(vec![2; 9000])).await?;
        }
        // moka evicts in batches, by the hands of its callers.
        for n in 0..2000_u64 {
            drop(large.peek(&n));
            large.put("again", Bytes::from_static(b"x")).await?;
        }
        let figures = figures(&caches);
        let bytes = figures["aeth_cache_memory_bytes small"] + figures["aeth_cache_memory_bytes large"];
        assert!(bytes <= 1.05 * f64::from(4 << 20), "{engine:?} holds {bytes}");
        assert!(bytes >= 0.6 * f64::from(4 << 20), "{engine:?} holds {bytes}");
        assert!(figures["aeth_cache_evictions large"] > 1000.0, "{engine:?}");
        let entries = |space: &str| figures[&format!("aeth_cache_entries {space}")];
        assert!(entries("small") + entries("large") < 2500.0);
        for cache in [&small, &large] {
            cache.clear().await?;
        }
        let figures = support::figures(&caches);
        assert_eq!(figures["aeth_cache_memory_bytes small"], 0.0, "{engine:?}");
        assert_eq!(figures["aeth_cache_entries large"], 0.0, "{engine:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_value_larger_than_the_budget_is_not_kept_and_the_old_one_is_gone() -> Test {
    for engine in [L1Engine::Quick, L1Engine::Moka, L1Engine::Adaptive] {
        let caches = Caches::builder().memory(64 << 10).engine(engine).build()?;
        let cache = caches.open::<Bytes>("bytes", CacheOptions::raw())?;
        cache.put("k", Bytes::from_static(b"old")).await?;
        cache.put("k", Bytes::from(vec![0; 100 << 10])).await?;
        assert_eq!(cache.peek("k"), None, "{engine:?}");
        let load = || async { Ok::<_, Failure>(Bytes::from(vec![0; 100 << 10])) };
        assert_eq!(cache.get_or_load("k", load).await?.len(), 100 << 10);
    }
    Ok(())
}

#[tokio::test]
async fn local_values_need_no_codec() -> Test {
    struct Connection(&'static str);
    let cache = caches().open::<Connection>("connections", CacheOptions::local().weigh(|_| 1000))?;
    cache.put("db", Connection("open")).await?;
    assert_eq!(cache.peek("db").unwrap().0, "open");
    Ok(())
}

#[tokio::test]
async fn every_look_up_is_counted_once() -> Test {
    let (caches, clock) = mocked();
    let cache =
        caches.open::<u64>("numbers", CacheOptions::new().fresh_for(secs(10)).usable_for(secs(60)))?;
    let load = || async { Ok::<_, Failure>(1) };
    let fail = || async { Err::<u64, Failure>("no".into()) };
    cache.get_or_load(&1, load).await?; // miss
    cache.get_or_load(&1, load).await?; // hit
    cache.get(&1).await?; // hit
    assert!(cache.peek(&1).is_some()); // hit
    assert!(cache.peek(&2).is_none()); // miss
    assert!(cache.get(&2).await?.is_none()); // miss
    assert!(cache.get_or_load(&2, fail).await.is_err()); // miss
    cache.get_or_load_scoped(&3, load).await?; // miss
    cache
        .get_or_load_many(&[1, 4, 5], |keys: Vec<u64>| async move {
            Ok::<_, Failure>(keys.into_iter().map(|key| (key, key)).collect())
        })
        .await?; // 1 hit, 2 misses
    clock.advance(secs(11));
    cache.get_or_load(&1, fail).await?; // stale
    cache.get_or_load(&1, fail).await?; // stale
    cache.remove(&1).await?;
    let figures = figures(&caches);
    let figure = |name: &str| figures[&format!("aeth_cache_{name} numbers")];
    assert_eq!(figure("stale"), 2.0);
    assert_eq!(figure("hits"), 4.0 + 2.0);
    assert_eq!(figure("misses"), 7.0);
    assert_eq!(figure("loads"), 5.0);
    assert_eq!(figure("load_errors"), 2.0);
    assert_eq!(figure("load_duration_seconds"), 5.0);
    assert_eq!(figure("removals"), 1.0);
    assert_eq!(figure("entries"), 3.0);
    assert_eq!(figures["aeth_cache_memory_max_bytes "], f64::from(8 << 20));
    assert_eq!(caches.check().await.status, Status::Up);
    Ok(())
}

/// What the last handle leaves behind is nothing.
#[tokio::test]
async fn dropped_caches_are_gone() -> Test {
    #[derive(Debug)]
    struct Noted(std::sync::Arc<()>);
    let alive = std::sync::Arc::new(());
    let caches = caches();
    let cache = caches.open::<Noted>("noted", CacheOptions::local())?;
    cache.put(&1, Noted(std::sync::Arc::clone(&alive))).await?;
    drop(caches);
    assert_eq!(cache.peek(&1).map(|noted| std::sync::Arc::strong_count(&noted.0)), Some(2));
    drop(cache);
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    Ok(())
}
