//! The laws of blob stores over object_store's stores.
#![cfg(feature = "object-store-0-14")]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::blob::{BlobStore, BlobStoreExt, Capability, GetOptions, ListOptions, PutOptions, probe};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use aeth_files::object_store::{self, ObjectStore, memory::InMemory};
use aeth_files::{AsObjectStore, Engine, MemoryStore, ObjectStoreAdapter, ObjectStoreAdapterOptions};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;
use std::time::Duration;

/// Every law holds, and the probe sees every claim.
async fn holds(store: ObjectStoreAdapter) {
    let store: Arc<dyn BlobStore> = Arc::new(store);
    let report = BlobSubject::new(Arc::clone(&store)).run().await;
    assert!(report.is_ok(), "{report}");
    assert!(report.passed().count() > 40, "{report}");
    let claims = store.capabilities();
    assert_eq!(probe(&store, &path("probe")).await.unwrap(), claims);
}

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

fn memory() -> ObjectStoreAdapter {
    ObjectStoreAdapter::new(Arc::new(InMemory::new()), Engine::Memory)
}

/// Everything that a memory store of ours can do and object_store can express.
fn there_and_back() -> (AsObjectStore, ObjectStoreAdapter) {
    let outer = AsObjectStore::new(Arc::new(MemoryStore::new()));
    let claims = MemoryStore::new().capabilities();
    let adapter = ObjectStoreAdapter::new(Arc::new(outer.clone()), Engine::Other);
    (outer, claims.set.iter().fold(adapter, ObjectStoreAdapter::with_capability))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory() {
    holds(memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_with_uploads_in_parts() {
    let engine = Arc::new(InMemory::new());
    let store = ObjectStoreAdapter::new(Arc::clone(&engine) as _, Engine::Memory).with_parts(engine);
    assert!(store.capabilities().has(Capability::PlainUploads));
    holds(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_memory_with_small_parts_and_staging() {
    let options = ObjectStoreAdapterOptions::default()
        .with_part_size(100_000)
        .with_part_concurrency(3)
        .with_conditional_limit(300_000)
        .with_staging(path("staging"));
    let store = Arc::new(InMemory::new());
    holds(ObjectStoreAdapter::with_options(Arc::clone(&store) as _, Engine::Memory, options)).await;
    let left = store.list(None).count().await;
    assert_eq!(left, 0, "something stays behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_memory_store_there_and_back() {
    holds(there_and_back().1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_memory_store_there_and_back_by_pages() {
    let (outer, adapter) = there_and_back();
    holds(adapter.with_pages(Arc::new(outer))).await;
}

/// Its marks may repeat, which is why conditions are not claimed; everything else holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_file_system() {
    let dir = testkit::temp_dir();
    let store = object_store::local::LocalFileSystem::new_with_prefix(dir.path()).unwrap();
    let store = store.with_automatic_cleanup(true);
    holds(ObjectStoreAdapter::new(Arc::new(store), Engine::LocalFileSystem)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_engine_claims_the_least() {
    holds(ObjectStoreAdapter::new(Arc::new(InMemory::new()), Engine::Other)).await;
}

#[tokio::test]
async fn claims_that_cannot_be_expressed_stay_unclaimed() {
    let store = [Capability::Tags, Capability::Uploads, Capability::ResumeUploads, Capability::Presign]
        .into_iter()
        .fold(memory(), ObjectStoreAdapter::with_capability);
    assert_eq!(store.capabilities(), memory().capabilities());
    let less = memory().without_capability(Capability::Attributes);
    assert!(!less.capabilities().has(Capability::CopyReplace));
    let narrowed = memory().narrow(&less.capabilities());
    assert_eq!(narrowed.capabilities(), less.capabilities());
}

/// A body that fails, lies or is dropped in the middle of its parts leaves nothing, whatever the part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_puts_are_all_or_nothing() {
    let options = ObjectStoreAdapterOptions::default().with_part_size(1000);
    let store = ObjectStoreAdapter::with_options(Arc::new(InMemory::new()), Engine::Memory, options);
    let target = path("blob");
    store.put(&target, "old").await.unwrap();
    let chunk = Bytes::from(vec![7; 700]);
    for chunks in [0, 1, 2, 3, 10] {
        let good = std::iter::repeat_n(Ok(chunk.clone()), chunks);
        let bad = Err(Error::new(ErrorKind::Denied, "marker"));
        let body = Body::once(stream::iter(good.chain([bad])), None);
        let error = store.put(&target, body).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Denied, "marker"));
        let good: Vec<Result<Bytes>> = std::iter::repeat_n(Ok(chunk.clone()), chunks).collect();
        for stated in [chunks as u64 * 700 + 1, (chunks as u64 * 700).saturating_sub(1)] {
            if stated == chunks as u64 * 700 {
                continue;
            }
            let body = Body::once(stream::iter(good.clone()), Some(stated));
            assert_eq!(store.put(&target, body).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let hangs = stream::iter(good).chain(stream::pending());
        let put = store.put(&target, Body::once(hangs, None));
        tokio::time::timeout(Duration::from_millis(30), put).await.unwrap_err();
        assert_eq!(store.get_bytes(&target).await.unwrap(), "old");
    }
}

/// An engine that never answers is a timeout, in every call.
#[tokio::test]
async fn an_engine_that_hangs_is_a_timeout() {
    let options = ObjectStoreAdapterOptions::default().with_timeout(Duration::from_millis(20));
    let store = ObjectStoreAdapter::with_options(Arc::new(Hangs), Engine::Memory, options);
    let target = path("blob");
    let results = [
        store.head(&target).await.map(drop),
        store.put(&target, "x").await.map(drop),
        store.delete(&target).await,
        store.copy(&target, &path("other")).await.map(drop),
        store.rename(&target, &path("other")).await.map(drop),
        store.list_page(ListOptions::default()).await.map(drop),
        store.list_page(ListOptions::default().with_delimiter()).await.map(drop),
    ];
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!(error.retry().is_worthwhile());
    }
}

/// An answer that is cut short or runs over is an error of the stream, not a shorter blob.
#[tokio::test]
async fn an_answer_of_another_length_is_found() {
    for given in [5, 15] {
        let store = ObjectStoreAdapter::new(Arc::new(Lies { given }), Engine::Memory);
        let blob = store.get(&path("blob")).await.unwrap();
        assert_eq!(blob.range, 0..10);
        assert_eq!(blob.bytes().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[tokio::test]
async fn conditions_above_the_limit_are_refused() {
    let options = ObjectStoreAdapterOptions::default().with_conditional_limit(10);
    let store = ObjectStoreAdapter::with_options(Arc::new(InMemory::new()), Engine::Memory, options);
    assert_eq!(store.capabilities().max_conditional_put, Some(10));
    let target = path("blob");
    store.put_opts(&target, "0123456789".into(), PutOptions::create()).await.unwrap();
    let mark = store.head(&target).await.unwrap().etag.unwrap();
    for options in [PutOptions::create(), PutOptions::if_match(mark.clone())] {
        let unstated = Body::once(stream::iter([Ok(Bytes::from_static(b"0123456789x"))]), None);
        for body in [Body::from("0123456789x"), unstated] {
            let error = store.put_opts(&target, body, options.clone()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.remedy().is_some());
        }
    }
    assert_eq!(store.get_bytes(&target).await.unwrap(), "0123456789");
    let options = GetOptions::default().with_if_match(mark);
    store.get_opts(&target, options).await.unwrap();
}

#[derive(Debug)]
struct Hangs;

#[derive(Debug)]
struct Lies {
    given: usize,
}

macro_rules! broken {
    ($name:ident, |$this:ident, $at:ident| $get:expr) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        #[async_trait::async_trait]
        impl ObjectStore for $name {
            async fn put_opts(
                &self,
                _: &object_store::path::Path,
                _: object_store::PutPayload,
                _: object_store::PutOptions,
            ) -> object_store::Result<object_store::PutResult> {
                std::future::pending().await
            }
            async fn put_multipart_opts(
                &self,
                _: &object_store::path::Path,
                _: object_store::PutMultipartOptions,
            ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
                std::future::pending().await
            }
            async fn get_opts(
                &self,
                $at: &object_store::path::Path,
                _: object_store::GetOptions,
            ) -> object_store::Result<object_store::GetResult> {
                let $this = self;
                $get
            }
            fn delete_stream(
                &self,
                _: stream::BoxStream<'static, object_store::Result<object_store::path::Path>>,
            ) -> stream::BoxStream<'static, object_store::Result<object_store::path::Path>> {
                stream::pending().boxed()
            }
            fn list(
                &self,
                _: Option<&object_store::path::Path>,
            ) -> stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
                stream::pending().boxed()
            }
            async fn list_with_delimiter(
                &self,
                _: Option<&object_store::path::Path>,
            ) -> object_store::Result<object_store::ListResult> {
                std::future::pending().await
            }
            async fn copy_opts(
                &self,
                _: &object_store::path::Path,
                _: &object_store::path::Path,
                _: object_store::CopyOptions,
            ) -> object_store::Result<()> {
                std::future::pending().await
            }
        }
    };
}

broken!(Hangs, |_this, _at| std::future::pending().await);
broken!(Lies, |this, at| {
    let body = Bytes::from(vec![0; this.given]);
    Ok(object_store::GetResult {
        payload: object_store::GetResultPayload::Stream(stream::iter([Ok(body)]).boxed()),
        meta: object_store::ObjectMeta {
            location: at.clone(),
            last_modified: std::time::SystemTime::UNIX_EPOCH.into(),
            size: 10,
            e_tag: None,
            version: None,
        },
        range: 0..10,
        attributes: Default::default(),
        extensions: Default::default(),
    })
});
