//! The git archive, judged by stock git.
#![cfg(feature = "git")]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::blob::{Attributes, BlobStore, BlobStoreExt, PutOptions};
use aeth_core::{BlobPath, ErrorKind, collect_stream};
use aeth_files::{
    ChangeKind, CommitOptions, GitArchive, GitArchiveOptions, MemoryStore, PushOptions, RestoreOptions,
    TarOptions,
};
use futures_util::TryStreamExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

/// Stock git, with no configuration but its own; its standard output.
fn git(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = command(dir).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {args:?}: {said}");
    output.stdout
}

fn command(dir: &Path) -> Command {
    let program = testkit::tool("git", "git").unwrap_or_else(|missing| panic!("{missing}"));
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@b");
    }
    command.args([
        "-c",
        "safe.directory=*",
        "-c",
        "init.defaultBranch=main",
        "-c",
        "advice.detachedHead=false",
    ]);
    command
}

/// `git fsck --strict` with nothing to say.
fn fsck(archive: &GitArchive) {
    let output =
        command(archive.dir()).args(["fsck", "--strict", "--full", "--no-dangling"]).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && !said.contains("error") && !said.contains("warning"), "{said}");
}

async fn archive(dir: &Path) -> GitArchive {
    GitArchive::open(dir.join("archive.git"), GitArchiveOptions::default().with_large_over(4096))
        .await
        .unwrap()
}

async fn tar(archive: &GitArchive, revision: &str, options: TarOptions) -> Vec<u8> {
    let stream = archive.tar(revision, options).await.unwrap();
    collect_stream(stream, u64::MAX).await.unwrap().to_vec()
}

async fn content(store: &dyn BlobStore) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for meta in store.list(None).try_collect::<Vec<_>>().await.unwrap() {
        all.insert(meta.path.to_string(), store.get_bytes(&meta.path).await.unwrap().to_vec());
    }
    all
}

/// Names that trees, tar headers and git itself find hard.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a",
        "a/b",
        "a/b/c",
        "a-b",
        "a.b",
        "a0",
        "empty",
        "é/ü",
        "with space/and\ttab",
        "new\nline",
        "back\\slash",
        ".git",
        ".git/config",
        "x/.GIT/y",
        "git~1/z",
        ".gitmodules",
        ".gitattributes",
        "d/.gitattributes",
        ".gitignore",
        "%",
        "%/x",
        "%attributes",
        "%2Egit",
        "100%",
        "-dash",
        "\"quoted\"",
    ]
    .map(String::from)
    .to_vec();
    for length in [98, 99, 100, 101, 155, 156, 255] {
        names.push(format!("long/{}", "n".repeat(length)));
        names.push(format!("{}/{}", "d".repeat(length), "f".repeat(99)));
        names.push(format!("{}/{}", "e".repeat(length), "f".repeat(101)));
    }
    names.push(format!("{}/end", ["deep"; 100].join("/")));
    names
}

