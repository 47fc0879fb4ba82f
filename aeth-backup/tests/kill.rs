//! Killed at any moment, the repository is whole and the next run goes on.
//!
//! `AETH_TORTURE_SEED` and `AETH_TORTURE_COUNT` choose the campaign; a short one is the default.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod common;

use aeth_backup::{PathSource, Plan, Repository, RestoreOptions};
use common::*;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "AETH_KILL_CHILD";

fn small() -> aeth_backup::RepositoryOptions {
    // Small packs, so that many are under way when the signal comes.
    options().pack_size(1 << 20).threads(2)
}

/// The process that is killed: not a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let directory = PathBuf::from(directory);
    let roots = [directory.join("a"), directory.join("b")];
    let roots: Vec<&Path> = roots.iter().map(PathBuf::as_path).collect();
    let repository = Repository::open(sinks(&roots), &password(), small()).await.unwrap();
    let source = PathSource::new(directory.join("source")).unwrap();
    repository.backup(Plan::new().source(source)).await.unwrap();
}

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments() {
    let (seed, count) = (environment("AETH_TORTURE_SEED", 1), environment("AETH_TORTURE_COUNT", 8));
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    let mut random = fastrand::Rng::with_seed(seed);
    sample_tree(&source, seed);
    drop(Repository::init(sinks(&[&a, &b]), &password(), small()).await.unwrap());
    let (mut killed, mut finished) = (0, 0);
    // How long a run takes is learnt from those that end.
    let mut longest = Duration::from_millis(600);
    let mut round = 0;
    // On a machine that is faster than the guess the first runs all end; a few more teach how long they take.
    while round < count || (killed == 0 && round < count + 30) {
        round += 1;
        // Something to do in each round.
        for _ in 0..4 {
            let name = format!("round {round} {}", random.u32(..));
            let length = random.usize(..4 << 20);
            std::fs::write(source.join(name), random_bytes(&mut random, length)).unwrap();
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child"])
            .env(CHILD, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = std::time::Instant::now();
        std::thread::sleep(longest.mul_f64(random.f64()));
        if child.try_wait().unwrap().is_some() {
            finished += 1;
            longest = longest.mul_f64(0.8).max(Duration::from_millis(100));
        } else {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            longest = longest.max(started.elapsed().mul_f64(1.3)).min(Duration::from_secs(5));
        }
        for sink in [&a, &b] {
            restic_ok(sink, &["unlock"]);
            assert!(files_below(&sink.join("locks")).is_empty(), "restic left a dead lock");
            restic_ok(sink, &["check", "--read-data"]);
        }
    }
    eprintln!("seed {seed}: {killed} killed, {finished} finished first");
    assert!(killed > 0, "no run lived long enough to be killed");

    // The last lock is not unlocked by anybody: our own next run must do it.
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(CHILD, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let locks = || files_below(&a.join("locks")).len() + files_below(&b.join("locks")).len();
    while locks() < 2 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let repository = Repository::open(sinks(&[&a, &b]), &password(), small()).await.unwrap();
    let report = repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(locks(), 0, "a dead process's lock is still there");
    for (number, sink) in [&a, &b].into_iter().enumerate() {
        restic_ok(sink, &["check", "--read-data"]);
        let target = dir.path().join(format!("restored-{number}"));
        let lone = Repository::open(sinks(&[sink]), &password(), small()).await.unwrap();
        let options = RestoreOptions::new(&target).root(source.to_str().unwrap()).verify(true);
        assert!(lone.restore(&report.snapshot, options).await.unwrap().is_complete());
        assert_same_tree(&source, &target);
    }
}
