//! What is done with a repository between backup and restore.

use crate::common::*;
use aeth_backup::{
    AmbiguousId, ChangeKind, CheckOptions, DiffOptions, FindOptions, ForgetOptions, Found, FoundBlob, Glob,
    GroupBy, LsOptions, MaxUnused, PathSource, Plan, PruneOptions, Quorum, RepairOptions, Repository,
    RestoreOptions, RetentionPolicy, SnapshotFilter, Span, TagEdit,
};
use aeth_core::ErrorKind;
use aeth_core::backup::{BackupSink, BlobSink};
use futures_util::TryStreamExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

fn plan(source: &Path) -> Plan {
    Plan::new().source(PathSource::new(source).unwrap())
}

fn small() -> aeth_backup::RepositoryOptions {
    options().pack_size(1 << 20)
}

async fn init_small(roots: &[&Path]) -> Repository {
    Repository::init(sinks(roots), &password(), small()).await.unwrap()
}

fn write(path: PathBuf, seed: u64, length: usize) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, random_bytes(&mut fastrand::Rng::with_seed(seed), length)).unwrap();
}

/// Damage in any sink, and what a lone sink gives back.
async fn assert_whole(roots: &[&Path], source: &Path, snapshot: &str, dir: &Path) {
    for root in roots {
        let lone = open(&[root]).await;
        let check = lone.check(CheckOptions::all_data()).await.unwrap();
        assert!(check.is_ok() && check.hints.is_empty(), "{root:?}: {check:?}");
        let entry = lone.snapshot(snapshot).await.unwrap();
        let target = dir.join(format!("restored-{}", fastrand::u64(..)));
        let options = RestoreOptions::new(&target).root(source.to_str().unwrap()).verify(true);
        assert!(lone.restore(&entry, options).await.unwrap().is_complete());
        assert_same_tree(source, &target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_listed_searched_and_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("r"));
    sample_tree(&source, 5);
    let repository = init(&[&sink]).await;
    let entry = repository.backup(plan(&source)).await.unwrap().snapshot;
    let root = source.to_str().unwrap();
    let all: Vec<_> = repository.ls(&entry, LsOptions::new().path(root)).try_collect().await.unwrap();
    assert_eq!(all.len(), describe(&source).len());
    let flat = LsOptions::new().path(root).recursive(false);
    let children: Vec<_> = repository.ls(&entry, flat).try_collect().await.unwrap();
    assert_eq!(children.len(), 1 + std::fs::read_dir(&source).unwrap().count());
    let top: Vec<_> = repository.ls(&entry, LsOptions::new().recursive(false)).try_collect().await.unwrap();
    assert_eq!(top.len(), 1, "{top:?}");
    let numbered = LsOptions::new().matching(Glob::new("deep/er/00?").unwrap());
    let numbered: Vec<_> = repository.ls(&entry, numbered).try_collect().await.unwrap();
    assert_eq!(numbered.len(), 10);
    let link = repository.entry(&entry, &format!("{root}/link")).await.unwrap();
    assert!(
        link.long().starts_with("Lrwxrwxrwx ") && link.long().ends_with("/link -> a small one"),
        "{}",
        link.long()
    );
    let missing = repository.ls(&entry, LsOptions::new().path("/no/where")).try_collect::<Vec<_>>().await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);

    let text = repository.dump(&entry, &format!("{root}/deep/text")).await.unwrap();
    let text: Vec<bytes::Bytes> = text.try_collect().await.unwrap();
    assert_eq!(text.concat(), std::fs::read(source.join("deep/text")).unwrap());
    for no_file in ["deep", "link", "pipe"] {
        let error = repository.dump(&entry, &format!("{root}/{no_file}")).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{no_file}");
        assert!(error.remedy().is_some());
    }

    let paths = |found: &[Found]| {
        found.iter().map(|found| String::from_utf8_lossy(&found.entry.path).into_owned()).collect::<Vec<_>>()
    };
    let second = repository.backup(plan(&source)).await.unwrap().snapshot;
    let texts = FindOptions::new().matching(Glob::new("*TEXT").unwrap().ignore_case(true));
    let found = repository.find(&texts).await.unwrap();
    assert_eq!(found.len(), 4, "two files in two snapshots: {:?}", paths(&found));
    let text = repository.entry(&entry, &format!("{root}/deep/text")).await.unwrap().node;
    let blob = text.content.unwrap()[0];
    let by_blob = FindOptions::new().blob(&blob.to_string()[..12]).snapshot(second.id);
    let by_blob = repository.find(&by_blob).await.unwrap();
    assert_eq!(paths(&by_blob), [format!("{root}/deep/same text"), format!("{root}/deep/text")]);
    assert_eq!(by_blob[0].blob, Some(FoundBlob::Data(blob)));
    let deep = repository.entry(&entry, &format!("{root}/deep")).await.unwrap().node.subtree.unwrap();
    let by_tree =
        repository.find(&FindOptions::new().tree(deep.to_string()).snapshot(entry.id)).await.unwrap();
    assert_eq!(paths(&by_tree), [format!("{root}/deep")]);
    assert_eq!(repository.pack_of(deep).await.unwrap().len(), 1);
    let year = SystemTime::UNIX_EPOCH + Duration::from_secs(365 * 86_400);
    let old = FindOptions::new().matching(Glob::new("*").unwrap()).modified_until(year).snapshot(entry.id);
    assert_eq!(paths(&repository.find(&old).await.unwrap()), [format!("{root}/deep/text")]);
    for bad in [FindOptions::new(), FindOptions::new().blob("xyz"), FindOptions::new().tree("")] {
        assert_eq!(repository.find(&bad).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_snapshots_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("r"));
    sample_tree(&source, 6);
    let repository = init(&[&sink]).await;
    let before = repository.backup(plan(&source)).await.unwrap().snapshot;
    std::fs::write(source.join("a new one"), "new").unwrap();
    std::fs::remove_dir_all(source.join("order/x-y")).unwrap();
    std::fs::write(source.join("deep/er/007"), "other").unwrap();
    std::fs::remove_file(source.join("empty")).unwrap();
    std::fs::create_dir(source.join("empty")).unwrap();
    let touched = std::fs::File::options().write(true).open(source.join("deep/er/still/random")).unwrap();
    touched.set_times(std::fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)).unwrap();
    let after = repository.backup(plan(&source)).await.unwrap().snapshot;
    let root = source.to_str().unwrap();
    let options = DiffOptions::new().path(root);
    let report = repository.diff(&before, &after, &options).await.unwrap();
    let shown: Vec<_> = report
        .changes
        .iter()
        .map(|change| format!("{} {}", change.kind, &change.path()[root.len()..]))
        .collect();
    assert_eq!(shown, ["+ /a new one", "M /deep/er/007", "T /empty/", "- /order/x-y/", "- /order/x-y/file"]);
    assert_eq!(
        (report.changed_files, report.added.files, report.removed.files, report.removed.dirs),
        (1, 1, 1, 1)
    );
    assert!(report.added.data_blobs == 2 && report.added.bytes > 8, "{report:?}");
    let collected = Arc::new(std::sync::Mutex::new(Vec::new()));
    let sender = Arc::clone(&collected);
    let each = options.metadata(true).each(move |change| sender.lock().unwrap().push(change.kind));
    let report = repository.diff(&before, &after, &each).await.unwrap();
    assert!(report.changes.is_empty() && !report.is_same());
    assert!(collected.lock().unwrap().contains(&ChangeKind::Metadata));
    let same = repository.diff(&after, &after, &DiffOptions::new()).await.unwrap();
    assert!(same.is_same() && same.changes.is_empty());
    let error = repository.diff(&before, &after, &DiffOptions::new().path("/x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_found_by_what_they_are_and_tagged_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    write(source.join("file"), 1, 1000);
    let hosts = ["alpha", "beta"];
    init(&[&a, &b]).await;
    let mut made = Vec::new();
    for (i, host) in hosts.iter().cycle().take(18).enumerate() {
        let repository =
            Repository::open(sinks(&[&a, &b]), &password(), options().hostname(*host)).await.unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + i as u64 * 3600);
        let tag = format!("t{}", i % 3);
        made.push(repository.backup(plan(&source).tag(tag).tag("all").time(time)).await.unwrap().snapshot);
    }
    let repository = open(&[&a, &b]).await;
    let alpha = SnapshotFilter::new().host("alpha");
    assert_eq!(repository.snapshots_matching(&alpha).await.unwrap().len(), 9);
    let both = SnapshotFilter::new().tags(["t0", "all"]).tags(["t1"]);
    assert_eq!(repository.snapshots_matching(&both).await.unwrap().len(), 12);
    let latest = repository.snapshot_matching("latest", &alpha).await.unwrap();
    assert_eq!(latest.id, made[16].id);
    let early = alpha.clone().until(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert_eq!(repository.snapshot_matching("latest", &early).await.unwrap().id, made[0].id);
    let none = SnapshotFilter::new().path("/elsewhere");
    assert_eq!(repository.snapshot_matching("latest", &none).await.unwrap_err().kind(), ErrorKind::NotFound);

    // 18 ids over 16 first digits: one of these is ambiguous.
    let mut ambiguous = None;
    for digit in "0123456789abcdef".chars() {
        match repository.snapshot(&digit.to_string()).await {
            Ok(entry) => assert!(entry.id.to_string().starts_with(digit)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => ambiguous = Some(error),
        }
    }
    let error = ambiguous.unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let source_error = std::error::Error::source(&error).unwrap().downcast_ref::<AmbiguousId>().unwrap();
    assert!(
        source_error.candidates.len() > 1 && source_error.to_string().contains("may be"),
        "{source_error}"
    );
    let id = made[3].id.to_string();
    assert_eq!(repository.snapshot(&id[..16].to_uppercase()).await.unwrap().id, made[3].id);

    let changes = repository.edit_tags(&made[..2], &TagEdit::add(["kept"])).await.unwrap();
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[0].new.snapshot.original, Some(made[0].id));
    assert_eq!(changes[0].new.snapshot.tags, ["t0", "all", "kept"]);
    let again =
        repository.edit_tags(std::slice::from_ref(&changes[0].new), &TagEdit::set(["only"])).await.unwrap();
    assert_eq!(again[0].new.snapshot.original, Some(made[0].id), "the first of all stays the original");
    assert!(
        repository
            .edit_tags(std::slice::from_ref(&again[0].new), &TagEdit::set(["only"]))
            .await
            .unwrap()
            .is_empty()
    );
    let error = repository.edit_tags(&made[..1], &TagEdit::add(["a,b"])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for root in [&a, &b] {
        assert_eq!(files_below(&root.join("snapshots")).len(), 18);
    }
    assert_eq!(repository.snapshot(&id).await.unwrap().id, made[3].id);
    assert_eq!(repository.snapshot(&made[0].id.to_string()).await.unwrap_err().kind(), ErrorKind::NotFound);

    // Forgetting: explained, tried out first, and never all of them by mistake.
    let policy = RetentionPolicy::new().last(2).within(Span::hours(3));
    let forget = ForgetOptions::new(policy).group_by(GroupBy::new(true, false, false));
    let dry = repository.forget(forget.clone().dry_run(true)).await.unwrap();
    assert!(dry.dry_run && files_below(&a.join("snapshots")).len() == 18);
    let report = repository.forget(forget).await.unwrap();
    assert_eq!(report.removed, dry.removed);
    assert_eq!(report.groups.len(), 2);
    let reasons: Vec<String> =
        report.groups[0].retention.keep[0].reasons.iter().map(ToString::to_string).collect();
    assert_eq!(reasons, ["within 3h", "last snapshot"]);
    assert_eq!(repository.snapshots().await.unwrap().len(), 4);
    for refused in [
        ForgetOptions::default(),
        ForgetOptions::default().allow_remove_all(true),
        ForgetOptions::new(RetentionPolicy::new().tags(["nobody has this"])),
    ] {
        assert_eq!(repository.forget(refused).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    let all_of_alpha = ForgetOptions::default().filter(alpha).allow_remove_all(true);
    assert_eq!(repository.forget(all_of_alpha).await.unwrap().removed.len(), 2);
    let left = repository.snapshots().await.unwrap();
    repository.forget_snapshots(&[left[0].id, made[0].id]).await.unwrap();
    assert_eq!(files_below(&b.join("snapshots")).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prune_removes_what_nobody_needs_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    for i in 0..40 {
        write(source.join(format!("f{i}")), i, 200_000);
    }
    let repository = init_small(&[&a, &b]).await;
    let first = repository.backup(plan(&source)).await.unwrap().snapshot;
    for i in (0..40).step_by(2) {
        write(source.join(format!("f{i}")), 100 + i, 200_000);
    }
    repository.backup(plan(&source)).await.unwrap();
    let nothing = repository.prune(PruneOptions::new()).await.unwrap();
    assert_eq!((nothing.removed_packs, nothing.packs.repack), (0, 0), "{nothing:?}");
    repository.forget_snapshots(&[first.id]).await.unwrap();

    let before = (bytes_below(&a), bytes_below(&b));
    let dry =
        repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0)).dry_run(true)).await.unwrap();
    assert_eq!((bytes_below(&a), bytes_below(&b)), before, "a dry run changes nothing");
    assert!(dry.bytes.freed() > 3_000_000 && dry.packs.repack > 2, "{dry:?}");
    // With no limit on waste only whole packs go; with a limit on work, some of the rest.
    let lazy = repository.prune(PruneOptions::new().max_unused(MaxUnused::Unlimited)).await.unwrap();
    assert_eq!(lazy.written_bytes > 0, lazy.packs.repack > 0);
    let limit = 3 << 20;
    let some = PruneOptions::new().max_unused(MaxUnused::Bytes(0)).max_repack(limit);
    let some = repository.prune(some).await.unwrap();
    assert!(some.bytes.repack <= limit && some.packs.repack > 0, "{some:?}");
    let rest =
        repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0)).exclusive(true)).await.unwrap();
    assert!(rest.postponed.is_none() && rest.removed_packs > 0, "{rest:?}");
    let last = repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0))).await.unwrap();
    assert_eq!((last.bytes.unused, last.bytes.duplicate, last.removed_packs), (0, 0, 0), "{last:?}");
    assert!(bytes_below(&a) + 3_000_000 < before.0, "{} {}", bytes_below(&a), before.0);
    assert_eq!(files_below(&a.join("data")).len(), files_below(&b.join("data")).len());
    assert_whole(&[&a, &b], &source, "latest", dir.path()).await;
    // Whoever chose it before is told that it is gone, not that the repository is damaged.
    let late = repository.restore(&first, RestoreOptions::new(dir.path().join("late"))).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::NotFound, "{late:?}");

    // A damaged repository is not pruned.
    let pack =
        files_below(&b.join("data")).into_iter().max_by_key(|path| std::fs::metadata(path).unwrap().len());
    let pack = pack.unwrap();
    let other = a.join(pack.strip_prefix(&b).unwrap());
    std::fs::remove_file(&pack).unwrap();
    std::fs::remove_file(&other).unwrap();
    let before = bytes_below(&a);
    let error = open(&[&a, &b]).await.prune(PruneOptions::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.remedy().is_some_and(|remedy| remedy.contains("nothing was removed")), "{error:?}");
    assert_eq!(bytes_below(&a), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_pruned_does_not_come_back_with_a_sink_that_was_away() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    let lenient = || small().quorum(Quorum::AtLeast(1));
    for i in 0..12 {
        write(source.join(format!("f{i}")), i, 300_000);
    }
    let repository = Repository::init(sinks(&[&a, &b]), &password(), lenient()).await.unwrap();
    let first = repository.backup(plan(&source)).await.unwrap().snapshot;
    for i in 0..11 {
        write(source.join(format!("f{i}")), 100 + i, 300_000);
    }
    repository.backup(plan(&source)).await.unwrap();
    let full = bytes_below(&b);
    // Only one of the two is there.
    let alone = Repository::open(sinks(&[&a]), &password(), lenient()).await.unwrap();
    alone.forget_snapshots(&[first.id]).await.unwrap();
    let report = alone.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0))).await.unwrap();
    assert!(report.removed_packs > 0, "{report:?}");
    let pruned = files_below(&a.join("data"));
    assert_eq!(bytes_below(&b), full);

    let repository = Repository::open(sinks(&[&a, &b]), &password(), lenient()).await.unwrap();
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);
    repository.backup(plan(&source)).await.unwrap();
    for pack in files_below(&a.join("data")) {
        let known = pruned.contains(&pack) || std::fs::metadata(&pack).unwrap().len() < 10_000;
        assert!(known, "{pack:?} came back");
    }
    let check = repository.check(CheckOptions::all_data()).await.unwrap();
    assert!(check.is_ok(), "{check:?}");
    repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0))).await.unwrap();
    let names = |root: &Path| {
        let mut names: Vec<_> =
            files_below(&root.join("data")).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&a), names(&b), "the returned sink was not cleaned up");
    assert_whole(&[&a, &b], &source, "latest", dir.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sink_needs_that_was_away_is_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    for i in 0..8 {
        write(source.join(format!("f{i}")), i, 300_000);
    }
    let repository = Repository::init(sinks(&[&a, &b]), &password(), small()).await.unwrap();
    let first = repository.backup(plan(&source)).await.unwrap().snapshot;
    // Each is alone for a while: one prunes what the other goes on to use.
    let alone = open(&[&b]).await;
    let second = alone.backup(plan(&source).tag("alone")).await.unwrap().snapshot;
    let alone = open(&[&a]).await;
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    alone.backup(plan(&dir.path().join("empty"))).await.unwrap();
    alone.forget_snapshots(&[first.id]).await.unwrap();
    let report = alone.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0))).await.unwrap();
    assert!(report.removed_packs > 0, "{report:?}");
    assert!(bytes_below(&a.join("data")) < 20_000);

    let repository = Repository::open(sinks(&[&a, &b]), &password(), small()).await.unwrap();
    repository.backup(plan(&dir.path().join("empty"))).await.unwrap();
    assert_whole(&[&a, &b], &source, &second.id.to_string(), dir.path()).await;
    let report = repository.prune(PruneOptions::new().max_unused(MaxUnused::Bytes(0))).await.unwrap();
    assert!(report.bytes.unused < 10_000, "{report:?}");
    assert_whole(&[&a, &b], &source, &second.id.to_string(), dir.path()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_wait_for_their_time_and_append_only_sinks_keep_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (source, a, b) = (dir.path().join("source"), dir.path().join("a"), dir.path().join("b"));
    for i in 0..8 {
        write(source.join(format!("f{i}")), i, 300_000);
    }
    let repository = Repository::init(sinks(&[&a]), &password(), small()).await.unwrap();
    let first = repository.backup(plan(&source)).await.unwrap().snapshot;
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    repository.backup(plan(&empty)).await.unwrap();
    repository.forget_snapshots(&[first.id]).await.unwrap();
    let packs = files_below(&a.join("data"));
    let marking = repository.prune(PruneOptions::new().grace(Duration::from_secs(3600))).await.unwrap();
    assert!(marking.marked > 0 && marking.removed_packs == 0, "{marking:?}");
    assert!(packs.iter().all(|pack| pack.exists()), "{marking:?}");
    // What is marked does not count as stored, so that it can go while this backup stays.
    let report = repository.backup(plan(&source)).await.unwrap();
    assert!(report.snapshot.snapshot.summary.unwrap().data_blobs >= 8);
    let removing = repository.prune(PruneOptions::new()).await.unwrap();
    assert_eq!((removing.marked, removing.unmarked), (0, 0), "{removing:?}");
    assert_eq!(removing.removed_packs, marking.marked);
    assert_whole(&[&a], &source, "latest", dir.path()).await;

    // A sink that keeps everything beside one that does not.
    let store = aeth_files::LocalDir::open(&b).await.unwrap();
    let worm: Arc<dyn BackupSink> = Arc::new(BlobSink::new(Arc::new(store), None).unwrap().append_only());
    let mut both = sinks(&[&a]);
    both.push(Arc::clone(&worm));
    let repository = Repository::open(both, &password(), small().attach_empty(true)).await.unwrap();
    let kept = repository.backup(plan(&source)).await.unwrap().snapshot;
    repository.backup(plan(&empty)).await.unwrap();
    let ids: Vec<_> = repository.snapshots().await.unwrap().iter().map(|entry| entry.id).collect();
    let (last, others) = ids.split_last().unwrap();
    repository.forget_snapshots(others).await.unwrap();
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);
    let report = repository.prune(PruneOptions::new()).await.unwrap();
    assert!(report.removed_packs > 0, "{report:?}");
    repository.backup(plan(&empty)).await.unwrap();
    assert!(bytes_below(&a.join("data")) < 100_000, "what the other keeps was copied back");
    let check = repository.check(CheckOptions::all_data()).await.unwrap();
    assert!(check.is_ok(), "{check:?}");
    let worm = Repository::open(vec![worm], &password(), small()).await.unwrap();
    assert!(worm.snapshot(&kept.id.to_string()).await.is_ok() && worm.snapshots().await.unwrap().len() >= 4);
    for error in [
        worm.prune(PruneOptions::new()).await.unwrap_err(),
        worm.forget_snapshots(&[*last]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    }
    assert!(worm.check(CheckOptions::all_data()).await.unwrap().is_ok());
}

