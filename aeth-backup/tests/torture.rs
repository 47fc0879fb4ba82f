//! Campaigns by seed: pruning beside writers, ours and restic's, as tasks, by schedules (`campaigns/schedules.rs`) and in
//! processes that stand still (`campaigns/processes.rs`); damage in every file; runs that are killed, and sinks and
//! disks that fail them (`campaigns/runs.rs`); rustic (`campaigns/rustic.rs`).
//!
//! `AETH_TORTURE_SEED` and `AETH_TORTURE_COUNT` choose a campaign; a short one is the default.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    missing_docs,
    reason = "tests"
)]

mod common;
#[path = "campaigns/processes.rs"]
mod processes;
#[path = "campaigns/runs.rs"]
mod runs;
#[path = "campaigns/rustic.rs"]
mod rustic;
#[path = "campaigns/schedules.rs"]
mod schedules;

use aeth_backup::{
    CheckOptions, Id, MaxUnused, PathSource, Plan, PruneOptions, Quorum, RepairOptions, Repository,
    RepositoryOptions, RestoreOptions,
};
use aeth_core::backup::BackupSink;
use aeth_core::sim::{Fault, FaultPlan, FaultySink};
use aeth_core::{Error, ErrorKind};
use common::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds(default: u64) -> std::ops::Range<u64> {
    let first = environment("AETH_TORTURE_SEED", 1);
    first..first + environment("AETH_TORTURE_COUNT", default)
}

fn small() -> RepositoryOptions {
    options().pack_size(1 << 20).threads(2).quorum(Quorum::AtLeast(1))
}

/// A sink whose answers come late now and then, so that the tasks meet in other ways for each seed.
fn slow(root: &Path, seed: u64) -> Arc<dyn BackupSink> {
    let late = |millis| Fault::Delay(Duration::from_millis(millis));
    let plan = FaultPlan::new(seed)
        .chance("write", 0.3, late(40))
        .chance("list", 0.3, late(60))
        .chance("read", 0.1, late(20))
        .chance("remove", 0.3, late(30));
    Arc::new(FaultySink::new(DirSink::clone(&DirSink::new(root)), plan))
}

async fn handle(roots: &[PathBuf], seed: u64) -> Repository {
    let sinks = roots.iter().enumerate().map(|(i, root)| slow(root, seed * 10 + i as u64)).collect();
    Repository::open(sinks, &password(), small()).await.unwrap()
}

/// Snapshots that must be whole, with what each holds, and the source that it is of.
type Expected = Arc<Mutex<BTreeMap<Id, (PathBuf, BTreeMap<PathBuf, String>)>>>;

/// Changes a few files: some come back as they were before, so that removed blobs are wanted again.
fn stir(source: &Path, random: &mut fastrand::Rng) {
    std::fs::create_dir_all(source).unwrap();
    for _ in 0..random.usize(1..5) {
        let path = source.join(format!("f{}", random.u8(..6)));
        let mut content = fastrand::Rng::with_seed(random.u64(..8));
        std::fs::write(path, random_bytes(&mut content, 120_000)).unwrap();
    }
}

/// Again while somebody else has the lock.
macro_rules! patiently {
    ($call:expr) => {
        loop {
            match $call.await {
                Err(error) if Error::kind(&error) == ErrorKind::Busy => {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                }
                other => break other,
            }
        }
    };
}

async fn writer(roots: Vec<PathBuf>, source: PathBuf, seed: u64, rounds: u32, expected: Expected) {
    let repository = handle(&roots, seed).await;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut own = Vec::new();
    for _ in 0..rounds {
        stir(&source, &mut random);
        let content = describe(&source);
        let plan = || Plan::new().source(PathSource::new(&source).unwrap());
        let report =
            patiently!(repository.backup(plan())).unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(report.is_complete(), "seed {seed}: {report:?}");
        own.push(report.snapshot.id);
        expected.lock().unwrap().insert(report.snapshot.id, (source.clone(), content));
        if own.len() > 1 && random.bool() {
            let forgotten = own.swap_remove(random.usize(..own.len()));
            expected.lock().unwrap().remove(&forgotten);
            patiently!(repository.forget_snapshots(&[forgotten])).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(random.u64(..200))).await;
    }
}

