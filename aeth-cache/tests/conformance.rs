//! The laws of a tier, on the tiers of this crate.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use aeth_cache::{MemoryTier, Tiers};
use aeth_core::SystemClock;
use aeth_core::cache::CacheTier;
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::sim::MockClock;
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
