//! Several locations, some of which are dead, slow, flapping or wrong.

use super::{content, path};
use aeth_core::blob::{BlobStore, BlobStoreExt, CopyOptions, GetOptions, ListOptions, PutMode, PutOptions};
use aeth_core::observe::{HealthCheck, Status};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_core::{BlobPath, Body, ErrorKind};
use aeth_files::{MemoryStore, Mirrored, MirroredBuilder};
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use std::collections::BTreeMap;
use std::time::Duration;

/// Three locations in memory, each with a plan of faults.
struct Three {
    below: Vec<MemoryStore>,
    plans: Vec<FaultPlan>,
}

impl Three {
    fn new() -> Self {
        Self {
            below: (0..3).map(|_| MemoryStore::new()).collect(),
            plans: (0..3).map(FaultPlan::new).collect(),
        }
    }

    fn with(mut self, at: usize, change: impl FnOnce(FaultPlan) -> FaultPlan) -> Self {
        self.plans[at] = change(self.plans[at].clone());
        self
    }

    fn builder(&self) -> MirroredBuilder {
        self.builder_from(0)
    }

    /// With this location first: it is the one that reads take the bytes from.
    fn builder_from(&self, first: usize) -> MirroredBuilder {
        let mut builder = Mirrored::builder()
            .request_limit(Duration::from_millis(250))
            .drain_every(Duration::from_millis(20));
        for at in (0..3).map(|at| (at + first) % 3) {
            let name = ["a", "b", "c"][at];
            builder =
                builder.location(name, FaultyStore::new(self.below[at].clone(), self.plans[at].clone()));
        }
        builder
    }

    async fn open(&self) -> Mirrored {
        self.builder().open().await.unwrap()
    }
}

/// Waits for background work, however slow the machine is.
async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..2_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}