async fn pruner(roots: Vec<PathBuf>, seed: u64, done: Arc<AtomicBool>, removed: Arc<AtomicU64>) {
    let repository = handle(&roots, seed).await;
    let mut random = fastrand::Rng::with_seed(seed);
    while !done.load(Ordering::SeqCst) {
        let unused = if random.bool() { MaxUnused::Bytes(0) } else { MaxUnused::Unlimited };
        let options = PruneOptions::new()
            .max_unused(unused)
            .exclusive(random.u8(..4) == 0)
            .grace(Duration::from_millis(if random.bool() { 0 } else { 700 }))
            .wait(Duration::from_millis(random.u64(..1500)));
        match repository.prune(options).await {
            Ok(report) => drop(removed.fetch_add(report.removed_packs, Ordering::SeqCst)),
            Err(error) if error.kind() == ErrorKind::Busy => {}
            Err(error) => panic!("seed {seed}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(random.u64(..100))).await;
    }
}

/// Every snapshot that should be there is, in each sink alone, byte for byte.
async fn assert_nothing_lost(roots: &[PathBuf], expected: &Expected, dir: &Path, seed: u64) {
    let expected = expected.lock().unwrap().clone();
    for root in roots {
        let lone = open(&[root]).await;
        let check = lone.check(CheckOptions::all_data()).await.unwrap();
        assert!(check.is_ok(), "seed {seed}: {check:?}");
        for (id, (source, content)) in &expected {
            let entry =
                lone.snapshot(&id.to_string()).await.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            let target = dir.join("restored");
            let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
            assert!(lone.restore(&entry, options).await.unwrap().is_complete(), "seed {seed}");
            assert!(describe(&target) == *content, "seed {seed}: snapshot {id} has another content");
            std::fs::remove_dir_all(&target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_prune_races_writers() {
    let (mut snapshots, mut packs) = (0, 0);
    for seed in seeds(2) {
        let dir = tempfile::tempdir().unwrap();
        let roots: Vec<_> = (0..1 + seed % 2).map(|i| dir.path().join(format!("r{i}"))).collect();
        let paths: Vec<&Path> = roots.iter().map(PathBuf::as_path).collect();
        drop(Repository::init(sinks(&paths), &password(), small()).await.unwrap());
        let (expected, removed) = (Expected::default(), Arc::new(AtomicU64::new(0)));
        let done = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..3)
            .map(|i| {
                let source = dir.path().join(format!("source-{i}"));
                tokio::spawn(writer(roots.clone(), source, seed * 100 + i, 5, Arc::clone(&expected)))
            })
            .collect();
        let pruners: Vec<_> = (0..2)
            .map(|i| {
                let (done, removed) = (Arc::clone(&done), Arc::clone(&removed));
                tokio::spawn(pruner(roots.clone(), seed * 100 + 50 + i, done, removed))
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
        for pruner in pruners {
            pruner.await.unwrap();
        }
        assert_nothing_lost(&roots, &expected, dir.path(), seed).await;
        let repository = open(&paths).await;
        let last =
            repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0)).exclusive(true)).await;
        removed.fetch_add(last.unwrap().removed_packs, Ordering::SeqCst);
        assert_nothing_lost(&roots, &expected, dir.path(), seed).await;
        for root in &roots {
            restic_ok(root, &["check", "--read-data"]);
        }
        snapshots += expected.lock().unwrap().len();
        packs += removed.load(Ordering::SeqCst);
    }
    eprintln!("{snapshots} snapshots whole, {packs} packs removed");
    assert!(snapshots > 0 && packs > 0, "nothing was put to the test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_prune_races_restic() {
    let (mut backups, mut packs) = (0, 0);
    for seed in seeds(1) {
        let dir = tempfile::tempdir().unwrap();
        let roots = vec![dir.path().join("r")];
        let root = roots[0].clone();
        drop(Repository::init(sinks(&[&root]), &password(), small()).await.unwrap());
        let (expected, removed) = (Expected::default(), Arc::new(AtomicU64::new(0)));
        let done = Arc::new(AtomicBool::new(false));
        let ours = {
            let source = dir.path().join("ours");
            tokio::spawn(writer(roots.clone(), source, seed * 100, 5, Arc::clone(&expected)))
        };
        let pruner = {
            let (done, removed) = (Arc::clone(&done), Arc::clone(&removed));
            tokio::spawn(pruner(roots.clone(), seed * 100 + 50, done, removed))
        };
        let theirs = {
            let (source, root) = (dir.path().join("theirs"), root.clone());
            tokio::task::spawn_blocking(move || restic_writes(&root, &source, seed))
        };
        ours.await.unwrap();
        let (contents, count) = theirs.await.unwrap();
        done.store(true, Ordering::SeqCst);
        pruner.await.unwrap();
        backups += count;
        packs += removed.load(Ordering::SeqCst);
        assert_nothing_lost(&roots, &expected, dir.path(), seed).await;
        restic_ok(&root, &["check", "--read-data"]);
        let repository = open(&[&root]).await;
        let mut seen = 0;
        for entry in repository.snapshots().await.unwrap() {
            let Some(content) = entry.snapshot.tags.first().and_then(|tag| contents.get(tag)) else {
                continue;
            };
            let target = dir.path().join("restored");
            let source = dir.path().join("theirs");
            let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
            assert!(repository.restore(&entry, options).await.unwrap().is_complete(), "seed {seed}");
            assert!(describe(&target) == *content, "seed {seed}: {:?}", entry.snapshot.tags);
            std::fs::remove_dir_all(&target).unwrap();
            seen += 1;
        }
        assert!(seen > 0, "seed {seed}: none of restic's snapshots is left");
    }
    eprintln!("{backups} runs of restic, {packs} packs removed");
}

/// restic's own runs: backups, and now and then a forget with prune. It gives up when somebody has the lock.
fn restic_writes(
    root: &Path,
    source: &Path,
    seed: u64,
) -> (BTreeMap<String, BTreeMap<PathBuf, String>>, u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut contents, mut done) = (BTreeMap::new(), 0);
    for round in 0..200 {
        stir(source, &mut random);
        let tag = format!("round-{round}");
        let content = describe(source);
        if restic(root, &["backup", "--tag", &tag, source.to_str().unwrap()]).status.success() {
            contents.insert(tag, content);
            done += 1;
        }
        if random.u8(..3) == 0 {
            restic(root, &["forget", "--keep-last", "3", "--prune", "--path", source.to_str().unwrap()]);
        }
        if done == 5 {
            break;
        }
        std::thread::sleep(Duration::from_millis(random.u64(..100)));
    }
    (contents, done)
}

/// Sinks that fail while a prune is at work, in every way: nothing is lost, and a prune without faults completes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_prune_bears_faults() {
    let (mut failed, mut partial) = (0, 0);
    for seed in seeds(2) {
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
        let plan = || Plan::new().source(PathSource::new(&source).unwrap());
        let repository = Repository::init(sinks(&[&a, &b]), &password(), small()).await.unwrap();
        let expected = Expected::default();
        for round in 0..4_u64 {
            stir(&source, &mut random);
            let clean = open(&[&a, &b]).await;
            let snapshot = clean.backup(plan()).await.unwrap().snapshot.id;
            expected.lock().unwrap().insert(snapshot, (source.clone(), describe(&source)));
            let oldest = clean.snapshots().await.unwrap()[0].id;
            if round > 0 {
                expected.lock().unwrap().remove(&oldest);
                clean.forget_snapshots(&[oldest]).await.unwrap();
            }
            let faulty = |root: &Path, seed: u64| -> Arc<dyn BackupSink> {
                let plan = FaultPlan::new(seed)
                    .chance("write", 0.05, Fault::Torn)
                    .chance("write", 0.05, Fault::Lost)
                    .chance("write", 0.04, Fault::error(ErrorKind::Full))
                    .chance("remove", 0.1, Fault::Torn)
                    .chance("remove", 0.1, Fault::Lost)
                    .chance("remove", 0.1, Fault::error(ErrorKind::Denied))
                    .chance("read", 0.03, Fault::Flip)
                    .chance("list", 0.03, Fault::Torn);
                Arc::new(FaultySink::new(DirSink::clone(&DirSink::new(root)), plan))
            };
            let sinks = vec![faulty(&a, seed * 100 + round), faulty(&b, seed * 100 + 50 + round)];
            let Ok(unsteady) = Repository::open(sinks, &password(), small()).await else { continue };
            let exclusive = random.bool();
            let options = PruneOptions::new().max_unused(MaxUnused::Bytes(0)).exclusive(exclusive);
            match unsteady.prune(options).await {
                Ok(report) => partial += u32::from(report.sinks.iter().any(|sink| sink.error.is_some())),
                Err(_) => failed += 1,
            }
            drop(unsteady);
            // Half a lock that could not be removed keeps everybody out until somebody looks: on purpose.
            for lock in [&a, &b].into_iter().flat_map(|root| files_below(&root.join("locks"))) {
                drop(std::fs::remove_file(lock));
            }
        }
        // Brings the replicas together, then removes what the faults kept.
        repository.backup(plan()).await.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        let roots = [a.clone(), b.clone()];
        assert_nothing_lost(&roots, &expected, dir.path(), seed).await;
        let last =
            repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0)).exclusive(true)).await;
        last.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert_nothing_lost(&roots, &expected, dir.path(), seed).await;
        for root in &roots {
            restic_ok(root, &["check", "--read-data"]);
        }
        let names = |root: &Path| {
            let mut names: Vec<_> = files_below(&root.join("data"));
            names.iter_mut().for_each(|path| *path = path.strip_prefix(root).unwrap().to_path_buf());
            names
        };
        assert_eq!(names(&a), names(&b), "seed {seed}: the replicas differ");
    }
    eprintln!("{failed} prunes failed, {partial} left a sink behind");
    assert!(failed + partial > 0, "no fault was ever felt");
}

