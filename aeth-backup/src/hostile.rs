//! Repositories that nobody honest has made: who has the password may write anything into one.

use crate::format::{BlobKind, Codec, Compression, NodeTime, Snapshot, seal_unpacked};
use crate::progress::{Progress, Watch};
use crate::repo::{LockGuard, Refill, Repository, RepositoryOptions, SnapshotEntry, object};
use crate::{CheckOptions, Existing, Id, KdfParams, RestoreOptions};
use aeth_core::backup::{BackupSink, BlobSink, ObjectKind};
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, ErrorKind, Secret};
use aeth_files::MemoryStore;
use futures_util::TryStreamExt;
use std::path::Path;
use std::sync::Arc;

fn options() -> RepositoryOptions {
    RepositoryOptions::default().kdf(KdfParams::new(4, 8, 1).unwrap())
}

fn sinks(store: &Arc<dyn BlobStore>) -> Vec<Arc<dyn BackupSink>> {
    vec![Arc::new(BlobSink::new(Arc::clone(store), None).unwrap())]
}

fn password() -> Secret {
    Secret::new("correct horse".to_owned())
}

/// A repository with a snapshot of these trees; the last is the root. `{0}` stands for the id of the first, and so on,
/// `{data}` for that of a blob with the word `owned`.
async fn snapshot_of(repository: &Repository, trees: &[&str]) -> SnapshotEntry {
    let shared = &repository.shared;
    let lock = LockGuard::acquire(shared, false).await.unwrap();
    let mut refill = Refill::new(shared, &lock, &Progress::new(), &Watch::default());
    let mut codec = Codec::new(Compression::Auto).unwrap();
    let data = shared.seal_blob(&mut codec, BlobKind::Data, b"owned").unwrap();
    refill.add(&data).await.unwrap();
    let mut ids: Vec<Id> = Vec::new();
    for tree in trees {
        let mut json = tree.replace("{data}", &data.entry.id.to_string());
        for (number, id) in ids.iter().enumerate() {
            json = json.replace(&format!("{{{number}}}"), &id.to_string());
        }
        let sealed = shared.seal_blob(&mut codec, BlobKind::Tree, json.as_bytes()).unwrap();
        ids.push(sealed.entry.id);
        refill.add(&sealed).await.unwrap();
    }
    refill.finish().await.unwrap();
    let snapshot = Snapshot::new(NodeTime::new(1_700_000_000, 0), *ids.last().unwrap());
    let sealed = seal_unpacked(&shared.key, &snapshot.encode().unwrap(), true).unwrap();
    let id = Id::of(&sealed);
    shared.sinks.write(&object(ObjectKind::Snapshot, id), &sealed).await.unwrap();
    lock.release().await;
    SnapshotEntry { id, snapshot }
}

const TIMES: &str = r#""mode":420,"mtime":"2023-01-01T00:00:00Z","atime":"2023-01-01T00:00:00Z","ctime":"2023-01-01T00:00:00Z","uid":0,"gid":0"#;

