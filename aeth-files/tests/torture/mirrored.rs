//! Mirrors of three locations, one of which is dead, hangs, is slow, flaps, loses answers or spoils bytes.

use super::world::{Happened, World};
use aeth_core::blob::{BlobStore, BlobStoreExt, PutOptions};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_core::{BlobPath, Body, Lifecycle};
use aeth_files::{MemoryStore, Mirrored};
use bytes::Bytes;
use fastrand::Rng;
use std::path::Path;
use std::time::Duration;

/// What makes a location evil.
type Change = fn(FaultPlan) -> FaultPlan;

/// The evils that may befall one location; those of the first two end when the location comes up.
const EVILS: &[(&str, Change)] = &[
    ("dead", |plan| {
        plan.go_down(Fault::unavailable());
        plan
    }),
    ("hanging", |plan| {
        plan.go_down(Fault::Hang);
        plan
    }),
    ("slow", |plan| plan.chance_any(1.0, Fault::Delay(Duration::from_millis(5)))),
    ("flapping", |plan| plan.flapping(5, 7, Fault::unavailable())),
    ("forgetful of answers", |plan| plan.chance_any(0.4, Fault::Lost)),
    ("corrupt", |plan| {
        let plan = plan.chance("get", 0.3, Fault::Flip).chance("put", 0.3, Fault::Flip);
        plan.chance("get", 0.1, Fault::Torn).chance("put", 0.1, Fault::Torn)
    }),
];

/// Opens the mirror; `first` is the location that reads take the bytes from, location 0 is the primary.
async fn open(below: &[MemoryStore], plans: &[FaultPlan], first: usize, journal: Option<&Path>) -> Mirrored {
    let mut builder = Mirrored::builder()
        .primary("a")
        .request_limit(Duration::from_secs(1))
        .drain_every(Duration::from_millis(5));
    for at in (0..below.len()).map(|at| (at + first) % below.len()) {
        let store = FaultyStore::new(below[at].clone(), plans[at].clone());
        builder = builder.location(["a", "b", "c"][at], store);
    }
    match journal {
        Some(journal) => builder.journal(journal).open().await.unwrap(),
        None => builder.open().await.unwrap(),
    }
}

/// Waits for background work, however slow the machine is.
async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..10_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("{what} did not come about");
}

/// Whether a location has a blob as it is, or nothing but the mark of its death.
async fn has(below: &MemoryStore, blob: &BlobPath, bytes: Option<&Bytes>) -> bool {
    match (below.get(blob).await, bytes) {
        (Ok(found), None) => found.meta.attributes.unwrap().user.contains_key("aeth-mirror-dead"),
        (Ok(found), Some(bytes)) => found.bytes().await.unwrap() == *bytes,
        (Err(error), bytes) => bytes.is_none() && error.is_not_found(),
    }
}

fn sound() -> Vec<FaultPlan> {
    (0..3).map(FaultPlan::new).collect()
}

/// Spoils one copy, reads once, and waits for the copy to be in order again.
async fn spoil_and_read(below: &[MemoryStore], blob: &BlobPath, bytes: &Bytes, rng: &mut Rng) {
    let victim = rng.usize(..3);
    let attributes = below[victim].head(blob).await.unwrap().attributes.unwrap();
    let options = PutOptions::default().with_attributes(attributes);
    let mut bad = bytes.to_vec();
    match rng.u32(..4) {
        0 => below[victim].delete(blob).await.unwrap(),
        1 => {
            // An older version, and other bytes.
            let put = below[victim].put(blob, "before the mirror").await;
            drop(put.unwrap());
        }
        2 => {
            bad[rng.usize(..bytes.len())] ^= 1 << rng.u32(..8);
            drop(below[victim].put_opts(blob, Body::from(bad), options).await.unwrap());
        }
        _ => {
            bad.truncate(rng.usize(..bytes.len()));
            drop(below[victim].put_opts(blob, Body::from(bad), options).await.unwrap());
        }
    }
    let mirror = open(below, &sound(), victim, None).await;
    assert!(mirror.get_bytes(blob).await.unwrap() == *bytes, "one read gives the right bytes");
    eventually("the repair after one read", || has(&below[victim], blob, Some(bytes))).await;
}

/// Writers and readers beside an evil location: nothing that was acknowledged is lost or older than it may be. When
/// the location is back the journal is worked off, and any copy that is spoiled then is mended by one read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_mirror_loses_nothing() {
    let (mut all, mut journalled, mut repaired) = (Happened::default(), 0, 0);
    for case in testkit::campaign("mirror", EVILS.len() as u64) {
        let seed = case.seed();
        let mut rng = case.rng();
        let kind = (seed % EVILS.len() as u64) as usize;
        let (evil, change) = EVILS[kind];
        let victim = (seed / EVILS.len() as u64 % 3) as usize;
        let dir = testkit::temp_dir();
        let journal = dir.path().join("journal");
        let below: Vec<MemoryStore> = (0..3).map(|_| MemoryStore::new()).collect();
        let mut plans = sound();
        plans[victim] = change(FaultPlan::new(seed));
        let mirror = open(&below, &plans, rng.usize(..3), Some(&journal)).await;
        // The checksum of a whole says nothing about a part.
        let world = World::new(mirror.clone(), evil != "corrupt");
        let happened = world.run(seed, 25).await;
        all.reads += happened.reads;
        all.writes += happened.writes;
        all.unknown += happened.unknown;
        all.broken_off += happened.broken_off;
        let behind = |mirror: &Mirrored| -> u64 {
            mirror.statistics().locations.iter().map(|(_, behind, _)| behind).sum()
        };
        journalled += behind(&mirror);
        plans[victim].come_up();
        if kind < 2 {
            eventually("the end of the journal", || async { behind(&mirror) == 0 }).await;
        }
        let truth = world.truth();
        drop(mirror.close(Duration::from_secs(2)).await);
        drop((world, mirror));

        // The location is back, and another process has taken the journal over.
        let mirror = open(&below, &sound(), 0, Some(&journal)).await;
        eventually("the end of the journal", || async { behind(&mirror) == 0 }).await;
        for (blob, bytes) in truth {
            match (mirror.get_bytes(&blob).await, &bytes) {
                (Ok(read), Some(bytes)) => assert!(read == *bytes, "{evil} {victim}: {blob} is another"),
                (Err(error), None) => assert!(error.is_not_found(), "{evil} {victim}: {error}"),
                (read, _) => panic!("{evil} {victim}: {blob}: {:?}", read.map(|bytes| bytes.len())),
            }
            // What was spoiled silently shows when it is read.
            for first in 0..3 {
                let mirror = open(&below, &sound(), first, None).await;
                assert_eq!(mirror.get_bytes(&blob).await.ok(), bytes, "{evil} {victim}: {blob} of {first}");
                eventually("equal copies", || has(&below[first], &blob, bytes.as_ref())).await;
            }
            if let Some(bytes) = &bytes {
                spoil_and_read(&below, &blob, bytes, &mut rng).await;
                repaired += 1;
            }
        }
    }
    println!(
        "mirror: 0 acknowledged writes lost; {journalled} copies in the journals, all worked off; {repaired} copies \
         spoiled afterwards, each mended by one read; {all:?}"
    );
    assert!(all.writes > 0 && repaired > 0);
}
