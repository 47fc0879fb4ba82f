//! Against stock restic: it reads ours, we read its, and both store the same blobs.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs, reason = "tests")]

mod common;

use aeth_backup::{CheckOptions, PathSource, Plan, RestoreOptions};
use common::*;
use futures_util::StreamExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restic_reads_ours() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    sample_tree(&source, 1);
    let repository = init(&[&a, &b]).await;
    let report = repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    for (number, sink) in [&a, &b].into_iter().enumerate() {
        restic_ok(sink, &["check", "--read-data"]);
        let target = dir.path().join(format!("restored-{number}"));
        restic_ok(sink, &["restore", "latest", "--target", target.to_str().unwrap()]);
        let restored = target.join(source.strip_prefix("/").unwrap());
        // This version of restic knows no raw link targets, and stores U+FFFD in their place.
        for tree in [&source, &restored] {
            drop(std::fs::remove_file(tree.join("raw link")));
            let time = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            std::fs::File::open(tree).unwrap().set_times(time).unwrap();
        }
        assert_same_tree(&source, &restored);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_read_restic_and_add_nothing_to_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("repository"));
    sample_tree(&source, 2);
    // The one thing that this version of restic writes otherwise than the current one.
    std::fs::remove_file(source.join("raw link")).unwrap();
    restic_ok(&sink, &["init"]);
    restic_ok(&sink, &["backup", source.to_str().unwrap()]);

    let repository = open(&[&sink]).await;
    let all = repository.snapshots().await.unwrap();
    assert_eq!(all.len(), 1);
    let target = dir.path().join("restored");
    let restored = repository
        .restore(&all[0], RestoreOptions::new(&target).root(source.to_str().unwrap()).verify(true))
        .await
        .unwrap();
    assert!(restored.is_complete(), "{restored:?}");
    assert_same_tree(&source, &target);
    let checked = repository.check(CheckOptions::all_data()).await.unwrap();
    assert!(checked.is_ok(), "{checked:?}");

    let before = files_below(&sink.join("data"));
    let report = repository
        .backup(Plan::new().source(PathSource::new(&source).unwrap()).read_everything())
        .await
        .unwrap();
    let summary = report.snapshot.snapshot.summary.clone().unwrap();
    // The directories above the source, which other tests change, may be new: one tree for each.
    assert_eq!(summary.data_blobs, 0, "{summary:?}");
    assert!(
        summary.tree_blobs <= 3 && files_below(&sink.join("data")).len() <= before.len() + 1,
        "{summary:?}"
    );
    let mut trees = Vec::new();
    for snapshot in [&all[0], &report.snapshot] {
        let mut entries = repository.entries(snapshot, source.to_str().unwrap());
        trees.push(entries.next().await.unwrap().unwrap().node.subtree.unwrap());
    }
    assert_eq!(trees[0], trees[1], "a tree is encoded otherwise than by restic");
    restic_ok(&sink, &["check", "--read-data"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restic_takes_up_where_we_left() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("repository"));
    sample_tree(&source, 3);
    std::fs::remove_file(source.join("raw link")).unwrap();
    let repository = init(&[&sink]).await;
    repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await.unwrap();
    let before = bytes_below(&sink.join("data"));
    let text = restic_ok(&sink, &["backup", "--json", source.to_str().unwrap()]);
    assert!(text.contains("\"data_blobs\":0"), "restic stored something that we had: {text}");
    assert!(bytes_below(&sink.join("data")) < before + 4096, "restic wrote trees that we had: {text}");
    // It forgets and prunes ours, and what is left is whole.
    restic_ok(&sink, &["forget", "--keep-last", "1", "--prune"]);
    restic_ok(&sink, &["check", "--read-data"]);
    let latest = repository.snapshot("latest").await.unwrap();
    let target = dir.path().join("restored");
    let report = repository
        .restore(&latest, RestoreOptions::new(&target).root(source.to_str().unwrap()))
        .await
        .unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_same_tree(&source, &target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_restics_exclusive_lock_keeps_us_out_and_a_dead_ones_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("repository"));
    sample_tree(&source, 9);
    let repository = init(&[&sink]).await;
    let plan = || Plan::new().source(PathSource::new(&source).unwrap());
    repository.backup(plan()).await.unwrap();
    let mut other = std::process::Command::new("restic")
        .args(["--no-cache", "--quiet", "--repo", sink.to_str().unwrap(), "check", "--read-data"])
        .env("RESTIC_PASSWORD", PASSWORD)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("install restic: these tests need it as their oracle");
    let signal = |signal: &str| {
        let status = std::process::Command::new("kill").args([signal, &other.id().to_string()]).status();
        assert!(status.unwrap().success());
    };
    // It writes under a temporary name first, which is no lock yet.
    let locked = || files_below(&sink.join("locks")).iter().any(|path| path.file_name().unwrap().len() == 64);
    while !locked() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    signal("-STOP");
    let error = repository.backup(plan()).await.unwrap_err();
    assert_eq!(error.kind(), aeth_core::ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains(&other.id().to_string()), "{error}");
    signal("-KILL");
    other.wait().unwrap();
    assert!(!files_below(&sink.join("locks")).is_empty());
    repository.backup(plan()).await.unwrap();
    assert!(files_below(&sink.join("locks")).is_empty());
}
