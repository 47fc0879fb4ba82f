//! Restoring over something that is there: only what differs, nothing that was not asked for.

use crate::common::*;
use aeth_backup::{
    Existing, Glob, PathSource, Plan, Repository, RestoreOptions, RestoreReport, SnapshotEntry,
};
use aeth_core::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

struct Place {
    dir: tempfile::TempDir,
    source: PathBuf,
    target: PathBuf,
    repository: Repository,
    snapshot: SnapshotEntry,
}

impl Place {
    /// A snapshot of everything that a tree may hold, and of a file of several chunks.
    async fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("source"), dir.path().join("target"));
        sample_tree(&source, seed);
        let long = random_bytes(&mut fastrand::Rng::with_seed(seed), 24 << 20);
        std::fs::write(source.join("long"), long).unwrap();
        let repository = init(&[&dir.path().join("r")]).await;
        let plan = Plan::new().source(PathSource::new(&source).unwrap());
        let snapshot = repository.backup(plan).await.unwrap().snapshot;
        Self { dir, source, target, repository, snapshot }
    }

    fn options(&self) -> RestoreOptions {
        RestoreOptions::new(&self.target).root(self.source.to_str().unwrap())
    }

    async fn restore(&self, options: RestoreOptions) -> RestoreReport {
        let report = self.repository.restore(&self.snapshot, options).await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        report
    }
}

fn flip(path: &Path, at: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[!byte[0]], at).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_place_only_what_differs_is_written() {
    let place = Place::new(41).await;
    place.restore(place.options()).await;
    let files = describe(&place.source).len() as u64;
    let again = place.restore(place.options().existing(Existing::Update)).await;
    assert_eq!(again.files, 0, "{again:?}");
    assert!(again.unchanged > 130 && again.unchanged < files, "{again:?}");
    assert!(again.unchanged_bytes > 24 << 20);
    assert_same_tree(&place.source, &place.target);

    // A flipped byte in a long file: the rest of it is neither read from the repository nor written.
    let long = place.target.join("long");
    let inode = std::fs::metadata(&long).unwrap().ino();
    flip(&long, 20 << 20);
    let mut grown = std::fs::File::options().append(true).open(place.target.join("deep/text")).unwrap();
    std::io::Write::write_all(&mut grown, b"more").unwrap();
    std::fs::remove_dir_all(place.target.join("order")).unwrap();
    std::fs::write(place.target.join("stranger"), "stays").unwrap();
    // Where zeroes belong there is something else.
    std::fs::File::options()
        .write(true)
        .open(place.target.join("sparse"))
        .unwrap()
        .write_all_at(b"not zero", 1 << 20)
        .unwrap();
    let before = read_from(&place, place.options().existing(Existing::Update).dry_run(true)).await;
    assert!(before.0.dry_run && before.0.deleted == 0);
    assert!(place.target.join("stranger").exists() && !place.target.join("order").exists());
    let (report, read) = read_from(&place, place.options().existing(Existing::Update).verify(true)).await;
    assert_eq!(
        (report.files, report.unchanged),
        (before.0.files, before.0.unchanged),
        "a dry run says otherwise"
    );
    assert_eq!(std::fs::metadata(&long).unwrap().ino(), inode, "it was not written in place");
    assert!(read < 12 << 20, "{read} bytes were read for one chunk");
    assert!(report.unchanged_bytes > 16 << 20, "{report:?}");
    remove_quietly(&place.target.join("stranger"));
    assert_same_tree(&place.source, &place.target);
}

/// Removes a file that a restore left alone, and gives its directory its time back.
fn remove_quietly(path: &Path) {
    let directory = path.parent().unwrap();
    let modified = directory.metadata().unwrap().modified().unwrap();
    std::fs::remove_file(path).unwrap();
    std::fs::File::open(directory).unwrap().set_modified(modified).unwrap();
}

