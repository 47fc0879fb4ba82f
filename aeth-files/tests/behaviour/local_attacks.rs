//! A local directory against hostile and broken surroundings.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use aeth_core::blob::{
    Attributes, BlobStore, BlobStoreExt, Checksum, CopyOptions, ListOptions, PutOptions, UploadId,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind};
use aeth_files::{Durability, Layout, LocalDir, LocalDirOptions};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

async fn open(dir: &Path) -> LocalDir {
    LocalDir::open_with(dir, LocalDirOptions::default().with_durability(Durability::None)).await.unwrap()
}

async fn names(store: &LocalDir) -> Vec<String> {
    store.list(None).map_ok(|meta| meta.path.as_str().to_owned()).try_collect().await.unwrap()
}

/// Everything that lies in the temporary directories of owners.
fn temporaries(dir: &Path) -> usize {
    let owners = std::fs::read_dir(dir.join(".aeth/tmp")).unwrap();
    owners.map(|owner| std::fs::read_dir(owner.unwrap().path()).unwrap().count() - 1).sum()
}

#[tokio::test]
async fn symbolic_links_are_neither_followed_nor_listed() {
    let outside = testkit::temp_dir();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    store.put(&path("real/file"), "inside").await.unwrap();
    symlink(outside.path().join("secret"), dir.path().join("file-link")).unwrap();
    symlink(outside.path(), dir.path().join("dir-link")).unwrap();
    symlink("real", dir.path().join("inner-link")).unwrap();
    for attack in ["file-link", "dir-link/secret", "inner-link/file"] {
        let attack = path(attack);
        let denied = |error: Error| assert_eq!(error.kind(), ErrorKind::Denied, "{attack}: {error}");
        denied(store.get_bytes(&attack).await.unwrap_err());
        denied(store.head(&attack).await.unwrap_err());
        denied(store.put(&attack, "overwritten").await.unwrap_err());
        denied(store.put_opts(&attack, Body::from("x"), PutOptions::create()).await.unwrap_err());
        denied(store.copy(&path("real/file"), &attack).await.unwrap_err());
        denied(store.rename(&path("real/file"), &attack).await.unwrap_err());
        denied(store.copy(&attack, &path("stolen")).await.unwrap_err());
    }
    // A deletion either is refused or finds nothing; it removes nothing.
    for attack in ["file-link", "dir-link/secret", "inner-link/file"] {
        drop(store.delete(&path(attack)).await);
    }
    store.put(&path("dir-link2/new"), "fine").await.unwrap();
    assert_eq!(std::fs::read_to_string(outside.path().join("secret")).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was written outside");
    assert_eq!(names(&store).await, ["dir-link2/new", "real/file"]);
}

#[tokio::test]
async fn a_link_in_place_of_the_private_directory_is_refused() {
    let outside = testkit::temp_dir();
    let dir = testkit::temp_dir();
    symlink(outside.path(), dir.path().join(".aeth")).unwrap();
    let error = LocalDir::open(dir.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn things_that_are_no_files_do_not_stop_the_reader() {
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("fifo"), rustix::fs::Mode::from(0o666)).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    for name in ["fifo", "socket"] {
        let read = tokio::time::timeout(Duration::from_secs(5), store.get_bytes(&path(name))).await;
        assert_eq!(read.expect("a read does not hang").unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(store.put(&path(name), "x").await.unwrap_err().kind(), ErrorKind::Denied);
    }
    assert_eq!(names(&store).await, [""; 0]);
    drop(socket);
}

#[tokio::test]
async fn awkward_paths_come_back_from_both_layouts() {
    let long = "x".repeat(1024);
    let deep = vec!["d"; 512].join("/");
    let wide = format!("{}/{}/{}", "é".repeat(150), "%".repeat(255), "n".repeat(255));
    let all = [
        ".aeth",
        ".aeth/format",
        ".aeth/locks/00",
        ".aeth/tmp",
        "%2Eaeth",
        "a",
        "a/b",
        "a/b/c",
        "a%",
        "a%/b",
        "a%25",
        "%+00",
        "%+00/x",
        "a/%+ff",
        "x%~00112233445566778899aabbccddeeff",
        "con",
        "A",
        "-",
        "~",
        "a b",
        "\u{1}",
        "\n",
        "é/ü",
        &long,
        &deep,
        &wide,
    ];
    for layout in [Layout::Plain, Layout::Sharded] {
        let dir = testkit::temp_dir();
        let options = LocalDirOptions::default().with_durability(Durability::None).with_layout(layout);
        let store = LocalDir::open_with(dir.path(), options.clone()).await.unwrap();
        // In both orders, so that directories come before and after the blobs of their names.
        for round in 0..2 {
            let mut order: Vec<&str> = all.to_vec();
            if round == 1 {
                order.reverse();
            }
            for name in &order {
                store.put(&path(name), name.to_string()).await.unwrap();
            }
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(names(&store).await, sorted, "{layout:?}");
            // Page by page with a fresh handle each time, which has no walk to go on with.
            let mut listed = Vec::new();
            let mut next = Some(ListOptions::default().with_limit(3));
            while let Some(options) = next.take() {
                let fresh = LocalDir::open_with(dir.path(), self::options(layout)).await.unwrap();
                let page = fresh.list_page(options.clone()).await.unwrap();
                listed.extend(page.blobs.into_iter().map(|meta| meta.path.as_str().to_owned()));
                next = page.next.map(|token| options.with_token(token));
            }
            assert_eq!(listed, sorted, "{layout:?}");
            for name in &order {
                assert_eq!(store.get_bytes(&path(name)).await.unwrap(), *name);
                let moved = path("moved/here");
                store.rename(&path(name), &moved).await.unwrap();
                assert!(!store.exists(&path(name)).await.unwrap());
                store.rename(&moved, &path(name)).await.unwrap();
            }
            for name in &order {
                store.delete(&path(name)).await.unwrap();
                assert!(!store.exists(&path(name)).await.unwrap(), "{name}");
            }
            assert_eq!(names(&store).await, [""; 0]);
            assert_eq!(
                std::fs::read_dir(dir.path()).unwrap().count(),
                1,
                "{layout:?}: only the private directory"
            );
        }
        let error = LocalDir::open_with(dir.path(), self::options(other(layout))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
}

fn options(layout: Layout) -> LocalDirOptions {
    LocalDirOptions::default().with_durability(Durability::None).with_layout(layout)
}

fn other(layout: Layout) -> Layout {
    if layout == Layout::Plain { Layout::Sharded } else { Layout::Plain }
}

#[tokio::test]
async fn foreign_files_are_blobs_and_foreign_names_are_left_out() {
    let dir = testkit::temp_dir();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    std::fs::write(dir.path().join("sub/plain.txt"), "plain").unwrap();
    std::fs::write(dir.path().join("50% off"), "odd").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let store = open(dir.path()).await;
    assert_eq!(names(&store).await, ["sub/plain.txt"]);
    let page = store.list_page(ListOptions::default().with_delimiter()).await.unwrap();
    assert_eq!(page.prefixes, ["sub/"], "an empty directory is nothing");
    assert_eq!(store.get_bytes(&path("sub/plain.txt")).await.unwrap(), "plain");
    // Whatever its time stamp says about sidecars.
    for nanos in [0, 1, 2, 999_999_999] {
        let file = std::fs::File::options().write(true).open(dir.path().join("sub/plain.txt")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::new(1_700_000_000, nanos)).unwrap();
        let meta = store.head(&path("sub/plain.txt")).await.unwrap();
        assert_eq!(meta.attributes, Some(Attributes::default()));
    }
}

#[tokio::test]
async fn attributes_never_belong_to_other_bytes() {
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    let blob = path("a");
    let attributes = Attributes::default().with_content_type("text/plain");
    let options = PutOptions::default().with_attributes(attributes.clone());
    store.put_opts(&blob, Body::from("mine"), options.clone()).await.unwrap();
    // Another tool writes over it: the attributes were those of other bytes.
    std::fs::write(dir.path().join("a"), "theirs").unwrap();
    assert_eq!(store.head(&blob).await.unwrap().attributes, Some(Attributes::default()));
    // A copy of the directory that keeps times is a copy of the store, whole seconds included.
    store.put_opts(&blob, Body::from("mine"), options).await.unwrap();
    let copy = testkit::temp_dir();
    let mut cp = std::process::Command::new("cp");
    cp.arg("-a").arg(format!("{}/.", dir.path().display())).arg(copy.path());
    assert!(cp.status().unwrap().success());
    let copied = open(copy.path()).await;
    assert_eq!(copied.head(&blob).await.unwrap().attributes, Some(attributes.clone()));
    let file = std::fs::File::options().write(true).open(copy.path().join("a")).unwrap();
    let seconds =
        copied.head(&blob).await.unwrap().modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    assert_eq!(copied.head(&blob).await.unwrap().attributes, Some(attributes));
}

#[tokio::test]
async fn crash_points_leave_old_or_new() {
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    let blob = path("a");
    let with =
        |value: &str| PutOptions::default().with_attributes(Attributes::default().with_user("v", value));
    let version = |meta: aeth_core::blob::BlobMeta| meta.attributes.unwrap().user.get("v").cloned();
    store.put_opts(&blob, Body::from("one"), with("one")).await.unwrap();
    let sidecar = {
        let shards = std::fs::read_dir(dir.path().join(".aeth/meta")).unwrap();
        let shard = shards.map(|shard| shard.unwrap().path()).next().unwrap();
        std::fs::read_dir(shard).unwrap().next().unwrap().unwrap().path()
    };
    let before = std::fs::read(&sidecar).unwrap();
    let data = dir.path().join("data-one");
    std::fs::hard_link(dir.path().join("a"), &data).unwrap();
    store.put_opts(&blob, Body::from("two"), with("two")).await.unwrap();
    // Between the two renames of that put: the sidecar speaks of both, the data is old.
    std::fs::rename(&data, dir.path().join("a")).unwrap();
    assert_eq!(store.get_bytes(&blob).await.unwrap(), "one");
    assert_eq!(version(store.head(&blob).await.unwrap()).unwrap(), "one");
    // The next put goes on from there.
    store.put_opts(&blob, Body::from("three"), with("three")).await.unwrap();
    assert_eq!(version(store.head(&blob).await.unwrap()).unwrap(), "three");
    // A sidecar of an older state belongs to nothing.
    std::fs::write(&sidecar, before).unwrap();
    assert_eq!(version(store.head(&blob).await.unwrap()), None);
    // A damaged one is reported, not ignored; overwriting mends it.
    std::fs::write(&sidecar, "{").unwrap();
    assert_eq!(store.head(&blob).await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.put_opts(&blob, Body::from("four"), with("four")).await.unwrap();
    assert_eq!(version(store.head(&blob).await.unwrap()).unwrap(), "four");
    // After a delete nothing of it is left to be found by the next blob there.
    store.delete(&blob).await.unwrap();
    assert!(!sidecar.exists());
    store.put(&blob, "five").await.unwrap();
    assert_eq!(version(store.head(&blob).await.unwrap()), None);
}

#[tokio::test]
async fn failed_and_dropped_puts_leave_nothing() {
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    let blob = path("deep/in/here");
    for size in [10_usize, 3 << 20] {
        let chunk = Bytes::from(vec![7; size]);
        let failing = stream::iter([Ok(chunk.clone()), Err(Error::timeout("the client went"))]);
        let error = store.put(&blob, Body::once(failing, None)).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Timeout, "the client went"));
        let endless = stream::iter([Ok(chunk)]).chain(stream::pending());
        let put = store.put(&blob, Body::once(endless, None));
        assert!(tokio::time::timeout(Duration::from_millis(50), put).await.is_err());
    }
    let wrong = PutOptions::default().with_checksum(Checksum::Crc32c(1));
    assert_eq!(store.put_opts(&blob, Body::from("x"), wrong).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let missing = CopyOptions::default();
    assert!(store.rename_opts(&path("nothing"), &blob, missing).await.unwrap_err().is_not_found());
    assert!(!store.exists(&blob).await.unwrap());
    // What was dropped may be cleaned in the background.
    for _ in 0..100 {
        if temporaries(dir.path()) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(temporaries(dir.path()), 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no directory was made for nothing");
}

#[tokio::test]
async fn leftovers_of_the_dead_are_removed_and_those_of_the_living_stay() {
    let dir = testkit::temp_dir();
    let living = open(dir.path()).await;
    let begun = stream::iter([Ok(Bytes::from(vec![1; 2 << 20]))]).chain(stream::once(async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(Bytes::from_static(b"end"))
    }));
    let put = tokio::spawn({
        let living = living.clone();
        async move { living.put(&path("slow"), Body::once(begun, None)).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    // What a process that was killed leaves: a directory with a lock that nobody holds.
    let dead = dir.path().join(".aeth/tmp/0123456789abcdef");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("lock"), "").unwrap();
    std::fs::write(dead.join("0"), "half").unwrap();
    std::fs::create_dir(dir.path().join(".aeth/tmp/without-lock")).unwrap();
    let _other = open(dir.path()).await;
    assert!(!dead.exists() && !dir.path().join(".aeth/tmp/without-lock").exists());
    put.await.unwrap().unwrap();
    assert_eq!(living.head(&path("slow")).await.unwrap().size, (2 << 20) + 3);
}

#[tokio::test]
async fn uploads_expire_and_their_ids_lead_nowhere() {
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    let blob = path("a");
    let upload = store.begin_upload(&blob, PutOptions::default()).await.unwrap();
    upload.put_part(1, Body::from("x")).await.unwrap();
    let ids = ["", "..", "../locks", "../../outside", "0123456789abcdef0123456789abcdeg", "/etc"];
    for id in ids {
        let error = store.resume_upload(&blob, &UploadId::new(id)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{id:?}: {error}");
    }
    let wrong_path = store.resume_upload(&path("b"), &upload.id()).await.unwrap_err();
    assert_eq!(wrong_path.kind(), ErrorKind::NotFound);
    let keeps = LocalDirOptions::default().with_upload_expiry(Duration::from_secs(3600));
    let other = LocalDir::open_with(dir.path(), keeps).await.unwrap();
    assert_eq!(other.resume_upload(&blob, &upload.id()).await.unwrap().list_parts().await.unwrap().len(), 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let expires = LocalDirOptions::default().with_upload_expiry(Duration::from_millis(1));
    let other = LocalDir::open_with(dir.path(), expires).await.unwrap();
    assert!(other.resume_upload(&blob, &upload.id()).await.unwrap_err().is_not_found());
    assert!(upload.put_part(2, Body::from("y")).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn places_that_cannot_be_a_store_are_refused() {
    let dir = testkit::temp_dir();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for wrong in ["file", "file/below"] {
        let error = LocalDir::open(dir.path().join(wrong)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.remedy().is_some() && error.key().is_some(), "{error:?}");
    }
    let newer = dir.path().join("newer");
    drop(open(&newer).await);
    std::fs::write(newer.join(".aeth/format"), "aetherius local directory, version 2\n").unwrap();
    assert_eq!(LocalDir::open(&newer).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_directory_that_becomes_read_only_denies() {
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    store.put(&path("sub/a"), "old").await.unwrap();
    let sub = dir.path().join("sub");
    std::fs::set_permissions(&sub, std::fs::Permissions::from_mode(0o555)).unwrap();
    if testkit::is_root() {
        // Modes do not bind root; a read-only file system does, and is tested with the full disk.
        store.put(&path("sub/a"), "new").await.unwrap();
        assert_eq!(store.get_bytes(&path("sub/a")).await.unwrap(), "new");
    } else {
        assert_eq!(store.put(&path("sub/a"), "new").await.unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(store.get_bytes(&path("sub/a")).await.unwrap(), "old");
    }
    std::fs::set_permissions(&sub, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_directory_of_many_blobs_is_listed_once_and_in_order() {
    let dir = testkit::temp_dir();
    let store = open(dir.path()).await;
    std::fs::create_dir(dir.path().join("many")).unwrap();
    // More than the window of names that a walk holds; foreign files are blobs too.
    let count = 70_000;
    for i in 0..count {
        std::fs::write(dir.path().join(format!("many/{i:06}")), "").unwrap();
    }
    let listed: Vec<String> = store
        .list(Some("many/"))
        .map_ok(|meta| meta.path.file_name().to_owned())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(listed.len(), count);
    assert!(listed.iter().enumerate().all(|(i, name)| *name == format!("{i:06}")));
    let from = ListOptions::prefix("many/").with_start_after("many/069998").with_limit(5);
    let page = store.list_page(from).await.unwrap();
    assert_eq!(page.blobs.len(), 1);
}
