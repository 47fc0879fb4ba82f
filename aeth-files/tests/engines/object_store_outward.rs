//! object_store's own integration functions over our stores.
#![cfg(feature = "object-store-0-14")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::single_range_in_vec_init,
    clippy::unused_async,
    reason = "a test crate; makers are alike"
)]

use crate::suite::{Place, composed, keyset, over, within};
use aeth_core::BlobPath;
use aeth_core::blob::BlobStore;
use aeth_files::object_store::path::Path;
use aeth_files::object_store::{
    self, Attribute, Attributes, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
};
use aeth_files::{
    AsObjectStore, Durability, Encrypted, Engine, LocalDir, LocalDirOptions, MemoryStore, ObjectStoreAdapter,
    Prefixed,
};
use std::sync::Arc;
use std::time::Duration;

async fn memory() -> Place {
    Place::of(MemoryStore::new())
}

async fn local() -> Place {
    let dir = testkit::temp_dir();
    Place(over(LocalDir::open(dir.path()).await.unwrap()), Some(dir))
}

async fn encrypted_memory() -> Place {
    Place::of(Encrypted::new(MemoryStore::new(), keyset()))
}

async fn encrypted_local() -> Place {
    let dir = testkit::temp_dir();
    let store = LocalDir::open(dir.path()).await.unwrap();
    Place(over(Encrypted::new(store, keyset())), Some(dir))
}

async fn composed_memory() -> Place {
    let locations = (0..3).map(|_| Arc::new(MemoryStore::new()) as Arc<dyn BlobStore>);
    Place(composed(locations).await, None)
}

async fn composed_local() -> Place {
    let dir = testkit::temp_dir();
    let mut locations: Vec<Arc<dyn BlobStore>> = Vec::new();
    for name in ["a", "b", "c"] {
        let options = LocalDirOptions::default().with_durability(Durability::None);
        locations.push(Arc::new(LocalDir::open_with(dir.path().join(name), options).await.unwrap()));
    }
    Place(composed(locations).await, Some(dir))
}

/// A store without uploads in parts, whose streamed puts stand in for them; and there and back again.
async fn adapted_memory() -> Place {
    let engine = Arc::new(object_store::memory::InMemory::new());
    Place::of(ObjectStoreAdapter::new(engine, Engine::Memory))
}

/// The same with the engine's own parts.
async fn adapted_memory_with_parts() -> Place {
    let engine = Arc::new(object_store::memory::InMemory::new());
    let adapter = ObjectStoreAdapter::new(Arc::clone(&engine) as _, Engine::Memory);
    Place::of(adapter.with_parts(engine))
}

/// Tests over one of the places; those with uploads by id have `uploads` too.
macro_rules! tests {
    ($module:ident: $place:ident $(, $uploads:ident)?) => {
        mod $module {
            async fn make(_: String) -> crate::suite::Place {
                super::$place().await
            }

            main!(make);
            race!(make);
            $(
                $uploads!(make);
                uploads_with_attributes!(make);
            )?
        }
    };
}

tests!(over_memory: memory, uploads);
tests!(over_local_dir: local, uploads);
tests!(over_encrypted_memory: encrypted_memory);
tests!(over_encrypted_local_dir: encrypted_local);
tests!(over_composed_memory: composed_memory, uploads);
tests!(over_composed_local_dirs: composed_local, uploads);
tests!(over_adapted_memory: adapted_memory);
tests!(over_adapted_memory_with_parts: adapted_memory_with_parts, uploads);

#[tokio::test]
async fn a_conditional_upload_is_decided_at_completion() {
    for Place(store, _dir) in [memory().await, local().await, adapted_memory().await] {
        let path = Path::from("taken");
        let mut options = PutMultipartOptions::default();
        options.extensions.insert(PutMode::Create);
        let mut upload = store.put_multipart_opts(&path, options.clone()).await.unwrap();
        upload.put_part("new".into()).await.unwrap();
        store.put(&path, "old".into()).await.unwrap();
        let error = upload.complete().await.unwrap_err();
        assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{store}: {error}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "old");
        store.delete(&path).await.unwrap();
        let mut upload = store.put_multipart_opts(&path, options).await.unwrap();
        upload.put_part("new".into()).await.unwrap();
        upload.complete().await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "new");
    }
}

