//! Against stock restic: it reads ours, we read its, and both store the same blobs.

use crate::common::*;
use aeth_backup::{
    CheckOptions, CopyOptions, DiffOptions, ForgetOptions, LsOptions, MaxUnused, PathSource, Plan,
    PruneOptions, RepairOptions, Repository, RestoreOptions, RetentionPolicy, TagEdit,
};
use aeth_core::Secret;
use futures_util::{StreamExt, TryStreamExt};
use std::path::Path;

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

fn plan(source: &Path) -> Plan {
    Plan::new().source(PathSource::new(source).unwrap())
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

async fn assert_restores(repository: &Repository, source: &Path, target: &Path) {
    let latest = repository.snapshot("latest").await.unwrap();
    let options = RestoreOptions::new(target).root(source.to_str().unwrap()).verify(true);
    assert!(repository.restore(&latest, options).await.unwrap().is_complete());
    assert_same_tree(source, target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comparing_and_listing_give_what_restic_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("repository"));
    sample_tree(&source, 11);
    let repository = init(&[&sink]).await;
    let before = repository.backup(plan(&source)).await.unwrap().snapshot;
    std::fs::remove_dir_all(source.join("order")).unwrap();
    std::fs::write(source.join("deep/er/003"), "changed").unwrap();
    std::fs::write(source.join("deep/new"), vec![7; 2_000_000]).unwrap();
    let after = repository.backup(plan(&source)).await.unwrap().snapshot;
    let ids = (before.id.to_string(), after.id.to_string());
    let theirs = json(&restic_ok(&sink, &["diff", "--json", &ids.0, &ids.1]));
    let ours = repository.diff(&before, &after, &DiffOptions::new()).await.unwrap();
    assert_eq!(theirs["changed_files"], ours.changed_files);
    for (theirs, ours) in [(&theirs["added"], ours.added), (&theirs["removed"], ours.removed)] {
        assert_eq!(theirs["files"], ours.files, "{theirs} {ours:?}");
        assert_eq!(theirs["dirs"], ours.dirs, "{theirs} {ours:?}");
        assert_eq!(theirs["others"], ours.others, "{theirs} {ours:?}");
        assert_eq!(theirs["data_blobs"], ours.data_blobs, "{theirs} {ours:?}");
        assert_eq!(theirs["tree_blobs"], ours.tree_blobs, "{theirs} {ours:?}");
        assert_eq!(theirs["bytes"], ours.bytes, "{theirs} {ours:?}");
    }
    let listed = restic_ok(&sink, &["ls", "--json", &ids.1]);
    let theirs: Vec<String> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|entry| entry["struct_type"] == "node")
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect();
    let ours: Vec<_> = repository.ls(&after, LsOptions::new()).try_collect().await.unwrap();
    let ours: Vec<String> =
        ours.iter().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    assert_eq!(ours, theirs);
    // Tags as restic sees them, and the other way round.
    let tagged = repository.edit_tags(std::slice::from_ref(&after), &TagEdit::add(["ours"])).await.unwrap();
    restic_ok(&sink, &["tag", "--add", "theirs", &tagged[0].new.id.to_string()]);
    let last = repository.snapshot("latest").await.unwrap();
    assert_eq!((last.snapshot.tags.len(), last.snapshot.original), (2, Some(after.id)));
    restic_ok(&sink, &["check"]);
}

