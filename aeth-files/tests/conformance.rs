//! The laws of blob stores, on every store and every composition of layers.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

mod support;

use aeth_core::blob::{BlobStore, Capabilities, Capability};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_files::{Durability, Encrypted, Layout, LocalDir, LocalDirOptions, MemoryStore};
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
    let store: Arc<dyn BlobStore> = Arc::new(store);
    let mut subject = BlobSubject::new(Arc::clone(&store));
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
            holds(store, Some(Arc::new(other))).await;
            let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
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
async fn a_store_without_a_capability_is_honest() {
    // The wrapper that the other tests rest on.
    let all = Capabilities::new(Capability::ALL);
    for capability in MemoryStore::new().capabilities().set.iter().filter(|capability| all.has(*capability)) {
        if matches!(capability, Capability::Transparent) {
            continue;
        }
        let store = Without::new(MemoryStore::new(), &[capability]);
        let report = BlobSubject::new(store).run().await;
        assert!(report.is_ok(), "without {capability:?}: {report}");
    }
}