fn file(name: &str) -> String {
    format!(r#"{{"name":"{name}","type":"file",{TIMES},"size":5,"content":["{{data}}"]}}"#)
}

fn everything_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            if path.symlink_metadata().unwrap().is_dir() {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn names_that_would_leave_the_target_are_not_restored() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    let repository = Repository::init(sinks(&store), &password(), options()).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("in/here");
    let hostile = ["..", "../out", "/etc/out", "a/b", ".", "", "../../in/out", r"nul\u0000"];
    let inner = format!(r#"{{"nodes":[{}]}}"#, file("fine"));
    let link = format!(
        r#"{{"name":"x","type":"symlink",{TIMES},"linktarget":"{}","content":null}}"#,
        dir.path().display()
    );
    let nested = format!(r#"{{"name":"x","type":"dir",{TIMES},"content":null,"subtree":"{{0}}"}}"#);
    let up = format!(r#"{{"name":"..","type":"dir",{TIMES},"content":null,"subtree":"{{0}}"}}"#);
    let mut nodes: Vec<String> = hostile.iter().map(|name| file(name)).collect();
    // A link out, and below the same name a directory with a file: it must not be written through the link.
    nodes.extend([up, link, nested, file("y")]);
    let root = format!(r#"{{"nodes":[{}]}}"#, nodes.join(","));
    let snapshot = snapshot_of(&repository, &[&inner, &root]).await;

    for options in [
        RestoreOptions::new(&target),
        RestoreOptions::new(&target).existing(Existing::Overwrite),
        RestoreOptions::new(&target).existing(Existing::Update).delete(true),
        RestoreOptions::new(&target).existing(Existing::Keep),
    ] {
        let report = repository.restore(&snapshot, options).await.unwrap();
        assert!(report.skipped_total >= 9, "{report:?}");
        let refused =
            report.skipped.iter().filter(|skipped| skipped.error.kind() == ErrorKind::Denied).count();
        assert!(refused >= 9, "{report:?}");
        assert_eq!(everything_below(dir.path()), ["in", "in/here", "in/here/x", "in/here/y"]);
        assert_eq!(std::fs::read(target.join("y")).unwrap(), b"owned");
    }
    // The same for blobs: a name that is no path of a blob goes nowhere.
    let back = MemoryStore::new();
    let report = repository.restore_blobs(&snapshot, "/", &back, &Progress::new()).await.unwrap();
    assert!(report.blobs == 2 && report.skipped_total == 9, "{report:?}");
    let mut names: Vec<_> = back.list(None).map_ok(|meta| meta.path.to_string()).try_collect().await.unwrap();
    names.sort();
    // A blob store has no links: what is below the directory is no danger.
    assert_eq!(names, ["x/fine", "y"]);
}

#[tokio::test]
async fn trees_that_lie_are_errors_and_no_panics() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    let repository = Repository::init(sinks(&store), &password(), options()).await.unwrap();
    let huge = format!(
        r#"{{"name":"huge","type":"file",{TIMES},"size":18446744073709551615,"content":["{{data}}","{{data}}"]}}"#
    );
    let missing =
        format!(r#"{{"name":"missing","type":"file",{TIMES},"size":5,"content":["{}"]}}"#, "ab".repeat(32));
    let swapped = format!(r#"{{"name":"swapped","type":"file",{TIMES},"size":5,"content":["{{0}}"]}}"#);
    let nowhere = format!(
        r#"{{"name":"nowhere","type":"dir",{TIMES},"content":null,"subtree":"{}"}}"#,
        "cd".repeat(32)
    );
    let empty = format!(r#"{{"name":"no content","type":"file",{TIMES},"size":5,"content":null}}"#);
    let strange = format!(r#"{{"name":"strange","type":"doorway",{TIMES},"content":null}}"#);
    let times = r#"{"name":"times","type":"file","mode":420,"mtime":"9999-12-31T23:59:59.999999999+14:00","atime":"0000-01-01T00:00:00-12:00","ctime":"2023-01-01T00:00:00Z","uid":4294967295,"gid":4294967295,"size":5,"content":["{data}"]}"#;
    let nodes = [huge, missing, swapped, nowhere, empty, strange, times.to_owned(), file("right")];
    let root = format!(r#"{{"nodes":[{}]}}"#, nodes.join(","));
    let inner = r#"{"nodes":[]}"#;
    let snapshot = snapshot_of(&repository, &[inner, &root]).await;
    let dir = tempfile::tempdir().unwrap();
    for options in
        [RestoreOptions::new(dir.path()), RestoreOptions::new(dir.path()).existing(Existing::Update)]
    {
        let report = repository.restore(&snapshot, options.verify(true)).await.unwrap();
        assert!(report.skipped_total >= 3, "{report:?}");
        assert_eq!(std::fs::read(dir.path().join("right")).unwrap(), b"owned");
        assert!(!dir.path().join("missing").exists());
    }
    let check = repository.check(CheckOptions::all_data()).await.unwrap();
    assert!(check.errors.len() >= 3, "{check:?}");
    // What is no tree at all.
    for root in ["", "{", "[]", r#"{"nodes":[{"name":5}]}"#, "\u{0}"] {
        let snapshot = snapshot_of(&repository, &[root]).await;
        let empty = tempfile::tempdir().unwrap();
        match repository.restore(&snapshot, RestoreOptions::new(empty.path())).await {
            Ok(report) => assert!(!report.is_complete(), "{root:?}: {report:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{root:?}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_repository_of_a_newer_format_is_left_alone() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
    let repository = Repository::init(sinks(&store), &password(), options()).await.unwrap();
    let config = String::from_utf8(repository.shared.config.encode().unwrap()).unwrap();
    let key = &repository.shared.key;
    let path = BlobPath::new("config").unwrap();
    let polynomial = config.split('"').rev().nth(1).unwrap().to_owned();
    let cases = [
        (config.replace(r#""version":2"#, r#""version":3"#), ErrorKind::Unsupported, "format version 3"),
        (config.replace(r#""version":2"#, r#""version":0"#), ErrorKind::Unsupported, "format version 0"),
        (config.replace(&polynomial, "3"), ErrorKind::Corrupt, "polynomial"),
        ("{}".to_owned(), ErrorKind::Corrupt, "config"),
    ];
    for (json, kind, word) in cases {
        let sealed = seal_unpacked(key, json.as_bytes(), false).unwrap();
        store.put(&path, sealed).await.unwrap();
        let before: Vec<_> = store.list(None).try_collect().await.unwrap();
        let error = Repository::open(sinks(&store), &password(), options()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{json}: {error}");
        assert!(format!("{error:?}").contains(word), "{json}: {error:?}");
        let after: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert_eq!(before.len(), after.len());
    }
}
