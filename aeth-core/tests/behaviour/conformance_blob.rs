//! The laws of blob stores hold for a correct store, and each catches a store that breaks it.
#![allow(missing_docs, clippy::unwrap_used, clippy::clone_on_ref_ptr, reason = "a test crate")]

use crate::support;

use aeth_core::blob::{Capabilities, Capability, probe};
use aeth_core::conformance::Verdict;
use aeth_core::conformance::blob_store::{self, BlobSubject, LAWS};
use aeth_core::{BlobPath, ErrorKind};
use std::collections::BTreeSet;
use support::store::{Flaw, RefStore};

/// For each law a store that breaks it.
const BROKEN: &[(Flaw, &str)] = &[
    (Flaw::ByteLost, "put-then-get-gives-the-bytes"),
    (Flaw::LargeIsCut, "large-streams-come-back-whole"),
    (Flaw::LengthIgnored, "a-stated-length-must-hold"),
    (Flaw::PutTorn, "put-is-all-or-nothing"),
    (Flaw::PutVisible, "a-put-is-invisible-until-it-returns"),
    (Flaw::AttributesSurvive, "overwrite-replaces-everything"),
    (Flaw::ChecksumIgnored, "a-checksum-is-verified"),
    (Flaw::CreateOverwrites, "create-keeps-what-is-there"),
    (Flaw::CreateRaces, "create-has-one-winner"),
    (Flaw::MatchCreates, "match-demands-the-present-mark"),
    (Flaw::SwapRaces, "compare-and-swap-loses-no-update"),
    (Flaw::ConditionEarly, "a-condition-is-decided-at-completion"),
    (Flaw::MissingIsEmpty, "a-missing-blob-is-not-found"),
    (Flaw::HeadHasBody, "a-head-has-no-body"),
    (Flaw::MarkIsSize, "a-mark-changes-with-the-bytes"),
    (Flaw::NoneMatchIgnored, "conditional-get-follows-the-mark"),
    (Flaw::TimeIgnored, "conditional-get-follows-the-time"),
    (Flaw::ReadMixes, "an-open-read-never-mixes"),
    (Flaw::RangeOffByOne, "a-range-gives-exactly-its-bytes"),
    (Flaw::RangeOutsideEmpty, "a-range-outside-is-invalid"),
    (Flaw::SuffixFromStart, "a-suffix-counts-from-the-end"),
    (Flaw::RangeLosesBoundary, "ranges-cut-large-blobs-anywhere"),
    (Flaw::LanguageLost, "attributes-come-back"),
    (Flaw::TagsLost, "tags-come-back"),
    (Flaw::DeleteByPrefix, "delete-removes-exactly-its-paths"),
    (Flaw::DeleteMissingFails, "deleting-nothing-is-success"),
    (Flaw::DeleteLeavesAttributes, "a-deleted-path-is-free-again"),
    (Flaw::DeleteOneRequest, "delete-takes-many-paths"),
    (Flaw::CopyDropsAttributes, "a-copy-is-the-same-and-its-own"),
    (Flaw::CopyOfNothing, "a-copy-of-nothing-is-not-found"),
    (Flaw::CopySelfEmpties, "a-copy-onto-itself-keeps-the-bytes"),
    (Flaw::CopyCreateOverwrites, "copy-create-keeps-the-target"),
    (Flaw::CopyCreateRaces, "copy-create-has-one-winner"),
    (Flaw::CopyMerges, "a-copy-can-replace-attributes"),
    (Flaw::CopyMarkIgnored, "a-copy-can-demand-a-mark"),
    (Flaw::RenameKeepsSource, "a-rename-moves"),
    (Flaw::RenameSelfDeletes, "a-rename-onto-itself-changes-nothing"),
    (Flaw::RenameCreateOverwrites, "rename-create-keeps-both"),
    (Flaw::RenameInTwoSteps, "an-atomic-rename-shows-one-path"),
    (Flaw::ListBySegments, "a-listing-is-in-byte-order"),
    (Flaw::PrefixBySegments, "a-prefix-is-bytes"),
    (Flaw::GroupsRepeat, "a-delimiter-groups"),
    (Flaw::StartAfterIncluded, "start-after-leaves-out-what-is-before"),
    (Flaw::ListedSizeWrong, "a-listing-agrees-with-heads"),
    (Flaw::ListOfNothingFails, "a-listing-of-nothing-is-empty"),
    (Flaw::ListLags, "a-listing-follows-writes"),
    (Flaw::PagesOverlap, "pages-add-up-to-the-listing"),
    (Flaw::TokenUnchecked, "a-foreign-token-is-invalid"),
    (Flaw::TokenIsOffset, "pages-skip-and-repeat-nothing-under-change"),
    (Flaw::CaseFolded, "odd-names-are-kept-as-they-are"),
    (Flaw::ControlMangled, "hard-names-are-kept-or-refused"),
    (Flaw::ChildReplacesParent, "a-path-may-extend-another-or-is-refused"),
    (Flaw::PartsByArrival, "an-upload-joins-its-parts"),
    (Flaw::UploadVisible, "an-upload-is-invisible-until-complete"),
    (Flaw::UploadForgetsOptions, "an-upload-keeps-its-options"),
    (Flaw::ResumeForgets, "an-upload-can-be-resumed"),
    (Flaw::AbortKeeps, "an-upload-can-be-aborted"),
    (Flaw::UploadConditionIgnored, "an-upload-decides-its-condition-at-completion"),
    (Flaw::PartsUnchecked, "an-upload-refuses-bad-parts"),
    (Flaw::PartTorn, "a-failed-part-leaves-nothing"),
    (Flaw::PlainPartsByArrival, "a-plain-upload-joins-its-parts"),
    (Flaw::PlainGapsJoined, "a-plain-upload-refuses-what-it-cannot"),
    (Flaw::NameChanges, "the-report-is-constant"),
    (Flaw::ClaimTooSmall, "what-is-not-claimed-is-refused"),
    (Flaw::LargeConditionIgnored, "large-conditions-are-honoured-or-refused"),
    (Flaw::PresignForever, "presign-gives-a-secret-url"),
    (Flaw::WritesInPlace, "readers-never-see-a-mixture"),
    (Flaw::SharedScratch, "concurrent-calls-do-not-disturb-each-other"),
    (Flaw::DropCommits, "a-dropped-put-leaves-the-old"),
    (Flaw::DropLosesOld, "dropped-calls-leave-old-or-new"),
];

