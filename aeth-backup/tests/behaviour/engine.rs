//! The engine by itself: what goes in comes out, and what goes wrong is said.

use crate::common::*;
use aeth_backup::{
    CheckOptions, Existing, Observer, PathSource, Plan, Progress, Quorum, Repository, RestoreOptions, Source,
    StreamSource, VirtualFile,
};
use aeth_core::{ErrorKind, Secret};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

fn plan(source: &Path) -> Plan {
    Plan::new().source(PathSource::new(source).unwrap())
}

#[tokio::test]
async fn a_tree_comes_back_as_it_was_on_one_runtime_thread_too() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink, target) = (dir.path().join("s"), dir.path().join("r"), dir.path().join("t"));
    sample_tree(&source, 1);
    let repository = init(&[&sink]).await;
    let progress = Progress::new();
    let report = repository.backup(plan(&source).tag("first").progress(progress.clone())).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let counts = progress.report();
    assert_eq!((counts.files, counts.bytes), (counts.total_files, counts.total_bytes));
    let options = RestoreOptions::new(&target).root(source.to_str().unwrap()).verify(true);
    let restored = repository.restore(&report.snapshot, options.clone()).await.unwrap();
    assert!(restored.is_complete(), "{restored:?}");
    assert_same_tree(&source, &target);
    use std::os::unix::fs::MetadataExt;
    assert!(
        std::fs::metadata(target.join("sparse")).unwrap().blocks() * 512 < 1 << 20,
        "the hole was filled"
    );

    let error = repository.restore(&report.snapshot, options.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    std::fs::write(target.join("deep/text"), "damaged").unwrap();
    std::fs::remove_dir_all(target.join("order")).unwrap();
    std::os::unix::fs::symlink("/etc", target.join("order")).unwrap();
    let again = repository.restore(&report.snapshot, options.existing(Existing::Overwrite)).await.unwrap();
    assert!(again.is_complete(), "{again:?}");
    assert_same_tree(&source, &target);
    assert!(repository.check(CheckOptions::all_data()).await.unwrap().is_ok());
    assert!(files_below(&sink.join("locks")).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_tree_costs_next_to_nothing_and_a_changed_file_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    sample_tree(&source, 2);
    let repository = init(&[&sink]).await;
    let first = repository.backup(plan(&source)).await.unwrap();
    let before = bytes_below(&sink);
    let second = repository.backup(plan(&source)).await.unwrap();
    let counts = second.snapshot.snapshot.summary.clone().unwrap();
    assert_eq!((counts.files_new, counts.files_changed, counts.data_blobs), (0, 0, 0), "{counts:?}");
    assert_eq!(second.snapshot.snapshot.parent, Some(first.snapshot.id));
    assert!(bytes_below(&sink) - before < 10 << 10, "{} bytes written", bytes_below(&sink) - before);
    std::fs::write(source.join("deep/er/007"), "something else").unwrap();
    std::fs::write(source.join("brand new"), "here").unwrap();
    std::fs::remove_file(source.join("deep/er/008")).unwrap();
    let third = repository.backup(plan(&source)).await.unwrap();
    let counts = third.snapshot.snapshot.summary.clone().unwrap();
    assert_eq!((counts.files_new, counts.files_changed, counts.data_blobs), (1, 1, 2), "{counts:?}");
    let target = dir.path().join("t");
    repository
        .restore(&third.snapshot, RestoreOptions::new(&target).root(source.to_str().unwrap()))
        .await
        .unwrap();
    assert_same_tree(&source, &target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_sources_make_one_restore_point() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    sample_tree(&source, 3);
    let database = dir.path().join("database.sqlite");
    std::fs::write(&database, b"not really").unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let long = Bytes::from(random_bytes(&mut random, 9 << 20));
    let time = UNIX_EPOCH + Duration::new(1_600_000_000, 7);
    let files = || {
        StreamSource::new()
            .bytes(VirtualFile::new("a/b/small", time).size(5).fingerprint(1), "small")
            .bytes(VirtualFile::new("a/empty", time), "")
            .reader(
                VirtualFile::new("a-first/long", time).permissions(0o640),
                std::io::Cursor::new(long.clone()),
            )
    };
    let plan = || {
        plan(&source)
            .source(Source::files("/app/blobs", files()))
            .source(PathSource::new(&database).unwrap().at("/app/db.sqlite"))
    };
    let repository = init(&[&sink]).await;
    let report = repository.backup(plan()).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.snapshot.snapshot.paths.len(), 3);
    let mut found = Vec::new();
    let mut entries = repository.entries(&report.snapshot, "/app");
    while let Some(entry) = entries.try_next().await.unwrap() {
        let content: Vec<Bytes> = repository.content(&entry.node).try_collect().await.unwrap();
        found.push((
            String::from_utf8(entry.path).unwrap(),
            content.concat().len(),
            content.concat() == long,
        ));
    }
    let found: Vec<_> = found.iter().map(|(path, length, long)| (path.as_str(), *length, *long)).collect();
    assert_eq!(
        found,
        [
            ("/app", 0, false),
            ("/app/blobs", 0, false),
            ("/app/blobs/a", 0, false),
            ("/app/blobs/a/b", 0, false),
            ("/app/blobs/a/b/small", 5, false),
            ("/app/blobs/a/empty", 0, false),
            ("/app/blobs/a-first", 0, false),
            ("/app/blobs/a-first/long", 9 << 20, true),
            ("/app/db.sqlite", 10, false),
        ]
    );
    let second = repository.backup(plan()).await.unwrap();
    let counts = second.snapshot.snapshot.summary.clone().unwrap();
    assert_eq!(counts.data_blobs, 0, "{counts:?}");
    let target = dir.path().join("t");
    let options = RestoreOptions::new(&target).include("/app/blobs/a").include("/app/db.sqlite");
    let restored = repository.restore(&second.snapshot, options).await.unwrap();
    assert!(restored.is_complete());
    assert_eq!(files_below(&target).len(), 3);
    assert_eq!(std::fs::read(target.join("app/db.sqlite")).unwrap(), b"not really");

    let overlapping = plan().source(PathSource::new(source.join("deep")).unwrap());
    assert_eq!(repository.backup(overlapping).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(repository.backup(Plan::new()).await.unwrap_err().kind(), ErrorKind::Invalid);
    let error =
        repository.restore(&second.snapshot, RestoreOptions::new(dir.path().join("u")).root("/no")).await;
    assert!(error.unwrap_err().is_not_found());
}

#[tokio::test]
async fn what_cannot_be_read_is_named_and_the_rest_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    std::fs::create_dir_all(source.join("kept")).unwrap();
    std::fs::write(source.join("kept/file"), "kept").unwrap();
    std::fs::write(source.join("vanishes"), "now you see me").unwrap();
    let broken: aeth_core::ByteStream = futures_util::stream::iter([
        Ok(Bytes::from_static(b"half")),
        Err(aeth_core::Error::unavailable("gone")),
    ])
    .boxed();
    let streams = StreamSource::new()
        .file(VirtualFile::new("broken", UNIX_EPOCH), aeth_core::Body::Once(broken, None))
        .bytes(VirtualFile::new("../escape", UNIX_EPOCH), "no");
    let gone = source.join("vanishes");
    // The walk has listed the directory when it asks about its first entry.
    let path = PathSource::new(&source).unwrap().exclude("kept/excluded", move |_, _| {
        drop(std::fs::remove_file(&gone));
        false
    });
    let repository = init(&[&sink]).await;
    let report =
        repository.backup(Plan::new().source(path).source(Source::files("/streams", streams))).await.unwrap();
    let skipped: Vec<_> = report.skipped.iter().map(|item| (item.path.as_str(), item.error.kind())).collect();
    let vanished = source.join("vanishes");
    assert!(skipped.contains(&("/streams/broken", ErrorKind::Unavailable)), "{skipped:?}");
    assert!(skipped.contains(&("/streams/../escape", ErrorKind::Invalid)), "{skipped:?}");
    assert!(skipped.contains(&(vanished.to_str().unwrap(), ErrorKind::NotFound)), "{skipped:?}");
    assert_eq!(report.skipped_total, 3);
    assert!(!report.is_complete());
    assert_eq!(report.snapshot.snapshot.excludes, ["kept/excluded"]);
    let entries: Vec<_> =
        repository.entries(&report.snapshot, source.to_str().unwrap()).try_collect().await.unwrap();
    assert_eq!(entries.len(), 3);
}

#[tokio::test]
async fn passwords_and_places() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let missing = Repository::open(sinks(&[&a]), &password(), options()).await.unwrap_err();
    assert!(missing.is_not_found() && missing.remedy().is_some(), "{missing}");
    let empty = Repository::init(sinks(&[&a]), &Secret::new(Vec::new()), options()).await.unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Invalid);
    let first = init(&[&a]).await;
    let again = Repository::init(sinks(&[&a]), &password(), options()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let wrong =
        Repository::open(sinks(&[&a]), &Secret::new("wrong".to_owned()), options()).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Denied);
    assert!(!format!("{wrong:?}").contains("correct horse"));
    // An empty sink is refused until it is asked for, then filled.
    let refused = Repository::open(sinks(&[&a, &b]), &password(), options()).await.unwrap_err();
    assert!(refused.is_not_found());
    let source = dir.path().join("s");
    sample_tree(&source, 4);
    first.backup(plan(&source)).await.unwrap();
    let both = Repository::open(sinks(&[&a, &b]), &password(), options().attach_empty(true)).await.unwrap();
    both.backup(plan(&source)).await.unwrap();
    let names = |root: &Path| -> Vec<_> {
        files_below(root).into_iter().map(|path| path.strip_prefix(root).unwrap().to_path_buf()).collect()
    };
    assert_eq!(names(&a), names(&b));
    // Another repository is not a replica.
    let other = dir.path().join("c");
    init(&[&other]).await;
    let mixed = Repository::open(sinks(&[&a, &other]), &password(), options()).await.unwrap_err();
    assert_eq!(mixed.kind(), ErrorKind::Invalid, "{mixed}");
    assert!(both.snapshot("").await.unwrap_err().is_not_found());
    assert!(both.snapshot("zz").await.unwrap_err().is_not_found());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_fails_is_out_under_a_quorum_and_heals_at_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("s"), dir.path().join("a"), dir.path().join("b"));
    sample_tree(&source, 5);
    let (good, bad) = (DirSink::new(&a), DirSink::new(&b));
    let both = || -> Vec<Arc<dyn aeth_core::backup::BackupSink>> {
        vec![Arc::clone(&good) as _, Arc::clone(&bad) as _]
    };
    let all = Repository::init(both(), &password(), options()).await.unwrap();
    bad.fail_after.store(2, Ordering::SeqCst);
    let error = all.backup(plan(&source)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(all.snapshots().await.unwrap().is_empty());

    let quorum = Repository::open(both(), &password(), options().quorum(Quorum::AtLeast(1))).await.unwrap();
    bad.fail_after.store(2, Ordering::SeqCst);
    let report = quorum.backup(plan(&source)).await.unwrap();
    assert!(report.sinks[0].error.is_none() && report.sinks[1].error.is_some());
    assert!(!report.is_complete());
    assert!(files_below(&b.join("snapshots")).is_empty());
    bad.fail_after.store(u64::MAX, Ordering::SeqCst);
    let healed = quorum.backup(plan(&source)).await.unwrap();
    assert!(healed.is_complete(), "{healed:?}");
    let check = quorum.check(CheckOptions::all_data()).await.unwrap();
    assert!(check.is_ok(), "{check:?}");
    let lone = open(&[&b]).await;
    assert_eq!(lone.snapshots().await.unwrap().len(), 2);
    let target = dir.path().join("t");
    let restored =
        lone.restore(&healed.snapshot, RestoreOptions::new(&target).root(source.to_str().unwrap())).await;
    assert!(restored.unwrap().is_complete());
    assert_same_tree(&source, &target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_in_every_file_and_another_replica_gives_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("s"), dir.path().join("a"), dir.path().join("b"));
    sample_tree(&source, 6);
    let repository = init(&[&a, &b]).await;
    let report = repository.backup(plan(&source)).await.unwrap();
    let mut random = fastrand::Rng::with_seed(6);
    for file in files_below(&a) {
        let whole = std::fs::read(&file).unwrap();
        for _ in 0..3 {
            let mut bad = whole.clone();
            let bit = random.usize(..bad.len() * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&file, &bad).unwrap();
            let check = repository.check(CheckOptions::all_data()).await.unwrap();
            assert!(!check.is_ok(), "bit {bit} of {file:?} was not found");
            assert!(check.errors.iter().any(|finding| finding.sink.as_deref() == a.to_str()), "{check:?}");
        }
        let target = tempfile::tempdir().unwrap();
        let options = RestoreOptions::new(target.path()).root(source.to_str().unwrap());
        let restored = repository.restore(&report.snapshot, options).await.unwrap();
        assert!(restored.is_complete(), "{file:?}: {restored:?}");
        std::fs::write(&file, &whole).unwrap();
        // A file that is gone is found as well, but for a snapshot, which nothing refers to.
        if !file.starts_with(a.join("snapshots")) {
            std::fs::remove_file(&file).unwrap();
            assert!(!repository.check(CheckOptions::structure()).await.unwrap().is_ok(), "{file:?} is gone");
            std::fs::write(&file, &whole).unwrap();
        }
    }
    assert!(repository.check(CheckOptions::all_data()).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_or_cancelled_run_leaves_a_valid_repository_and_the_next_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    std::fs::create_dir_all(&source).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for i in 0..24 {
        std::fs::write(source.join(i.to_string()), random_bytes(&mut random, 2 << 20)).unwrap();
    }
    let small = options().pack_size(1 << 20);
    let repository = Repository::init(sinks(&[&sink]), &password(), small).await.unwrap();
    let token = tokio_util::sync::CancellationToken::new();
    struct CancelAt(tokio_util::sync::CancellationToken, std::sync::atomic::AtomicU64);
    impl Observer for CancelAt {
        fn event(&self, event: &aeth_backup::Event<'_>) {
            if let aeth_backup::Event::PackStored { .. } = event
                && self.1.fetch_add(1, Ordering::SeqCst) == 5
            {
                self.0.cancel();
            }
        }
    }
    let observer = CancelAt(token.clone(), std::sync::atomic::AtomicU64::new(0));
    let error = repository.backup(plan(&source).observer(observer).cancel_with(token)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(files_below(&sink.join("locks")).is_empty());
    let stored = files_below(&sink.join("data")).len();
    assert!(stored >= 5);

    let observed = Arc::new(tokio::sync::Notify::new());
    let seen = Arc::clone(&observed);
    let run = repository.backup(plan(&source).observer(move |event: &aeth_backup::Event<'_>| {
        if matches!(event, aeth_backup::Event::PackStored { .. }) {
            seen.notify_one();
        }
    }));
    tokio::select! {
        report = run => drop(report.unwrap()),
        () = observed.notified() => {}
    }
    let check = repository.check(CheckOptions::all_data()).await.unwrap();
    assert!(check.is_ok(), "{check:?}");
    let before = bytes_below(&sink.join("data"));
    let report = repository.backup(plan(&source)).await.unwrap();
    assert!(report.resumed_packs > 0, "{report:?}");
    let added = bytes_below(&sink.join("data")) - before;
    assert!(added < (48 << 20) - before + (4 << 20), "{added} bytes sent again on top of {before}");
    let target = dir.path().join("t");
    let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
    assert!(repository.restore(&report.snapshot, options).await.unwrap().is_complete());
    assert_same_tree(&source, &target);
}

#[tokio::test]
async fn two_handles_share_the_repository() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("s"), dir.path().join("r"));
    sample_tree(&source, 8);
    let repository = init(&[&sink]).await;
    repository.backup(plan(&source)).await.unwrap();
    let other = open(&[&sink]).await;
    let (one, two) = tokio::join!(repository.backup(plan(&source)), other.check(CheckOptions::structure()));
    one.unwrap();
    assert!(two.unwrap().is_ok());
    assert!(files_below(&sink.join("locks")).is_empty());
}
