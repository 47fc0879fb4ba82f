//! The laws of coordination, metrics and health hold for correct implementations, and each catches one that breaks
//! it.
#![allow(missing_docs, clippy::unwrap_used, clippy::clone_on_ref_ptr, reason = "a test crate")]

use crate::support;

use aeth_core::SystemClock;
use aeth_core::conformance::backplane::{self, BackplaneSubject};
use aeth_core::conformance::health_check::{self, HealthSubject};
use aeth_core::conformance::leader_lock::{self, LeaderSubject};
use aeth_core::conformance::metrics_source;
use aeth_core::conformance::{Report, Verdict};
use aeth_core::observe::HealthCheck;
use aeth_core::sim::{Fault, FaultPlan, FaultyBackplane, FaultyHealth, FaultyLeaderLock, MockClock};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use support::coord::{LockFlaw, PlaneFlaw, RefLock, RefPlane};
use support::observed::{HealthFlaw, MetricsFlaw, RefHealth, RefMetrics};

fn plane(flaw: Option<PlaneFlaw>) -> BackplaneSubject {
    let node = RefPlane::new(flaw);
    let broken = node.clone();
    BackplaneSubject::new(node.clone()).with_other(node.other()).with_outage(move || {
        broken.outage();
        std::future::ready(())
    })
}

fn lock(flaw: Option<LockFlaw>) -> LeaderSubject {
    let clock = MockClock::new();
    let lock = RefLock::new(flaw, clock.shared());
    let other = lock.other();
    LeaderSubject::new(lock, clock.shared()).with_other(other).with_advance(move |time| clock.advance(time))
}

/// Demands that this law, among others perhaps, is broken.
fn breaks(what: &str, law: &str, report: &Report) {
    let failed = report.failures().any(|(failed, _)| failed == law);
    assert!(failed, "{what} passes {law}:\n{report}");
}

fn all(report: &Report) {
    assert!(report.is_ok(), "{report}");
    let skipped = report.findings.iter().filter(|finding| matches!(finding.verdict, Verdict::Skipped(_)));
    assert_eq!(skipped.count(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn correct_ones_keep_every_law() {
    all(&plane(None).run().await);
    all(&lock(None).run().await);
    all(&metrics_source::run_all(Arc::new(RefMetrics::default())).await);
    all(&health_check::run_all(Arc::new(RefHealth::default())).await);
    let report = backplane::run_all(FaultyBackplane::new(RefPlane::new(None), FaultPlan::new(1))).await;
    assert!(report.is_ok(), "{report}");
    let clock = SystemClock::shared();
    let still = FaultyLeaderLock::new(RefLock::new(None, clock.clone()), FaultPlan::new(1));
    let report = leader_lock::run_all(still, clock).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn each_law_of_backplanes_catches_one_that_breaks_it() {
    let broken = [
        (PlaneFlaw::DeafToItself, "a-node-hears-itself"),
        (PlaneFlaw::Reordered, "messages-come-in-order"),
        (PlaneFlaw::PayloadAsText, "payloads-are-any-bytes"),
        (PlaneFlaw::ChannelsByPrefix, "channels-are-apart"),
        (PlaneFlaw::LastSubscriberOnly, "every-subscriber-hears-everything"),
        (PlaneFlaw::History, "the-past-is-not-told"),
        (PlaneFlaw::NumbersRace, "concurrent-publishers-are-numbered"),
        (PlaneFlaw::OthersUnheard, "other-nodes-are-heard"),
        (PlaneFlaw::GapUntold, "a-loss-is-told"),
    ];
    let checks = broken.map(|(flaw, law)| async move {
        breaks(&format!("{flaw:?}"), law, &plane(Some(flaw)).run_some(&[law]).await);
    });
    futures_util::future::join_all(checks).await;
    let names: BTreeSet<&str> = broken.iter().map(|(_, law)| *law).collect();
    assert_eq!(names, backplane::LAWS.iter().map(|law| law.name()).collect());
}

#[tokio::test]
async fn each_law_of_leader_locks_catches_one_that_breaks_it() {
    let broken = [
        (LockFlaw::Reentrant, "there-is-one-leader"),
        (LockFlaw::Races, "one-of-many-wins"),
        (LockFlaw::NamesFolded, "names-are-apart"),
        (LockFlaw::ReleaseIgnored, "a-release-frees-the-name"),
        (LockFlaw::DropForgotten, "a-drop-frees-the-name"),
        (LockFlaw::FencingRestarts, "fencing-numbers-grow"),
        (LockFlaw::RenewalIgnored, "a-renewal-keeps-the-name"),
        (LockFlaw::RenewalBlind, "a-lost-leadership-is-told"),
        (LockFlaw::EmptyAllowed, "an-empty-name-is-invalid"),
    ];
    for (flaw, law) in broken {
        breaks(&format!("{flaw:?}"), law, &lock(Some(flaw)).run_some(&[law]).await);
    }
    let names: BTreeSet<&str> = broken.iter().map(|(_, law)| *law).collect();
    assert_eq!(names, leader_lock::LAWS.iter().map(|law| law.name()).collect());
}

#[tokio::test]
async fn each_law_of_metrics_catches_one_that_breaks_it() {
    let broken = [
        (MetricsFlaw::BadName, "names-follow-the-rules"),
        (MetricsFlaw::TwoKinds, "a-family-has-one-description"),
        (MetricsFlaw::BadLabel, "labels-follow-the-rules"),
        (MetricsFlaw::SeriesTwice, "each-series-is-shown-once"),
        (MetricsFlaw::NotANumber, "values-are-possible"),
        (MetricsFlaw::CounterFalls, "counters-only-grow"),
        (MetricsFlaw::Slow, "a-visit-is-quick"),
    ];
    for (flaw, law) in broken {
        let source = RefMetrics { flaw: Some(flaw), ..RefMetrics::default() };
        breaks(&format!("{flaw:?}"), law, &metrics_source::run_all(Arc::new(source)).await);
    }
    let names: BTreeSet<&str> = broken.iter().map(|(_, law)| *law).collect();
    assert_eq!(names, metrics_source::LAWS.iter().map(|law| law.name()).collect());
}

#[tokio::test]
async fn each_law_of_health_catches_one_that_breaks_it() {
    let broken = [
        (HealthFlaw::Hangs, "a-check-ends-in-time"),
        (HealthFlaw::BadName, "the-component-is-named"),
        (HealthFlaw::NoReason, "a-bad-verdict-has-a-reason"),
        (HealthFlaw::NotANumber, "figures-are-possible"),
        (HealthFlaw::OneAtATime, "checks-do-not-disturb-each-other"),
        (HealthFlaw::DropBreaks, "a-dropped-check-does-no-harm"),
    ];
    for (flaw, law) in broken {
        let check = RefHealth { flaw: Some(flaw), ..RefHealth::default() };
        let subject = HealthSubject::new(Arc::new(check)).with_limit(Duration::from_millis(50));
        breaks(&format!("{flaw:?}"), law, &subject.run().await);
    }
    let names: BTreeSet<&str> = broken.iter().map(|(_, law)| *law).collect();
    assert_eq!(names, health_check::LAWS.iter().map(|law| law.name()).collect());
}

#[tokio::test]
async fn a_fault_of_health_is_a_verdict() {
    let check = FaultyHealth::new(Arc::new(RefHealth::default()), FaultPlan::from(Fault::unavailable()));
    let health = check.check().await;
    assert_eq!(health.status, aeth_core::observe::Status::Down);
    assert!(health.reason.unwrap().contains("simulated"));
}
