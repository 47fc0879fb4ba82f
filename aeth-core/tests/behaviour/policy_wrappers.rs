//! Wrapped stores and tiers keep the laws of their contracts, and survive what they are made to survive.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    clippy::clone_on_ref_ptr,
    reason = "a test crate"
)]

use crate::support;

use aeth_core::blob::{BlobStore, BlobStoreExt, Capabilities, Capability, GetOptions, PutMode, PutOptions};
use aeth_core::cache::{CacheTier, CacheTierExt, Entry, Lookup};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::conformance::cache_tier::TierSubject;
use aeth_core::policy::{Policy, PolicyStore, PolicyTier, Retries};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore, FaultyTier, MockClock, SimRng};
use aeth_core::{BlobPath, Body, Clock, Error, ErrorKind, Key, Namespace, Retry, SystemClock};
use bytes::Bytes;
use std::time::Duration;
use support::store::RefStore;
use support::tier::RefTier;

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

fn faulty(store: &RefStore, plan: &FaultPlan, clock: &MockClock) -> PolicyStore {
    let policy = Policy::default().with_seed(3).without_breaker();
    PolicyStore::new(FaultyStore::new(store.clone(), plan.clone()), policy, clock.shared())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrapped_store_keeps_every_law() {
    let (store, clock) = (RefStore::new(), SystemClock::shared());
    let wrap = || PolicyStore::new(store.clone(), Policy::default(), clock.clone());
    let report = BlobSubject::new(wrap()).with_other(wrap()).run().await;
    assert!(report.is_ok(), "{report}");
    let still = FaultyStore::new(store.clone(), FaultPlan::new(1));
    let report = BlobSubject::new(still).with_other(store.clone()).run().await;
    assert!(report.is_ok(), "{report}");
    let bare = RefStore::claiming(Capabilities::new([]));
    let report = BlobSubject::new(PolicyStore::new(bare, Policy::default(), clock)).run().await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn a_wrapped_tier_keeps_every_law() {
    let clock = MockClock::new();
    let tier = RefTier::new(clock.shared());
    // Without a clock of its own nothing here waits for time that only the laws let pass.
    let wrap = |tier: RefTier| PolicyTier::new(tier, Policy::default(), SystemClock::shared());
    let advanced = clock.clone();
    let subject = TierSubject::new(wrap(tier.clone()), clock.shared())
        .with_other(wrap(tier.other()))
        .with_advance(move |time| advanced.advance(time));
    let report = subject.run().await;
    assert!(report.is_ok(), "{report}");
    let advanced = clock.clone();
    let subject = TierSubject::new(FaultyTier::new(tier, FaultPlan::new(1)), clock.shared())
        .with_advance(move |time| advanced.advance(time));
    let report = subject.run().await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test]
async fn a_store_under_random_faults_is_read_and_written_all_the_same() {
    for seed in 0..20 {
        let clock = MockClock::new();
        let plan = FaultPlan::new(seed)
            .with_clock(clock.shared())
            .chance("get", 0.2, Fault::unavailable())
            .chance("get", 0.1, Fault::Torn)
            .chance("get", 0.05, Fault::Hang)
            .chance("put", 0.15, Fault::Lost)
            .chance("put", 0.15, Fault::unavailable())
            .chance("put", 0.1, Fault::Torn)
            .chance("put", 0.05, Fault::Hang)
            .chance("delete", 0.2, Fault::Torn)
            .chance("list", 0.2, Fault::error(ErrorKind::Busy));
        let inner = RefStore::new();
        let policy = Policy::default().with_seed(seed).with_retries(Retries::default().with_attempts(12));
        let policy = policy.without_breaker().with_deadline(Duration::from_secs(3600));
        let store = PolicyStore::new(FaultyStore::new(inner, plan.clone()), policy, clock.shared());
        let random = SimRng::new(seed);
        clock
            .drive(async {
                for i in 0..30 {
                    let path = path(&format!("blob-{i}"));
                    let bytes = Bytes::from(random.bytes(100_000));
                    store.put(&path, bytes.clone()).await.unwrap();
                    assert_eq!(store.get_bytes(&path).await.unwrap(), bytes, "seed {seed}");
                    store.delete(&path).await.unwrap();
                    assert!(!store.exists(&path).await.unwrap());
                }
            })
            .await;
        assert!(plan.injected() > 20, "seed {seed} did no harm");
    }
}

#[tokio::test]
async fn a_conditional_put_recognises_its_own_success() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let plan = FaultPlan::new(1).nth("put", 1, Fault::Lost).nth("put", 3, Fault::Lost);
    let wrapped = faulty(&store, &plan, &clock);
    let target = path("lock");
    let put = clock.drive(wrapped.put_opts(&target, "mine".into(), PutOptions::create())).await.unwrap();
    let meta = wrapped.head(&target).await.unwrap();
    assert_eq!(put.etag, meta.etag);
    assert!(meta.attributes.unwrap().user.is_empty(), "the mark shows");
    // The same for a swap.
    let options = PutOptions::if_match(meta.etag.unwrap());
    let put = clock.drive(wrapped.put_opts(&target, "next".into(), options)).await.unwrap();
    assert_eq!(put.etag, store.head(&target).await.unwrap().etag);
    assert_eq!(store.get_bytes(&target).await.unwrap(), "next");
    assert_eq!(plan.calls("put"), 4);
}

#[tokio::test]
async fn equal_bytes_of_another_writer_are_not_taken_for_ones_own() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let target = path("lock");
    // The first attempt does nothing; meanwhile somebody else writes the same bytes.
    let plan = FaultPlan::new(1).nth("put", 1, Fault::unavailable());
    let wrapped = faulty(&store, &plan, &clock);
    store.put(&target, "same").await.unwrap();
    let put = clock.drive(wrapped.put_opts(&target, "same".into(), PutOptions::create())).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn without_attributes_an_unknown_outcome_stays_unknown() {
    let claims = RefStore::new().claims.without(Capability::Attributes).without(Capability::CopyReplace);
    let (store, clock) = (RefStore::claiming(claims), MockClock::new());
    let plan = FaultPlan::new(1).nth("put", 1, Fault::Lost).nth("put", 2, Fault::error(ErrorKind::Busy));
    let wrapped = faulty(&store, &plan, &clock);
    let put = clock.drive(wrapped.put_opts(&path("a"), "x".into(), PutOptions::create())).await;
    let error = put.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted));
    // Refused for sure: repeated.
    clock.drive(wrapped.put_opts(&path("b"), "x".into(), PutOptions::create())).await.unwrap();
    assert_eq!(plan.calls("put"), 3);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_again_is_put_once() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let plan = FaultPlan::new(1).nth("put", 1, Fault::unavailable());
    let wrapped = faulty(&store, &plan, &clock);
    let body = Body::once(futures_util::stream::iter([Ok(Bytes::from_static(b"once"))]), None);
    let put = clock.drive(wrapped.put_opts(&path("a"), body, PutOptions::default())).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(plan.calls("put"), 1);
}

