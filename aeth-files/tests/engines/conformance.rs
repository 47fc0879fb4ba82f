//! The laws of blob stores, on every store and every composition of layers.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test crate")]

use crate::support;

use aeth_core::SystemClock;
use aeth_core::blob::{BlobStore, Capability, PutOptions};
use aeth_core::conformance::blob_store::BlobSubject;
use aeth_core::policy::{Policy, PolicyStore};
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_files::{
    Access, AccessPolicy, AccessRule, Action, Cached, Checksummed, Durability, Encrypted, Layout, LocalDir,
    LocalDirOptions, MemoryStore, Metered, Mirrored, Prefixed, Quota, QuotaLimits, RateLimited, RateLimits,
    ReadOnly, SumAlgorithm,
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

/// The same for every store that is opened.
fn fixed_keyset() -> Keyset {
    static KEYSET: std::sync::OnceLock<Keyset> = std::sync::OnceLock::new();
    KEYSET.get_or_init(keyset).clone()
}

/// Every law holds, on every capability that the store claims, and exactly the expected ones are claimed.
async fn holds(store: impl BlobStore, other: Option<Arc<dyn BlobStore>>) {
    holds_in(store, other, 8).await;
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
    holds_in(store.clone(), Some(Arc::new(store.clone())), 24).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_in_memory_and_in_a_directory() {
    let below = MemoryStore::new();
    let other = Cached::builder(below.clone()).page_size(4096).window(20_000).open().await.unwrap();
    let store = Cached::builder(below.clone()).page_size(4096).window(20_000).open().await.unwrap();
    holds(store, Some(Arc::new(other))).await;
    assert!(below.is_empty(), "the suite leaves blobs behind");
    // Nobody else writes, so that nothing is asked twice.
    let alone = Cached::builder(below).revalidate_after(std::time::Duration::MAX).open().await.unwrap();
    holds(alone, None).await;
    let (dir, pages) = (testkit::temp_dir(), testkit::temp_dir());
    let open = async |name: &str| {
        let below = Encrypted::new(local(&dir, Durability::None, Layout::Plain).await, fixed_keyset());
        Cached::builder(below).dir(pages.path().join(name), 1 << 20).open().await.unwrap()
    };
    let other = open("other").await;
    holds(open("one").await, Some(Arc::new(other))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_over_stores_that_can_do_less() {
    let lacking = [
        vec![Capability::RangeGet, Capability::SuffixGet],
        vec![Capability::SuffixGet],
        vec![Capability::ConditionalGet],
        vec![Capability::Attributes, Capability::CopyReplace, Capability::Uploads, Capability::ResumeUploads],
    ];
    for lacking in lacking {
        let below = Without::new(MemoryStore::new(), &lacking);
        holds_in(Cached::builder(below).page_size(4096).open().await.unwrap(), None, 6).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksummed_over_everything() {
    for algorithm in [SumAlgorithm::Crc32c, SumAlgorithm::Crc64Nvme, SumAlgorithm::Sha256] {
        let below = MemoryStore::new();
        let other = Checksummed::new(below.clone(), algorithm).unwrap();
        let store = Checksummed::new(below.clone(), algorithm).unwrap();
        holds_in(store, Some(Arc::new(other)), 6).await;
        assert!(below.is_empty(), "the suite leaves blobs behind");
    }
    for lacking in [vec![Capability::CopyReplace], vec![Capability::ConditionalGet, Capability::Tags]] {
        let below = Without::new(MemoryStore::new(), &lacking);
        holds_in(Checksummed::new(below, SumAlgorithm::default()).unwrap(), None, 4).await;
    }
    let sealed = Encrypted::new(MemoryStore::new(), keyset());
    holds_in(Checksummed::new(sealed, SumAlgorithm::Sha256).unwrap(), None, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versioned_over_everything() {
    use aeth_files::Versioned;
    let below = MemoryStore::new();
    let other = Versioned::new(below.clone());
    holds_in(Versioned::new(below), Some(Arc::new(other)), 6).await;
    for lacking in
        [vec![Capability::CompareAndSwap], vec![Capability::CreateOnly, Capability::CopyCreateOnly]]
    {
        holds_in(Versioned::new(Without::new(MemoryStore::new(), &lacking)), None, 4).await;
    }
    holds_in(Versioned::new(Encrypted::new(MemoryStore::new(), keyset())), None, 4).await;
}

#[cfg(feature = "zstd")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_over_everything() {
    use aeth_files::Compressed;
    let below = MemoryStore::new();
    let other = Compressed::new(below.clone()).unwrap();
    holds_in(Compressed::with_level(below.clone(), 1).unwrap(), Some(Arc::new(other)), 6).await;
    assert!(below.is_empty(), "the suite leaves blobs behind");
    for lacking in [vec![Capability::CopyReplace], vec![Capability::ConditionalGet, Capability::SuffixGet]] {
        holds_in(Compressed::new(Without::new(MemoryStore::new(), &lacking)).unwrap(), None, 4).await;
    }
    holds_in(Compressed::new(Encrypted::new(below, keyset())).unwrap(), None, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarded_by_rules_quotas_and_rates() {
    let policy = AccessPolicy::new([AccessRule::allow("ann", Action::ALL)]);
    let limits = QuotaLimits::default().with_bytes(1 << 40).with_objects(1 << 40);
    let rates =
        RateLimits::default().with_reads(1e9).with_writes(1e9).with_bytes_up(1e15).with_bytes_down(1e15);
    let below = MemoryStore::new();
    holds_in(Access::new(below.clone(), policy.clone()).for_principal("ann"), None, 6).await;
    holds_in(Quota::open(below.clone(), limits).await.unwrap(), None, 6).await;
    holds_in(RateLimited::new(below.clone(), rates.clone()), None, 6).await;
    let quota = Quota::open(Encrypted::new(below.clone(), keyset()), limits).await.unwrap();
    let store = Access::new(RateLimited::new(quota.clone(), rates), policy).for_principal("ann");
    holds_in(store, None, 6).await;
    assert!(below.is_empty(), "the suite leaves blobs behind");
}

/// What the laws about many blobs cost on a disk: the laws about one are enough there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrored_over_directories() {
    let dirs: Vec<_> = (0..3).map(|_| testkit::temp_dir()).collect();
    let mut stores: Vec<Arc<dyn BlobStore>> = Vec::new();
    for dir in &dirs {
        stores.push(Arc::new(local(dir, Durability::None, Layout::Plain).await));
    }
    let many = ["delete-takes-many-paths", "pages-add-up-to-the-listing", "dropped-calls-leave-old-or-new"];
    let laws: Vec<&str> = aeth_core::conformance::blob_store::LAWS
        .iter()
        .map(|law| law.name())
        .filter(|name| !many.contains(name))
        .collect();
    let report = BlobSubject::new(mirror(stores).await).with_rounds(2).run_some(&laws).await;
    assert!(report.is_ok(), "{report}");
}

async fn mirror(stores: Vec<Arc<dyn BlobStore>>) -> Mirrored {
    let mut builder = Mirrored::builder();
    for (name, store) in ["a", "b", "c"].into_iter().zip(stores) {
        builder = builder.shared_location(name, store);
    }
    builder.open().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrored_over_three() {
    let below: Vec<MemoryStore> = (0..3).map(|_| MemoryStore::new()).collect();
    let stores = || below.iter().map(|store| Arc::new(store.clone()) as Arc<dyn BlobStore>).collect();
    let (store, other) = (mirror(stores()).await, mirror(stores()).await);
    holds_in(store, Some(Arc::new(other)), 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrored_with_one_dead() {
    let mut stores: Vec<Arc<dyn BlobStore>> =
        vec![Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
    let dead = aeth_core::sim::FaultPlan::new(1).chance_any(1.0, aeth_core::sim::Fault::unavailable());
    stores.push(Arc::new(aeth_core::sim::FaultyStore::new(MemoryStore::new(), dead)));
    holds_in(mirror(stores).await, None, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metered_over_cached_over_encrypted_over_mirrored() {
    let stores = (0..3).map(|_| Arc::new(MemoryStore::new()) as Arc<dyn BlobStore>).collect();
    let sealed = Encrypted::new(mirror(stores).await, keyset());
    let store = Metered::new(Cached::builder(sealed).page_size(4096).open().await.unwrap());
    holds_in(store, None, 6).await;
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
        let report = BlobSubject::new(store).with_rounds(2).run().await;
        assert!(report.is_ok(), "without {lacking:?}: {report}");
    }
}