/// Laws that the table above cannot break with one handle.
const ELSEWHERE: [&str; 1] = ["two-handles-see-one-store"];

/// A store claims full uploads or plain ones, never both; so there are two correct stores, and together they skip no
/// law.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_correct_store_keeps_every_law() {
    let mut passed = BTreeSet::new();
    for (store, other_form) in [(RefStore::new(), "a-plain-upload-"), (RefStore::plain(), "an-upload-")] {
        let report = BlobSubject::new(store.clone()).with_other(store.clone()).run().await;
        assert!(report.is_ok(), "{report}");
        // All that a form may skip are the laws of the other kind of uploads.
        let skipped = report.skipped().map(|(law, _)| law).filter(|law| !is_of(law, other_form));
        assert_eq!(skipped.collect::<Vec<_>>(), [""; 0], "{report}");
        assert_eq!(report.findings.len(), LAWS.len());
        passed.extend(report.passed().map(str::to_owned));
        assert!(store.state.lock().blobs.is_empty(), "the suite leaves blobs behind");
    }
    assert_eq!(passed, LAWS.iter().map(|law| law.name().to_owned()).collect());
}

/// Whether a law is one of the uploads whose laws begin so.
fn is_of(law: &str, uploads: &str) -> bool {
    law.starts_with(uploads) || (uploads == "an-upload-" && law == "a-failed-part-leaves-nothing")
}

#[tokio::test]
async fn a_store_without_capabilities_keeps_every_law() {
    let report = blob_store::run_all(RefStore::claiming(Capabilities::new([]))).await;
    assert!(report.is_ok(), "{report}");
    let skipped: BTreeSet<&str> = report.skipped().map(|(law, _)| law).collect();
    assert!(skipped.contains("compare-and-swap-loses-no-update") && skipped.len() >= 20, "{report}");
    assert!(report.passed().any(|law| law == "what-is-not-claimed-is-refused"));
}

#[tokio::test]
async fn each_law_catches_a_store_that_breaks_it() {
    let mut missed = Vec::new();
    for (flaw, law) in BROKEN {
        let report = BlobSubject::new(RefStore::flawed(*flaw)).run_some(&[law]).await;
        assert_eq!(report.findings.len(), 1, "{law} is no law");
        if !matches!(report.findings[0].verdict, Verdict::Failed(_)) {
            missed.push(format!("{flaw:?} passes {law}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn each_law_has_a_store_that_breaks_it() {
    let broken: BTreeSet<&str> = BROKEN.iter().map(|(_, law)| *law).chain(ELSEWHERE).collect();
    let laws: BTreeSet<&str> = LAWS.iter().map(|law| law.name()).collect();
    assert_eq!(broken, laws);
}

#[tokio::test]
async fn two_stores_are_not_taken_for_one() {
    let subject = BlobSubject::new(RefStore::new()).with_other(RefStore::new());
    let report = subject.run_some(&["two-handles-see-one-store"]).await;
    assert!(!report.is_ok(), "{report}");
    let error = report.into_result().unwrap_err();
    assert!(error.to_string().contains("two-handles-see-one-store"), "{error}");
}

#[tokio::test]
async fn a_probe_narrows_the_claim_to_what_is_done() {
    let prefix = BlobPath::new("probe").unwrap();
    let honest = RefStore::new();
    assert_eq!(probe(&honest, &prefix).await.unwrap(), honest.claims);
    assert!(honest.state.lock().blobs.is_empty(), "the probe leaves blobs behind");
    for (flaw, capability) in [
        (Flaw::CreateOverwrites, Capability::CreateOnly),
        (Flaw::MatchCreates, Capability::CompareAndSwap),
        (Flaw::NoMarks, Capability::CompareAndSwap),
        (Flaw::NoneMatchIgnored, Capability::ConditionalGet),
        (Flaw::RangeOffByOne, Capability::RangeGet),
        (Flaw::SuffixFromStart, Capability::SuffixGet),
        (Flaw::TagsLost, Capability::Tags),
        (Flaw::ChecksumIgnored, Capability::Checksums),
        (Flaw::CopyCreateOverwrites, Capability::CopyCreateOnly),
        (Flaw::StartAfterIncluded, Capability::ListStartAfter),
    ] {
        let shown = probe(&RefStore::flawed(flaw), &prefix).await.unwrap();
        assert!(!shown.has(capability), "a store with {flaw:?} is believed {capability:?}");
    }
    let useless = probe(&RefStore::flawed(Flaw::DeleteMissingFails), &prefix).await;
    assert_eq!(useless.unwrap_err().kind(), ErrorKind::NotFound);
}
