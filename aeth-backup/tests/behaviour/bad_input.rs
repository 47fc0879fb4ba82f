//! Damage, missing rights, sources that change under the reader, clocks that jump: each is said clearly, nothing is
//! lost, and what is not in the backup is named.

use crate::common::*;
use aeth_backup::{
    BackupReport, CheckOptions, PathSource, Plan, PruneOptions, Repository, RestoreOptions, SnapshotFilter,
};
use aeth_core::{Clock, ErrorKind, SystemClock, async_trait};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

fn plan(source: &Path) -> Plan {
    Plan::new().source(PathSource::new(source).unwrap())
}

/// How a file can be damaged.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flipped,
    Cut,
    Emptied,
    Garbage,
    Gone,
}

impl Damage {
    const ALL: [Self; 5] = [Self::Flipped, Self::Cut, Self::Emptied, Self::Garbage, Self::Gone];

    fn apply(self, path: &Path, whole: &[u8]) {
        let mut bytes = whole.to_vec();
        match self {
            Self::Flipped => bytes[whole.len() / 2] ^= 4,
            Self::Cut => bytes.truncate(whole.len() / 2),
            Self::Emptied => bytes.clear(),
            Self::Garbage => bytes = b"{\"no\": \"such thing\"}".to_vec(),
            Self::Gone => return std::fs::remove_file(path).unwrap(),
        }
        std::fs::write(path, bytes).unwrap();
    }
}

/// A description without the number of links: another name of the file may be in a directory that is lost, and named.
fn without_links(text: &str) -> String {
    text.split(' ').enumerate().filter(|(at, _)| *at != 4).map(|(_, part)| part).collect::<Vec<_>>().join(" ")
}

/// Every file of a lone repository, damaged in every way: no operation panics, succeeds wrongly or makes it worse, and
/// what is said names the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_of_every_kind_in_every_file_is_named_and_makes_nothing_worse() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    sample_tree(&source, 51);
    let repository = init(&[&sink]).await;
    let snapshot = repository.backup(plan(&source)).await.unwrap().snapshot;
    drop(repository);
    let files = files_below(&sink);
    assert!(files.len() >= 6, "{files:?}");
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        let kind = file.strip_prefix(&sink).unwrap().components().next().unwrap();
        let kind = kind.as_os_str().to_str().unwrap();
        for damage in Damage::ALL {
            damage.apply(file, &whole);
            let said = |error: &aeth_core::Error| format!("{error:?} {error}");
            let opened = Repository::open(sinks(&[&sink]), &password(), options()).await;
            match (kind, opened) {
                ("config" | "keys", Err(error)) => {
                    let gone = matches!(damage, Damage::Gone);
                    let allowed = match kind {
                        "config" if gone => vec![ErrorKind::NotFound],
                        "config" => vec![ErrorKind::Corrupt],
                        _ if gone => vec![ErrorKind::Corrupt, ErrorKind::NotFound, ErrorKind::Denied],
                        _ => vec![ErrorKind::Corrupt, ErrorKind::Denied],
                    };
                    assert!(allowed.contains(&error.kind()), "{damage:?} {kind}: {error:?}");
                    assert!(
                        error.remedy().is_some() || error.key().is_some(),
                        "{damage:?} {kind}: {error:?}"
                    );
                    assert!(!said(&error).contains(PASSWORD));
                }
                ("config" | "keys", Ok(_)) => panic!("{damage:?}: it opens with a damaged {kind}"),
                (_, Err(error)) => panic!("{damage:?} {kind}: it does not open: {error:?}"),
                (_, Ok(repository)) => {
                    let check = repository.check(CheckOptions::all_data()).await;
                    match (&check, damage, kind) {
                        (Ok(check), Damage::Gone, "snapshots") => assert_eq!(check.snapshots, 0),
                        // What an index is called stands nowhere else: when it is gone, what it was there for is
                        // named as missing, and who needs it.
                        (Ok(check), Damage::Gone, "index") => {
                            let all = format!("{:?}", check.errors);
                            let who = format!("snapshot {}", &snapshot.id.to_string()[..8]);
                            assert!(all.contains("no index names") && all.contains(&who), "{all}");
                        }
                        (Ok(check), _, _) => {
                            assert!(!check.is_ok(), "{damage:?} in {kind} is not found");
                            let all = format!("{:?}", check.errors);
                            assert!(all.contains(name), "{damage:?} in {kind}: {name} is not named: {all}");
                        }
                        (Err(error), _, _) => {
                            assert!(said(error).contains(name), "{damage:?} {kind}: {error:?}")
                        }
                    }
                    // Nothing may be removed from a damaged repository.
                    if !(kind == "snapshots" && matches!(damage, Damage::Gone)) {
                        let pruned = repository.prune(PruneOptions::new().exclusive(true)).await;
                        if let Ok(report) = pruned {
                            assert_eq!(report.removed_packs, 0, "{damage:?} in {kind}: {report:?}");
                        }
                    }
                    // What can be restored is right; what cannot is named.
                    let target = tempfile::tempdir().unwrap();
                    let wanted =
                        RestoreOptions::new(target.path()).root(source.to_str().unwrap()).verify(true);
                    match repository.restore(&snapshot, wanted).await {
                        Ok(report) if report.is_complete() => assert_same_tree(&source, target.path()),
                        Ok(report) => {
                            assert_eq!(kind, "data", "{damage:?}: {report:?}");
                            for (path, text) in describe(target.path()) {
                                let skipped = report
                                    .skipped
                                    .iter()
                                    .any(|item| item.path.contains(path.to_str().unwrap_or("?")));
                                let same = describe(&source).get(&path).map(|text| without_links(text))
                                    == Some(without_links(&text));
                                assert!(
                                    skipped || same || !target.path().join(&path).is_file(),
                                    "{damage:?}: {path:?} is wrong and not named"
                                );
                            }
                        }
                        Err(error) => {
                            assert!(
                                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound),
                                "{damage:?} {kind}: {error:?}"
                            );
                        }
                    }
                }
            }
            for left in files_below(&sink) {
                if !files.contains(&left) {
                    std::fs::remove_file(left).unwrap();
                }
            }
            std::fs::write(file, &whole).unwrap();
        }
    }
    // Whatever was tried on the damaged repository, it is whole again with the file that was damaged.
    let check = open(&[&sink]).await.check(CheckOptions::all_data()).await.unwrap();
    assert!(check.is_ok() && check.hints.is_empty(), "{check:?}");
}

