//! The cache of pages.

use super::nodes::{MapTier, Node};
use super::{content, path};
use aeth_core::blob::{BlobStore, BlobStoreExt, Capability, GetRange, PutOptions};
use aeth_core::coord::BackplaneEvent;
use aeth_core::sim::{Fault, FaultPlan, FaultyStore, FaultyTier, MockClock};
use aeth_core::{Body, ErrorKind, Namespace};
use aeth_files::{Cached, CachedBuilder, MemoryStore};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;

const PAGE: usize = 4 << 10;

fn small(store: impl BlobStore) -> CachedBuilder {
    Cached::builder(store).page_size(PAGE as u32).window(4 * PAGE as u64)
}

fn namespace() -> Namespace {
    Namespace::new("pages").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_of_a_cold_page_are_one_read_below() {
    let dir = testkit::temp_dir();
    let tier = Arc::new(MapTier::default());
    for place in 0..3 {
        let plan = FaultPlan::new(1).every("get", 1, Fault::Delay(Duration::from_millis(50)));
        let below = MemoryStore::new();
        let blob = path("a");
        let bytes = content(3 * PAGE, 1);
        below.put(&blob, bytes.clone()).await.unwrap();
        let builder = small(FaultyStore::new(below, plan.clone())).revalidate_after(Duration::MAX);
        let builder = match place {
            0 => builder,
            1 => builder.dir(dir.path().join("pages"), 1 << 20),
            _ => builder.tier(Arc::<MapTier>::clone(&tier), namespace(), Duration::from_secs(60)),
        };
        let store = builder.open().await.unwrap();
        let readers: Vec<_> = (0..1_000)
            .map(|_| {
                let (store, blob) = (store.clone(), blob.clone());
                tokio::spawn(async move { store.get_range(&blob, 5_000..5_100).await.unwrap() })
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), bytes[5_000..5_100]);
        }
        let statistics = store.statistics();
        assert_eq!((plan.calls("get"), statistics.requests, statistics.heads), (1, 1, 0), "place {place}");
        assert_eq!(statistics.fetched_bytes, PAGE as u64);
    }
}

