//! The past: kept, read, restored, and forgotten.

use super::{content, path};
use aeth_core::blob::{BlobStore, BlobStoreExt, CopyOptions, GetOptions, PutOptions};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore, MockClock};
use aeth_core::{Body, Clock, ErrorKind};
use aeth_files::{MemoryStore, Retention, Versioned};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

fn open(clock: &MockClock) -> (MemoryStore, Versioned) {
    let below = MemoryStore::with_clock(clock.shared());
    (below.clone(), Versioned::with_clock(below, clock.shared()))
}

#[tokio::test]
async fn every_state_can_be_read_at_its_time() {
    let clock = MockClock::new();
    let (_, store) = open(&clock);
    let blob = path("dir/a");
    let mut states = Vec::new();
    let mut at = |clock: &MockClock, text: Option<&str>| {
        clock.advance(HOUR);
        states.push((clock.now() - HOUR / 2, text.map(str::to_owned)));
    };
    at(&clock, None);
    store.put(&blob, "one").await.unwrap();
    at(&clock, Some("one"));
    store.put(&blob, "two").await.unwrap();
    at(&clock, Some("two"));
    store.delete(&blob).await.unwrap();
    at(&clock, None);
    store.put_opts(&blob, "three".into(), PutOptions::create()).await.unwrap();
    at(&clock, Some("three"));
    store.put(&path("other"), "four").await.unwrap();
    store.rename(&path("other"), &blob).await.unwrap();
    at(&clock, Some("four"));
    store.copy(&blob, &path("copy")).await.unwrap();
    let upload = store.begin_upload(&blob, PutOptions::default()).await.unwrap();
    let part = upload.put_part(1, "five".into()).await.unwrap();
    upload.complete(&[part], None).await.unwrap();
    at(&clock, Some("five"));
    for (time, text) in &states {
        match (store.get_at(&blob, *time).await, text) {
            (Ok(found), Some(text)) => assert_eq!(found.bytes().await.unwrap(), text.as_str()),
            (Err(error), None) => assert!(error.is_not_found()),
            (found, text) => panic!("{text:?}: {found:?}"),
        }
    }
    let versions = store.versions(&blob).await.unwrap();
    assert_eq!(versions.len(), 4);
    let mut get = GetOptions::default();
    get.version = Some(versions[1].id.clone());
    let second = store.get_opts(&blob, get.clone()).await.unwrap();
    assert_eq!(second.meta.path, blob);
    assert_eq!(second.bytes().await.unwrap(), "two");
    for bad in ["", "x", "../../a", "0000000000000-0000000000000-00000000"] {
        get.version = Some(bad.into());
        assert!(store.get_opts(&blob, get.clone()).await.unwrap_err().is_not_found(), "{bad}");
    }
    store.restore(&blob, &versions[0].id).await.unwrap();
    assert_eq!(store.get_bytes(&blob).await.unwrap(), "one");
    assert_eq!(store.versions(&blob).await.unwrap().len(), 5);
    assert!(store.put(&path(".aeth-versions/x"), "x").await.is_err());
    let listed = store.list_page(Default::default()).await.unwrap();
    assert!(listed.blobs.iter().all(|meta| !meta.path.as_str().starts_with(".aeth")));
}

#[tokio::test]
async fn a_prefix_comes_back_and_retention_forgets() {
    let clock = MockClock::new();
    let (below, store) = open(&clock);
    for n in 0..5 {
        store.put(&path(&format!("dir/{n}")), format!("old {n}")).await.unwrap();
    }
    clock.advance(HOUR);
    let then = clock.now();
    clock.advance(HOUR);
    store.put(&path("dir/0"), "new").await.unwrap();
    store.delete(&path("dir/1")).await.unwrap();
    store.put(&path("dir/added"), "added").await.unwrap();
    store.put(&path("elsewhere"), "stays").await.unwrap();
    let report = store.restore_at("dir/", then).await.unwrap();
    assert_eq!((report.restored, report.deleted, report.unchanged), (2, 1, 3));
    for n in 0..5 {
        assert_eq!(store.get_bytes(&path(&format!("dir/{n}"))).await.unwrap(), format!("old {n}"));
    }
    assert!(store.get(&path("dir/added")).await.unwrap_err().is_not_found());
    assert_eq!(store.get_bytes(&path("elsewhere")).await.unwrap(), "stays");
    // The restore is a change like others, and can be undone.
    assert_eq!(store.versions(&path("dir/0")).await.unwrap().len(), 2);
    assert_eq!(store.prune(&Retention::default()).await.unwrap(), 0);
    clock.advance(HOUR * 24 * 31);
    let one = Retention::default().with_last(1);
    assert_eq!(store.prune(&one).await.unwrap(), 1);
    let kept = store.versions(&path("dir/0")).await.unwrap();
    let mut get = GetOptions::default();
    get.version = Some(kept[0].id.clone());
    assert_eq!(store.get_opts(&path("dir/0"), get).await.unwrap().bytes().await.unwrap(), "new");
    assert_eq!(store.prune(&Retention::default()).await.unwrap(), 3);
    assert_eq!(below.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_state_between_two_writers_is_lost() {
    let (below, blob) = (MemoryStore::new(), path("a"));
    let writers: Vec<_> = (0..4_u64)
        .map(|writer| {
            // Handles of their own, as other processes would have.
            let (store, blob) = (Versioned::new(below.clone()), blob.clone());
            tokio::spawn(async move {
                for round in 0..20 {
                    store.put(&blob, format!("{writer} {round}")).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let store = Versioned::new(below);
    let mut seen = std::collections::BTreeSet::from([store.get_bytes(&blob).await.unwrap()]);
    for version in store.versions(&blob).await.unwrap() {
        let mut get = GetOptions::default();
        get.version = Some(version.id);
        seen.insert(store.get_opts(&blob, get).await.unwrap().bytes().await.unwrap());
    }
    assert_eq!(seen.len(), 80, "every acknowledged state is kept");
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_replaced() {
    let below = MemoryStore::new();
    below.put(&path("a"), "old").await.unwrap();
    let plan = FaultPlan::new(1).every("copy", 1, Fault::unavailable());
    let store = Versioned::new(FaultyStore::new(below.clone(), plan));
    for error in [
        store.put(&path("a"), "new").await.map(drop).unwrap_err(),
        store.delete(&path("a")).await.unwrap_err(),
        store.copy_opts(&path("a"), &path("a"), CopyOptions::default()).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
    }
    assert_eq!(below.get_bytes(&path("a")).await.unwrap(), "old");
    // A long stream that is overtaken says so.
    let store = Versioned::new(below.clone());
    let body = Body::once(futures_util::stream::iter([Ok(content(9 << 20, 1))]), None);
    store.put(&path("a"), body).await.unwrap();
    assert_eq!(store.versions(&path("a")).await.unwrap().len(), 1);
    let long = path(&"x".repeat(1_000));
    assert_eq!(store.put(&long, "x").await.unwrap_err().kind(), ErrorKind::Invalid);
}