const CHILD: &str = "AETH_UNPRIVILEGED_CHILD";

/// What a process without rights does: not a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unprivileged_child() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let directory = PathBuf::from(directory);
    let repository = init(&[&directory.join("own/r")]).await;
    let report = repository.backup(plan(&directory.join("source"))).await.unwrap();
    let skipped: Vec<_> = report.skipped.iter().map(|item| (&item.path[..], item.error.kind())).collect();
    let at = |name: &str| directory.join("source").join(name).to_str().unwrap().to_owned();
    let (file, dir) = (at("secret"), at("closed"));
    assert!(skipped.contains(&(&file[..], ErrorKind::Denied)), "{skipped:?}");
    assert!(skipped.contains(&(&dir[..], ErrorKind::Denied)), "{skipped:?}");
    assert_eq!(report.skipped_total, 2, "{skipped:?}");
    assert!(!report.is_complete() && report.snapshot.snapshot.summary.unwrap().total_files_processed == 1);

    // What it may not do in a target is named, and the rest is restored: owners are left as they are.
    let target = directory.join("own/target");
    let entry = repository.snapshot("latest").await.unwrap();
    let options = RestoreOptions::new(&target).root(directory.join("source").to_str().unwrap());
    let restored = repository.restore(&entry, options.clone()).await.unwrap();
    assert!(restored.is_complete(), "{restored:?}");
    assert_eq!(std::fs::read(target.join("open")).unwrap(), b"for all");
    let closed = RestoreOptions::new(directory.join("closed target"));
    // The target itself is there and may be used as far as can be seen: what cannot be made in it is in the report.
    let restored = repository.restore(&entry, closed).await.unwrap();
    assert!(restored.files == 0 && restored.directories == 0 && restored.skipped_total == 1, "{restored:?}");
    let error = &restored.skipped[0].error;
    assert!(error.kind() == ErrorKind::Denied && format!("{error:?}").contains("closed target"), "{error:?}");

    // A repository that it may not write to, and one that it may not read.
    let theirs =
        Repository::open(sinks(&[&directory.join("readable")]), &password(), options_of()).await.unwrap();
    let error = theirs.backup(plan(&directory.join("source"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let error =
        Repository::open(sinks(&[&directory.join("closed")]), &password(), options_of()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    println!("the child is through");
}

fn options_of() -> aeth_backup::RepositoryOptions {
    options()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_are_named_and_the_rest_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    for name in ["source", "source/closed", "own", "closed target", "readable", "closed"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    for (name, text) in [("source/open", "for all"), ("source/secret", "for me"), ("source/closed/in", "x")] {
        std::fs::write(at(name), text).unwrap();
    }
    for name in ["readable", "closed"] {
        let repository = init(&[&at(name)]).await;
        repository.backup(plan(&at("source"))).await.unwrap();
        // `tempfile` and this sink make everything readable to others: what is closed is closed at the top.
    }
    let nobody = if testkit::is_root() { Some(65_534) } else { None };
    let executable = at("child");
    std::fs::copy(std::env::current_exe().unwrap(), &executable).unwrap();
    for (path, bits) in [
        (dir.path().to_path_buf(), 0o755),
        (at("source/secret"), 0o000),
        (at("source/closed"), 0o000),
        (at("closed target"), 0o555),
        (at("closed"), 0o000),
        (executable.clone(), 0o755),
    ] {
        mode(&path, bits);
    }
    if let Some(nobody) = nobody {
        std::os::unix::fs::chown(at("own"), Some(nobody), Some(nobody)).unwrap();
    } else {
        for path in walk_dirs(&at("readable")) {
            mode(&path, 0o555);
        }
    }
    let mut child = Command::new(&executable);
    child
        .args(["--exact", "bad_input::unprivileged_child", "--nocapture"])
        .env(CHILD, dir.path())
        .current_dir(at("own"));
    child.env("HOME", at("own"));
    if let Some(nobody) = nobody {
        child.uid(nobody).gid(nobody);
    }
    let output = child.output().unwrap();
    for name in ["source/secret", "source/closed", "closed target", "closed"] {
        mode(&at(name), 0o755);
    }
    for path in walk_dirs(&at("readable")) {
        mode(&path, 0o755);
    }
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("the child is through"), "{said}");
}

fn walk_dirs(root: &Path) -> Vec<PathBuf> {
    let mut dirs = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(dir) = dirs.get(next).cloned() {
        next += 1;
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            if entry.path().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    dirs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("calm"), "calm").unwrap();
    let busy = source.join("busy");
    std::fs::write(&busy, random_bytes(&mut fastrand::Rng::with_seed(1), 48 << 20)).unwrap();
    let repository = init(&[&sink]).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (stop, busy) = (Arc::clone(&stop), busy.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let file = std::fs::File::options().append(true).open(&busy).unwrap();
                std::io::Write::write_all(&mut &file, b"one more line\n").unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        })
    };
    let report = repository.backup(plan(&source)).await.unwrap();
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    assert_eq!(report.changed, [busy.to_str().unwrap()], "{report:?}");
    assert!(!report.is_complete() && report.skipped_total == 0);
    assert!(repository.check(CheckOptions::all_data()).await.unwrap().is_ok());
    // What is calm again is stored as it is.
    let report = repository.backup(plan(&source)).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let target = dir.path().join("t");
    let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
    assert!(repository.restore(&report.snapshot, options).await.unwrap().is_complete());
    assert_same_tree(&source, &target);
}

/// The system's clock, put forward or back by some seconds.
#[derive(Debug)]
struct Jumping(Arc<dyn Clock>, AtomicI64);

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> SystemTime {
        let by = self.1.load(Ordering::SeqCst);
        let distance = Duration::from_secs(by.unsigned_abs());
        if by < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_loses_nothing() {
    const YEAR: i64 = 365 * 86_400;
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    sample_tree(&source, 52);
    init(&[&sink]).await;
    let clock = Arc::new(Jumping(SystemClock::shared(), AtomicI64::new(0)));
    let handle = async || {
        let clock = Arc::<Jumping>::clone(&clock);
        Repository::open_with_clock(sinks(&[&sink]), &password(), options(), clock).await.unwrap()
    };
    let repository = handle().await;
    let mut made: Vec<BackupReport> = Vec::new();
    // Forward by ten years, back to long ago, and back to now; beside it, files from a future that is over.
    for by in [0, 10 * YEAR, -40 * YEAR, 0] {
        clock.1.store(by, Ordering::SeqCst);
        std::fs::write(source.join("round"), by.to_string()).unwrap();
        let report = repository.backup(plan(&source)).await.unwrap();
        assert!(report.is_complete(), "{by}: {report:?}");
        made.push(report);
    }
    let future = SystemTime::now() + Duration::from_secs(3_000_000_000);
    let file = std::fs::File::options().write(true).open(source.join("round")).unwrap();
    file.set_times(std::fs::FileTimes::new().set_modified(future)).unwrap();
    made.push(repository.backup(plan(&source)).await.unwrap());
    let all = repository.snapshots_matching(&SnapshotFilter::new()).await.unwrap();
    assert_eq!(all.len(), 5);
    for (number, report) in made.iter().enumerate() {
        let target = dir.path().join(format!("t{number}"));
        let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
        assert!(repository.restore(&report.snapshot, options).await.unwrap().is_complete());
    }
    assert_same_tree(&source, &dir.path().join("t4"));

    // Pruning after a jump either way: marks of another time remove nothing that is needed.
    for by in [10 * YEAR, -10 * YEAR, 0] {
        clock.1.store(by, Ordering::SeqCst);
        let pruner = handle().await;
        pruner.prune(PruneOptions::new().grace(Duration::from_secs(3_600))).await.unwrap();
        pruner.prune(PruneOptions::new()).await.unwrap();
        assert!(pruner.check(CheckOptions::all_data()).await.unwrap().is_ok(), "{by}");
    }
    // A lock from the future by a living process keeps an exclusive prune out; from a dead one it does not.
    let before = files_below(&sink.join("locks"));
    assert!(before.is_empty(), "{before:?}");
    let last = &made[3].snapshot;
    let target = dir.path().join("last");
    let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
    assert!(repository.restore(last, options).await.unwrap().is_complete());
    assert_eq!(std::fs::read(target.join("round")).unwrap(), b"0");
}
