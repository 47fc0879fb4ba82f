//! Whatever happens to a run, the repository is whole, stock restic says so, and the next run goes on from what was
//! stored: killed processes, torn and failing writes, sinks that come and go or hang, full disks.
//!
//! `cargo xtask torture backup` makes long campaigns of these; a short slice of each is the default.

use crate::common::*;
use aeth_backup::{PathSource, Plan, Quorum, Repository, RestoreOptions};
use aeth_core::ErrorKind;
use aeth_core::backup::{BackupSink, BlobSink};
use aeth_core::sim::{Fault, FaultPlan, FaultySink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
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
async fn torture_killed_at_random_moments() {
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
            .args(["--exact", "runs::child"])
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
        .args(["--exact", "runs::child"])
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
        sent_once(sink, killed + 1);
        let target = dir.path().join(format!("restored-{number}"));
        let lone = Repository::open(sinks(&[sink]), &password(), small()).await.unwrap();
        let options = RestoreOptions::new(&target).root(source.to_str().unwrap()).verify(true);
        assert!(lone.restore(&report.snapshot, options).await.unwrap().is_complete());
        assert_same_tree(&source, &target);
    }
}

/// What one run can lose: the open packs, and those on their way to the sinks.
const UNDER_WAY: u64 = 2 + 2;

/// Fails when more data blobs lie in the repository twice than the packs that were under way at `interruptions` can
/// have held.
fn sent_once(sink: &Path, interruptions: u64) {
    let listed = restic_ok(sink, &["list", "blobs"]);
    let mut blobs: Vec<&str> = listed.lines().filter(|line| line.starts_with("data ")).collect();
    blobs.sort_unstable();
    let all = blobs.len();
    blobs.dedup();
    let twice = u64::try_from(all - blobs.len()).unwrap();
    // A pack of these tests' size holds one or two chunks, or a few hundred of the small files.
    assert!(twice <= interruptions * UNDER_WAY, "{twice} of {all} data blobs were sent twice");
}

/// Stock restic finds nothing wrong.
fn judged(sinks: [&Path; 2], seed: u64) {
    for sink in sinks {
        // Without `unlock`: a sink that fails may keep the lock of this process, and restic asks whether a lock's
        // owner lives by sending it SIGHUP.
        let done = restic(sink, &["--no-lock", "check", "--read-data"]);
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "seed {seed}, {}: {said}", sink.display());
    }
}