#[tokio::test]
async fn misses_beside_each_other_are_one_request() {
    let store = small(MemoryStore::new()).window(64 * PAGE as u64).open().await.unwrap();
    let (blob, bytes) = (path("a"), content(20 * PAGE + 17, 2));
    store.put(&blob, bytes.clone()).await.unwrap();
    let page = |n: usize| (n * PAGE) as u64..(n * PAGE + 1) as u64;
    for n in [3, 4, 9] {
        assert_eq!(store.get_range(&blob, page(n)).await.unwrap(), bytes[n * PAGE..n * PAGE + 1]);
    }
    assert_eq!(store.statistics().requests, 3);
    // 0 to 2, 5 to 8, 10 to the end.
    assert_eq!(store.get_bytes(&blob).await.unwrap(), bytes);
    assert_eq!(store.statistics().requests, 6);
    assert_eq!(store.statistics().fetched_bytes, bytes.len() as u64);
    assert_eq!(store.get_range(&blob, GetRange::Suffix(18)).await.unwrap(), bytes[20 * PAGE - 1..]);
    assert_eq!(store.statistics().requests, 6);
    assert!(store.statistics().heads >= 4, "each read asks whether the blob is still the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_through_the_handle_are_never_stale() {
    for revalidate_after in [Duration::ZERO, Duration::MAX] {
        let below = MemoryStore::new();
        let store = small(below).revalidate_after(revalidate_after).open().await.unwrap();
        let workers: Vec<_> = (0..8_u64)
            .map(|worker| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut rng = fastrand::Rng::with_seed(worker);
                    let (mine, other) = (path(&format!("{worker}/a")), path(&format!("{worker}/b")));
                    let mut expected;
                    for round in 0..60 {
                        match rng.u32(..5) {
                            0 => {
                                store.delete(&mine).await.unwrap();
                                assert!(store.get(&mine).await.unwrap_err().is_not_found());
                                store.put(&mine, content(PAGE, round)).await.unwrap();
                                expected = content(PAGE, round).to_vec();
                            }
                            1 => {
                                expected = content(rng.usize(..6 * PAGE), round).to_vec();
                                store.put(&other, expected.clone()).await.unwrap();
                                drop(store.get_bytes(&mine).await);
                                store.rename(&other, &mine).await.unwrap();
                                assert!(store.head(&other).await.unwrap_err().is_not_found());
                            }
                            2 => {
                                expected = content(rng.usize(..6 * PAGE), round).to_vec();
                                store.put(&other, expected.clone()).await.unwrap();
                                store.copy(&other, &mine).await.unwrap();
                            }
                            3 => {
                                expected = content(rng.usize(..6 * PAGE), round).to_vec();
                                let upload = store.begin_upload(&mine, PutOptions::default()).await.unwrap();
                                let part = upload.put_part(1, expected.clone().into()).await.unwrap();
                                upload.complete(&[part], None).await.unwrap();
                            }
                            _ => {
                                expected = content(rng.usize(..6 * PAGE), round).to_vec();
                                store.put(&mine, expected.clone()).await.unwrap();
                            }
                        }
                        for _ in 0..3 {
                            assert_eq!(store.head(&mine).await.unwrap().size, expected.len() as u64);
                            assert!(store.get_bytes(&mine).await.unwrap() == expected, "a stale read");
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert!(store.statistics().hits > 100);
    }
}

/// Readers that never stop beside a writer see what was acknowledged before they began, or something newer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_beside_a_writer_see_what_was_acknowledged() {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    for revalidate_after in [Duration::ZERO, Duration::MAX] {
        let store = small(MemoryStore::new()).revalidate_after(revalidate_after).open().await.unwrap();
        let blob = path("a");
        let version = |n: u64| Body::from(n.to_le_bytes().repeat(2_000));
        store.put(&blob, version(1)).await.unwrap();
        let acknowledged = Arc::new(AtomicU64::new(1));
        let writer = tokio::spawn({
            let (store, blob, acknowledged) = (store.clone(), blob.clone(), Arc::clone(&acknowledged));
            async move {
                for n in 2..300_u64 {
                    store.put(&blob, version(n)).await.unwrap();
                    acknowledged.store(n, SeqCst);
                    tokio::task::yield_now().await;
                }
            }
        });
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (store, blob, acknowledged) = (store.clone(), blob.clone(), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    while acknowledged.load(SeqCst) < 299 {
                        let least = acknowledged.load(SeqCst);
                        let opened = match store.get(&blob).await {
                            Ok(opened) => opened,
                            Err(error) => panic!("{error}"),
                        };
                        // A stream that cannot go on with its state fails.
                        let Ok(bytes) = opened.bytes().await else { continue };
                        let seen = u64::from_le_bytes(*bytes.first_chunk().unwrap());
                        assert!(seen >= least, "{seen} was read after {least} was acknowledged");
                        assert!(bytes.chunks(8).all(|word| word == seen.to_le_bytes()), "a mixture");
                    }
                })
            })
            .collect();
        writer.await.unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

#[tokio::test]
async fn foreign_writes_show_at_once_or_after_the_age_allowed() {
    let clock = MockClock::new();
    let (below, blob) = (MemoryStore::new(), path("a"));
    below.put(&blob, "old").await.unwrap();
    let strict = small(below.clone()).open().await.unwrap();
    let relaxed = small(below.clone())
        .revalidate_after(Duration::from_secs(10))
        .clock(clock.shared())
        .open()
        .await
        .unwrap();
    for store in [&strict, &relaxed] {
        assert_eq!(store.get_bytes(&blob).await.unwrap(), "old");
    }
    below.put(&blob, "new").await.unwrap();
    assert_eq!(strict.get_bytes(&blob).await.unwrap(), "new");
    assert_eq!(relaxed.get_bytes(&blob).await.unwrap(), "old");
    clock.advance(Duration::from_secs(10));
    assert_eq!(relaxed.get_bytes(&blob).await.unwrap(), "new");
    // The pages of a state that is there again are used again.
    let requests = strict.statistics().requests;
    assert_eq!(strict.get_bytes(&blob).await.unwrap(), "new");
    assert_eq!(strict.statistics().requests, requests);
}

#[tokio::test]
async fn damaged_pages_are_fetched_again() {
    let dir = testkit::temp_dir();
    let pages = dir.path().join("pages");
    let (below, blob, bytes) = (MemoryStore::new(), path("a"), content(10 * PAGE, 3));
    below.put(&blob, bytes.clone()).await.unwrap();
    let open = || small(below.clone()).dir(&pages, 1 << 20).open();
    let store = open().await.unwrap();
    assert_eq!(store.get_bytes(&blob).await.unwrap(), bytes);
    let files: Vec<_> = walk(&pages);
    assert_eq!(files.len(), 10);
    let mut damaged = std::fs::read(&files[0]).unwrap();
    damaged[100] ^= 1;
    std::fs::write(&files[0], damaged).unwrap();
    std::fs::write(&files[1], b"cut").unwrap();
    let (a, b) = (std::fs::read(&files[2]).unwrap(), std::fs::read(&files[3]).unwrap());
    std::fs::write(&files[2], b).unwrap();
    std::fs::write(&files[3], a).unwrap();
    std::fs::remove_file(&files[4]).unwrap();
    // What a crash left, and what is not ours.
    std::fs::write(files[0].with_file_name(".tmp-00"), b"half").unwrap();
    std::fs::write(pages.join("README"), b"mine").unwrap();
    let again = open().await.unwrap();
    assert!(again.statistics().kept_bytes.unwrap() > 5 * PAGE as u64, "pages outlive the process");
    assert_eq!(again.get_bytes(&blob).await.unwrap(), bytes);
    assert_eq!(again.statistics().damaged, 4);
    assert!(again.statistics().fetched_bytes < bytes.len() as u64, "the sound pages were used");
    assert_eq!(again.get_bytes(&blob).await.unwrap(), bytes);
    assert_eq!(again.statistics().damaged, 4);
    assert!(pages.join("README").exists() && !files[0].with_file_name(".tmp-00").exists());
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

#[tokio::test]
async fn a_budget_is_kept() {
    let dir = testkit::temp_dir();
    let pages = dir.path().join("pages");
    let below = MemoryStore::new();
    let budget = 40 * (PAGE as u64 + 516);
    let store = small(below).dir(&pages, budget).open().await.unwrap();
    for n in 0..100 {
        let blob = path(&format!("{n}"));
        store.put(&blob, content(2 * PAGE, n)).await.unwrap();
        assert_eq!(store.get_bytes(&blob).await.unwrap(), content(2 * PAGE, n));
    }
    let on_disk: u64 = walk(&pages).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(on_disk > 0 && on_disk <= budget, "{on_disk} of {budget}");
}

#[tokio::test]
async fn a_tier_that_fails_is_only_slower() {
    for seed in 0..4 {
        let plan = FaultPlan::new(seed)
            .chance("get", 0.3, Fault::unavailable())
            .chance("get", 0.3, Fault::Flip)
            .chance("put", 0.3, Fault::Flip)
            .chance("put", 0.3, Fault::unavailable());
        let tier: Arc<dyn aeth_core::cache::CacheTier> =
            Arc::new(FaultyTier::new(MapTier::default(), plan.clone()));
        let store =
            small(MemoryStore::new()).tier(tier, namespace(), Duration::from_secs(60)).open().await.unwrap();
        let (blob, bytes) = (path("a"), content(30 * PAGE, seed));
        store.put(&blob, bytes.clone()).await.unwrap();
        for _ in 0..10 {
            assert!(store.get_bytes(&blob).await.unwrap() == bytes);
        }
        assert!(plan.injected() > 10);
    }
}

#[tokio::test]
async fn faults_below_are_errors_and_nothing_wrong_is_kept() {
    for seed in 0..6 {
        let plan = FaultPlan::new(seed)
            .chance("get", 0.2, Fault::unavailable())
            .chance("get", 0.2, Fault::Torn)
            .chance("put", 0.3, Fault::Lost)
            .chance("delete", 0.3, Fault::Lost);
        let below = MemoryStore::new();
        let store = small(FaultyStore::new(below.clone(), plan))
            .revalidate_after(Duration::MAX)
            .open()
            .await
            .unwrap();
        let blob = path("a");
        let mut rng = fastrand::Rng::with_seed(seed);
        for round in 0..150 {
            match rng.u32(..3) {
                0 => drop(store.put(&blob, content(rng.usize(..9 * PAGE), round)).await),
                1 if round % 5 == 0 => drop(store.delete(&blob).await),
                _ => {
                    let truth = below.get_bytes(&blob).await;
                    match (store.get_bytes(&blob).await, truth) {
                        (Ok(read), Ok(truth)) => assert!(read == truth, "seed {seed}, round {round}"),
                        (Ok(_), Err(error)) => panic!("seed {seed}: read what is not there: {error}"),
                        (Err(error), _) if error.is_not_found() => {
                            assert!(below.get(&blob).await.is_err(), "seed {seed}");
                        }
                        (Err(error), _) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_write_that_lands_late_is_seen() {
    let (plan, below, blob) = (FaultPlan::new(1), MemoryStore::new(), path("a"));
    let clock = MockClock::new();
    below.put(&blob, "old").await.unwrap();
    let store = small(FaultyStore::new(below.clone(), plan.clone().nth("put", 1, Fault::Hang)))
        .revalidate_after(Duration::MAX)
        .clock(clock.shared())
        .open()
        .await
        .unwrap();
    {
        let put = store.put(&blob, "new");
        futures_util::pin_mut!(put);
        assert!(futures_util::poll!(&mut put).is_pending());
    }
    assert_eq!(store.get_bytes(&blob).await.unwrap(), "old");
    // The engine does what it was asked for after all.
    below.put(&blob, "new").await.unwrap();
    assert_eq!(store.get_bytes(&blob).await.unwrap(), "new");
    clock.advance(Duration::from_secs(61));
    store.get_bytes(&blob).await.unwrap();
    let heads = store.statistics().heads;
    store.get_bytes(&blob).await.unwrap();
    assert_eq!(store.statistics().heads, heads, "what is known is believed again");
}

#[tokio::test]
async fn a_reader_that_goes_leaves_what_it_began_to_the_others() {
    let plan = FaultPlan::new(1).every("get", 1, Fault::Delay(Duration::from_millis(50)));
    let (below, blob) = (MemoryStore::new(), path("a"));
    let bytes = content(8 * PAGE, 4);
    below.put(&blob, bytes.clone()).await.unwrap();
    let store = small(FaultyStore::new(below, plan)).revalidate_after(Duration::MAX).open().await.unwrap();
    store.head(&blob).await.unwrap();
    {
        let read = store.get_bytes(&blob);
        futures_util::pin_mut!(read);
        for _ in 0..5 {
            assert!(futures_util::poll!(&mut read).is_pending());
        }
    }
    let requests = store.statistics().requests;
    let mut opened = store.get(&blob).await.unwrap();
    assert_eq!(store.statistics().requests, requests.max(1), "the window was under way");
    assert_eq!(opened.body.next().await.unwrap().unwrap(), bytes[..PAGE]);
    // The stream outlives the handle.
    drop(store);
    let rest = opened.bytes().await.unwrap();
    assert_eq!(rest, bytes[PAGE..]);
}

#[tokio::test]
async fn peers_tell_each_other() {
    let below = MemoryStore::new();
    let bus = Node::first();
    let open = |node: Node| {
        small(below.clone()).revalidate_after(Duration::MAX).peers(Arc::new(node), "files").open()
    };
    let (one, two) = (open(bus.other()).await.unwrap(), open(bus.other()).await.unwrap());
    let blob = path("a");
    let settle = || async {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    };
    settle().await;
    for round in 0..20_u64 {
        let bytes = content(PAGE + 10, round);
        one.put(&blob, bytes.clone()).await.unwrap();
        settle().await;
        assert_eq!(two.get_bytes(&blob).await.unwrap(), bytes);
        assert_eq!(one.get_bytes(&blob).await.unwrap(), bytes);
    }
    let heads = two.statistics().heads;
    for _ in 0..10 {
        two.get_bytes(&blob).await.unwrap();
    }
    assert_eq!(two.statistics().heads, heads, "nothing is asked while nobody writes");
    // Messages are lost: what was not heard must be assumed.
    below.put(&blob, "foreign").await.unwrap();
    assert_ne!(two.get_bytes(&blob).await.unwrap(), "foreign");
    bus.show(&BackplaneEvent::Gap);
    settle().await;
    assert_eq!(two.get_bytes(&blob).await.unwrap(), "foreign");
    bus.show(&BackplaneEvent::Disconnected);
    settle().await;
    for text in ["while", "the backplane", "is away"] {
        below.put(&blob, text).await.unwrap();
        assert_eq!(two.get_bytes(&blob).await.unwrap(), text);
    }
    bus.show(&BackplaneEvent::Connected);
    settle().await;
    two.get_bytes(&blob).await.unwrap();
    let heads = two.statistics().heads;
    two.get_bytes(&blob).await.unwrap();
    assert_eq!(two.statistics().heads, heads);
}

#[tokio::test]
async fn what_it_claims_follows_who_else_may_write() {
    let below = MemoryStore::new();
    let open = |age| small(below.clone()).revalidate_after(age).open();
    let strict = open(Duration::ZERO).await.unwrap();
    assert_eq!(strict.capabilities(), below.capabilities());
    let relaxed = open(Duration::from_secs(1)).await.unwrap();
    assert_eq!(relaxed.capabilities().consistency, aeth_core::blob::Consistency::Eventual);
    let alone = open(Duration::MAX).await.unwrap().capabilities();
    assert!(!alone.has(Capability::Presign) && !alone.has(Capability::MultiProcess));
    let error = small(below).page_size(100).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
