//! Files of the host: in parts, taken up again, and whole directories.

use super::support::Without;
use super::{content, path};
use aeth_core::blob::{BlobStoreExt, Capability, PutOptions};
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_core::{ErrorKind, Result};
use aeth_files::{
    Compare, Encrypted, Files, LocalDir, MemoryStore, Metered, SyncAction, SyncOptions, SyncPlan,
    TransferOptions,
};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn parts() -> TransferOptions {
    TransferOptions::default().with_part_size(10_000).with_concurrency(3)
}

#[tokio::test]
async fn downloads_and_uploads_go_on_where_they_were() {
    for seed in 0..6_u64 {
        let dir = testkit::temp_dir();
        let (source, target) = (dir.path().join("source"), dir.path().join("target"));
        let bytes = content(123_456, seed);
        std::fs::write(&source, &bytes).unwrap();
        let plan = FaultPlan::new(seed)
            .chance("get", 0.2, Fault::unavailable())
            .chance("get", 0.1, Fault::Torn)
            .chance("put_part", 0.3, Fault::unavailable());
        let below = Metered::new(MemoryStore::new());
        let files = Files::new(FaultyStore::new(below.clone(), plan));
        let uploaded = || super::support::Sums::of(&below).counter("aeth_files_uploaded_bytes");
        let mut failures = 0;
        while let Err(error) = files.upload("a", &source, PutOptions::default(), parts()).await {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            assert!(below.get(&path("a")).await.is_err(), "nothing is visible before the end");
            failures += 1;
        }
        assert_eq!(below.get_bytes(&path("a")).await.unwrap(), bytes);
        let most = bytes.len() as u64 + failures * 30_000;
        assert!(uploaded() <= most, "{} bytes were sent with {failures} failures", uploaded());
        std::fs::write(&target, "old").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        let options = parts().with_progress(Arc::new(move |progress| noted.lock().push(progress)));
        while let Err(error) = files.download("a", &target, options.clone()).await {
            assert!(error.retry().is_worthwhile(), "{error}");
            assert_eq!(std::fs::read(&target).unwrap(), b"old");
        }
        assert!(std::fs::read(&target).unwrap() == bytes);
        let last = *seen.lock().last().unwrap();
        assert_eq!((last.done, last.total), (123_456, 123_456));
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}

#[tokio::test]
async fn what_changes_meanwhile_is_not_mixed() {
    let dir = testkit::temp_dir();
    let target = dir.path().join("target");
    let below = MemoryStore::new();
    let plan = FaultPlan::new(1).range("get", 4, 1_000, Fault::unavailable());
    let faulty = Files::new(FaultyStore::new(below.clone(), plan));
    below.put(&path("a"), content(100_000, 1)).await.unwrap();
    assert!(faulty.download("a", &target, parts()).await.is_err());
    assert!(dir.path().join(".target.aeth-part").exists());
    // What was fetched is of another state now.
    let newer = content(100_000, 2);
    below.put(&path("a"), newer.clone()).await.unwrap();
    let files = Files::new(below.clone());
    files.download("a", &target, parts()).await.unwrap();
    assert!(std::fs::read(&target).unwrap() == newer);
    // Stores that can do less take whole files.
    let weak = Without::new(below.clone(), &[Capability::Uploads, Capability::ResumeUploads]);
    Files::new(weak).upload("b", &target, PutOptions::default(), parts()).await.unwrap();
    let weak = Without::new(below.clone(), &[Capability::RangeGet, Capability::SuffixGet]);
    Files::new(weak).download("b", &target, parts()).await.unwrap();
    assert!(std::fs::read(&target).unwrap() == newer);
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    files.upload("empty", &empty, PutOptions::default(), parts()).await.unwrap();
    files.download("empty", &target, parts()).await.unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), b"");
    let error = files.download("missing", &target, parts()).await.unwrap_err();
    assert!(error.is_not_found());
}

fn write(dir: &Path, name: &str, text: &str) {
    let file = dir.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, text).unwrap();
}

fn names(plan: &SyncPlan) -> Vec<String> {
    let name = |action: &SyncAction| match action {
        SyncAction::Transfer { name, .. } => name.as_str().to_owned(),
        SyncAction::Delete { name } => format!("-{name}"),
        _ => unreachable!(),
    };
    plan.actions.iter().map(name).collect()
}

