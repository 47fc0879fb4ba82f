//! The laws of blob stores, on every store and every composition of layers.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

mod support;

use aeth_core::SystemClock;
use aeth_core::blob::{BlobStore, Capability, PutOptions};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::policy::{Policy, PolicyStore};
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_files::{
    Durability, Encrypted, Layout, LocalDir, LocalDirOptions, MemoryStore, Metered, Prefixed, ReadOnly,
};
use std::sync::Arc;
use support::Without;

async fn local(dir: &testkit::TempDir, durability: Durability, layout: Layout) -> LocalDir {
    let options = LocalDirOptions::default().with_durability(durability).with_layout(layout);
    LocalDir::open_with(dir.path(), options).await.unwrap()
}

fn keyset() -> Keyset {
    Keyset::generate(SegmentSize::default()).unwrap()
}

/// Every law holds, on every capability that the store claims, and exactly the expected ones are claimed.
async fn holds(store: impl BlobStore, other: Option<Arc<dyn BlobStore>>) {
    holds_in(store, other, 24).await;
}

async fn holds_in(store: impl BlobStore, other: Option<Arc<dyn BlobStore>>, rounds: usize) {
    let store: Arc<dyn BlobStore> = Arc::new(store);
    let mut subject = BlobSubject::new(Arc::clone(&store)).with_rounds(rounds);
    if let Some(other) = other {
        subject = subject.with_other(other);
    }
    let report = subject.run().await;
    assert!(report.is_ok(), "{}: {report}", store.name());
    let claims = store.capabilities();
    let prefix = aeth_core::BlobPath::new("probe").unwrap();
    assert_eq!(aeth_core::blob::probe(&store, &prefix).await.unwrap(), claims, "{}", store.name());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    let store = MemoryStore::new();
    holds(store.clone(), Some(Arc::new(store.clone()))).await;
    assert!(store.is_empty(), "the suite leaves blobs behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_dir_of_every_durability_and_layout() {
    for layout in [Layout::Plain, Layout::Sharded] {
        for durability in [Durability::None, Durability::File, Durability::FileAndDirectory] {
            let dir = testkit::temp_dir();
            let store = local(&dir, durability, layout).await;
            let other = local(&dir, durability, layout).await;
            // Laws about chance need many rounds once, not while each round waits for the disk.
            let rounds = if durability == Durability::None { 24 } else { 4 };
            holds_in(store, Some(Arc::new(other)), rounds).await;
            let left: Vec<_> =
                std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(left, [".aeth"], "nothing is left of deleted blobs");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_over_memory() {
    holds(Encrypted::new(MemoryStore::new(), keyset()), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_with_small_segments() {
    let keyset = Keyset::generate(SegmentSize::new(1024).unwrap()).unwrap();
    let below = MemoryStore::new();
    let other = Encrypted::new(below.clone(), keyset.clone());
    holds(Encrypted::new(below, keyset), Some(Arc::new(other))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_over_local_dir() {
    let dir = testkit::temp_dir();
    let keyset = keyset();
    let other = Encrypted::new(local(&dir, Durability::None, Layout::Plain).await, keyset.clone());
    let store = Encrypted::new(local(&dir, Durability::None, Layout::Plain).await, keyset);
    holds(store, Some(Arc::new(other))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_over_stores_that_can_do_less() {
    let lacking = [
        vec![Capability::Attributes, Capability::CopyReplace],
        vec![Capability::CopyReplace],
        vec![Capability::ConditionalGet],
        vec![Capability::Attributes, Capability::CopyReplace, Capability::ConditionalGet, Capability::Tags],
    ];
    for lacking in lacking {
        let below = Without::new(MemoryStore::new(), &lacking);
        holds(Encrypted::new(below, keyset()), None).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counted_and_prefixed_over_everything() {
    let below = MemoryStore::new();
    let part = aeth_core::BlobPath::new("tenants/7").unwrap();
    let store = Metered::new(Prefixed::new(Encrypted::new(below.clone(), keyset()), part.clone()));
    holds(store, None).await;
    assert!(below.is_empty(), "the suite leaves blobs behind");
    holds(Prefixed::new(below.clone(), part.clone()), Some(Arc::new(Prefixed::new(below, part)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_handle_of_hosts_over_an_encrypted_directory() {
    let dir = testkit::temp_dir();
    let sealed = Encrypted::new(local(&dir, Durability::File, Layout::Sharded).await, keyset());
    let files = aeth_files::Files::new(sealed);
    holds(Arc::clone(files.store()), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retried_and_counted_over_an_encrypted_directory() {
    let dir = testkit::temp_dir();
    let sealed = Encrypted::new(local(&dir, Durability::None, Layout::Plain).await, keyset());
    let retried = PolicyStore::new(sealed, Policy::default(), SystemClock::shared());
    holds(Metered::new(retried), None).await;
}

#[tokio::test]
async fn read_only_claims_nothing_that_writes() {
    use aeth_core::blob::BlobStoreExt;
    let below = MemoryStore::new();
    let path = aeth_core::BlobPath::new("a").unwrap();
    below.put(&path, "a").await.unwrap();
    let store = ReadOnly::new(below.clone());
    assert_eq!(store.get_bytes(&path).await.unwrap(), "a");
    let denied = [
        store.put(&path, "b").await.unwrap_err(),
        store.delete(&path).await.unwrap_err(),
        store.copy(&path, &path).await.unwrap_err(),
        store.rename(&path, &path).await.unwrap_err(),
        store.begin_upload(&path, PutOptions::default()).await.unwrap_err(),
    ];
    assert!(denied.iter().all(|error| error.kind() == aeth_core::ErrorKind::Denied));
    let writing =
        [Capability::CreateOnly, Capability::CompareAndSwap, Capability::Uploads, Capability::Presign];
    assert!(writing.iter().all(|capability| !store.capabilities().has(*capability)));
    assert_eq!(below.get_bytes(&path).await.unwrap(), "a");
}

/// The wrapper that the tests of weaker stores rest on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_a_capability_is_honest() {
    for capability in MemoryStore::new().capabilities().set.iter() {
        let lacking = match capability {
            Capability::RangeGet => vec![Capability::RangeGet, Capability::SuffixGet],
            Capability::Uploads => vec![Capability::Uploads, Capability::ResumeUploads],
            Capability::Attributes => vec![Capability::Attributes, Capability::CopyReplace],
            // It is about no call.
            Capability::Transparent => continue,
            capability => vec![capability],
        };
        let store = Without::new(MemoryStore::new(), &lacking);
        let report = BlobSubject::new(store).with_rounds(4).run().await;
        assert!(report.is_ok(), "without {lacking:?}: {report}");
    }
}
