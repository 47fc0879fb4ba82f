//! The handle of hosts, leadership, and a disk that is full.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

use crate::support;

use aeth_core::blob::{GetOptions, GetRange, ListOptions, PutOptions};
use aeth_core::coord::LeaderLock;
use aeth_core::observe::{HealthCheck, Status};
use aeth_core::{BlobPath, ErrorKind, Lifecycle};
use aeth_files::{FileLock, Files, LocalDir, MemoryStore, Probe, ReadOnly};
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use support::Sums;

#[tokio::test]
async fn paths_are_taken_in_every_form() {
    let files = Files::new(MemoryStore::new());
    files.put("avatars/42.png", &b"png"[..]).await.unwrap();
    let checked = BlobPath::new("avatars/42.png").unwrap();
    assert_eq!(files.get(&checked).await.unwrap(), "png");
    assert_eq!(files.get(checked.clone()).await.unwrap(), "png");
    assert_eq!(files.get(String::from("avatars/42.png")).await.unwrap(), "png");
    for bad in ["", "/a", "a/../b", "a\0"] {
        assert_eq!(files.get(bad).await.unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
    }
    files.copy("avatars/42.png", "b").await.unwrap();
    files.rename("b", "c/d").await.unwrap();
    assert_eq!(files.get_range("c/d", GetRange::Suffix(2)).await.unwrap(), "ng");
    let many = files.get_many(["c/d", "missing", "avatars/42.png"], 8).await;
    assert_eq!(many[0].as_ref().unwrap(), "png");
    assert!(many[1].as_ref().unwrap_err().is_not_found() && many[2].is_ok());
    let listed: Vec<_> = files.list("c/").map_ok(|meta| meta.path.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["c/d"]);
    let page = files.list_page(ListOptions::default().with_delimiter()).await.unwrap();
    assert_eq!(page.prefixes, ["avatars/", "c/"]);
    let seen = Mutex::new(Vec::new());
    let visit = |meta: aeth_core::blob::BlobMeta| {
        seen.lock().push(meta.path.to_string());
        async { Ok(()) }
    };
    files.for_each("", 4, visit).await.unwrap();
    assert_eq!(seen.lock().len(), 2);
    assert_eq!(files.delete_prefix("c/").await.unwrap(), 1);
    assert!(!files.exists("c/d").await.unwrap() && files.exists("avatars/42.png").await.unwrap());
}

#[tokio::test]
async fn files_go_in_and_out_with_progress() {
    let dir = testkit::temp_dir();
    let store = LocalDir::open(dir.path().join("store")).await.unwrap();
    let files = Files::new(store);
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    for length in [0_usize, 1, (5 << 20) + 7] {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
        std::fs::write(&from, &bytes).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watch: aeth_files::OnProgress = {
            let seen = Arc::clone(&seen);
            Arc::new(move |progress: aeth_files::Progress| seen.lock().push((progress.done, progress.total)))
        };
        files.put_file_with("f", &from, PutOptions::default(), Some(Arc::clone(&watch))).await.unwrap();
        let steps = std::mem::take(&mut *seen.lock());
        assert_eq!(steps.last().copied().unwrap_or_default(), (length as u64, length as u64));
        files.get_to_file_with("f", &to, GetOptions::default(), Some(watch)).await.unwrap();
        assert_eq!(seen.lock().last().copied().unwrap_or_default(), (length as u64, length as u64));
        assert!(std::fs::read(&to).unwrap() == bytes);
    }
    // What fails leaves the old file and nothing beside it.
    assert!(files.get_to_file("missing", &to).await.unwrap_err().is_not_found());
    assert!(files.get_to_file("f", dir.path().join("no/such/dir")).await.unwrap_err().is_not_found());
    assert_eq!(files.put_file("f", dir.path()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(files.put_file("f", dir.path().join("gone")).await.unwrap_err().is_not_found());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn it_counts_what_happens() {
    let files = Files::new(MemoryStore::new());
    files.put("a", "12345").await.unwrap();
    files.get("a").await.unwrap();
    assert!(files.get("missing").await.is_err());
    assert!(files.put_with("a", "x", PutOptions::create()).await.is_err());
    let survey = files.survey().await.unwrap();
    assert_eq!((survey.objects, survey.bytes), (1, 5));
    let sums = Sums::of(&files);
    assert_eq!(sums.counter("aeth_files_uploaded_bytes"), 6);
    assert_eq!(sums.counter("aeth_files_downloaded_bytes"), 5);
    assert_eq!(sums.counter("aeth_files_objects"), 1);
    assert_eq!(sums.counter("aeth_files_size_bytes"), 5);
    assert_eq!(sums.counter("aeth_files_upload_duration_seconds"), 2);
    assert_eq!(sums.counter("aeth_files_download_duration_seconds"), 1);
    // That something is missing is an answer; that something is in the way is a failure.
    assert_eq!(sums.counter("aeth_files_errors"), 1);
    assert_eq!(sums.counter("aeth_files_streams"), 0);
}

#[tokio::test]
async fn surveys_run_in_the_background_and_end_with_the_handle() {
    let files = Files::builder(MemoryStore::new()).survey_every(Duration::from_millis(5)).build();
    files.put("a", "123").await.unwrap();
    let counted = async {
        while Sums::of(&files).find("aeth_files_size_bytes") != Some(3) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted).await.unwrap();
    files.close(Duration::from_secs(5)).await.unwrap();
    files.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn health_is_asked_of_the_store_itself() {
    let dir = testkit::temp_dir();
    let store = LocalDir::open(dir.path()).await.unwrap();
    let files = Files::builder(store.clone()).volume(store.clone()).low_space(0.0, 0.0).build();
    let health = files.check().await;
    assert_eq!(health.status, Status::Up, "{health:?}");
    assert!(health.observed.iter().any(|(name, value, _)| name == "available_space" && *value > 0.0));
    let empty: Vec<_> = files.list("").try_collect().await.unwrap();
    assert_eq!(empty, [], "the probe leaves nothing");
    let strict = Files::builder(store.clone()).volume(store.clone()).low_space(1.1, 0.0).build();
    assert_eq!(strict.check().await.status, Status::Degraded);
    let read_only = Files::new(ReadOnly::new(store.clone()));
    let health = read_only.check().await;
    assert!(health.status == Status::Down && health.reason.unwrap().contains("read-only"));
    let reading = Files::builder(ReadOnly::new(store)).probe(Probe::Read, Duration::from_secs(5)).build();
    assert_eq!(reading.check().await.status, Status::Up);
}

#[tokio::test]
async fn one_leads_and_fencing_numbers_grow() {
    let dir = testkit::temp_dir();
    let (a, b) = (FileLock::open(dir.path()).await.unwrap(), FileLock::open(dir.path()).await.unwrap());
    let ttl = Duration::from_secs(1);
    let first = a.try_acquire("backup/nightly", ttl).await.unwrap().unwrap();
    assert!(b.try_acquire("backup/nightly", ttl).await.unwrap().is_none());
    assert!(a.try_acquire("backup/nightly", ttl).await.unwrap().is_none());
    assert!(b.try_acquire("other", ttl).await.unwrap().is_some());
    first.renew().await.unwrap();
    let number = first.fencing();
    first.release().await.unwrap();
    let second = b.try_acquire("backup/nightly", ttl).await.unwrap().unwrap();
    assert!(second.fencing() > number);
    let number = second.fencing();
    drop(second);
    let third = a.try_acquire("backup/nightly", ttl).await.unwrap().unwrap();
    assert!(third.fencing() > number);
    std::fs::remove_file(dir.path().join("backup%2Fnightly.lock")).unwrap();
    assert_eq!(third.renew().await.unwrap_err().kind(), ErrorKind::Precondition);
    assert_eq!(a.try_acquire("", ttl).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(a.try_acquire(&"x".repeat(300), ttl).await.unwrap_err().kind(), ErrorKind::Invalid);
}

/// On a file system of its own that is filled up and then made read-only.
#[cfg(feature = "integration")]
mod full {
    use super::*;
    use aeth_core::Body;
    use aeth_files::Encrypted;
    use bytes::Bytes;
    use futures_util::stream;

    #[tokio::test]
    #[allow(clippy::print_stderr, reason = "a test that cannot run says why")]
    async fn a_full_and_a_read_only_disk_keep_what_was_there() {
        let disk = match testkit::Tmpfs::mount(8 << 20) {
            Ok(disk) => disk,
            Err(reason) => {
                eprintln!("skipped: a full disk needs a small file system of its own: {reason}");
                return;
            }
        };
        let store = LocalDir::open(disk.path()).await.unwrap();
        let keyset = aeth_core::seal::Keyset::generate(Default::default()).unwrap();
        for files in [Files::new(store.clone()), Files::new(Encrypted::new(store.clone(), keyset))] {
            files.put("a", vec![1; 1 << 20]).await.unwrap();
            let chunk = Bytes::from(vec![2; 1 << 20]);
            let streamed = Body::once(stream::iter(std::iter::repeat_n(Ok(chunk), 16)), None);
            for body in [Body::from(vec![2; 16 << 20]), streamed] {
                let error = files.put("a", body).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                assert!(error.remedy().is_some());
            }
            assert!(files.get("a").await.unwrap() == vec![1; 1 << 20], "what was there is there");
            // Nothing partial takes the room away.
            files.put("b", vec![3; 4 << 20]).await.unwrap();
            files.delete("b").await.unwrap();
            // Until there is no room for a name either.
            let mut filled = 0;
            let error = loop {
                match files.put(format!("fill/{filled}"), vec![4; 256 << 10]).await {
                    Ok(_) => filled += 1,
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind(), ErrorKind::Full, "{error}");
            assert_eq!(files.delete_prefix("").await.unwrap(), filled + 1, "a full disk can be emptied");
            files.put("a", "small").await.unwrap();
            files.delete("a").await.unwrap();
        }
        Files::new(store.clone()).put("kept", "kept").await.unwrap();
        // A disk is not made read-only while files on it are open for writing.
        drop(store);
        let remount = |options: &str| {
            let mut mount = std::process::Command::new("mount");
            mount.args(["-o", options]).arg(disk.path()).status().unwrap().success()
        };
        assert!(remount("remount,ro"));
        let error = LocalDir::open(disk.path()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.remedy().is_some());
        assert!(remount("remount,rw"));
        let store = LocalDir::open(disk.path()).await.unwrap();
        assert_eq!(Files::new(store).get("kept").await.unwrap(), "kept");
    }
}