#[tokio::test]
async fn an_endless_body_that_stalls_is_cut() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let wrapped = faulty(&store, &FaultPlan::new(1), &clock);
    let stalled = Body::once(futures_util::stream::pending(), None);
    let put = clock.drive(wrapped.put_opts(&path("a"), stalled, PutOptions::default())).await;
    assert_eq!(put.unwrap_err().kind(), ErrorKind::Timeout);
    // One that goes on, slowly, is not: 20 chunks at 8 seconds outlast every limit.
    let pace = clock.clone();
    let slow = futures_util::stream::unfold(0, move |i| {
        let pace = pace.clone();
        async move {
            pace.sleep(Duration::from_secs(8)).await;
            (i < 20).then(|| (Ok(Bytes::from_static(b"slow")), i + 1))
        }
    });
    clock.drive(wrapped.put_opts(&path("b"), Body::once(slow, None), PutOptions::default())).await.unwrap();
    assert_eq!(store.get_bytes(&path("b")).await.unwrap().len(), 80);
}

#[tokio::test]
async fn a_broken_read_goes_on_with_the_same_state_or_fails() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let bytes = Bytes::from(SimRng::new(5).bytes(400_000));
    store.put(&path("a"), bytes.clone()).await.unwrap();
    let plan = FaultPlan::new(1).range("get", 1, 2, Fault::Torn);
    let wrapped = faulty(&store, &plan, &clock);
    let options = GetOptions::default().with_range(1000..399_000);
    let read =
        clock.drive(async { wrapped.get_opts(&path("a"), options).await?.bytes().await }).await.unwrap();
    assert_eq!(read, bytes.slice(1000..399_000));
    assert_eq!(plan.calls("get"), 3);
    // Overwritten in between: no mixture.
    let plan = FaultPlan::new(1).nth("get", 1, Fault::Torn);
    let wrapped = faulty(&store, &plan, &clock);
    let blob = wrapped.get(&path("a")).await.unwrap();
    store.put(&path("a"), Bytes::from(vec![0; 400_000])).await.unwrap();
    let error = clock.drive(blob.bytes()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition);
}

#[tokio::test]
async fn a_delete_that_did_a_part_is_completed() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let paths: Vec<BlobPath> = (0..10).map(|i| path(&format!("blob-{i}"))).collect();
    for path in &paths {
        store.put(path, "x").await.unwrap();
    }
    let plan = FaultPlan::new(1).range("delete", 1, 2, Fault::Torn);
    let wrapped = faulty(&store, &plan, &clock);
    let results = clock.drive(wrapped.delete_many(&paths)).await.unwrap();
    assert!(results.len() == 10 && results.iter().all(Result::is_ok), "{results:?}");
    assert!(store.state.lock().blobs.is_empty());
    // Without end: each path has its own verdict, and none asks for more attempts.
    store.put(&paths[0], "x").await.unwrap();
    let plan = FaultPlan::from(Fault::Torn);
    let results = clock.drive(faulty(&store, &plan, &clock).delete_many(&paths)).await.unwrap();
    assert!(results.iter().all(|result| !result.clone().is_err_and(|error| error.retry().is_worthwhile())));
    let down = FaultPlan::from(Fault::unavailable());
    let error = clock.drive(faulty(&store, &down, &clock).delete_many(&paths)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Exhausted);
}