/// Restores, and tells how many bytes were read from packs.
async fn read_from(place: &Place, options: RestoreOptions) -> (RestoreReport, u64) {
    let progress = aeth_backup::Progress::new();
    let report = place.restore(options.progress(progress.clone())).await;
    (report, progress.report().stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_snapshot_does_not_have_is_removed_when_that_is_wanted() {
    let place = Place::new(42).await;
    place.restore(place.options()).await;
    let (target, outside) = (&place.target, place.dir.path().join("outside"));
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("precious"), "x").unwrap();
    // Strangers: a file, a tree, a link out of the target, and a directory in a file's place.
    std::fs::write(target.join("deep/stranger"), "x").unwrap();
    std::fs::create_dir_all(target.join("deep/strange/tree")).unwrap();
    std::fs::write(target.join("deep/strange/tree/file"), "x").unwrap();
    std::os::unix::fs::symlink(&outside, target.join("deep/way out")).unwrap();
    std::fs::remove_file(target.join("empty")).unwrap();
    std::fs::create_dir_all(target.join("empty/with/something")).unwrap();
    // A link in a directory's place must not be followed.
    std::fs::remove_dir_all(target.join("order")).unwrap();
    std::os::unix::fs::symlink(&outside, target.join("order")).unwrap();
    std::fs::write(target.join("kept by pattern.log"), "x").unwrap();

    let wanted =
        || place.options().existing(Existing::Update).exclude(Glob::new("*.log").unwrap()).delete(true);
    let before = describe(target);
    let dry = place.restore(wanted().dry_run(true)).await;
    assert_eq!(describe(target), before, "a dry run changed something");
    let report = place.restore(wanted()).await;
    assert_eq!((dry.deleted, dry.files), (report.deleted, report.files));
    assert_eq!(report.deleted, 4, "{report:?}");
    assert!(target.join("kept by pattern.log").exists(), "what is excluded is not touched");
    remove_quietly(&target.join("kept by pattern.log"));
    assert_same_tree(&place.source, target);
    assert_eq!(std::fs::read(outside.join("precious")).unwrap(), b"x");
    assert_eq!(files_below(&outside).len(), 1);

    // Only below what was chosen.
    let whole = place.dir.path().join("whole");
    let part = RestoreOptions::new(&whole).include(place.source.join("deep").to_str().unwrap());
    place.restore(part.clone()).await;
    std::fs::write(whole.join("stranger"), "x").unwrap();
    let below = whole.join(place.source.strip_prefix("/").unwrap()).join("deep/stranger");
    std::fs::write(&below, "x").unwrap();
    let report = place.restore(part.existing(Existing::Update).delete(true)).await;
    assert_eq!(report.deleted, 1, "{report:?}");
    assert!(whole.join("stranger").exists() && !below.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_files_and_files_that_are_there_can_be_kept() {
    let place = Place::new(43).await;
    place.restore(place.options()).await;
    let (small, text) = (place.target.join("deep/er/007"), place.target.join("deep/text"));
    let set = |path: &Path, time| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_times(std::fs::FileTimes::new().set_modified(time)).unwrap();
    };
    std::fs::write(&small, "newer").unwrap();
    set(&small, SystemTime::now() + Duration::from_secs(3_600));
    std::fs::write(&text, "older").unwrap();
    set(&text, SystemTime::UNIX_EPOCH);
    place.restore(place.options().existing(Existing::IfNewer)).await;
    assert_eq!(std::fs::read(&small).unwrap(), b"newer");
    assert_eq!(std::fs::read(&text).unwrap(), std::fs::read(place.source.join("deep/text")).unwrap());

    std::fs::remove_file(&text).unwrap();
    std::fs::remove_file(place.target.join("link")).unwrap();
    let kept = place.restore(place.options().existing(Existing::Keep)).await;
    assert_eq!(kept.files, 1, "{kept:?}");
    assert_eq!(std::fs::read(&small).unwrap(), b"newer");
    assert!(text.exists() && place.target.join("link").is_symlink());

    // The same size and time are taken for the same content, unless it is to be verified.
    let same = place.target.join("deep/er/008");
    let modified = std::fs::metadata(&same).unwrap().modified().unwrap();
    flip(&same, 0);
    set(&same, modified);
    place.restore(place.options().existing(Existing::IfChanged)).await;
    let original = std::fs::read(place.source.join("deep/er/008")).unwrap();
    assert_ne!(std::fs::read(&same).unwrap(), original);
    place.restore(place.options().existing(Existing::IfChanged).verify(true)).await;
    assert_eq!(std::fs::read(&same).unwrap(), original);
    assert_same_tree(&place.source, &place.target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_names_of_a_file_outside_of_the_target_keep_their_content() {
    let place = Place::new(44).await;
    place.restore(place.options()).await;
    // The same file under a name outside, and a link to a file outside in a file's place.
    let (long, outside) = (place.target.join("long"), place.dir.path().join("outside"));
    std::fs::hard_link(&long, &outside).unwrap();
    flip(&long, 1 << 20);
    let changed = std::fs::read(&outside).unwrap();
    let victim = place.dir.path().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::fs::remove_file(place.target.join("deep/er/009")).unwrap();
    std::os::unix::fs::symlink(&victim, place.target.join("deep/er/009")).unwrap();
    place.restore(place.options().existing(Existing::Update)).await;
    assert!(std::fs::read(&outside).unwrap() == changed, "the name outside was written through");
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    assert_same_tree(&place.source, &place.target);

    // A dry run into nothing makes nothing, and one that would be refused is refused.
    let nowhere = place.dir.path().join("nowhere");
    let dry = RestoreOptions::new(&nowhere).dry_run(true);
    let report = place.restore(dry).await;
    assert!(report.files > 130 && !nowhere.exists(), "{report:?}");
    let refused = place.repository.restore(&place.snapshot, place.options().dry_run(true)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
}
