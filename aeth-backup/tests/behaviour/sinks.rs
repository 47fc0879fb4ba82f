//! Sinks that are made of sinks, and sinks that give nothing back.

use crate::common::*;
use aeth_backup::{
    CheckOptions, DrillOptions, ForgetOptions, HotCold, LsOptions, PathSource, Plan, PruneOptions,
    Repository, RetentionPolicy,
};
use aeth_core::ErrorKind;
use aeth_core::backup::{BackupSink, BlobSink};
use aeth_core::conformance::backup_sink;
use aeth_files::{LocalDir, MemoryStore};
use futures_util::TryStreamExt;
use std::path::Path;
use std::sync::Arc;

fn memory() -> Arc<dyn BackupSink> {
    Arc::new(BlobSink::new(Arc::new(MemoryStore::new()), None).unwrap())
}

async fn local(path: &Path) -> BlobSink {
    BlobSink::new(Arc::new(LocalDir::open(path).await.unwrap()), None).unwrap().label(path.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_and_a_cold_sink_together_keep_every_law_of_sinks() {
    let report = backup_sink::run_all(HotCold::new(memory(), memory())).await;
    assert!(report.is_ok(), "{report}");
    let kept: Arc<dyn BackupSink> =
        Arc::new(BlobSink::new(Arc::new(MemoryStore::new()), None).unwrap().append_only());
    let report = backup_sink::run_all(HotCold::new(memory(), kept)).await;
    assert!(report.is_ok(), "{report}");
    let dir = tempfile::tempdir().unwrap();
    let (hot, cold) = (local(&dir.path().join("hot")).await, local(&dir.path().join("cold")).await);
    let report = backup_sink::run_all(HotCold::new(Arc::new(hot), Arc::new(cold))).await;
    assert!(report.is_ok(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cold_half_is_a_repository_and_the_hot_half_can_be_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (source, hot, cold) = (dir.path().join("s"), dir.path().join("hot"), dir.path().join("cold"));
    sample_tree(&source, 31);
    let both = async || {
        let sink = HotCold::new(Arc::new(local(&hot).await), Arc::new(local(&cold).await));
        vec![Arc::new(sink) as Arc<dyn BackupSink>]
    };
    let plan = || Plan::new().source(PathSource::new(&source).unwrap());
    let repository = Repository::init(both().await, &password(), options()).await.unwrap();
    let report = repository.backup(plan()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(repository.check(CheckOptions::all_data()).await.unwrap().is_ok());
    // Only the trees are hot, and nothing but the hot half is needed to look around.
    let (hot_bytes, cold_bytes) = (bytes_below(&hot.join("data")), bytes_below(&cold.join("data")));
    assert!(hot_bytes > 0 && hot_bytes * 20 < cold_bytes, "{hot_bytes} of {cold_bytes} bytes are hot");
    assert!(files_below(&cold.join("locks")).is_empty());
    let away = dir.path().join("away");
    let packs = |from: &Path, to: &Path| std::fs::rename(from.join("data"), to).unwrap();
    packs(&cold, &away);
    let fresh = Repository::open(both().await, &password(), options()).await.unwrap();
    let entries: Vec<_> = fresh.ls(&report.snapshot, LsOptions::new()).try_collect().await.unwrap();
    assert!(entries.len() > 130, "{} entries", entries.len());
    drop(fresh);
    std::fs::rename(&away, cold.join("data")).unwrap();

    // The cold half alone gives everything back, to us and to restic.
    let lone = Repository::open(vec![Arc::new(local(&cold).await)], &password(), options()).await.unwrap();
    let drill = lone.drill(DrillOptions::new(dir.path().join("drill"))).await.unwrap();
    assert!(drill.passed(), "{drill:?}");
    #[cfg(feature = "integration")]
    restic_ok(&cold, &["check", "--read-data"]);

    // The hot half is lost: reads go on, and it is filled again.
    std::fs::remove_dir_all(&hot).unwrap();
    let sink = HotCold::new(Arc::new(local(&hot).await), Arc::new(local(&cold).await));
    assert!(sink.refill().await.unwrap() >= 4);
    assert_eq!(sink.refill().await.unwrap(), 0);
    let repository = Repository::open(vec![Arc::new(sink)], &password(), options()).await.unwrap();
    std::fs::write(source.join("one more"), "x").unwrap();
    assert!(repository.backup(plan()).await.unwrap().is_complete());
    repository.forget(ForgetOptions::new(RetentionPolicy::new().last(1))).await.unwrap();
    repository.prune(PruneOptions::new().exclusive(true)).await.unwrap();
    assert!(repository.check(CheckOptions::all_data()).await.unwrap().is_ok());
    for half in [&hot, &cold] {
        assert_eq!(files_below(&half.join("snapshots")).len(), 1, "{half:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_only_sink_takes_backups_and_refuses_to_forget() {
    let dir = tempfile::tempdir().unwrap();
    let (source, place) = (dir.path().join("s"), dir.path().join("r"));
    sample_tree(&source, 32);
    let sink = local(&place).await.append_only();
    let repository = Repository::init(vec![Arc::new(sink)], &password(), options()).await.unwrap();
    let plan = || Plan::new().source(PathSource::new(&source).unwrap());
    for round in 0..2 {
        std::fs::write(source.join("round"), round.to_string()).unwrap();
        assert!(repository.backup(plan()).await.unwrap().is_complete());
    }
    assert!(files_below(&place.join("locks")).is_empty(), "locks come and go");
    let before = files_below(&place);
    let forget = ForgetOptions::new(RetentionPolicy::new().last(1));
    let refused = [
        repository.forget(forget).await.map(drop).unwrap_err(),
        repository.prune(PruneOptions::new()).await.map(drop).unwrap_err(),
        repository.prune(PruneOptions::new().exclusive(true)).await.map(drop).unwrap_err(),
    ];
    for error in refused {
        assert!(error.kind() == ErrorKind::Denied && error.remedy().is_some(), "{error}");
    }
    assert_eq!(files_below(&place), before);
    assert!(repository.check(CheckOptions::all_data()).await.unwrap().is_ok());
}
