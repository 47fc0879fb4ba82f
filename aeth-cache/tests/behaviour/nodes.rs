//! Several processes over one shared tier, and what happens when the tier or the backplane fails.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use crate::support;

use aeth_cache::{Cache, CacheOptions, Caches, EntryState, Item, MemoryTier, TierReport};
use aeth_core::cache::{CacheTierExt, CodecId, Entry, EntryFlags};
use aeth_core::observe::{HealthCheck, Status};
use aeth_core::sim::{Fault, FaultPlan, FaultyTier, MockClock, SimRng};
use aeth_core::{ClockExt, ErrorKind, Key, Lifecycle};
use std::sync::Arc;
use std::time::Duration;
use support::bus::Bus;
use support::tier::Slow;
use support::{Failure, Source, Test, builder, secs, settle};

struct Fleet {
    clock: MockClock,
    bus: Bus,
    tier: MemoryTier,
    plan: FaultPlan,
}

impl Fleet {
    fn new() -> Self {
        let clock = MockClock::new();
        let tier = MemoryTier::new(8 << 20, clock.shared()).unwrap();
        let plan = FaultPlan::new(1).with_clock(clock.shared());
        Self { clock, bus: Bus::default(), tier, plan }
    }

    /// Another process, which listens already: what is loaded before that counts as doubtful.
    async fn node(&self) -> (Caches, Cache<u64>) {
        let faulty = FaultyTier::new(self.tier.clone(), self.plan.clone());
        let tier = Slow::new(faulty, SimRng::new(7)).shared();
        let caches = builder(&self.clock).tier(Arc::new(tier)).backplane(self.bus.node()).build().unwrap();
        let cache = caches.open("numbers", options()).unwrap();
        cache.get(&u64::MAX).await.unwrap();
        settle().await;
        (caches, cache)
    }
}

fn options() -> CacheOptions<u64> {
    CacheOptions::new().fresh_for(secs(60)).usable_for(secs(600)).tier_timeout(Duration::from_millis(100))
}

fn load(value: u64) -> impl FnOnce() -> std::future::Ready<Result<u64, Failure>> + Send + 'static {
    move || std::future::ready(Ok(value))
}

#[tokio::test]
async fn what_one_changes_the_others_hear() -> Test {
    let fleet = Fleet::new();
    let ((one_caches, one), (two_caches, two)) = (fleet.node().await, fleet.node().await);
    let item = |n| Item::new(n).with_tag("tag");
    for round in 0..4_u64 {
        one.put_item(&1, item(round * 2)?).await?;
        settle().await;
        assert_eq!(two.get(&1).await?.as_deref(), Some(&(round * 2)));
        settle().await;
        assert!(two.peek(&1).is_some(), "round {round}");
        match round {
            0 => one.remove(&1).await?,
            1 => one.put(&1, 99).await?,
            2 => one.invalidate_tag("tag").await?,
            _ => one.clear().await?,
        }
        settle().await;
        assert_eq!(two.peek(&1), None, "round {round}");
        assert!(round != 1 || one.peek(&1).as_deref() == Some(&99), "a process does not undo its own change");
    }
    assert_eq!((one_caches.hears_others(), two_caches.hears_others()), (Some(true), Some(true)));
    Ok(())
}

#[tokio::test]
async fn one_load_for_the_fleet() -> Test {
    let fleet = Fleet::new();
    let source = Source::gated(7);
    let mut callers = Vec::new();
    for _ in 0..4 {
        let (_, cache) = fleet.node().await;
        for _ in 0..25 {
            let (cache, source) = (cache.clone(), source.clone());
            callers.push(tokio::spawn(async move { cache.get_or_load(&1, move || source.load()).await }));
        }
    }
    settle().await;
    source.let_go(1);
    for caller in callers {
        assert_eq!(*fleet.clock.drive(caller).await??, 7);
    }
    assert_eq!(source.loads(), 1);
    Ok(())
}

