//! The laws of cache tiers hold for a correct tier, and each catches a tier that breaks it.
#![allow(missing_docs, clippy::unwrap_used, clippy::clone_on_ref_ptr, reason = "a test crate")]

use crate::support;

use aeth_core::SystemClock;
use aeth_core::cache::TierCapabilities;
use aeth_core::conformance::Verdict;
use aeth_core::conformance::cache_tier::{self, LAWS, TierSubject};
use aeth_core::sim::MockClock;
use std::collections::BTreeSet;
use support::tier::{Flaw, RefTier};

/// For each law a tier that breaks it.
const BROKEN: &[(Flaw, &str)] = &[
    (Flaw::FlagsLost, "an-entry-comes-back-as-it-was"),
    (Flaw::LargeIsCut, "values-of-any-size"),
    (Flaw::KeysAsText, "keys-are-any-bytes"),
    (Flaw::MissIsOutage, "a-missing-key-is-a-miss"),
    (Flaw::FirstPutWins, "a-put-replaces"),
    (Flaw::RejectedKeepsOld, "a-rejected-put-leaves-nothing"),
    (Flaw::AnswersSorted, "answers-are-in-order"),
    (Flaw::FirstOfBatchWins, "the-later-of-two-puts-wins"),
    (Flaw::RemoveByPrefix, "remove-takes-exactly-its-keys"),
    (Flaw::NamespaceIgnored, "namespaces-are-apart"),
    (Flaw::ClearTakesAll, "clear-empties-one-namespace"),
    (Flaw::VersionIgnored, "a-smaller-version-never-replaces"),
    (Flaw::UnversionedIsLeast, "the-unversioned-always-replaces"),
    (Flaw::VersionRaces, "concurrent-versions-end-with-the-greatest"),
    (Flaw::ExpiredServed, "an-entry-ends-at-its-time"),
    (Flaw::StaleIsMiss, "a-stale-entry-is-still-a-hit"),
    (Flaw::StaleUnleased, "a-stale-entry-comes-with-the-lease"),
    (Flaw::PastKeepsOld, "an-entry-of-the-past-is-a-miss"),
    (Flaw::FarTimesWrap, "far-times-are-kept"),
    (Flaw::LeaseAlwaysGranted, "one-lease-is-granted"),
    (Flaw::FillTwice, "a-fill-stores-once"),
    (Flaw::TokenUnchecked, "an-invented-lease-is-void"),
    (Flaw::LeaseForEver, "a-lease-runs-out"),
    (Flaw::ReleaseIgnoresToken, "a-release-frees-the-lease"),
    (Flaw::LeasesSorted, "leases-come-in-order"),
    (Flaw::LeaseRaces, "a-lease-has-one-winner"),
    (Flaw::PutKeepsLease, "a-put-voids-the-lease"),
    (Flaw::RemoveKeepsLease, "a-remove-voids-the-lease"),
    (Flaw::ClearKeepsLeases, "a-clear-voids-the-leases"),
    (Flaw::TagKeepsLeases, "a-tag-voids-the-leases"),
    (Flaw::RemoveVoidsAll, "other-keys-keep-their-leases"),
    (Flaw::FillAlwaysStores, "a-slow-loader-never-brings-back-the-old"),
    (Flaw::FirstTagOnly, "a-tag-takes-its-entries"),
    (Flaw::TagByPrefix, "a-tag-is-the-whole-text"),
    (Flaw::TagForEver, "a-tag-lets-later-entries-live"),
    (Flaw::RemoveLater, "a-removed-entry-stays-away"),
    (Flaw::BatchesShared, "concurrent-batches-do-not-mix"),
    (Flaw::TagsUnclaimed, "what-is-not-claimed-is-refused"),
    (Flaw::NowIsOld, "an-immediate-answer-agrees"),
    (Flaw::CountsReset, "statistics-only-grow"),
    (Flaw::OthersAreApart, "a-shared-tier-is-one"),
    (Flaw::ChangesSecret, "changes-by-others-are-told"),
    (Flaw::LeaseEndsSecret, "the-end-of-a-held-lease-is-told"),
];

fn subject(tier: RefTier, clock: &MockClock) -> TierSubject {
    let advanced = clock.clone();
    let other = tier.other();
    TierSubject::new(tier, clock.shared()).with_other(other).with_advance(move |time| advanced.advance(time))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correct_tier_keeps_every_law() {
    let clock = MockClock::new();
    let report = subject(RefTier::new(clock.shared()), &clock).run().await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.skipped().collect::<Vec<_>>(), [], "{report}");
    assert_eq!(report.findings.len(), LAWS.len());
}

#[tokio::test]
async fn a_tier_without_capabilities_keeps_every_law() {
    let clock = SystemClock::shared();
    let mut tier = RefTier::new(clock.clone());
    tier.claims = TierCapabilities::EMPTY;
    let report = cache_tier::run_all(tier, clock).await;
    assert!(report.is_ok(), "{report}");
    assert!(report.skipped().any(|(law, _)| law == "a-lease-runs-out"), "{report}");
}

#[tokio::test]
async fn each_law_catches_a_tier_that_breaks_it() {
    let mut missed = Vec::new();
    for (flaw, law) in BROKEN {
        let clock = MockClock::new();
        let subject = subject(RefTier::flawed(*flaw, clock.shared()), &clock);
        let report = subject.run_some(&[law]).await;
        assert_eq!(report.findings.len(), 1, "{law} is no law");
        if !matches!(report.findings[0].verdict, Verdict::Failed(_)) {
            missed.push(format!("{flaw:?} passes {law}: {:?}", report.findings[0].verdict));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn each_law_has_a_tier_that_breaks_it() {
    let broken: BTreeSet<&str> = BROKEN.iter().map(|(_, law)| *law).collect();
    let laws: BTreeSet<&str> = LAWS.iter().map(|law| law.name()).collect();
    assert_eq!(broken, laws);
}
