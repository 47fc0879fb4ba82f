//! rustic and we, on each other's repositories: both format versions, compressed or not. `cargo xtask torture backup`
//! installs it (it takes a quarter of an hour to build, too long for the default tests) and runs these.

use crate::common::*;
use aeth_backup::{
    CheckOptions, Compression, ForgetOptions, MaxUnused, PathSource, Plan, PruneOptions, Repository,
    RestoreOptions, RetentionPolicy,
};
use std::path::{Path, PathBuf};
use std::process::Command;

fn program() -> PathBuf {
    match std::env::var_os("AETH_RUSTIC") {
        Some(given) => given.into(),
        None => testkit::target_dir().join("xtask/rustic/bin/rustic"),
    }
}

fn rustic(repository: &Path, arguments: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["--no-cache", "--no-progress", "--log-level", "warn", "--repository"]).arg(repository);
    command
        .args(arguments)
        .env("RUSTIC_PASSWORD", PASSWORD)
        .env("HOME", home.path())
        .current_dir(home.path());
    let output = command.output().unwrap_or_else(|error| {
        panic!("{}: {error}: run `cargo xtask torture backup`, which installs rustic", program().display())
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rustic {arguments:?}: {}\n{said}{errors}", output.status);
    assert!(!errors.contains("ERROR"), "rustic {arguments:?}: {errors}");
    said
}

/// A tree of everything but what rustic stores otherwise: a link to bytes that are no text.
fn tree(at: &Path, seed: u64) {
    sample_tree(at, seed);
    std::fs::remove_file(at.join("raw link")).unwrap();
}

/// rustic gives the root of what it saves or restores no time of its own.
fn assert_same_but_for_the_root(source: &Path, target: &Path) {
    for root in [source, target] {
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let time = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        std::fs::File::open(root).unwrap().set_times(time).unwrap();
    }
    assert_same_tree(source, target);
}

async fn assert_restores(repository: &Repository, source: &Path) {
    let target = tempfile::tempdir().unwrap();
    let latest = repository.snapshot("latest").await.unwrap();
    let options = RestoreOptions::new(target.path()).root(source.to_str().unwrap()).verify(true);
    let report = repository.restore(&latest, options).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_same_but_for_the_root(source, target.path());
}

fn rustic_restores(repository: &Path, source: &Path) {
    let target = tempfile::tempdir().unwrap();
    let snapshot = format!("latest:{}", source.display());
    rustic(repository, &["restore", &snapshot, target.path().to_str().unwrap()]);
    assert_same_but_for_the_root(source, target.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs rustic, which `cargo xtask torture backup` installs"]
async fn torture_rustic_keeps_our_house() {
    for (version, compression) in [(2, Compression::Auto), (2, Compression::Off), (1, Compression::Off)] {
        let dir = tempfile::tempdir().unwrap();
        let (source, root) = (dir.path().join("source"), dir.path().join("r"));
        tree(&source, 61);
        let options = options().version(version).compression(compression).pack_size(1 << 20);
        let repository = Repository::init(sinks(&[&root]), &password(), options).await.unwrap();
        let plan = || Plan::new().source(PathSource::new(&source).unwrap());
        repository.backup(plan()).await.unwrap();
        std::fs::write(source.join("deep/text"), vec![5; 900_000]).unwrap();
        repository.backup(plan()).await.unwrap();
        rustic(&root, &["check", "--read-data"]);
        rustic_restores(&root, &source);
        // It stores nothing that we have, cutting where we cut; only its directories are described otherwise.
        let before = bytes_below(&root.join("data"));
        rustic(&root, &["backup", source.to_str().unwrap()]);
        assert!(
            bytes_below(&root.join("data")) < before + 100_000,
            "version {version}: it stored again what we have"
        );
        assert_restores(&repository, &source).await;
        // It forgets and prunes ours; what is left is whole for all three.
        rustic(
            &root,
            &[
                "forget",
                "--keep-last",
                "1",
                "--group-by",
                "host",
                "--prune",
                "--instant-delete",
                "--keep-delete",
                "0s",
                "--max-unused",
                "0B",
            ],
        );
        let repository =
            Repository::open(sinks(&[&root]), &password(), crate::common::options()).await.unwrap();
        assert_eq!(repository.snapshots().await.unwrap().len(), 1, "version {version}");
        let check = repository.check(CheckOptions::all_data()).await.unwrap();
        assert!(check.is_ok(), "version {version}: {check:?}");
        restic_ok(&root, &["check", "--read-data"]);
        assert_restores(&repository, &source).await;
        repository.backup(plan()).await.unwrap();
        rustic(&root, &["check", "--read-data"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs rustic, which `cargo xtask torture backup` installs"]
async fn torture_we_keep_rustics_house() {
    for (version, level) in [("2", Some("3")), ("2", Some("0")), ("2", None), ("1", None)] {
        let dir = tempfile::tempdir().unwrap();
        let (source, root) = (dir.path().join("source"), dir.path().join("r"));
        tree(&source, 62);
        if version == "1" {
            // rustic makes none of the first version any more, and writes into it.
            restic_ok(&root, &["init", "--repository-version", "1"]);
        } else {
            rustic(&root, &["init", "--set-version", version]);
        }
        if let Some(level) = level {
            rustic(&root, &["config", "--set-compression", level]);
        }
        rustic(&root, &["backup", source.to_str().unwrap()]);
        std::fs::write(source.join("deep/text"), vec![6; 900_000]).unwrap();
        rustic(&root, &["backup", source.to_str().unwrap()]);
        let named = format!("version {version}, level {level:?}");
        let repository = open(&[&root]).await;
        assert_eq!(repository.version().to_string(), version);
        let check = repository.check(CheckOptions::all_data()).await.unwrap();
        assert!(check.is_ok(), "{named}: {check:?}");
        assert_restores(&repository, &source).await;
        let plan = || Plan::new().source(PathSource::new(&source).unwrap());
        let report = repository.backup(plan().read_everything()).await.unwrap();
        assert_eq!(
            report.snapshot.snapshot.summary.unwrap().data_blobs,
            0,
            "{named}: we stored again what it has"
        );
        std::fs::write(source.join("deep/same text"), vec![7; 900_000]).unwrap();
        repository.backup(plan()).await.unwrap();
        rustic(&root, &["check", "--read-data"]);
        let forgotten = repository.forget(ForgetOptions::new(RetentionPolicy::new().last(1))).await.unwrap();
        assert!(forgotten.removed.len() >= 2, "{named}: {forgotten:?}");
        let pruned = repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0))).await.unwrap();
        assert!(pruned.removed_packs > 0, "{named}: {pruned:?}");
        rustic(&root, &["check", "--read-data"]);
        restic_ok(&root, &["check", "--read-data"]);
        assert_restores(&repository, &source).await;
        rustic_restores(&root, &source);
    }
}