/// The packs of a sink, the longest first.
fn packs(sink: &Path) -> Vec<PathBuf> {
    let mut packs = files_below(&sink.join("data"));
    packs.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).unwrap().len()));
    packs
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_repository_is_repaired_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("r"));
    for i in 0..12 {
        write(source.join(format!("d{}/f{i}", i % 3)), i, 300_000);
    }
    let repository = init_small(&[&sink]).await;
    repository.backup(plan(&source)).await.unwrap();
    assert!(repository.repair_index(RepairOptions::new()).await.unwrap().is_clean());
    assert!(repository.repair_packs(&[], RepairOptions::new()).await.unwrap().is_clean());
    assert!(repository.repair_snapshots(RepairOptions::new()).await.unwrap().is_clean());

    // Without any index, and with a damaged one.
    for damage in [true, false] {
        for index in files_below(&sink.join("index")) {
            if damage { flip(&index, 40) } else { std::fs::remove_file(index).unwrap() }
        }
        let broken = open(&[&sink]).await;
        if damage {
            assert_eq!(broken.prune(PruneOptions::new()).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let dry = broken.repair_index(RepairOptions::new().dry_run(true)).await.unwrap();
        let report = broken.repair_index(RepairOptions::new().read_packs(false)).await.unwrap();
        assert_eq!((dry.packs_added, dry.indexes_replaced), (report.packs_added, report.indexes_replaced));
        assert_eq!(report.packs_added, packs(&sink).len() as u64, "{report:?}");
        assert_whole(&[&sink], &source, "latest", dir.path()).await;
    }

    // A damaged pack: what is whole in it is saved, and what is not is left out of the snapshot.
    flip(&packs(&sink)[0], 100);
    let broken = open(&[&sink]).await;
    let replicas = broken.repair_replicas(RepairOptions::new()).await.unwrap();
    assert_eq!(replicas.unrepaired.len(), 1, "{replicas:?}");
    assert!(replicas.unrepaired[0].remedy().is_some());
    let dry = broken.repair_packs(&[], RepairOptions::new().dry_run(true)).await.unwrap();
    let report = broken.repair_packs(&[], RepairOptions::new()).await.unwrap();
    assert_eq!((report.packs_salvaged, report.blobs_lost), (1, 1), "{report:?}");
    assert_eq!(dry.blobs_saved, report.blobs_saved);
    assert!(report.blobs_saved >= 2, "{report:?}");
    let before = broken.snapshot("latest").await.unwrap();
    let dry = broken.repair_snapshots(RepairOptions::new().dry_run(true)).await.unwrap();
    assert_eq!(dry.snapshots.len(), 1, "{dry:?}");
    let report = broken.repair_snapshots(RepairOptions::new().forget(true)).await.unwrap();
    assert_eq!(report.snapshots[0].damaged.len(), 1, "{report:?}");
    assert_eq!(report.snapshots[0].damaged, dry.snapshots[0].damaged);
    let after = broken.snapshot("latest").await.unwrap();
    assert_eq!(after.snapshot.original, Some(before.id));
    assert_eq!(after.snapshot.tags, ["repaired"]);
    assert_eq!(broken.snapshots().await.unwrap().len(), 1);
    assert!(broken.check(CheckOptions::all_data()).await.unwrap().is_ok());
    // Another run stores again what was lost.
    broken.backup(plan(&source)).await.unwrap();
    assert_whole(&[&sink], &source, "latest", dir.path()).await;

    // A tree that is lost leaves an empty directory.
    let root = source.to_str().unwrap();
    let latest = broken.snapshot("latest").await.unwrap();
    let tree = broken.entry(&latest, &format!("{root}/d1")).await.unwrap().node.subtree.unwrap();
    let pack = broken.pack_of(tree).await.unwrap()[0].to_string();
    let pack = sink.join("data").join(&pack[..2]).join(&pack);
    std::fs::remove_file(pack).unwrap();
    let broken = open(&[&sink]).await;
    let index = broken.repair_index(RepairOptions::new()).await.unwrap();
    assert_eq!(index.packs_dropped, 1, "{index:?}");
    let report = broken.repair_snapshots(RepairOptions::new().snapshot(latest.id)).await.unwrap();
    assert_eq!(report.snapshots.len(), 1, "{report:?}");
    match report.snapshots[0].new {
        Some(id) => {
            let entry = broken.snapshot(&id.to_string()).await.unwrap();
            assert!(broken.ls(&entry, LsOptions::new()).try_collect::<Vec<_>>().await.is_ok());
        }
        // The root's tree may have been in the same pack: then nothing is left of the snapshot.
        None => assert_eq!(report.snapshots[0].damaged, ["/"]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_concerns_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (source, sink) = (dir.path().join("source"), dir.path().join("r"));
    write(source.join("file"), 1, 1000);
    let repository = init(&[&sink]).await;
    let good = repository.backup(plan(&source)).await.unwrap().snapshot;
    let bad = repository.backup(plan(&source)).await.unwrap().snapshot;
    flip(&sink.join("snapshots").join(bad.id.to_string()), 30);
    let policy = ForgetOptions::new(RetentionPolicy::new().last(1));
    for error in [
        repository.snapshot(&bad.id.to_string()).await.unwrap_err(),
        // It cannot be judged, and what it refers to is unknown.
        repository.forget(policy.clone()).await.unwrap_err(),
        repository.prune(PruneOptions::new()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(format!("{error}").contains(&bad.id.to_string()), "{error}");
    }
    assert_eq!(repository.snapshot(&good.id.to_string()).await.unwrap().id, good.id);
    repository.forget_snapshots(&[bad.id]).await.unwrap();
    assert!(repository.forget(policy).await.unwrap().removed.is_empty());
    repository.prune(PruneOptions::new()).await.unwrap();
    assert_whole(&[&sink], &source, "latest", dir.path()).await;

    // A share of the data each day.
    let whole = repository.verified().await.unwrap();
    assert!(whole.is_some(), "all of it was read above");
    let packs = packs(&sink).len() as u64;
    let shares: Vec<u64> = {
        let mut read = Vec::new();
        for part in 0..3 {
            read.push(repository.check(CheckOptions::subset(part, 3)).await.unwrap().packs_read);
        }
        read
    };
    assert_eq!(shares.iter().sum::<u64>(), packs);
    for _ in 0..4 {
        assert!(repository.check(CheckOptions::rotation(4)).await.unwrap().packs_read <= packs);
    }
    assert!(repository.verified().await.unwrap() >= whole, "four turns of one day are all of it");
    assert!(repository.check(CheckOptions::all_data()).await.unwrap().is_ok());
}

/// Every operation can be given to a task.
#[test]
fn operations_are_send() {
    fn is_send<T: Send>(_: T) {}
    #[allow(dead_code, reason = "compiling is the test")]
    fn all(repository: &Repository, entry: &aeth_backup::SnapshotEntry) {
        is_send(repository.forget(ForgetOptions::default()));
        is_send(repository.prune(PruneOptions::new()));
        is_send(repository.check(CheckOptions::all_data()));
        is_send(repository.repair_replicas(RepairOptions::new()));
        is_send(repository.repair_index(RepairOptions::new()));
        is_send(repository.repair_packs(&[], RepairOptions::new()));
        is_send(repository.repair_snapshots(RepairOptions::new()));
        is_send(repository.copy_to(repository, aeth_backup::CopyOptions::new()));
        is_send(repository.dump(entry, "/"));
        is_send(repository.keys());
        is_send(repository.snapshot("latest"));
    }
}
