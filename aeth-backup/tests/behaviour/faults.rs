//! Sinks that go wrong in every way, by seed: whatever happens, the repository is whole, and a run without faults
//! completes it.

use crate::common::*;
use aeth_backup::{
    BlobSource, CheckOptions, PathSource, Plan, Progress, Quorum, Repository, RestoreOptions, Source,
};
use aeth_core::backup::{BackupSink, BlobSink};
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::sim::{Fault, FaultPlan, FaultySink};
use aeth_core::{BlobPath, ErrorKind};
use futures_util::{StreamExt, TryStreamExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn faulty(root: &Path, plan: &FaultPlan) -> Arc<dyn BackupSink> {
    Arc::new(FaultySink::new(DirSink::clone(&DirSink::new(root)), plan.clone()))
}

fn plan_of(seed: u64) -> FaultPlan {
    FaultPlan::new(seed)
        .chance("write", 0.03, Fault::Torn)
        .chance("write", 0.03, Fault::Lost)
        .chance("write", 0.03, Fault::error(ErrorKind::Full))
        .chance("read", 0.03, Fault::unavailable())
        .chance("read", 0.03, Fault::Flip)
        .chance("list", 0.02, Fault::Torn)
        .chance("remove", 0.05, Fault::Lost)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_by_seed() {
    let count = std::env::var("AETH_TORTURE_COUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(6_u64);
    let first = std::env::var("AETH_TORTURE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    let (mut failed, mut partial) = (0, 0);
    for seed in first..first + count {
        let dir = tempfile::tempdir().unwrap();
        let (source, a, b) = (dir.path().join("s"), dir.path().join("a"), dir.path().join("b"));
        sample_tree(&source, seed);
        init(&[&a, &b]).await;
        let small =
            || options().pack_size(1 << 20).sink_timeout(Duration::from_secs(20)).quorum(Quorum::AtLeast(1));
        for round in 0..3 {
            let (one, two) = (plan_of(seed * 100 + round), plan_of(seed * 100 + 50 + round));
            let sinks = vec![faulty(&a, &one), faulty(&b, &two)];
            let run = async {
                let repository = Repository::open(sinks, &password(), small()).await?;
                repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await
            };
            match run.await {
                Ok(report) if report.is_complete() => {}
                Ok(_) => partial += 1,
                Err(_) => failed += 1,
            }
        }
        let repository = open(&[&a, &b]).await;
        let report = repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await;
        let report = report.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(report.is_complete(), "seed {seed}: {report:?}");
        let check = repository.check(CheckOptions::all_data()).await.unwrap();
        assert!(check.is_ok(), "seed {seed}: {check:?}");
        for (number, sink) in [&a, &b].into_iter().enumerate() {
            let target = dir.path().join(format!("t{number}"));
            let lone = open(&[sink]).await;
            let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
            assert!(lone.restore(&report.snapshot, options).await.unwrap().is_complete(), "seed {seed}");
            assert_same_tree(&source, &target);
        }
    }
    assert!(failed + partial > 0, "no fault was ever felt");
}

/// The night on which the only disk takes no more: what it took before is found and restored, with the same handle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_sink_still_has_what_it_took_before() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, target) = (dir.path().join("s"), dir.path().join("a"), dir.path().join("t"));
    sample_tree(&source, 1);
    init(&[&a]).await;
    let plan = |source: &Path| Plan::new().source(PathSource::new(source).unwrap());
    let first = open(&[&a]).await.backup(plan(&source)).await.unwrap();
    let full = FaultPlan::new(1).range("write", 2, 1000, Fault::error(ErrorKind::Full));
    let repository = Repository::open(vec![faulty(&a, &full)], &password(), options()).await.unwrap();
    let more = dir.path().join("more");
    sample_tree(&more, 2);
    let error = repository.backup(plan(&more)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(repository.sinks()[0].error.is_some());
    let found = repository.snapshots().await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.id).collect::<Vec<_>>(), [first.snapshot.id]);
    let latest = repository.snapshot("latest").await.unwrap();
    let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
    assert!(repository.restore(&latest, options).await.unwrap().is_complete());
    assert_same_tree(&source, &target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_hangs_is_out_after_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("s"), dir.path().join("a"), dir.path().join("b"));
    sample_tree(&source, 1);
    init(&[&a, &b]).await;
    let hangs = FaultPlan::new(1).nth("write", 2, Fault::Hang);
    let options = options().sink_timeout(Duration::from_millis(700)).quorum(Quorum::AtLeast(1));
    let sinks = vec![faulty(&a, &FaultPlan::new(2)), faulty(&b, &hangs)];
    let repository = Repository::open(sinks, &password(), options).await.unwrap();
    let report = repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await.unwrap();
    let error = report.sinks[1].error.clone().unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(report.sinks[0].error.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_store_is_a_sink() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("s");
    sample_tree(&source, 1);
    let local = aeth_files::LocalDir::open(dir.path().join("local")).await.unwrap();
    let sinks: Vec<Arc<dyn BackupSink>> = vec![
        Arc::new(BlobSink::new(Arc::new(local), None).unwrap()),
        Arc::new(BlobSink::new(Arc::new(aeth_files::MemoryStore::new()), None).unwrap().append_only()),
    ];
    let repository = Repository::init(sinks, &password(), options()).await.unwrap();
    for _ in 0..2 {
        let report = repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
    }
    let check = repository.check(CheckOptions::all_data()).await.unwrap();
    assert!(check.is_ok() && check.hints.is_empty(), "{check:?}");
    let target = dir.path().join("t");
    let latest = repository.snapshot("latest").await.unwrap();
    let options = RestoreOptions::new(&target).root(source.to_str().unwrap()).verify(true);
    assert!(repository.restore(&latest, options).await.unwrap().is_complete());
    assert_same_tree(&source, &target);

    // Blobs go in as they are given out, and come back to where they were.
    let blobs: Arc<dyn BlobStore> = Arc::new(aeth_files::MemoryStore::new());
    let mut random = fastrand::Rng::with_seed(1);
    for (name, length) in [("a/b", 5), ("a-c", 0), ("a/d/e", 3 << 20), ("caf%E9", 700_000)] {
        blobs
            .put(&BlobPath::new(name).unwrap(), bytes::Bytes::from(random_bytes(&mut random, length)))
            .await
            .unwrap();
    }
    let plan = || Plan::new().source(Source::files("/app/blobs", BlobSource::new(Arc::clone(&blobs))));
    repository.backup(plan()).await.unwrap();
    let report = repository.backup(plan()).await.unwrap();
    let counts = report.snapshot.snapshot.summary.clone().unwrap();
    assert_eq!((counts.files_unmodified, counts.data_blobs), (4, 0), "{counts:?}");
    let back = aeth_files::MemoryStore::new();
    let restored =
        repository.restore_blobs(&report.snapshot, "/app/blobs", &back, &Progress::new()).await.unwrap();
    assert_eq!((restored.blobs, restored.skipped_total), (4, 0), "{restored:?}");
    let all: Vec<_> = blobs.list(None).try_collect().await.unwrap();
    for meta in &all {
        assert_eq!(back.get_bytes(&meta.path).await.unwrap(), blobs.get_bytes(&meta.path).await.unwrap());
    }
    assert_eq!(back.list(None).count().await, all.len());
}