#[tokio::test]
async fn a_loader_of_another_process_cannot_bring_back_the_old() -> Test {
    let fleet = Fleet::new();
    let ((_, one), (_, two)) = (fleet.node().await, fleet.node().await);
    let source = Source::gated(1);
    let slow = tokio::spawn({
        let (two, source) = (two.clone(), source.clone());
        async move { two.get_or_load(&1, move || source.load()).await }
    });
    settle().await;
    one.remove(&1).await?;
    source.let_go(1);
    assert_eq!(*slow.await??, 1, "it had asked before the removal");
    settle().await;
    assert_eq!(one.get(&1).await?, None);
    assert_eq!(two.get(&1).await?, None);
    Ok(())
}

#[tokio::test]
async fn lost_messages_make_copies_stale_and_lose_none() -> Test {
    let fleet = Fleet::new();
    let ((_, one), (_, two)) = (fleet.node().await, fleet.node().await);
    one.put(&1, 1).await?;
    one.put(&2, 1).await?;
    settle().await;
    two.get_many(&[1, 2]).await?;
    two.get_many(&[1, 2]).await?;
    fleet.bus.lose(true);
    one.put(&1, 2).await?;
    settle().await;
    assert_eq!(two.peek(&1).as_deref(), Some(&1), "nobody can know yet");
    fleet.bus.lose(false);
    one.put(&3, 3).await?;
    settle().await;
    assert_eq!(two.peek(&1), None);
    assert_eq!(two.explain(&2).await?.local.unwrap().state, EntryState::StaleByGap);
    assert_eq!(two.get(&1).await?.as_deref(), Some(&2));
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_told_is_told_later() -> Test {
    let fleet = Fleet::new();
    let ((_, one), (_, two)) = (fleet.node().await, fleet.node().await);
    one.put(&1, 1).await?;
    settle().await;
    two.get(&1).await?;
    two.get(&1).await?;
    fleet.bus.go_down();
    one.put(&1, 2).await?;
    settle().await;
    fleet.bus.come_up();
    settle().await;
    assert_eq!(two.get(&1).await?.as_deref(), Some(&2));
    one.put(&1, 3).await?;
    for _ in 0..20 {
        fleet.clock.advance(Duration::from_millis(100));
        settle().await;
    }
    assert_eq!(two.get(&1).await?.as_deref(), Some(&3));
    Ok(())
}

#[tokio::test]
async fn a_tier_that_is_down_is_no_miss() -> Test {
    let fleet = Fleet::new();
    let (caches, cache) = fleet.node().await;
    cache.put(&1, 1).await?;
    fleet.plan.go_down(Fault::unavailable());
    assert_eq!(cache.peek(&1).as_deref(), Some(&1));
    assert_eq!(cache.get(&2).await.unwrap_err().kind(), ErrorKind::Unavailable);
    // Loads go on without it.
    assert_eq!(*cache.get_or_load(&2, load(2)).await?, 2);
    assert_eq!(cache.peek(&2).as_deref(), Some(&2));
    // A stale value is better than an error.
    fleet.clock.advance(secs(61));
    assert_eq!(cache.get(&1).await?.as_deref(), Some(&1));
    let health = caches.check().await;
    assert_eq!(health.status, Status::Degraded);
    fleet.plan.come_up();
    assert_eq!(caches.check().await.status, Status::Up);
    Ok(())
}

#[tokio::test]
async fn a_tier_that_hangs_hangs_nobody() -> Test {
    let fleet = Fleet::new();
    let (_, cache) = fleet.node().await;
    cache.put(&1, 1).await?;
    fleet.clock.advance(secs(61));
    fleet.plan.go_down(Fault::Hang);
    let began = aeth_core::Clock::monotonic(&fleet.clock);
    assert_eq!(fleet.clock.drive(cache.get(&1)).await?.as_deref(), Some(&1));
    assert_eq!(fleet.clock.drive(cache.get(&2)).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(*fleet.clock.drive(cache.get_or_load(&2, load(2))).await?, 2);
    assert!(fleet.clock.drive(cache.put(&3, 3)).await.is_err());
    let took = aeth_core::Clock::monotonic(&fleet.clock) - began;
    assert!(took <= Duration::from_millis(1000), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn removals_reach_the_tier_when_it_is_back_and_hide_the_old_until_then() -> Test {
    let fleet = Fleet::new();
    let (caches, cache) = fleet.node().await;
    for key in 0..10 {
        cache.put_item(&key, Item::new(1).with_tag(format!("tag {key}"))?).await?;
    }
    fleet.plan.go_down(Fault::unavailable());
    assert_eq!(cache.remove(&0).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(cache.put(&1, 2).await.is_err());
    assert!(cache.invalidate_tag("tag 2").await.is_err());
    assert_eq!(caches.pending_removals(), 3);
    assert_eq!((cache.peek(&0), cache.peek(&1), cache.peek(&2)), (None, None, None));
    fleet.plan.come_up();
    // The tier answers again and still has the old values.
    let stored = fleet.tier.get(cache.namespace(), &Key::new("0")?).await;
    assert!(stored.hit().is_some());
    assert_eq!(cache.get_many(&[0, 1, 2]).await?, [None, None, None]);
    let explanation = cache.explain(&0).await?;
    let [(_, TierReport::Entry(report))] = explanation.lower.as_slice() else {
        return Err("no entry".into());
    };
    assert_eq!(report.state, EntryState::RemovalPending);
    for _ in 0..10 {
        fleet.clock.advance(Duration::from_millis(100));
        settle().await;
    }
    assert_eq!(caches.pending_removals(), 0);
    for key in ["0", "1", "2"] {
        assert!(fleet.tier.get(cache.namespace(), &Key::new(key)?).await.is_miss(), "{key}");
    }
    assert_eq!(cache.get(&3).await?.as_deref(), Some(&1));
    Ok(())
}

#[tokio::test]
async fn close_sends_what_waits_or_says_what_is_left() -> Test {
    let fleet = Fleet::new();
    let (caches, cache) = fleet.node().await;
    cache.put(&1, 1).await?;
    fleet.plan.go_down(Fault::unavailable());
    assert!(cache.remove(&1).await.is_err());
    let error = caches.close(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    fleet.plan.come_up();
    caches.close(secs(1)).await?;
    assert!(fleet.tier.get(cache.namespace(), &Key::new("1")?).await.is_miss());
    Ok(())
}

#[tokio::test]
async fn entries_of_others_are_misses_and_are_left_alone() -> Test {
    let fleet = Fleet::new();
    let (_, cache) = fleet.node().await;
    let now = fleet.clock.unix_millis();
    let good = Entry::new(vec![7], now, now + 60_000).with_codec(CodecId::POSTCARD, 0);
    let (other_schema, other_codec) =
        (good.clone().with_codec(CodecId::POSTCARD, 1), good.clone().with_codec(CodecId::JSON, 0));
    let mut garbage = good.clone();
    garbage.value = vec![0xff; 11].into();
    let sealed = good.clone().with_flags(EntryFlags::SEALED);
    let entries = [good, other_schema, other_codec, garbage, sealed];
    for (key, entry) in entries.iter().enumerate() {
        fleet.tier.put(cache.namespace(), Key::new(key.to_string())?, entry.clone()).await?;
    }
    assert_eq!(cache.get(&0).await?.as_deref(), Some(&7));
    for key in 1..5_u64 {
        assert_eq!(cache.get(&key).await?, None, "{key}");
        assert_eq!(*cache.get_or_load(&key, load(9)).await?, 9);
        let left = fleet.tier.get(cache.namespace(), &Key::new(key.to_string())?).await.hit();
        assert_eq!(left.as_ref(), entries.get(usize::try_from(key)?), "two versions live side by side");
    }
    Ok(())
}

#[tokio::test]
async fn a_wall_clock_that_steps_back_does_not_lengthen_a_tiers_entry() -> Test {
    let fleet = Fleet::new();
    let ((_, one), (_, two)) = (fleet.node().await, fleet.node().await);
    one.put(&1, 1).await?;
    settle().await;
    fleet.clock.step_back(secs(86_400));
    assert_eq!(two.get(&1).await?.as_deref(), Some(&1));
    fleet.clock.advance(secs(61));
    assert_eq!(two.peek(&1), None);
    Ok(())
}
