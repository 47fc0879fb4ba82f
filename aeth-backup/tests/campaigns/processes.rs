//! Prune raced with writers that are processes of their own and stand still in the middle of a run, ours and restic's:
//! what a frozen writer has stored and no snapshot names yet must not be removed.

use crate::common::*;
use aeth_backup::{MaxUnused, PathSource, Plan, PruneOptions, Quorum, Repository, RestoreOptions};
use aeth_core::ErrorKind;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const CHILD: &str = "AETH_FROZEN_CHILD";

fn small() -> aeth_backup::RepositoryOptions {
    options().pack_size(1 << 20).threads(2).quorum(Quorum::AtLeast(1))
}

/// One run of the process that is frozen: not a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let directory = PathBuf::from(directory);
    let root = directory.join("r");
    let source = directory.join("ours");
    loop {
        let repository = Repository::open(sinks(&[&root]), &password(), small()).await.unwrap();
        let plan = Plan::new().source(PathSource::new(&source).unwrap()).tag("ours");
        match repository.backup(plan).await {
            Ok(report) => return assert!(report.is_complete(), "{report:?}"),
            Err(error) if error.kind() == ErrorKind::Busy => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// New files, and some that were there before and were let go since.
fn stir(source: &Path, random: &mut fastrand::Rng) {
    std::fs::create_dir_all(source).unwrap();
    for number in 0..6 {
        let mut content = fastrand::Rng::with_seed(random.u64(..9));
        std::fs::write(source.join(number.to_string()), random_bytes(&mut content, 700_000)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_prune_races_frozen_processes() {
    let (mut frozen, mut removed, mut whole) = (0, 0, 0);
    for case in testkit::campaign("prune_races_frozen_processes", 3) {
        let (mut random, seed) = (case.rng(), case.seed());
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("r");
        drop(Repository::init(sinks(&[&root]), &password(), small()).await.unwrap());
        let mut contents: BTreeMap<PathBuf, Vec<BTreeMap<PathBuf, String>>> = BTreeMap::new();
        for round in 0..4 {
            let theirs = random.u8(..3) == 0;
            let source = dir.path().join(if theirs { "theirs" } else { "ours" });
            stir(&source, &mut random);
            contents.entry(source.clone()).or_default().push(describe(&source));
            let mut writer = if theirs {
                let mut restic = Command::new("restic");
                restic.args([
                    "--no-cache",
                    "--quiet",
                    "--repo",
                    root.to_str().unwrap(),
                    "backup",
                    "--tag",
                    "theirs",
                ]);
                restic.arg(&source).env("RESTIC_PASSWORD", PASSWORD);
                restic
            } else {
                let mut ours = Command::new(std::env::current_exe().unwrap());
                ours.args(["--exact", "processes::child"]).env(CHILD, dir.path());
                ours
            };
            let mut child = writer.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(random.u64(..700)));
            let stands = child.try_wait().unwrap().is_none();
            if stands {
                signal(&child, "-STOP");
                frozen += 1;
            }
            // It has a lock, and lives: nothing may go that it relies on, whoever prunes, in whatever way.
            let repository = Repository::open(sinks(&[&root]), &password(), small()).await.unwrap();
            for _ in 0..2 {
                let all = repository.snapshots().await.unwrap();
                if all.len() > 2 {
                    let gone = all[random.usize(..all.len() - 1)].id;
                    match repository.forget_snapshots(&[gone]).await {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::Busy => {}
                        Err(error) => panic!("seed {seed}, round {round}: {error:?}"),
                    }
                }
                let options = PruneOptions::new()
                    .max_unused(MaxUnused::Bytes(0))
                    .exclusive(random.bool())
                    .wait(Duration::from_millis(200));
                match repository.prune(options).await {
                    Ok(report) => {
                        assert!(
                            !stands || report.removed_packs == 0 || !held(&root),
                            "seed {seed}: {report:?}"
                        );
                        removed += report.removed_packs;
                    }
                    Err(error) if error.kind() == ErrorKind::Busy => {}
                    Err(error) => panic!("seed {seed}, round {round}: {error:?}"),
                }
                if stands && held(&root) {
                    let pruned = restic(&root, &["prune", "--max-unused", "0"]);
                    assert!(
                        !pruned.status.success(),
                        "seed {seed}: restic prunes beside a writer that is frozen"
                    );
                }
            }
            if stands {
                signal(&child, "-CONT");
            }
            let status = child.wait().unwrap();
            // restic does not wait for a lock.
            assert!(theirs || status.success(), "seed {seed}, round {round}: {status}");
            restic_ok(&root, &["check", "--read-data"]);
        }
        let repository = Repository::open(sinks(&[&root]), &password(), small()).await.unwrap();
        let last = PruneOptions::new().max_unused(MaxUnused::Bytes(0)).exclusive(true);
        removed += repository.prune(last).await.unwrap().removed_packs;
        restic_ok(&root, &["check", "--read-data"]);
        for entry in repository.snapshots().await.unwrap() {
            let source = dir.path().join(&entry.snapshot.tags[0]);
            let target = dir.path().join("restored");
            let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
            assert!(repository.restore(&entry, options).await.unwrap().is_complete(), "seed {seed}");
            assert!(contents[&source].contains(&describe(&target)), "seed {seed}: {:?}", entry.id);
            std::fs::remove_dir_all(&target).unwrap();
            whole += 1;
        }
    }
    eprintln!("{frozen} writers frozen, {removed} packs removed, {whole} snapshots whole");
    assert!(frozen > 0 && removed > 0 && whole > 0, "nothing was put to the test");
}

/// Whether somebody has a lock: of 64 digits, as restic writes it under another name first.
fn held(root: &Path) -> bool {
    files_below(&root.join("locks")).iter().any(|path| path.file_name().unwrap().len() == 64)
}