#[tokio::test]
async fn an_upload_is_completed_once() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let plan = FaultPlan::new(1).nth("put_part", 1, Fault::Lost).nth("complete", 1, Fault::Lost);
    let wrapped = faulty(&store, &plan, &clock);
    let upload = wrapped.begin_upload(&path("a"), PutOptions::default()).await.unwrap();
    let part = clock.drive(upload.put_part(1, "part".into())).await.unwrap();
    let error = clock.drive(upload.complete(&[part], Some(PutMode::Create))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Exhausted));
    assert_eq!((plan.calls("put_part"), plan.calls("complete")), (2, 1));
}

#[tokio::test]
async fn a_tier_repeats_what_is_harmless() {
    let clock = MockClock::new();
    let tier = RefTier::new(clock.shared());
    let plan = FaultPlan::new(1)
        .nth("get", 1, Fault::Torn)
        .nth("remove", 1, Fault::Lost)
        .nth("put", 2, Fault::Lost)
        .nth("put", 3, Fault::error(ErrorKind::Busy));
    let policy = Policy::default().without_breaker().with_seed(1);
    let wrapped = PolicyTier::new(FaultyTier::new(tier, plan.clone()), policy, clock.shared());
    let (space, key) = (Namespace::new("n").unwrap(), Key::new("k").unwrap());
    let entry = || Entry::new("x", 0, u64::MAX);
    clock.drive(wrapped.put(&space, key.clone(), entry())).await.unwrap();
    let keys = [key.clone(), key.clone()];
    let answers = clock.drive(wrapped.get_many(&space, &keys)).await;
    assert!(answers.iter().all(|answer| matches!(answer, Lookup::Hit(_))), "{answers:?}");
    clock.drive(wrapped.remove(&space, &key)).await.unwrap();
    assert_eq!(plan.calls("remove"), 2);
    let lost = clock.drive(wrapped.put(&space, key.clone(), entry())).await.unwrap_err();
    assert_eq!((lost.retry(), plan.calls("put")), (Retry::Exhausted, 2));
    clock.drive(wrapped.put(&space, key.clone(), entry())).await.unwrap();
    assert_eq!(plan.calls("put"), 4);
    plan.go_down(Fault::unavailable());
    let answers = clock.drive(wrapped.get_many(&space, &keys)).await;
    assert!(answers.iter().all(|answer| matches!(answer, Lookup::Unavailable(_))), "{answers:?}");
}

#[tokio::test]
async fn faults_do_what_they_say() {
    let (store, clock) = (RefStore::new(), MockClock::new());
    let plan = FaultPlan::new(9)
        .with_clock(clock.shared())
        .nth("put", 1, Fault::Lost)
        .nth("put", 2, Fault::Torn)
        .nth("put", 3, Fault::Flip)
        .nth("put", 4, Fault::Delay(Duration::from_secs(3)))
        .nth("get", 1, Fault::Flip);
    let bad = FaultyStore::new(store.clone(), plan.clone());
    let (a, bytes) = (path("a"), Bytes::from(vec![0_u8; 1000]));
    let bits = |bytes: &Bytes| bytes.iter().map(|byte| byte.count_ones()).sum::<u32>();
    assert_eq!(bad.put(&a, bytes.clone()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get_bytes(&a).await.unwrap(), bytes, "lost, but done");
    assert!(bad.put(&a, bytes.clone()).await.is_err());
    assert_eq!(store.get_bytes(&a).await.unwrap().len(), 500, "torn");
    bad.put(&a, bytes.clone()).await.unwrap();
    assert_eq!(bits(&store.get_bytes(&a).await.unwrap()), 1, "one bit of what was written");
    clock.drive(bad.put(&a, bytes.clone())).await.unwrap();
    assert_eq!(clock.monotonic(), Duration::from_secs(3));
    assert_eq!(bits(&bad.get_bytes(&a).await.unwrap()), 1, "one bit of what was read");
    assert_eq!(plan.injected(), 5);
    plan.go_down(Fault::Error(Error::new(ErrorKind::Denied, "no")));
    assert_eq!(bad.head(&a).await.unwrap_err().kind(), ErrorKind::Denied);
    plan.come_up();
    assert_eq!(bad.head(&a).await.unwrap().size, 1000);
    let flapping = FaultPlan::new(1).flapping(2, 1, Fault::unavailable());
    let bad = FaultyStore::new(store, flapping);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(bad.head(&a).await.is_ok());
    }
    assert_eq!(seen, [true, true, false, true, true, false]);
}
