//! The laws of backup sinks hold for correct sinks, and each catches a sink that breaks it.
#![allow(missing_docs, clippy::unwrap_used, clippy::clone_on_ref_ptr, reason = "a test crate")]

use crate::support;

use aeth_core::backup::{BlobSink, ObjectId, ObjectKind};
use aeth_core::blob::Capability;
use aeth_core::conformance::Verdict;
use aeth_core::conformance::backup_sink::{self, LAWS, SinkSubject};
use aeth_core::policy::{Policy, PolicySink};
use aeth_core::sim::{Fault, FaultPlan, FaultySink, MockClock};
use aeth_core::{BlobPath, ErrorKind, SystemClock, backup::BackupSink};
use futures_util::TryStreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use support::sink::{Flaw, RefSink};
use support::store::RefStore;

/// For each law a sink that breaks it.
const BROKEN: &[(Flaw, &str)] = &[
    (Flaw::LargeIsCut, "what-is-written-comes-back"),
    (Flaw::AgainFails, "writing-again-is-success"),
    (Flaw::TornStays, "a-torn-object-is-repaired"),
    (Flaw::ConfigOverwritten, "the-config-is-created-once"),
    (Flaw::ConfigRaces, "the-config-has-one-winner"),
    (Flaw::SidecarStays, "a-sidecar-is-replaced"),
    (Flaw::SharedScratch, "concurrent-writes-are-all-there"),
    (Flaw::WriteInPieces, "a-dropped-write-is-whole-or-nothing"),
    (Flaw::RangeIsCut, "a-range-gives-exactly-its-bytes"),
    (Flaw::MissingIsEmpty, "a-missing-object-is-not-found"),
    (Flaw::KindsShareNames, "kinds-are-apart"),
    (Flaw::ListFirstPage, "a-listing-has-every-object"),
    (Flaw::RemoveMissingFails, "remove-takes-exactly-its-objects"),
    (Flaw::AppendOnlyLies, "append-only-keeps-what-lasts"),
    (Flaw::KeepLies, "keeping-is-not-pretended"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn correct_sinks_keep_every_law() {
    let report = backup_sink::run_all(RefSink::new()).await;
    assert!(report.is_ok() && report.skipped().count() == 1, "{report}");
    let report = backup_sink::run_all(RefSink::append_only()).await;
    assert!(report.is_ok(), "{report}");
    let report =
        backup_sink::run_all(PolicySink::new(RefSink::new(), Policy::default(), SystemClock::shared())).await;
    assert!(report.is_ok(), "{report}");
    let report = backup_sink::run_all(FaultySink::new(RefSink::new(), FaultPlan::new(1))).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_store_is_a_correct_sink() {
    for prefix in [None, Some(BlobPath::new("some/repository").unwrap())] {
        let sink = BlobSink::new(Arc::new(RefStore::new()), prefix.clone()).unwrap();
        let report = backup_sink::run_all(sink).await;
        assert!(report.is_ok() && report.skipped().count() == 1, "{report}");
        let sink = BlobSink::new(Arc::new(RefStore::new()), prefix).unwrap().append_only();
        let report = backup_sink::run_all(sink).await;
        assert!(report.is_ok(), "{report}");
    }
    let changed = RefStore::claiming(RefStore::new().claims.without(Capability::Transparent));
    let refused = BlobSink::new(Arc::new(changed), None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn each_law_catches_a_sink_that_breaks_it() {
    let mut missed = Vec::new();
    for (flaw, law) in BROKEN {
        let report = SinkSubject::new(RefSink::flawed(*flaw)).run_some(&[law]).await;
        assert_eq!(report.findings.len(), 1, "{law} is no law");
        if !matches!(report.findings[0].verdict, Verdict::Failed(_)) {
            missed.push(format!("{flaw:?} passes {law}: {:?}", report.findings[0].verdict));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let broken: BTreeSet<&str> = BROKEN.iter().map(|(_, law)| *law).collect();
    assert_eq!(broken, LAWS.iter().map(|law| law.name()).collect());
}

#[tokio::test]
async fn a_policy_hides_the_faults_of_a_sink() {
    let clock = MockClock::new();
    let plan = FaultPlan::new(5)
        .nth("write", 1, Fault::Torn)
        .nth("write", 2, Fault::Lost)
        .nth("read", 1, Fault::Hang)
        .nth("read", 2, Fault::Torn)
        .nth("remove", 1, Fault::Torn)
        .nth("list", 2, Fault::Torn);
    let policy = Policy::default().with_seed(1).without_breaker();
    let sink = PolicySink::new(FaultySink::new(RefSink::new(), plan), policy, clock.shared());
    let id = ObjectId::content(ObjectKind::Pack, &[7; 32]);
    clock.drive(sink.write(&id, vec![1; 1000].into())).await.unwrap();
    assert_eq!(clock.drive(sink.read(&id, None)).await.unwrap(), vec![1; 1000]);
    let listed: Vec<_> = clock.drive(sink.list(ObjectKind::Pack).try_collect()).await.unwrap();
    assert_eq!(listed.len(), 1);
    let broken = clock.drive(sink.list(ObjectKind::Pack).try_collect::<Vec<_>>()).await;
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Unavailable);
    clock.drive(sink.remove(&[id.clone(), id.clone()])).await.unwrap();
    assert_eq!(clock.drive(sink.size(&id)).await.unwrap_err().kind(), ErrorKind::NotFound);
}
