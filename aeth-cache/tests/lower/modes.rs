//! Write-through, write-behind, write-around.

use super::Scene;
use crate::support::tier::Slow;
use crate::support::{Failure, Source, Test, builder, secs, settle};
use aeth_cache::{CacheOptions, CallOptions, Item, MemoryTier, WhenFull, WriteBehind, WriteMode};
use aeth_core::cache::CacheTierExt;
use aeth_core::sim::{Fault, MockClock, SimRng};
use aeth_core::{ErrorKind, Key, Lifecycle, Namespace};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn behind() -> CacheOptions<Bytes> {
    CacheOptions::raw().fresh_for(secs(600)).write(WriteMode::Behind)
}

fn text(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[tokio::test]
async fn a_write_behind_is_seen_here_at_once_and_below_soon() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open("c", behind())?;
    for value in ["one", "two", "three"] {
        cache.put("k", text(value)).await?;
        assert_eq!(cache.peek("k").as_deref(), Some(&text(value)));
    }
    assert_eq!(scene.stored("c", "k").await, None);
    assert_eq!(caches.pending_writes(), 1, "writes of one key share a place");
    scene.pass(1).await;
    assert_eq!(scene.stored("c", "k").await.unwrap().value, text("three"));
    assert_eq!((caches.pending_writes(), scene.plan.calls("put")), (0, 1));
    Ok(())
}

#[tokio::test]
async fn the_mode_can_differ_by_call() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open::<Bytes>("c", CacheOptions::raw())?;
    cache.with(CallOptions::new().write(WriteMode::Behind)).put("behind", text("v")).await?;
    cache.with(CallOptions::new().write(WriteMode::Around)).put("around", text("v")).await?;
    cache.put("through", text("v")).await?;
    assert_eq!(scene.stored("c", "behind").await, None);
    assert!(scene.stored("c", "around").await.is_some() && scene.stored("c", "through").await.is_some());
    assert_eq!(cache.peek("around"), None, "memory does not keep what is written around it");
    assert_eq!(cache.get("around").await?.as_deref(), Some(&text("v")));
    assert!(cache.peek("behind").is_some() && cache.peek("through").is_some());
    Ok(())
}

#[tokio::test]
async fn writing_around_forgets_what_memory_had() -> Test {
    let scene = Scene::new();
    let over = scene.caches().open::<Bytes>("c", CacheOptions::raw().write(WriteMode::Around))?;
    over.put("k", text("old")).await?;
    over.get("k").await?;
    assert_eq!(over.peek("k").as_deref(), Some(&text("old")));
    over.put("k", text("new")).await?;
    assert_eq!(over.peek("k"), None);
    assert_eq!(over.get("k").await?.as_deref(), Some(&text("new")));
    // Without a tier there is nowhere to write to: the key is forgotten.
    let alone = crate::support::caches().open::<u64>("c", CacheOptions::new())?;
    alone.put("k", 1).await?;
    alone.with(CallOptions::new().write(WriteMode::Around)).put("k", 2).await?;
    assert_eq!(alone.get("k").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_removal_takes_back_what_waits_and_outlasts_what_is_on_its_way() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open("c", behind())?;
    cache.put("k", text("v")).await?;
    cache.remove("k").await?;
    assert_eq!((caches.pending_writes(), cache.get("k").await?), (0, None));
    scene.pass(1).await;
    assert_eq!(scene.stored("c", "k").await, None);
    // The write has left when the key is removed: it lands 100 ms later, and the removal comes after it.
    cache.put_item("k", Item::new(text("v")).with_tag("t")?).await?;
    scene.plan.go_down(Fault::Delay(Duration::from_millis(100)));
    settle().await;
    scene.clock.advance(Duration::from_millis(5));
    settle().await;
    assert_eq!(scene.plan.calls("put"), 1, "it is on its way");
    scene.clock.drive(cache.remove("k")).await?;
    assert_eq!(scene.stored("c", "k").await, None);
    assert_eq!(cache.peek("k"), None);
    // The same for tags and for the whole.
    for by_tag in [true, false] {
        let calls = scene.plan.calls("put");
        cache.put_item("k", Item::new(text("v")).with_tag("t")?).await?;
        settle().await;
        scene.clock.advance(Duration::from_millis(5));
        settle().await;
        assert_eq!(scene.plan.calls("put"), calls + 1);
        match by_tag {
            true => scene.clock.drive(cache.invalidate_tag("t")).await?,
            false => scene.clock.drive(cache.clear()).await?,
        }
        scene.pass(1).await;
        assert_eq!((scene.stored("c", "k").await, caches.pending_writes()), (None, 0));
        assert_eq!(cache.peek("k"), None);
    }
    Ok(())
}

#[tokio::test]
async fn tags_take_back_only_what_has_them() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let (cache, other) = (caches.open("c", behind())?, caches.open("other", behind())?);
    cache.put_item("a", Item::new(text("a")).with_tag("t")?).await?;
    cache.put("b", text("b")).await?;
    other.put_item("a", Item::new(text("a")).with_tag("t")?).await?;
    cache.invalidate_tag("t").await?;
    assert_eq!(caches.pending_writes(), 2);
    other.clear().await?;
    assert_eq!(caches.pending_writes(), 1);
    scene.pass(1).await;
    assert_eq!(scene.stored("c", "a").await, None);
    assert!(scene.stored("c", "b").await.is_some());
    assert_eq!(scene.stored("other", "a").await, None);
    Ok(())
}