#[tokio::test]
async fn an_upload_is_invisible_until_it_is_complete_and_gone_when_aborted() {
    for Place(store, _dir) in [memory().await, adapted_memory().await] {
        let path = Path::from("upload");
        for drop_it in [false, true] {
            let mut upload = store.put_multipart(&path).await.unwrap();
            upload.put_part(vec![1; 3_000_000].into()).await.unwrap();
            upload.put_part(vec![2; 3_000_000].into()).await.unwrap();
            assert!(matches!(store.head(&path).await, Err(object_store::Error::NotFound { .. })));
            match drop_it {
                true => drop(upload),
                false => upload.abort().await.unwrap(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(matches!(store.head(&path).await, Err(object_store::Error::NotFound { .. })));
        }
    }
}

#[tokio::test]
async fn an_upload_with_an_unfinished_part_is_refused() {
    for Place(store, _dir) in [memory().await, adapted_memory().await] {
        let path = Path::from("upload");
        let mut upload = store.put_multipart(&path).await.unwrap();
        let first = upload.put_part("a".into());
        upload.put_part("b".into()).await.unwrap();
        within(upload.complete()).await.unwrap_err();
        first.await.unwrap();
        within(upload.complete()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "ab");
    }
}

/// More bytes than the queue holds pass through it in order, with parts awaited at once and one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_without_parts_is_fed_in_order() {
    let Place(store, _dir) = adapted_memory().await;
    let path = Path::from("large");
    let part = |i: u8| vec![i; 5 << 20];
    let mut upload = store.put_multipart(&path).await.unwrap();
    let parts: Vec<_> = (0..6).map(|i| upload.put_part(part(i).into())).collect();
    within(async {
        for part in parts.into_iter().rev() {
            part.await.unwrap();
        }
        for i in 6..12 {
            upload.put_part(part(i).into()).await.unwrap();
        }
        upload.complete().await.unwrap();
    })
    .await;
    let read = store.get(&path).await.unwrap().bytes().await.unwrap();
    assert_eq!(read.len(), 60 << 20);
    assert!((0..12_u8).all(|i| read[usize::from(i) * (5 << 20)..][..5 << 20].iter().all(|byte| *byte == i)));
}

#[tokio::test]
async fn ranges_are_exact_and_never_panic() {
    for Place(store, _dir) in [memory().await, local().await, encrypted_memory().await] {
        let path = Path::from("blob");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i / 7) as u8).collect();
        store.put(&path, bytes.clone().into()).await.unwrap();
        let ranges = [2_900_000..2_900_010, 0..10, 5..8, 1_500_000..1_500_001, 2_999_990..4_000_000, 0..10];
        let read = store.get_ranges(&path, &ranges).await.unwrap();
        for (range, read) in ranges.iter().zip(&read) {
            assert_eq!(read, &bytes[range.start as usize..(range.end as usize).min(bytes.len())]);
        }
        assert!(store.get_ranges(&path, &[]).await.unwrap().is_empty());
        // One read covers these two; the second one is outside of the blob.
        store.get_ranges(&path, &[2_999_000..2_999_001, 3_000_001..3_000_002]).await.unwrap_err();
        #[allow(clippy::reversed_empty_ranges, reason = "the point of the test")]
        let backwards = [9..3];
        store.get_ranges(&path, &backwards).await.unwrap_err();
        let missing = store.get_ranges(&Path::from("nothing"), &[0..1]).await;
        assert!(matches!(missing, Err(object_store::Error::NotFound { .. })));
    }
}