/// Both format versions: read, backed up into, forgotten, pruned, repaired, by both in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_keep_restics_house_in_both_versions() {
    for version in ["1", "2"] {
        let dir = tempfile::tempdir().unwrap();
        let (source, sink) = (dir.path().join("source"), dir.path().join("repository"));
        sample_tree(&source, 12);
        std::fs::remove_file(source.join("raw link")).unwrap();
        restic_ok(&sink, &["init", "--repository-version", version]);
        restic_ok(&sink, &["backup", source.to_str().unwrap()]);
        std::fs::write(source.join("deep/text"), vec![3; 900_000]).unwrap();
        restic_ok(&sink, &["backup", source.to_str().unwrap()]);
        let repository = open(&[&sink]).await;
        assert_eq!(repository.version().to_string(), version);
        let report = repository.backup(plan(&source)).await.unwrap();
        assert_eq!(report.snapshot.snapshot.summary.unwrap().data_blobs, 0, "version {version}");
        std::fs::write(source.join("deep/same text"), vec![4; 900_000]).unwrap();
        repository.backup(plan(&source)).await.unwrap();
        restic_ok(&sink, &["check", "--read-data"]);
        let check = repository.check(CheckOptions::all_data()).await.unwrap();
        assert!(check.is_ok(), "version {version}: {check:?}");

        let forgotten = repository.forget(ForgetOptions::new(RetentionPolicy::new().last(1))).await.unwrap();
        assert_eq!(forgotten.removed.len(), 3);
        let pruned = repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0))).await.unwrap();
        assert!(pruned.removed_packs > 0 && pruned.postponed.is_none(), "version {version}: {pruned:?}");
        restic_ok(&sink, &["check", "--read-data"]);
        assert_restores(&repository, &source, &dir.path().join("ours")).await;
        // Next to nothing is left for restic to do: it compresses small trees that we do not.
        let before = bytes_below(&sink.join("data"));
        restic_ok(&sink, &["prune", "--max-unused", "0"]);
        assert!(bytes_below(&sink.join("data")).abs_diff(before) < 10_000, "version {version}");

        // And restic does the same with ours.
        std::fs::remove_dir_all(source.join("order")).unwrap();
        repository.backup(plan(&source)).await.unwrap();
        restic_ok(&sink, &["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
        restic_ok(&sink, &["check", "--read-data"]);
        for index in files_below(&sink.join("index")) {
            std::fs::remove_file(index).unwrap();
        }
        let broken = open(&[&sink]).await;
        assert!(!broken.repair_index(RepairOptions::new()).await.unwrap().is_clean());
        restic_ok(&sink, &["check", "--read-data"]);
        assert_restores(&broken, &source, &dir.path().join("again")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_copies_are_what_restic_takes_them_for() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    let (c, old) = (dir.path().join("c"), dir.path().join("old"));
    sample_tree(&source, 13);
    let repository = init(&[&a, &b]).await;
    let first = repository.backup(plan(&source).tag("one")).await.unwrap().snapshot;
    std::fs::write(source.join("more"), vec![1; 100_000]).unwrap();
    repository.backup(plan(&source)).await.unwrap();

    let second = Secret::new("second".to_owned());
    let added = repository.add_key(&second).await.unwrap();
    assert_eq!(repository.keys().await.unwrap().len(), 2);
    let list = restic_ok(&b, &["key", "list", "--json"]);
    assert!(list.contains(&added.short()), "{list}");
    let current = repository.keys().await.unwrap().into_iter().find(|key| key.current).unwrap().id;
    assert_eq!(repository.remove_key(current).await.unwrap_err().kind(), aeth_core::ErrorKind::Invalid);
    repository.remove_key(added).await.unwrap();
    assert_eq!(repository.remove_key(added).await.unwrap_err().kind(), aeth_core::ErrorKind::NotFound);
    let refused = Repository::open(sinks(&[&a, &b]), &second, options()).await.unwrap_err();
    assert_eq!(refused.kind(), aeth_core::ErrorKind::Denied);

    // A key that is removed while a sink is away.
    let third = Secret::new("third".to_owned());
    let added = repository.add_key(&third).await.unwrap();
    open(&[&a]).await.remove_key(added).await.unwrap();
    let refused = Repository::open(sinks(&[&a, &b]), &third, options()).await.unwrap_err();
    assert_eq!(refused.kind(), aeth_core::ErrorKind::Denied, "{refused:?}");
    open(&[&a, &b]).await.backup(plan(&source)).await.unwrap();
    assert_eq!((files_below(&a.join("keys")).len(), files_below(&b.join("keys")).len()), (1, 1));

    let changing = open(&[&a, &b]).await;
    changing.change_password(&second).await.unwrap();
    let old_password = Repository::open(sinks(&[&a, &b]), &password(), options()).await.unwrap_err();
    assert_eq!(old_password.kind(), aeth_core::ErrorKind::Denied);
    let repository = Repository::open(sinks(&[&a, &b]), &second, options()).await.unwrap();
    repository.change_password(&password()).await.unwrap();
    restic_ok(&a, &["check"]);

    // Into a repository of its own, and into one of the old format.
    let like =
        Repository::init(sinks(&[&c]), &password(), options().chunker_like(&repository)).await.unwrap();
    let version_1 = Repository::init(sinks(&[&old]), &password(), options().version(1)).await.unwrap();
    for (target, root) in [(&like, &c), (&version_1, &old)] {
        let one = repository.copy_to(target, CopyOptions::new().snapshot(first.id)).await.unwrap();
        assert_eq!((one.copied.len(), one.present.len()), (1, 0));
        let all = repository.copy_to(target, CopyOptions::new()).await.unwrap();
        assert_eq!((all.copied.len(), all.present.len()), (2, 1), "{all:?}");
        assert!(all.blobs < one.blobs, "what was there was copied again: {all:?}");
        let again = repository.copy_to(target, CopyOptions::new()).await.unwrap();
        assert_eq!((again.copied.len(), again.present.len(), again.blobs), (0, 3, 0));
        let copy = target.snapshot(&one.copied[0].to.to_string()).await.unwrap();
        assert_eq!(copy.snapshot.original, Some(first.id));
        assert_eq!(
            (copy.snapshot.tags, copy.snapshot.tree),
            (first.snapshot.tags.clone(), first.snapshot.tree)
        );
        restic_ok(root, &["check", "--read-data"]);
        assert_restores(target, &source, &dir.path().join(root.file_name().unwrap()).join("t")).await;
    }
    assert_eq!(version_1.version(), 1);
    assert!(repository.copy_to(&like, CopyOptions::new()).await.unwrap().same_chunker);
    assert!(!repository.copy_to(&version_1, CopyOptions::new()).await.unwrap().same_chunker);
    let itself = open(&[&b]).await;
    let error = repository.copy_to(&itself, CopyOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), aeth_core::ErrorKind::Invalid);
    // restic copies ours, and finds our copies to be copies.
    let output = std::process::Command::new("restic")
        .args(["--no-cache", "--repo", c.to_str().unwrap(), "copy", "--repo2", old.to_str().unwrap()])
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("RESTIC_PASSWORD2", PASSWORD)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(version_1.snapshots().await.unwrap().len(), 3, "{}", String::from_utf8_lossy(&output.stdout));
}