#[tokio::test]
async fn a_write_waits_out_an_outage_and_is_served_from_the_queue() -> Test {
    let scene = Scene::new();
    // So little memory that it pushes out what waits.
    let caches = scene.builder().memory(64 << 10).build()?;
    let cache = caches.open("c", behind())?;
    scene.plan.go_down(Fault::unavailable());
    for n in 0..100_u64 {
        cache.put(&n, Bytes::from(vec![1; 2000])).await?;
    }
    scene.pass(5).await;
    assert_eq!(caches.pending_writes(), 100);
    for n in 0..100_u64 {
        assert!(cache.get(&n).await?.is_some(), "{n} is neither in memory nor in the queue");
    }
    // A load that meets it does not run.
    let source = Source::open(1);
    let numbers = caches.open::<u64>("n", CacheOptions::new().write(WriteMode::Behind))?;
    numbers.put("k", 7).await?;
    let load = source.clone();
    assert_eq!(*numbers.get_or_load("k", move || load.load()).await?, 7);
    assert_eq!(source.loads(), 0);
    scene.plan.come_up();
    scene.pass(5).await;
    assert_eq!(caches.pending_writes(), 0);
    for n in 0..100 {
        assert!(scene.stored("c", &n.to_string()).await.is_some());
    }
    Ok(())
}

#[tokio::test]
async fn a_write_through_replaces_what_waits() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open("c", behind())?;
    cache.put("k", text("old")).await?;
    cache.with(CallOptions::new().write(WriteMode::Through)).put("k", text("new")).await?;
    scene.pass(1).await;
    assert_eq!(scene.stored("c", "k").await.unwrap().value, text("new"));
    assert_eq!(cache.peek("k").as_deref(), Some(&text("new")));
    // The greater version wins, in the queue and below.
    cache.put_item("v", Item::new(text("5")).with_version(5)).await?;
    cache.put_item("v", Item::new(text("4")).with_version(4)).await?;
    scene.pass(1).await;
    assert_eq!(scene.stored("c", "v").await.unwrap().value, text("5"));
    scene
        .plant("c", "w", aeth_core::cache::Entry::new("9", scene.now(), scene.now() + 60_000).with_version(9))
        .await;
    cache.put_item("w", Item::new(text("8")).with_version(8)).await?;
    scene.pass(1).await;
    assert_eq!(cache.get("w").await?.as_deref(), Some(&text("9")), "the tier had a greater version");
    Ok(())
}

#[tokio::test]
async fn a_full_queue_does_what_it_was_told() -> Test {
    for when_full in [WhenFull::Wait, WhenFull::Through, WhenFull::Refuse] {
        let scene = Scene::new();
        let queue = WriteBehind::new().with_keys(2).with_when_full(when_full);
        let caches = scene.builder().write_behind(queue).build()?;
        let cache = caches.open("c", behind())?;
        for key in ["a", "b"] {
            cache.put(key, text(key)).await?;
        }
        scene.plan.go_down(Fault::unavailable());
        let refused = scene.clock.drive(cache.put("c", text("c"))).await;
        match when_full {
            WhenFull::Wait | WhenFull::Refuse => {
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::Busy);
                assert_eq!(cache.peek("c"), None, "what is refused has changed nothing");
            }
            // Written through, and the tier is down.
            _ => assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable),
        }
        cache.put("a", text("again")).await?;
        scene.plan.come_up();
        scene.pass(5).await;
        let third = cache.put("c", text("c"));
        scene.clock.drive(third).await?;
        scene.pass(5).await;
        assert_eq!(scene.stored("c", "a").await.unwrap().value, text("again"), "{when_full:?}");
        assert_eq!(scene.stored("c", "c").await.unwrap().value, text("c"), "{when_full:?}");
    }
    let none = WriteBehind::new().with_keys(0);
    assert_eq!(Scene::new().builder().write_behind(none).build().unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

#[tokio::test]
async fn a_value_larger_than_the_queue_is_written_through() -> Test {
    let scene = Scene::new();
    let caches = scene.builder().write_behind(WriteBehind::new().with_bytes(64 << 10)).build()?;
    let cache = caches.open("c", behind())?;
    cache.put("k", Bytes::from(vec![1; 100 << 10])).await?;
    assert_eq!(caches.pending_writes(), 0);
    assert_eq!(scene.stored("c", "k").await.unwrap().value.len(), 100 << 10);
    Ok(())
}

#[tokio::test]
async fn what_expires_while_it_waits_is_not_written() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open("c", behind().fresh_for(secs(2)))?;
    scene.plant("c", "k", aeth_core::cache::Entry::new("old", scene.now(), scene.now() + 60_000)).await;
    scene.plan.go_down(Fault::unavailable());
    cache.put("k", text("v")).await?;
    scene.pass(10).await;
    scene.plan.come_up();
    scene.pass(5).await;
    assert_eq!((caches.pending_writes(), caches.pending_removals()), (0, 0));
    assert_eq!(scene.stored("c", "k").await, None, "what it was to replace must not come back");
    Ok(())
}