/// A bit flipped in every file of a repository, one at a time: always found, and repaired from the other sink.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_a_flipped_bit_is_found_and_repaired() {
    let (mut flips, mut repaired) = (0, 0);
    for seed in seeds(1) {
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = tempfile::tempdir().unwrap();
        let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
        let repository = Repository::init(sinks(&[&a, &b]), &password(), small()).await.unwrap();
        for _ in 0..3 {
            stir(&source, &mut random);
            repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await.unwrap();
        }
        // So that there is a ledger, too.
        let first = repository.snapshots().await.unwrap()[0].id;
        repository.forget_snapshots(&[first]).await.unwrap();
        let mut files = files_below(&a);
        files.extend(files_below(&b));
        for file in files {
            // What our own sidecars say is written anew now and then.
            let Ok(whole) = std::fs::read(&file) else { continue };
            let mut bad = whole.clone();
            let at = random.usize(..bad.len());
            bad[at] ^= 1 << random.u8(..8);
            std::fs::write(&file, &bad).unwrap();
            flips += 1;
            let check = repository.check(CheckOptions::all_data()).await.unwrap();
            assert!(!check.is_ok(), "seed {seed}: byte {at} of {file:?} was not found");
            // A handle that is opened on the damage must find it as well, or refuse.
            let fresh = Repository::open(sinks(&[&a, &b]), &password(), small()).await.unwrap();
            let report = fresh.repair_replicas(RepairOptions::new()).await.unwrap();
            assert!(report.unrepaired.is_empty(), "seed {seed}: {file:?}: {report:?}");
            repaired += report.copied.len();
            if !file.to_string_lossy().contains("/aetherius/") {
                assert_eq!(std::fs::read(&file).unwrap(), whole, "seed {seed}: {file:?}");
            }
            let check = fresh.check(CheckOptions::all_data()).await.unwrap();
            assert!(check.is_ok(), "seed {seed}: {file:?}: {check:?}");
        }
    }
    eprintln!("{flips} flips found, {repaired} files repaired");
    assert!(flips > 15 && repaired >= flips, "{flips} {repaired}");
}
