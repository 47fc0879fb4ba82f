//! Both bridges over the protocol of S3, spoken by moto (`moto[server]` of PyPI in the tests' Python environment).
#![cfg(all(feature = "s3", feature = "integration"))]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::unused_async,
    reason = "a test crate; makers are alike"
)]

use aeth_core::blob::{BlobStore, BlobStoreExt, PresignMethod, PresignOptions, PutOptions, probe};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_core::{BlobPath, ErrorKind, Secret};
use aeth_files::{Files, Metered, ObjectStoreAdapter, ObjectStoreAdapterOptions, S3Options, TransferOptions};
use std::sync::Arc;
use std::time::Duration;

use crate::suite::{Place, composed};
use crate::support;

use support::Sums;
use testkit::Moto;

fn options(bucket: &str) -> S3Options {
    S3Options::new(bucket)
        .with_endpoint(Moto::shared().url())
        .with_region("us-east-1")
        .with_key("key", Secret::new("secret"))
        .with_allow_http(true)
        // Engines refuse smaller parts than this.
        .with_adapter(ObjectStoreAdapterOptions::default().with_part_size(5 << 20))
}

/// A bucket of its own.
fn bucket(name: &str) -> ObjectStoreAdapter {
    Moto::shared().make_bucket(name);
    ObjectStoreAdapter::s3(options(name)).unwrap()
}

mod over_s3 {
    use super::*;

    async fn make(name: String) -> Place {
        Place::of(bucket(&name))
    }

    every!(make);
}

mod over_the_composition {
    use super::*;

    async fn make(name: String) -> Place {
        let buckets = ["a", "b", "c"].map(|at| Arc::new(bucket(&format!("stack-{name}-{at}"))) as _);
        Place(composed(buckets).await, None)
    }

    every!(make);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_of_blob_stores_hold() {
    let store: Arc<dyn BlobStore> = Arc::new(bucket("conformance"));
    // An emulator answers slowly: few rounds, and large blobs no larger than what still goes up in two parts.
    let subject = BlobSubject::new(Arc::clone(&store)).with_rounds(2).with_large((6 << 20) + 1);
    let report = subject.run().await;
    assert!(report.is_ok(), "{report}");
    assert!(report.passed().count() > 40, "{report}");
    assert_eq!(probe(&store, &BlobPath::new("probe").unwrap()).await.unwrap(), store.capabilities());
}

/// A store that cannot list parts leaves it to the handle to know which there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_goes_up_in_parts_and_is_taken_up_again() {
    let dir = testkit::temp_dir();
    let source = dir.path().join("source");
    let mut bytes = vec![0; (16 << 20) + 5];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    std::fs::write(&source, &bytes).unwrap();
    let below = Metered::new(bucket("file-in-parts"));
    let plan =
        FaultPlan::new(5).nth("put_part", 3, Fault::unavailable()).nth("put_part", 5, Fault::unavailable());
    let files = Files::new(FaultyStore::new(below.clone(), plan));
    let options = TransferOptions::default().with_part_size(5 << 20).with_concurrency(1);
    let path = BlobPath::new("a").unwrap();
    let mut failures = 0;
    while let Err(error) = files.upload("a", &source, PutOptions::default(), options.clone()).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(!below.exists(&path).await.unwrap());
        failures += 1;
    }
    assert_eq!(failures, 2);
    assert!(below.get_bytes(&path).await.unwrap() == bytes);
    let sent = Sums::of(&below).counter("aeth_files_uploaded_bytes");
    assert_eq!(sent, bytes.len() as u64, "no part was sent twice");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no state is left");
    // An upload that the store has forgotten begins anew.
    let plan = FaultPlan::new(5).nth("put_part", 3, Fault::unavailable());
    let failing = Files::new(FaultyStore::new(below.clone(), plan));
    failing.upload("b", &source, PutOptions::default(), options.clone()).await.unwrap_err();
    let state = std::fs::read_to_string(dir.path().join(".source.aeth-state")).unwrap();
    let id = state.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let upload = below.resume_upload(&BlobPath::new("b").unwrap(), &id.into()).await.unwrap();
    upload.abort().await.unwrap();
    let files = Files::new(below.clone());
    files.upload("b", &source, PutOptions::default(), options).await.unwrap();
    assert!(files.get("b").await.unwrap() == bytes);
}

#[tokio::test]
async fn a_signed_url_reads_the_blob() {
    let store = bucket("signed");
    let path = BlobPath::new("a b/c").unwrap();
    store.put(&path, "hello").await.unwrap();
    let signed =
        store.presign(&path, PresignOptions::new(PresignMethod::Get, Duration::from_secs(60))).await.unwrap();
    let at = signed.url.find("/signed").unwrap();
    let answer = Moto::shared().request("GET", &signed.url[at..]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    for seconds in [0, 8 * 24 * 60 * 60] {
        let options = PresignOptions::new(PresignMethod::Get, Duration::from_secs(seconds));
        assert_eq!(store.presign(&path, options).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_bucket_that_disappears_is_a_typed_error_and_comes_back_empty() {
    let store = bucket("disappears");
    let (path, other) = (BlobPath::new("a").unwrap(), BlobPath::new("b").unwrap());
    store.put(&path, "x").await.unwrap();
    store.delete(&path).await.unwrap();
    assert!(Moto::shared().request("DELETE", "/disappears").unwrap().starts_with("HTTP/1.1 204"));
    let errors = [
        store.get_bytes(&path).await.unwrap_err(),
        store.put(&path, "x").await.unwrap_err(),
        store.put_opts(&path, "x".into(), PutOptions::create()).await.unwrap_err(),
        store.copy(&path, &other).await.unwrap_err(),
        store.list_page(Default::default()).await.unwrap_err(),
        store.begin_upload(&path, PutOptions::default()).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    }
    let store = bucket("disappears");
    assert!(store.get_bytes(&path).await.unwrap_err().is_not_found());
    store.put(&path, "again").await.unwrap();
    assert_eq!(store.get_bytes(&path).await.unwrap(), "again");
}

#[tokio::test]
async fn a_bucket_or_server_that_is_not_there_is_a_typed_error_without_secrets() {
    let path = BlobPath::new("a").unwrap();
    let missing = ObjectStoreAdapter::s3(options("never-made")).unwrap();
    let error = missing.put(&path, "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let secret = "a-very-secret-key";
    let options = options("any").with_key("key", Secret::new(secret));
    assert!(!format!("{options:?}").contains(secret));
    let nowhere = options.with_endpoint(format!("http://127.0.0.1:{}", testkit::free_port()));
    let store = ObjectStoreAdapter::s3(nowhere).unwrap();
    let error = store.put_opts(&path, "x".into(), PutOptions::create()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.retry().is_worthwhile() && !format!("{error:?}{store:?}").contains(secret));
    let error = ObjectStoreAdapter::s3(S3Options::new("")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
}