#[tokio::test]
async fn close_and_flush_write_what_waits_or_say_how_much_is_left() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open("c", behind())?;
    cache.put("a", text("a")).await?;
    caches.flush(secs(1)).await?;
    assert!(scene.stored("c", "a").await.is_some());
    cache.put("b", text("b")).await?;
    scene.plan.go_down(Fault::unavailable());
    let left = scene.clock.drive(caches.flush(secs(1))).await.unwrap_err();
    assert!(left.kind() == ErrorKind::Timeout && left.to_string().contains("1 queued"), "{left}");
    scene.plan.come_up();
    scene.clock.drive(caches.close(secs(5))).await?;
    assert!(scene.stored("c", "b").await.is_some());
    assert_eq!(cache.put("c", text("c")).await.unwrap_err().kind(), ErrorKind::Closed);

    let scene = Scene::new();
    let caches = scene.caches();
    caches.open("c", behind())?.put("k", text("v")).await?;
    scene.plan.go_down(Fault::Hang);
    let left = scene.clock.drive(caches.close(secs(1))).await.unwrap_err();
    assert!(left.to_string().contains("1 queued"), "{left}");
    Ok(())
}

#[tokio::test]
async fn a_dropped_change_leaves_nothing_older_than_what_was_acknowledged() -> Test {
    let scene = Scene::new();
    let caches = scene.caches();
    let cache = caches.open("c", behind())?;
    scene.plant("c", "k", aeth_core::cache::Entry::new("oldest", scene.now(), scene.now() + 60_000)).await;
    cache.put("k", text("acknowledged")).await?;
    scene.plan.go_down(Fault::Hang);
    // The removal is dropped after it has taken the write out of the queue.
    let removal = tokio::time::timeout(Duration::from_millis(1), cache.remove("k"));
    assert!(removal.await.is_err());
    scene.plan.come_up();
    assert_ne!(cache.get("k").await?.as_deref(), Some(&text("oldest")));
    scene.pass(5).await;
    assert_eq!(scene.stored("c", "k").await, None);
    Ok::<_, Failure>(())
}

/// One application thread, a slow tier, and a writer that works beside it: after each step a read gives what the last
/// change left, and in the end the tier has the same.
#[tokio::test]
async fn in_any_schedule_reads_see_the_last_change_and_so_does_the_tier_in_the_end() -> Test {
    for seed in 0..150_u64 {
        let clock = MockClock::new();
        let rng = SimRng::new(seed);
        let tier = MemoryTier::new(8 << 20, clock.shared())?;
        let slow = Slow::new(tier.clone(), SimRng::new(seed ^ 0xff));
        let queue = WriteBehind::new().with_keys(3).with_batch(2).with_delay(Duration::from_millis(1));
        // Room for three values: the queue is read from, too.
        let caches = builder(&clock).memory(64 << 10).tier(Arc::new(slow)).write_behind(queue).build()?;
        let cache = caches.open("c", behind())?;
        let mut model: BTreeMap<u64, (Bytes, u64)> = BTreeMap::new();
        for step in 0..80_u64 {
            let (key, tag) = (rng.below(5), rng.below(2));
            match rng.below(12) {
                what @ 0..=5 => {
                    let mode = match what {
                        0 => WriteMode::Through,
                        1 => WriteMode::Around,
                        _ => WriteMode::Behind,
                    };
                    let value = Bytes::from(step.to_le_bytes().repeat(2500));
                    let item = Item::new(value.clone()).with_tag(format!("t{tag}"))?;
                    let by = cache.with(CallOptions::new().write(mode));
                    clock.drive(by.put_item(&key, item)).await?;
                    model.insert(key, (value, tag));
                }
                6 => {
                    clock.drive(cache.remove(&key)).await?;
                    model.remove(&key);
                }
                7 => {
                    clock.drive(cache.invalidate_tag(format!("t{tag}"))).await?;
                    model.retain(|_, (_, its)| *its != tag);
                }
                8 if rng.below(4) == 0 => {
                    clock.drive(cache.clear()).await?;
                    model.clear();
                }
                9 => clock.advance(Duration::from_millis(1)),
                _ => tokio::task::yield_now().await,
            }
            let read = rng.below(5);
            let found = clock.drive(cache.get(&read)).await?;
            let expected = model.get(&read).map(|(value, _)| value);
            assert_eq!(found.as_deref(), expected, "seed {seed}, step {step}, key {read}");
        }
        clock.drive(caches.flush(secs(10))).await?;
        for key in 0..5_u64 {
            let (space, name) = (Namespace::new("c")?, Key::new(key.to_string())?);
            let stored = tier.get(&space, &name).await.hit().map(|entry| entry.value);
            assert_eq!(stored.as_ref(), model.get(&key).map(|(value, _)| value), "seed {seed}, key {key}");
        }
    }
    Ok(())
}