async fn filled() -> MemoryStore {
    let store = MemoryStore::new();
    for (at, name) in names().iter().enumerate() {
        let bytes = match at {
            6 => Vec::new(),
            at => vec![b'x'; at * 37],
        };
        store.put(&path(name), bytes).await.unwrap();
    }
    let options = PutOptions::default()
        .with_attributes(Attributes::default().with_content_type("text/plain").with_user("k", "v"));
    store.put_opts(&path("typed"), "typed".into(), options).await.unwrap();
    store.put(&path("big/one"), vec![7_u8; 100_000]).await.unwrap();
    store.put(&path("big/same"), vec![7_u8; 100_000]).await.unwrap();
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 5\n", "0".repeat(64));
    store.put(&path("looks-like-a-pointer"), pointer).await.unwrap();
    // Would change what `git archive` gives, if it were heeded.
    store.put(&path("e/.gitattributes"), "* export-ignore\n* text eol=crlf\n").await.unwrap();
    store.put(&path("e/lines"), "one\ntwo\n").await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_git_accepts_clones_and_archives_what_was_committed() {
    let dir = testkit::temp_dir();
    let archive = archive(dir.path()).await;
    let store = filled().await;
    let committed = archive.commit(&store, "", CommitOptions::default().with_message("all\n")).await.unwrap();
    assert!(committed.created);
    assert_eq!(committed.blobs, content(&store).await.len() as u64);
    archive.tag("light", "HEAD", None).await.unwrap();
    archive.tag("heavy/1", &committed.snapshot.id[..10], Some("a release\n")).await.unwrap();
    fsck(&archive);

    git(dir.path(), &["clone", "-q", "archive.git", "clone"]);
    for name in
        names().iter().filter(|name| !name.contains(['%', '\n']) && !name.to_lowercase().contains("git"))
    {
        // The blob of a name that is a directory as well is in it.
        let file = dir.path().join("clone").join(name);
        let file = if file.is_dir() { file.join("%") } else { file };
        let bytes = store.get_bytes(&path(name)).await.unwrap();
        if bytes.len() <= 4096 {
            assert_eq!(std::fs::read(file).unwrap(), bytes, "{name}");
        }
    }
    let pointer = std::fs::read_to_string(dir.path().join("clone/big/one")).unwrap();
    assert!(pointer.starts_with("version https://git-lfs.github.com/spec/v1\noid sha256:"), "{pointer}");
    assert_eq!(git(&dir.path().join("clone"), &["status", "--porcelain"]), b"");

    for prefix in ["", "p/", "a/b/", "stem-", "double//", &format!("{}/", "p".repeat(120))] {
        let wanted =
            git(archive.dir(), &["archive", "--format=tar", &format!("--prefix={prefix}"), "heavy/1"]);
        let ours = tar(&archive, "heavy/1", TarOptions::default().with_prefix(prefix)).await;
        assert_eq!(ours.len(), wanted.len(), "{prefix}");
        assert!(
            ours == wanted,
            "{prefix}: differs at {:?}",
            ours.iter().zip(&wanted).position(|(a, b)| a != b)
        );
    }

    // With the large blobs in it, tar extracts them.
    std::fs::write(
        dir.path().join("full.tar"),
        tar(&archive, "HEAD", TarOptions::default().with_large()).await,
    )
    .unwrap();
    let out =
        Command::new("tar").args(["-xOf", "full.tar", "big/one"]).current_dir(dir.path()).output().unwrap();
    assert_eq!(out.stdout, vec![7_u8; 100_000]);
    // Both large blobs are kept once.
    let large = archive.large_store().list(None).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(large.iter().filter(|meta| meta.size == 100_000).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_comes_back_whole() {
    let dir = testkit::temp_dir();
    let archive = archive(dir.path()).await;
    let store = filled().await;
    let first = content(&store).await;
    let one = archive.commit(&store, "", CommitOptions::default()).await.unwrap().snapshot;
    // Nothing changed: no version, unless it is asked for.
    assert!(!archive.commit(&store, "", CommitOptions::default()).await.unwrap().created);
    store.delete(&path("a/b")).await.unwrap();
    store.put(&path("a0"), "other").await.unwrap();
    store.put(&path("added"), "added").await.unwrap();
    let attributes = Attributes::default().with_content_type("text/html");
    let options = PutOptions::default().with_attributes(attributes.clone());
    store.put_opts(&path("typed"), "typed".into(), options).await.unwrap();
    let two = archive.commit(&store, "", CommitOptions::default()).await.unwrap().snapshot;
    let second = content(&store).await;

    let changes = archive.diff(&one.id, &two.id).await.unwrap();
    let changes: Vec<(&str, ChangeKind)> = changes.iter().map(|c| (c.path.as_str(), c.kind)).collect();
    let wanted = [
        ("a/b", ChangeKind::Removed),
        ("a0", ChangeKind::Modified),
        ("added", ChangeKind::Added),
        ("typed", ChangeKind::Attributes),
    ];
    assert_eq!(changes, wanted);
    assert_eq!(archive.diff("HEAD", "HEAD").await.unwrap(), []);
    let history = archive.history("main", 10).await.unwrap();
    assert_eq!(history, [two.clone(), one.clone()]);
    assert_eq!(archive.version_at(two.time).await.unwrap(), Some(two));
    assert_eq!(archive.version_at(one.time - Duration::from_secs(1)).await.unwrap(), None);

    // Into the same store, with what came later deleted; dry first.
    let only = RestoreOptions::default().with_delete();
    let plan = archive.restore("HEAD~1", &store, "", only.clone().with_dry_run()).await.unwrap();
    assert_eq!(plan.deleted, [path("added")]);
    assert_eq!(content(&store).await, second);
    assert_eq!(archive.restore("HEAD~1", &store, "", only.clone()).await.unwrap(), plan);
    assert_eq!(content(&store).await, first);
    let typed = store.head(&path("typed")).await.unwrap().attributes.unwrap();
    assert_eq!(typed.content_type.as_deref(), Some("text/plain"));

    // A part, into another store, below a directory.
    let other = MemoryStore::new();
    let restored =
        archive.restore("main", &other, "back", RestoreOptions::default().with_only("a/")).await.unwrap();
    assert_eq!(restored.written, [path("back/a/b/c")]);
    // A directory of a store, and the blob that is there no more.
    archive.commit(&store, "a", CommitOptions::default()).await.unwrap();
    let paths: Vec<String> =
        archive.entries("HEAD").await.unwrap().into_iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(paths, ["b", "b/c"]);
    let blob = archive.get(&one.id, &path("big/one")).await.unwrap();
    assert_eq!((blob.meta.size, blob.bytes().await.unwrap().len()), (100_000, 100_000));
    let error = archive.get(&one.id, &path("added")).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::NotFound, Some("added")));
    fsck(&archive);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_prefix_is_a_version_too() {
    let dir = testkit::temp_dir();
    let archive = archive(dir.path()).await;
    let error = archive.history("HEAD", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    let store = MemoryStore::new();
    let committed = archive.commit(&store, "nothing/here", CommitOptions::default()).await.unwrap();
    assert!(committed.created && committed.blobs == 0);
    assert_eq!(archive.entries("HEAD").await.unwrap(), []);
    fsck(&archive);
    let wanted = git(archive.dir(), &["archive", "--format=tar", "HEAD"]);
    assert_eq!(tar(&archive, "HEAD", TarOptions::default()).await, wanted);
    store.put(&path("a"), "a").await.unwrap();
    let done = archive.restore("HEAD", &store, "", RestoreOptions::default().with_delete()).await.unwrap();
    assert_eq!(done.deleted, [path("a")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_commit_with_git_is_read_and_archived() {
    let dir = testkit::temp_dir();
    let archive = archive(dir.path()).await;
    let store = MemoryStore::new();
    store.put(&path("ours"), "ours").await.unwrap();
    let ours = archive.commit(&store, "", CommitOptions::default()).await.unwrap().snapshot;
    git(dir.path(), &["clone", "-q", "archive.git", "work"]);
    let work = dir.path().join("work");
    for (target, link) in [("ours", "link"), (&*"t".repeat(150), "long-link")] {
        std::os::unix::fs::symlink(target, work.join(link)).unwrap();
    }
    std::fs::write(work.join("script"), "#!/bin/sh\n").unwrap();
    std::fs::write(work.join(std::ffi::OsStr::new("theirs")), "theirs").unwrap();
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(work.join(std::ffi::OsStr::from_bytes(b"latin\xe9")), "l").unwrap();
    std::fs::set_permissions(work.join("script"), std::fs::Permissions::from_mode(0o755)).unwrap();
    git(&work, &["add", "-A"]);
    git(&work, &["update-index", "--add", "--cacheinfo", &format!("160000,{},module", ours.id)]);
    git(&work, &["commit", "-q", "-m", "theirs"]);
    git(&work, &["push", "-q", "origin", "main"]);
    git(archive.dir(), &["gc", "-q"]);

    let entries = archive.entries("HEAD").await.unwrap();
    let paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["ours", "script", "theirs"]);
    let wanted = git(archive.dir(), &["archive", "--format=tar", "--prefix=x/", "HEAD"]);
    assert!(tar(&archive, "HEAD", TarOptions::default().with_prefix("x/")).await == wanted);
    // Ours goes on from there.
    let options = CommitOptions::default().with_expected(&*ours.id);
    let error = archive.commit(&store, "", options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    assert!(archive.commit(&store, "", CommitOptions::default()).await.unwrap().created);
    assert_eq!(archive.history("HEAD", 9).await.unwrap().len(), 3);
    fsck(&archive);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_lose_nothing() {
    let dir = testkit::temp_dir();
    let mut writers = Vec::new();
    for writer in 0..6 {
        let archive = archive(dir.path()).await;
        writers.push(tokio::spawn(async move {
            let mut made = Vec::new();
            for turn in 0..4 {
                let store = MemoryStore::new();
                store.put(&path("who"), format!("{writer} {turn}")).await.unwrap();
                made.push(archive.commit(&store, "", CommitOptions::default()).await.unwrap().snapshot.id);
            }
            made
        }));
    }
    let mut made = Vec::new();
    for writer in writers {
        made.extend(writer.await.unwrap());
    }
    let archive = archive(dir.path()).await;
    let history = archive.history("HEAD", 1000).await.unwrap();
    let mut found: Vec<String> = history.into_iter().map(|snapshot| snapshot.id).collect();
    found.sort();
    made.sort();
    assert_eq!((made.len(), found), (24, made));
    fsck(&archive);
}

/// Commits until it is killed, when it is told where; nothing otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_for_ever() {
    let Some(dir) = std::env::var_os("AETH_TEST_ARCHIVE") else { return };
    let archive = archive(Path::new(&dir)).await;
    let store = filled().await;
    for turn in 0_u64.. {
        store.put(&path("turn"), format!("{turn} of {}", std::process::id())).await.unwrap();
        let id = archive.commit(&store, "", CommitOptions::default()).await.unwrap().snapshot.id;
        // Acknowledged once this line is out.
        std::fs::write(Path::new(&dir).join("acknowledged.new"), id).unwrap();
        std::fs::rename(Path::new(&dir).join("acknowledged.new"), Path::new(&dir).join("acknowledged"))
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_writer_leaves_whole_versions_and_stops_nobody() {
    let dir = testkit::temp_dir();
    let mut kills = fastrand::Rng::with_seed(7);
    for _ in 0..4 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "git::commits_for_ever", "--nocapture"])
            .env("AETH_TEST_ARCHIVE", dir.path());
        let subject = testkit::Subject::start(command);
        tokio::task::spawn_blocking({
            let delay = Duration::from_millis(kills.u64(150..900));
            move || subject.kill_after(delay)
        })
        .await
        .unwrap();
        let archive = archive(dir.path()).await;
        let store = MemoryStore::new();
        store.put(&path("after"), format!("{}", kills.u64(..))).await.unwrap();
        archive.commit(&store, "", CommitOptions::default()).await.unwrap();
        if let Ok(id) = std::fs::read_to_string(dir.path().join("acknowledged")) {
            let history = archive.history("HEAD", usize::MAX).await.unwrap();
            assert!(history.iter().any(|snapshot| snapshot.id == id), "{id} was acknowledged and is lost");
            assert_eq!(archive.verify(&id).await.unwrap().damaged.len(), 0);
        }
        fsck(&archive);
    }
    // What the dead left is swept away.
    let archive = archive(dir.path()).await;
    let left = std::fs::read_dir(archive.dir().join("objects")).unwrap();
    let left =
        left.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("tmp_objdir"));
    assert_eq!(left.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_of_git_that_a_dead_writer_left_is_removed() {
    let dir = testkit::temp_dir();
    let archive = archive(dir.path()).await;
    let store = MemoryStore::new();
    archive.commit(&store, "", CommitOptions::default()).await.unwrap();
    std::fs::write(archive.dir().join("refs/heads/main.lock"), "").unwrap();
    std::fs::write(archive.dir().join("aeth/moving"), "refs/heads/main").unwrap();
    store.put(&path("a"), "a").await.unwrap();
    assert!(archive.commit(&store, "", CommitOptions::default()).await.unwrap().created);
    // One that we did not leave is somebody's who works.
    std::fs::write(archive.dir().join("refs/heads/main.lock"), "").unwrap();
    store.put(&path("a"), "b").await.unwrap();
    assert!(archive.commit(&store, "", CommitOptions::default()).await.is_err());
    assert!(archive.dir().join("refs/heads/main.lock").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_pushed_by_stock_git() {
    let dir = testkit::temp_dir();
    let archive = archive(dir.path()).await;
    let store = filled().await;
    let remote = dir.path().join("remote.git");
    let url = remote.to_str().unwrap();
    let error = archive.push(url, PushOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    git(dir.path(), &["init", "-q", "--bare", "remote.git"]);
    let one = archive.commit(&store, "", CommitOptions::default()).await.unwrap().snapshot;
    archive.tag("v1", "HEAD", Some("one")).await.unwrap();
    archive.push(url, PushOptions::default()).await.unwrap();
    let there = String::from_utf8(git(&remote, &["rev-parse", "main", "v1^{commit}"])).unwrap();
    assert_eq!(there, format!("{0}\n{0}\n", one.id));
    git(&remote, &["fsck", "--strict"]);

    // Another history at the remote is not overwritten, unless that is wanted.
    git(dir.path(), &["clone", "-q", "remote.git", "work"]);
    let work = dir.path().join("work");
    git(&work, &["commit", "-q", "--allow-empty", "-m", "theirs"]);
    git(&work, &["push", "-q", "origin", "main"]);
    store.put(&path("more"), "more").await.unwrap();
    archive.commit(&store, "", CommitOptions::default()).await.unwrap();
    let error = archive.push(url, PushOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");
    archive.push(url, PushOptions::default().with_force()).await.unwrap();

    let secret = "https://user:hunter2@127.0.0.1:1/x.git";
    let error =
        archive.push(secret, PushOptions::default().with_timeout(Duration::from_secs(60))).await.unwrap_err();
    assert!(!format!("{error:?}{error}").contains("hunter2"), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let error = archive.push(url, PushOptions::default().with_git("/nowhere/git")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    for bad in ["", "--upload-pack=x", "ext::sh -c true"] {
        assert_eq!(archive.push(bad, PushOptions::default()).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_and_damage_are_typed_errors() {
    let dir = testkit::temp_dir();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let error = GitArchive::open(dir.path(), GitArchiveOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    for options in [
        GitArchiveOptions::default().with_branch("a..b"),
        GitArchiveOptions::default().with_branch("-x"),
        GitArchiveOptions::default().with_author("<x>", "x"),
    ] {
        let error = GitArchive::open(dir.path().join("other.git"), options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    }
    let archive = archive(dir.path()).await;
    let store = MemoryStore::new();
    store.put(&path("a"), "a".repeat(3000)).await.unwrap();
    store.put(&path("large"), vec![1_u8; 9000]).await.unwrap();
    let error = archive.commit(&store, "", CommitOptions::default().with_message("\0")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    archive.commit(&store, "", CommitOptions::default()).await.unwrap();
    archive.tag("v", "HEAD", None).await.unwrap();
    assert_eq!(archive.tag("v", "HEAD", None).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(archive.tag("bad name", "HEAD", None).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(archive.tag("w", "nothing", None).await.unwrap_err().kind(), ErrorKind::NotFound);
    let names: Vec<String> = archive.tags().await.unwrap().into_iter().map(|tag| tag.name).collect();
    assert_eq!(names, ["v"]);
    archive.untag("v").await.unwrap();
    archive.untag("v").await.unwrap();
    assert_eq!(archive.tags().await.unwrap(), []);

    // Other bytes in the place of a blob, in git and beside it; then none at all.
    let entries = archive.entries("HEAD").await.unwrap();
    let id = &entries[0].id;
    let object = archive.dir().join("objects").join(&id[..2]).join(&id[2..]);
    let other = git(archive.dir(), &["hash-object", "-w", "--stdin"]);
    let other = String::from_utf8(other).unwrap();
    let other = archive.dir().join("objects").join(&other[..2]).join(other[2..].trim());
    std::fs::rename(other, &object).unwrap();
    let large = archive.large_store().list(None).try_collect::<Vec<_>>().await.unwrap();
    archive.large_store().put(&large[0].path, vec![2_u8; 9000]).await.unwrap();
    let found = archive.verify("HEAD").await.unwrap();
    let found: Vec<(&str, ErrorKind)> =
        found.damaged.iter().map(|(path, e)| (path.as_str(), e.kind())).collect();
    assert_eq!(found, [("a", ErrorKind::Corrupt), ("large", ErrorKind::Corrupt)]);
    let before = content(&store).await;
    let error = archive.restore("HEAD", &store, "", RestoreOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert_eq!(content(&store).await, before);
    archive.large_store().delete(&large[0].path).await.unwrap();
    std::fs::remove_file(&object).unwrap();
    let error = archive.get("HEAD", &path("large")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
}

#[cfg(feature = "integration")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_lfs_brings_large_blobs_into_a_clone() {
    testkit::tool("git-lfs", "git-lfs").unwrap_or_else(|missing| panic!("{missing}"));
    let dir = testkit::temp_dir();
    let archive = archive(dir.path()).await;
    let store = filled().await;
    archive.commit(&store, "", CommitOptions::default()).await.unwrap();
    let url = format!("file://{}", archive.dir().display());
    git(dir.path(), &["clone", "-q", &url, "clone"]);
    let clone = dir.path().join("clone");
    git(&clone, &["lfs", "install", "--local"]);
    std::fs::write(clone.join(".git/info/attributes"), "* filter=lfs\n").unwrap();
    git(&clone, &["lfs", "pull"]);
    for name in ["big/one", "big/same", "looks-like-a-pointer"] {
        let wanted = store.get_bytes(&path(name)).await.unwrap();
        assert!(std::fs::read(clone.join(name)).unwrap() == wanted, "{name}");
    }
}