#[tokio::test]
async fn what_is_missing_is_refused_and_not_dropped() {
    use aeth_files::ReadOnly;
    let inner: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    let writer = AsObjectStore::new(Arc::clone(&inner));
    let attributes = Attributes::from_iter([(Attribute::Metadata("a".into()), "b")]);
    writer.put_opts(&Path::from("a"), "x".into(), attributes.into()).await.unwrap();
    let reader = over(ReadOnly::new(inner));
    let error = reader.put(&Path::from("a"), "y".into()).await.unwrap_err();
    assert!(
        matches!(
            error,
            object_store::Error::PermissionDenied { .. } | object_store::Error::NotImplemented { .. }
        ),
        "{error:?}"
    );
    let mut upload = reader.put_multipart(&Path::from("a")).await.unwrap();
    // The put behind it has failed by the time of some part, and at completion at the latest.
    let mut refused = false;
    for _ in 0..100 {
        refused |= upload.put_part("y".into()).await.is_err();
        tokio::task::yield_now().await;
    }
    assert!(refused, "an upload that cannot succeed takes parts for ever");
    let error = upload.complete().await.unwrap_err();
    assert!(matches!(error, object_store::Error::PermissionDenied { .. }), "{error:?}");
    assert_eq!(reader.get(&Path::from("a")).await.unwrap().bytes().await.unwrap(), "x");
    let version = object_store::UpdateVersion { e_tag: None, version: Some("1".into()) };
    let update = PutMode::Update(version).into();
    writer.put_opts(&Path::from("a"), "y".into(), update).await.unwrap_err();
    for bad in ["", &"x".repeat(1025)] {
        writer.put(&Path::parse(bad).unwrap(), "y".into()).await.unwrap_err();
    }
}

/// A delete of more paths than one batch takes gives one result for each, in order, errors of the caller included.
#[tokio::test]
async fn deletes_answer_in_order() {
    use futures_util::{StreamExt, stream};
    let Place(store, _dir) = memory().await;
    let mut paths = Vec::new();
    for i in 0..2_500 {
        let path = Path::from(format!("k{i}"));
        store.put(&path, "x".into()).await.unwrap();
        paths.push(match i {
            1_200 => {
                Err(object_store::Error::NotImplemented { operation: "x".into(), implementer: "y".into() })
            }
            1_300 => Ok(Path::default()),
            _ => Ok(path),
        });
    }
    let results: Vec<_> = store.delete_stream(stream::iter(paths).boxed()).collect().await;
    assert_eq!(results.len(), 2_500);
    for (i, result) in results.iter().enumerate() {
        match i {
            1_200 => assert!(matches!(result, Err(object_store::Error::NotImplemented { .. }))),
            1_300 => assert!(matches!(result, Err(object_store::Error::Generic { .. })), "{result:?}"),
            _ => assert_eq!(result.as_ref().unwrap().as_ref(), format!("k{i}")),
        }
    }
    let left: Vec<_> = store.list(None).collect().await;
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn a_freshness_condition_is_told_from_a_state_condition() {
    use aeth_files::object_store::{Error, GetOptions};
    let Place(store, _dir) = memory().await;
    let path = Path::from("a");
    let mark = store.put(&path, "x".into()).await.unwrap().e_tag;
    let options = |if_match: Option<&str>, if_none_match: Option<&str>| {
        GetOptions::new().with_if_match(if_match).with_if_none_match(if_none_match)
    };
    let mark = mark.as_deref();
    let get = |options| store.get_opts(&path, options);
    assert!(matches!(get(options(None, mark)).await, Err(Error::NotModified { .. })));
    assert!(matches!(get(options(mark, mark)).await, Err(Error::NotModified { .. })));
    assert!(matches!(get(options(Some("z"), mark)).await, Err(Error::Precondition { .. })));
    assert!(matches!(get(options(Some("z, y"), None)).await, Err(Error::Precondition { .. })));
    assert!(matches!(get(options(None, Some("*"))).await, Err(Error::NotModified { .. })));
    let list = format!("z, {}", mark.unwrap());
    get(options(Some(&list), Some("y"))).await.unwrap();
}

#[tokio::test]
async fn prefixed_stores_list_relative_paths() {
    use futures_util::TryStreamExt;
    let inner = MemoryStore::new();
    let store = over(Prefixed::new(inner, BlobPath::new("tenant").unwrap()));
    store.put(&Path::from("a/b"), "x".into()).await.unwrap();
    let listed: Vec<_> = store.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    assert_eq!(listed, [Path::from("a/b")]);
}
