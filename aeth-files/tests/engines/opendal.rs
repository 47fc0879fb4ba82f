//! opendal's operators as stores: memory, the file system, and S3 as moto speaks it.
#![cfg(all(feature = "opendal-0-59", feature = "integration"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::blob::{
    BlobStore, BlobStoreExt, Capability, PresignMethod, PresignOptions, PutOptions, probe,
};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::{BlobPath, Body, Error, ErrorKind};
use aeth_files::opendal::{Operator, services};
use aeth_files::{OpendalAdapter, OpendalAdapterOptions};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use testkit::Moto;

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

fn memory() -> OpendalAdapter {
    OpendalAdapter::new(Operator::new(services::Memory::default()).unwrap()).unwrap()
}

fn directory(dir: &Path) -> OpendalAdapter {
    OpendalAdapter::new(Operator::new(services::Fs::default().root(dir.to_str().unwrap())).unwrap()).unwrap()
}

fn s3(bucket: &str) -> OpendalAdapter {
    Moto::shared().make_bucket(bucket);
    at(bucket, &Moto::shared().url())
}

fn at(bucket: &str, endpoint: &str) -> OpendalAdapter {
    let service = services::S3::default()
        .bucket(bucket)
        .endpoint(endpoint)
        .region("us-east-1")
        .access_key_id("key")
        .secret_access_key("a-very-secret-key")
        .disable_config_load()
        .disable_ec2_metadata();
    let options = OpendalAdapterOptions::default().with_part_size(5 << 20);
    OpendalAdapter::with_options(Operator::new(service).unwrap(), options).unwrap()
}

/// All laws hold, and a probe sees all that is claimed.
async fn is_lawful(store: impl BlobStore + Clone, passed: usize) {
    // A server answers slowly: few rounds, and large blobs no larger than what still goes up in two parts.
    let report = BlobSubject::new(store.clone()).with_rounds(2).with_large((6 << 20) + 1).run().await;
    assert!(report.is_ok(), "{report}");
    assert!(report.passed().count() >= passed, "{report}");
    let store: Arc<dyn BlobStore> = Arc::new(store);
    assert_eq!(probe(&store, &path("probe")).await.unwrap(), store.capabilities());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_in_memory() {
    is_lawful(memory(), 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_in_a_directory() {
    let dir = testkit::temp_dir();
    is_lawful(directory(dir.path()), 25).await;
    // Nothing unfinished is left.
    let left = std::fs::read_dir(dir.path().join(".aeth-staging")).unwrap();
    assert_eq!(left.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_hold_on_s3() {
    let store = s3("opendal-laws");
    for capability in [Capability::CompareAndSwap, Capability::CreateOnly, Capability::Attributes] {
        assert!(store.capabilities().has(capability), "{capability:?}");
    }
    is_lawful(store, 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_file_is_never_seen() {
    let dir = testkit::temp_dir();
    let store = directory(dir.path());
    let broken =
        stream::iter([Ok(Bytes::from(vec![1; 9 << 20])), Err(Error::unavailable("the source broke"))]);
    let error = store.put(&path("a"), Body::once(broken, None)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!store.exists(&path("a")).await.unwrap());
    // One that is dropped half-way, too; what it left is removed in the background.
    let endless = stream::iter([Ok(Bytes::from(vec![1; 1 << 20]))]).chain(stream::pending());
    let target = path("a");
    let put = store.put(&target, Body::once(endless, None));
    tokio::time::timeout(Duration::from_millis(300), put).await.unwrap_err();
    assert!(!store.exists(&path("a")).await.unwrap());
    for _ in 0..600 {
        if std::fs::read_dir(dir.path().join(".aeth-staging")).unwrap().count() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the unfinished files stay");
}

#[tokio::test]
async fn bad_input_is_a_typed_error_without_secrets() {
    let dir = testkit::temp_dir();
    let store = directory(dir.path());
    let error = store.put(&path(".aeth-staging/x"), "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = store.put(&path(" x"), "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = store.put_opts(&path("x"), "x".into(), PutOptions::create()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let options = OpendalAdapterOptions::default().with_staging("../x");
    let operator = Operator::new(services::Memory::default()).unwrap();
    assert_eq!(OpendalAdapter::with_options(operator, options).unwrap_err().kind(), ErrorKind::Invalid);

    let missing = at("opendal-never-made", &Moto::shared().url());
    let error = missing.put(&path("a"), "x").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.remedy().unwrap().contains("bucket"), "{error:?}");
    let nowhere = at("any", &format!("http://127.0.0.1:{}", testkit::free_port()));
    let error = nowhere.put(&path("a"), "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.retry().is_worthwhile() && !format!("{error:?}{nowhere:?}").contains("very-secret"));
}

#[tokio::test]
async fn a_signed_url_reads_the_blob() {
    let store = s3("opendal-signed");
    store.put(&path("a b/c"), "hello").await.unwrap();
    let options = PresignOptions::new(PresignMethod::Get, Duration::from_secs(60));
    let signed = store.presign(&path("a b/c"), options).await.unwrap();
    let from = signed.url.find("/opendal-signed").unwrap();
    let answer = Moto::shared().request("GET", &signed.url[from..]).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
}
