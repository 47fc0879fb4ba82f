//! Both bridges over the protocol of S3, spoken by moto (`moto[server]` of PyPI in the tests' Python environment).
#![cfg(all(feature = "s3", feature = "integration"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::blob::{BlobStore, BlobStoreExt, PresignMethod, PresignOptions, PutOptions, probe};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_core::{BlobPath, ErrorKind, Secret};
use aeth_files::object_store;
use aeth_files::object_store::integration as laws;
use aeth_files::{
    AsObjectStore, Cached, Encrypted, Metered, Mirrored, ObjectStoreAdapter, ObjectStoreAdapterOptions,
    S3Options,
};
use std::sync::Arc;
use std::time::Duration;

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

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(180), work).await.expect("it hung")
}

macro_rules! main_laws {
    ($($name:ident => |$store:ident| $call:expr),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let name = stringify!($name).replace('_', "-");
                let $store = AsObjectStore::new(Arc::new(bucket(&name)));
                within($call).await;
            }
        )+
    };
}

main_laws! {
    put_get_delete_list => |store| laws::put_get_delete_list(&store),
    put_get_attributes => |store| laws::put_get_attributes(&store),
    get_opts => |store| laws::get_opts(&store),
    put_opts_with_updates => |store| laws::put_opts(&store, true),
    stream_get => |store| laws::stream_get(&store),
    list_uses_directories_correctly => |store| laws::list_uses_directories_correctly(&store),
    list_with_delimiter => |store| laws::list_with_delimiter(&store),
    list_with_offset_exclusivity => |store| laws::list_with_offset_exclusivity(&store),
    rename_and_copy => |store| laws::rename_and_copy(&store),
    copy_if_not_exists => |store| laws::copy_if_not_exists(&store),
    copy_rename_nonexistent_object => |store| laws::copy_rename_nonexistent_object(&store),
    multipart_race_condition => |store| laws::multipart_race_condition(&store, true),
    multipart_out_of_order => |store| laws::multipart_out_of_order(&store),
    list_paginated => |store| laws::list_paginated(&store, &store),
    get_nonexistent_object => |store| async move {
        let error = laws::get_nonexistent_object(&store, None).await.unwrap_err();
        assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
    },
}

/// metered(cached(encrypted(mirrored(…)))) over three buckets.
async fn composed(name: &str) -> AsObjectStore {
    let mut mirror = Mirrored::builder();
    for at in ["a", "b", "c"] {
        mirror = mirror.location(at, bucket(&format!("{name}-{at}")));
    }
    let keyset = Keyset::generate(SegmentSize::default()).unwrap();
    let sealed = Encrypted::new(mirror.open().await.unwrap(), keyset);
    AsObjectStore::new(Arc::new(Metered::new(Cached::builder(sealed).open().await.unwrap())))
}

macro_rules! composed_laws {
    ($($name:ident => |$store:ident| $call:expr),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let name = stringify!($name).replace('_', "-");
                let $store = super::composed(&format!("stack-{name}")).await;
                within($call).await;
            }
        )+
    };
}

mod over_the_composition {
    use super::*;

    composed_laws! {
        put_get_delete_list => |store| laws::put_get_delete_list(&store),
        put_get_attributes => |store| laws::put_get_attributes(&store),
        get_opts => |store| laws::get_opts(&store),
        put_opts_with_updates => |store| laws::put_opts(&store, true),
        stream_get => |store| laws::stream_get(&store),
        list_uses_directories_correctly => |store| laws::list_uses_directories_correctly(&store),
        list_with_delimiter => |store| laws::list_with_delimiter(&store),
        list_with_offset_exclusivity => |store| laws::list_with_offset_exclusivity(&store),
        rename_and_copy => |store| laws::rename_and_copy(&store),
        copy_if_not_exists => |store| laws::copy_if_not_exists(&store),
        copy_rename_nonexistent_object => |store| laws::copy_rename_nonexistent_object(&store),
        multipart => |store| laws::multipart(&store, &store),
        multipart_with_opts => |store| laws::multipart_with_opts(&store, &store),
        multipart_put_part_out_of_order => |store| laws::multipart_put_part_out_of_order(&store, &store),
        multipart_race_condition => |store| laws::multipart_race_condition(&store, true),
        multipart_out_of_order => |store| laws::multipart_out_of_order(&store),
        list_paginated => |store| laws::list_paginated(&store, &store),
        get_nonexistent_object => |store| async move {
            let error = laws::get_nonexistent_object(&store, None).await.unwrap_err();
            assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_laws_of_blob_stores_hold() {
    let store: Arc<dyn BlobStore> = Arc::new(bucket("conformance"));
    let report = BlobSubject::new(Arc::clone(&store)).with_rounds(6).run().await;
    assert!(report.is_ok(), "{report}");
    assert!(report.passed().count() > 40, "{report}");
    assert_eq!(probe(&store, &BlobPath::new("probe").unwrap()).await.unwrap(), store.capabilities());
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