async fn same_everywhere(three: &Three, blob: &BlobPath, bytes: &Bytes) -> bool {
    for store in &three.below {
        match store.get_bytes(blob).await {
            Ok(found) if found == *bytes => {}
            _ => return false,
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_whatever_one_location_does() {
    type Change = fn(FaultPlan) -> FaultPlan;
    let evils: [(&str, Change); 6] = [
        ("dead", |plan| plan.chance_any(1.0, Fault::unavailable())),
        ("hanging", |plan| plan.chance_any(1.0, Fault::Hang)),
        ("slow", |plan| plan.chance_any(1.0, Fault::Delay(Duration::from_millis(30)))),
        ("flapping", |plan| plan.flapping(3, 4, Fault::unavailable())),
        ("forgetful of answers", |plan| plan.chance_any(0.5, Fault::Lost)),
        ("corrupt", |plan| plan.chance("get", 0.5, Fault::Flip).chance("put", 0.5, Fault::Flip)),
    ];
    for (evil, change) in evils {
        for victim in 0..3 {
            let three = Three::new().with(victim, change);
            let store = three.open().await;
            let mut truth: BTreeMap<BlobPath, Option<Bytes>> = BTreeMap::new();
            let mut rng = fastrand::Rng::with_seed(victim as u64);
            for round in 0..30_u64 {
                let blob = path(&format!("dir/{}", rng.u32(..6)));
                if rng.u32(..5) == 0 {
                    store.delete(&blob).await.unwrap_or_else(|error| panic!("{evil} {victim}: {error}"));
                    truth.insert(blob, None);
                } else {
                    let bytes = content(rng.usize(..5_000), round);
                    let put = store.put(&blob, bytes.clone()).await;
                    put.unwrap_or_else(|error| panic!("{evil} {victim}: {error}"));
                    truth.insert(blob, Some(bytes));
                }
                let (blob, expected) = truth.iter().nth(rng.usize(..truth.len())).unwrap();
                match (store.get_bytes(blob).await, expected) {
                    (Ok(read), Some(bytes)) => assert!(read == bytes, "{evil} {victim}: another state"),
                    (Err(error), None) => assert!(error.is_not_found(), "{evil} {victim}: {error}"),
                    (Ok(_), None) => panic!("{evil} {victim}: a deleted blob came back"),
                    (Err(error), Some(_)) => panic!("{evil} {victim}: lost: {error}"),
                }
            }
            let listed: Vec<BlobPath> =
                store.list(Some("dir/")).map_ok(|meta| meta.path).try_collect().await.unwrap();
            let expected: Vec<&BlobPath> =
                truth.iter().filter(|(_, bytes)| bytes.is_some()).map(|(path, _)| path).collect();
            assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{evil} {victim}: listed");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_is_drained_when_a_location_is_back() {
    let dir = testkit::temp_dir();
    let journal = dir.path().join("journal");
    let three = Three::new();
    let open = || three.builder().journal(&journal).drain_every(Duration::from_secs(3_600)).open();
    let store = open().await.unwrap();
    store.put(&path("gone"), "x").await.unwrap();
    eventually("the third copy", || async { three.below[2].exists(&path("gone")).await.unwrap() }).await;
    three.plans[2].go_down(Fault::unavailable());
    for n in 0..20 {
        store.put(&path(&format!("{n}")), content(1_000, n)).await.unwrap();
    }
    store.delete(&path("gone")).await.unwrap();
    assert_eq!(store.check().await.status, Status::Degraded);
    eventually("the notes", || async { store.statistics().locations[2].1 == 21 }).await;
    assert!(three.below[2].get(&path("gone")).await.is_ok());
    // Another process takes the journal over.
    drop(store);
    let store = open().await.unwrap();
    assert_eq!(store.statistics().locations[2].1, 21);
    three.plans[2].come_up();
    // What the background has mended meanwhile is not mended twice.
    assert!(store.drain().await <= 21);
    eventually("the end of the journal", || async { store.statistics().locations[2].1 == 0 }).await;
    for n in 0..20 {
        assert!(same_everywhere(&three, &path(&format!("{n}")), &content(1_000, n)).await);
    }
    assert!(store.get(&path("gone")).await.unwrap_err().is_not_found());
    assert_eq!(store.statistics().locations[2].1, 0);
    assert_eq!(store.check().await.status, Status::Up);
    assert_eq!(std::fs::read(&journal).unwrap(), b"");
    // The mark of the deleted blob is still needed by nobody.
    assert_eq!(store.purge(Duration::ZERO).await.unwrap(), 1);
    assert!(three.below.iter().all(|below| below.len() == 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_mends_missing_old_and_bad_copies() {
    let three = Three::new();
    let store = three.open().await;
    let (blob, bytes) = (path("a"), content(5_000, 1));
    store.put(&blob, content(5_000, 0)).await.unwrap();
    eventually("all copies", || same_everywhere_owned(&three, &blob, content(5_000, 0))).await;
    let old = three.below[1].get(&blob).await.unwrap();
    let old_options = PutOptions::default().with_attributes(old.meta.attributes.clone().unwrap());
    let old_bytes = old.bytes().await.unwrap();
    store.put(&blob, bytes.clone()).await.unwrap();
    eventually("all copies", || same_everywhere_owned(&three, &blob, bytes.clone())).await;
    for victim in 0..3 {
        let store = three.builder_from(victim).primary("a").open().await.unwrap();
        // Missing, old, and with bad bytes under the right attributes.
        for harm in 0..3 {
            let below = &three.below[victim];
            match harm {
                0 => below.delete(&blob).await.unwrap(),
                1 => {
                    let body = Body::Bytes(old_bytes.clone());
                    drop(below.put_opts(&blob, body, old_options.clone()).await.unwrap());
                }
                _ => {
                    let attributes = below.head(&blob).await.unwrap().attributes.unwrap();
                    let options = PutOptions::default().with_attributes(attributes);
                    drop(below.put_opts(&blob, content(5_000, 9).into(), options).await.unwrap());
                }
            }
            // One read gives the right bytes, and mends the copy.
            assert!(store.get_bytes(&blob).await.unwrap() == bytes, "{victim} {harm}");
            eventually("the repair", || same_everywhere_owned(&three, &blob, bytes.clone())).await;
        }
        assert!(store.statistics().repairs >= 3);
    }
}

async fn same_everywhere_owned(three: &Three, blob: &BlobPath, bytes: Bytes) -> bool {
    same_everywhere(three, blob, &bytes).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_streams_reach_all_and_survive_a_break() {
    let three = Three::new();
    let store = three.open().await;
    let (blob, bytes) = (path("long"), content(9 << 20, 3));
    let body = |bytes: &Bytes| {
        let chunks: Vec<_> = bytes.chunks(300_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        Body::once(stream::iter(chunks), None)
    };
    store.put(&blob, body(&bytes)).await.unwrap();
    eventually("all copies", || same_everywhere_owned(&three, &blob, bytes.clone())).await;
    // A reader's copy breaks off in the middle: another one goes on.
    for at in 0..3 {
        let torn = Three { below: three.below.clone(), plans: (0..3).map(FaultPlan::new).collect() }
            .with(at, |plan| plan.every("get", 1, Fault::Torn));
        assert!(torn.open().await.get_bytes(&blob).await.unwrap() == bytes);
    }
    // A writer's location dies or hangs in the middle: the others have it, and it gets it later.
    for fault in [Fault::unavailable(), Fault::Hang, Fault::Torn] {
        let three = Three::new().with(1, |plan| plan.every("put", 1, fault.clone()));
        let store = three.open().await;
        store.put(&blob, body(&bytes)).await.unwrap();
        assert!(store.get_bytes(&blob).await.unwrap() == bytes, "{fault:?}");
    }
    // One that fails leaves nothing anywhere.
    let three = Three::new();
    let store = three.open().await;
    let failing = stream::iter([Ok(bytes.clone()), Err(aeth_core::Error::timeout("the client went"))]);
    let error = store.put(&blob, Body::once(failing, None)).await.unwrap_err();
    assert_eq!(error.message(), "the client went");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(three.below.iter().all(MemoryStore::is_empty));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_are_decided_by_the_primary() {
    let three = Three::new();
    let store = three.open().await;
    let blob = path("a");
    let first = store.put_opts(&blob, "1".into(), PutOptions::create()).await.unwrap().etag.unwrap();
    // The primary misses a write; it must learn of it before it decides.
    three.plans[0].go_down(Fault::unavailable());
    let second = store.put(&blob, "2").await.unwrap().etag.unwrap();
    let down = store.put_opts(&blob, "3".into(), PutOptions::if_match(second.clone())).await.unwrap_err();
    assert_eq!(down.kind(), ErrorKind::Unavailable, "{down}");
    assert_eq!(store.get_bytes(&blob).await.unwrap(), "2");
    let copy = store.copy_opts(&blob, &path("b"), CopyOptions::create()).await.unwrap_err();
    assert_eq!(copy.kind(), ErrorKind::Unavailable);
    three.plans[0].come_up();
    let stale = store.put_opts(&blob, "x".into(), PutOptions::if_match(first)).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Precondition);
    let exists = store.put_opts(&blob, "x".into(), PutOptions::create()).await.unwrap_err();
    assert_eq!(exists.kind(), ErrorKind::AlreadyExists);
    store.put_opts(&blob, "3".into(), PutOptions::if_match(second)).await.unwrap();
    eventually("all copies", || same_everywhere_owned(&three, &blob, "3".into())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_several_mirrors_lose_nothing_while_locations_flap() {
    let three = Three::new()
        .with(1, |plan| plan.flapping(9, 3, Fault::unavailable()))
        .with(2, |plan| plan.flapping(7, 2, Fault::unavailable()));
    let blob = path("counter");
    three.open().await.put(&blob, "0").await.unwrap();
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let (open, blob) = (three.builder().open(), blob.clone());
            tokio::spawn(async move {
                let store = open.await.unwrap();
                let mut done = 0_u64;
                let mut unknown = 0_u64;
                while done < 15 {
                    let Ok(read) = store.get(&blob).await else { continue };
                    let etag = read.meta.etag.clone().unwrap();
                    let Ok(text) = read.bytes().await else { continue };
                    let value: u64 = std::str::from_utf8(&text).unwrap().parse().unwrap();
                    let next = Body::from((value + 1).to_string());
                    match store.put_opts(&blob, next, PutOptions::if_match(etag)).await {
                        Ok(_) => done += 1,
                        Err(error) if error.kind() == ErrorKind::Precondition => {}
                        Err(error) => {
                            assert!(error.retry().is_worthwhile(), "{error}");
                            unknown += 1;
                        }
                    }
                }
                (done, unknown)
            })
        })
        .collect();
    let (mut done, mut unknown) = (0, 0);
    for worker in workers {
        let (its, its_unknown) = worker.await.unwrap();
        done += its;
        unknown += its_unknown;
    }
    let store =
        Three { below: three.below.clone(), plans: (0..3).map(FaultPlan::new).collect() }.open().await;
    let text = store.get_bytes(&blob).await.unwrap();
    let counted: u64 = std::str::from_utf8(&text).unwrap().parse().unwrap();
    assert!((done..=done + unknown).contains(&counted), "{counted} of {done} + {unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_locations_are_unavailable_and_nothing_else() {
    let three = Three::new();
    let store = three.open().await;
    let blob = path("a");
    store.put(&blob, "old").await.unwrap();
    eventually("all copies", || same_everywhere_owned(&three, &blob, "old".into())).await;
    for plan in &three.plans[1..] {
        plan.go_down(Fault::unavailable());
    }
    for error in [
        store.get(&blob).await.map(drop).unwrap_err(),
        store.put(&blob, "new").await.map(drop).unwrap_err(),
        store.delete(&blob).await.unwrap_err(),
        store.list_page(ListOptions::default()).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.retry().is_worthwhile());
    }
    assert_eq!(store.check().await.status, Status::Down);
    three.plans.iter().for_each(FaultPlan::come_up);
    eventually("the health", || async { store.check().await.status == Status::Up }).await;
    let read = store.get_bytes(&blob).await.unwrap();
    assert!(read == "old" || read == "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_locations_are_not_waited_for_within_the_budget() {
    let three = Three::new();
    let store = three.builder().hedge(Duration::from_millis(20), 0.05).open().await.unwrap();
    let blob = path("a");
    store.put(&blob, "x").await.unwrap();
    eventually("all copies", || same_everywhere_owned(&three, &blob, "x".into())).await;
    for _ in 0..200 {
        store.get_bytes(&blob).await.unwrap();
    }
    let before = store.statistics().hedges;
    let slow = Three { below: three.below.clone(), plans: (0..3).map(FaultPlan::new).collect() }
        .with(0, |plan| plan.every("get", 10, Fault::Delay(Duration::from_millis(200))));
    let store = slow.builder().hedge(Duration::from_millis(20), 0.05).open().await.unwrap();
    for _ in 0..200 {
        store.get_bytes(&blob).await.unwrap();
    }
    let hedges = store.statistics().hedges;
    assert!(hedges <= 10 && before <= 10, "{hedges} more requests of 200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_primary_decides_all_the_same() {
    let three = Three::new().with(0, |plan| plan.every("get", 5, Fault::Delay(Duration::from_millis(60))));
    // Whenever it is late, the third location is asked, and answers before it.
    let store = three.builder().hedge(Duration::from_millis(5), 1.0).open().await.unwrap();
    let blob = path("a");
    let mut etag = store.put(&blob, "0").await.unwrap().etag.unwrap();
    for n in 1..40 {
        let options = PutOptions::default().with_mode(PutMode::Match(etag));
        etag = store.put_opts(&blob, Body::from(n.to_string()), options).await.unwrap().etag.unwrap();
    }
    assert!(store.statistics().hedges > 0, "nobody was asked in its place");
    assert_eq!(store.get_bytes(&blob).await.unwrap(), "39");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resync_compares_everything() {
    let three = Three::new();
    let store = three.open().await;
    for n in 0..30 {
        store.put(&path(&format!("{n:02}")), content(100, n)).await.unwrap();
    }
    let last = path("29");
    eventually("all copies", || same_everywhere_owned(&three, &last, content(100, 29))).await;
    three.below[0].delete(&path("03")).await.unwrap();
    three.below[1].delete(&path("04")).await.unwrap();
    // A blob that was there before the mirror is one of its oldest version.
    three.below[2].put(&path("foreign"), "foreign").await.unwrap();
    let report = store.resync().await.unwrap();
    assert_eq!((report.checked, report.repaired, report.failed), (31, 3, 0));
    assert!(same_everywhere(&three, &path("03"), &content(100, 3)).await);
    assert!(same_everywhere(&three, &path("foreign"), &"foreign".into()).await);
    assert_eq!(store.resync().await.unwrap().repaired, 0);
    assert_eq!(store.get_bytes(&path("foreign")).await.unwrap(), "foreign");
    let head = store.get_opts(&path("foreign"), GetOptions::head()).await.unwrap();
    assert!(head.meta.attributes.unwrap().is_empty());
}

#[tokio::test]
async fn what_cannot_be_a_mirror_is_refused() {
    let refused = [
        Mirrored::builder().open().await.unwrap_err(),
        Mirrored::builder().location("", MemoryStore::new()).open().await.unwrap_err(),
        Mirrored::builder()
            .location("a", MemoryStore::new())
            .location("a", MemoryStore::new())
            .open()
            .await
            .unwrap_err(),
        Mirrored::builder().location("a", MemoryStore::new()).primary("b").open().await.unwrap_err(),
        Mirrored::builder().location("a", MemoryStore::new()).write_quorum(2).open().await.unwrap_err(),
    ];
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Invalid));
    let store = Mirrored::builder().location("a", MemoryStore::new()).open().await.unwrap();
    let reserved = PutOptions::default()
        .with_attributes(aeth_core::blob::Attributes::default().with_user("aeth-mirror-version", "1"));
    let error = store.put_opts(&path("a"), "x".into(), reserved).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = store.put(&path(".aeth-mirror/x"), "x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