/// How a sink goes wrong in one run: by half-written and failing writes, by going away and coming back, by hanging.
fn trouble(random: &mut fastrand::Rng) -> FaultPlan {
    let plan = FaultPlan::new(random.u64(..));
    match random.u8(..4) {
        // As a disk that fills up, and one whose fsync or rename fails, look from here.
        0 => plan
            .chance("write", 0.05, Fault::Torn)
            .chance("write", 0.05, Fault::error(ErrorKind::Full))
            .chance("write", 0.05, Fault::error(ErrorKind::Other)),
        1 => plan.chance("write", 0.1, Fault::Lost).chance("read", 0.05, Fault::unavailable()),
        2 => plan.flapping(random.u64(1..20), random.u64(1..6), Fault::unavailable()),
        _ => plan.nth("write", random.u64(2..25), Fault::Hang),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_sinks_that_fail_flap_and_hang() {
    let mut hurt = 0;
    let campaign = testkit::campaign("sinks_that_fail_flap_and_hang", 4);
    for case in campaign {
        let (mut random, seed) = (case.rng(), case.seed());
        let dir = tempfile::tempdir().unwrap();
        let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
        sample_tree(&source, seed);
        drop(Repository::init(sinks(&[&a, &b]), &password(), small()).await.unwrap());
        let mut interrupted = 0;
        // When both are sick, each may have what the other lacks from runs of their own.
        let both = random.bool();
        for round in 0..2 {
            std::fs::write(source.join(format!("round {round}")), random_bytes(&mut random, 2 << 20))
                .unwrap();
            // Under quorum a sink that hangs keeps nobody: the run ends long before the test's own limit.
            let options = small().quorum(Quorum::AtLeast(1)).sink_timeout(Duration::from_secs(2));
            let first: Arc<dyn BackupSink> = match both {
                true => Arc::new(FaultySink::new(DirSink::clone(&DirSink::new(&a)), trouble(&mut random))),
                false => DirSink::new(&a),
            };
            let second = FaultySink::new(DirSink::clone(&DirSink::new(&b)), trouble(&mut random));
            let faulty: Vec<Arc<dyn BackupSink>> = vec![first, Arc::new(second)];
            let run = async {
                let repository = Repository::open(faulty, &password(), options).await?;
                repository.backup(Plan::new().source(PathSource::new(&source)?)).await
            };
            let run = tokio::time::timeout(Duration::from_secs(300), run).await;
            let whole = run.expect("a sick sink held up the run").is_ok_and(|report| report.is_complete());
            interrupted += u64::from(!whole);
            judged([&a, &b], seed);
        }
        hurt += interrupted;
        let repository = Repository::open(sinks(&[&a, &b]), &password(), small()).await.unwrap();
        let plan = Plan::new().source(PathSource::new(&source).unwrap());
        let report = repository.backup(plan).await.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(report.is_complete(), "seed {seed}: {report:?}");
        judged([&a, &b], seed);
        for (number, sink) in [&a, &b].into_iter().enumerate() {
            if !both {
                sent_once(sink, interrupted);
            }
            let target = dir.path().join(format!("restored-{number}"));
            let lone = Repository::open(sinks(&[sink]), &password(), small()).await.unwrap();
            let options = RestoreOptions::new(&target).root(source.to_str().unwrap()).verify(true);
            assert!(lone.restore(&report.snapshot, options).await.unwrap().is_complete(), "seed {seed}");
            assert_same_tree(&source, &target);
        }
    }
    assert!(hurt > 0, "no fault was ever felt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_full_disk() {
    for case in testkit::campaign("full_disk", 2) {
        let (mut random, seed) = (case.rng(), case.seed());
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        sample_tree(&source, seed);
        std::fs::write(source.join("more"), random_bytes(&mut random, 8 << 20)).unwrap();
        let disk = match testkit::Tmpfs::mount(64 << 20) {
            Ok(disk) => disk,
            // Nobody but root may mount; the suites that judge run as root.
            Err(why) if !testkit::is_root() => {
                eprintln!("not tested: {why}");
                return;
            }
            Err(why) => panic!("{why}"),
        };
        let root = disk.path().join("repository");
        let open = async || {
            let store = aeth_files::LocalDir::open(&root).await?;
            let sinks: Vec<Arc<dyn BackupSink>> = vec![Arc::new(BlobSink::new(Arc::new(store), None)?)];
            Repository::open(sinks, &password(), small()).await
        };
        drop(Repository::init(sinks(&[&root]), &password(), small()).await.unwrap());
        // Room for a part of what is to come, and for restic's lock while it judges.
        let ballast = disk.path().join("ballast");
        let room = random.usize(2 << 20..9 << 20);
        std::fs::write(&ballast, vec![0; (64 << 20) - room]).unwrap();
        let plan = || Plan::new().source(PathSource::new(&source).unwrap());
        let error = open().await.unwrap().backup(plan()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "seed {seed}: {error}");
        restic_ok(&root, &["--no-lock", "check", "--read-data"]);
        let kept = bytes_below(&root.join("data"));
        std::fs::remove_file(&ballast).unwrap();
        let report = open().await.unwrap().backup(plan()).await.unwrap();
        assert!(report.is_complete(), "seed {seed}: {report:?}");
        // What was stored before the disk was full is not sent again.
        let stored = bytes_below(&root.join("data"));
        assert!(
            report.sinks[0].written + kept <= stored + (1 << 20),
            "seed {seed}: {kept} {stored} {report:?}"
        );
        restic_ok(&root, &["unlock"]);
        restic_ok(&root, &["check", "--read-data"]);
        sent_once(&root, 1);
    }
}