async fn up(files: &Files, dir: &Path, options: &SyncOptions) -> Result<Vec<String>> {
    let plan = files.plan_sync_up(dir, "backup/", options).await?;
    let done = files.apply_sync(&plan).await;
    assert!(done.failed.is_empty(), "{:?}", done.failed);
    Ok(names(&plan))
}

#[tokio::test]
async fn directories_become_the_same() {
    let (dir, back, storage) = (testkit::temp_dir(), testkit::temp_dir(), testkit::temp_dir());
    let keyset = aeth_core::seal::Keyset::generate(aeth_core::seal::SegmentSize::default()).unwrap();
    let files = Files::new(Encrypted::new(LocalDir::open(storage.path()).await.unwrap(), keyset));
    let root = dir.path();
    write(root, "a.txt", "a");
    write(root, "deep/er/b.json", "{}");
    write(root, "100%/odd name", "odd");
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    let options = SyncOptions::default();
    let plan = files.plan_sync_up(root, "backup/", &options).await.unwrap();
    assert_eq!((plan.skipped, plan.same, plan.actions.len()), (1, 0, 3));
    assert!(!files.exists("backup/a.txt").await.unwrap(), "a plan changes nothing");
    assert_eq!(up(&files, root, &options).await.unwrap(), ["100%25/odd name", "a.txt", "deep/er/b.json"]);
    let head = files.head("backup/deep/er/b.json").await.unwrap();
    assert_eq!(head.attributes.unwrap().content_type.as_deref(), Some("application/json"));
    assert!(up(&files, root, &options).await.unwrap().is_empty());
    // A newer file is sent, an extra blob goes only when it is asked for.
    write(root, "a.txt", "b");
    let later = SystemTime::now() + Duration::from_secs(5);
    std::fs::File::options().write(true).open(root.join("a.txt")).unwrap().set_modified(later).unwrap();
    assert_eq!(up(&files, root, &options).await.unwrap(), ["a.txt"]);
    std::fs::remove_file(root.join("deep/er/b.json")).unwrap();
    files.put("backup/extra", "x").await.unwrap();
    let content = options.clone().with_compare(Compare::Content);
    assert!(up(&files, root, &content).await.unwrap().is_empty());
    let deleting = content.with_delete(true);
    assert_eq!(up(&files, root, &deleting).await.unwrap(), ["-deep/er/b.json", "-extra"]);
    // And down again.
    let down = files.plan_sync_down("backup/", back.path(), &options).await.unwrap();
    let done = files.apply_sync(&down).await;
    assert_eq!((done.transferred, done.failed.len()), (2, 0));
    assert_eq!(std::fs::read(back.path().join("100%/odd name")).unwrap(), b"odd");
    let again = files.plan_sync_down("backup/", back.path(), &options).await.unwrap();
    assert_eq!((again.same, again.actions.len()), (2, 0));
    write(back.path(), "mine", "mine");
    let deleting = options.clone().with_delete(true).with_compare(Compare::Size);
    let plan = files.plan_sync_down("backup/", back.path(), &deleting).await.unwrap();
    assert_eq!(names(&plan), ["-mine"]);
    assert_eq!(files.apply_sync(&plan).await.deleted, 1);
    assert!(!back.path().join("mine").exists());
    let error = files.plan_sync_up(root, "no-slash", &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn nothing_is_written_outside_of_the_directory() {
    let (dir, outside) = (testkit::temp_dir(), testkit::temp_dir());
    std::os::unix::fs::symlink(outside.path(), dir.path().join("way")).unwrap();
    let files = Files::new(MemoryStore::new());
    // The last one decodes to a name that leads out.
    for name in ["way/out", "fine", "%2E%2E/out", "a%2F..%2F..%2Fout"] {
        files.put(name, "x").await.unwrap();
    }
    let plan = files.plan_sync_down("", dir.path(), &SyncOptions::default()).await.unwrap();
    let done = files.apply_sync(&plan).await;
    assert_eq!(done.transferred, 1);
    assert_eq!(done.failed.len(), 3, "{:?}", done.failed);
    assert!(done.failed.iter().all(|(_, error)| error.kind() == ErrorKind::Denied));
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(!dir.path().parent().unwrap().join("out").exists());
    let refused = files.link("fine", Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}
