//! What a plan may hold: rules that leave things out, streams, commands, configuration, volumes, copies, hooks.

use crate::common::*;
use aeth_backup::{
    BackupReport, CommandSource, ConfigSet, CopySource, ExternalCommand, Hook, OnlineCopy, Outcome,
    PathSource, Plan, Repository, RestoreOptions, Source, StreamSource, VirtualFile, VolumeSource,
};
use aeth_core::{ErrorKind, Secret, async_trait};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// The paths of a snapshot below `at`, relative to it.
async fn paths(repository: &Repository, report: &BackupReport, at: &str) -> Vec<String> {
    let entries: Vec<_> = repository.entries(&report.snapshot, at).try_collect().await.unwrap();
    let path = |path: Vec<u8>| String::from_utf8_lossy(&path).into_owned();
    let below = |entry: String| Some(entry.strip_prefix(at)?.strip_prefix('/')?.to_owned());
    entries.into_iter().filter_map(|entry| below(path(entry.path))).collect()
}

async fn content(repository: &Repository, report: &BackupReport, at: &str) -> Vec<u8> {
    let entries: Vec<_> = repository.entries(&report.snapshot, at).try_collect().await.unwrap();
    let pieces: Vec<Bytes> = repository.content(&entries[0].node).try_collect().await.unwrap();
    pieces.concat()
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test]
async fn rules_leave_out_what_they_say_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let source = root.join("s");
    let cache = "Signature: 8a477f597d28d172789f06886806bc55\n# by a test";
    for (path, text) in [
        ("a.tmp", "x"),
        ("keep.tmp", "x"),
        ("target/build", "x"),
        ("deep/target/kept", "x"),
        ("deep/LOUD.JPG", "x"),
        ("cache/CACHEDIR.TAG", cache),
        ("cache/entry", "x"),
        ("no cache/CACHEDIR.TAG", "something else"),
        ("no cache/entry", "x"),
        ("tagged/.nobackup", ""),
        ("tagged/inner/file", "x"),
        ("headed/.skip", "skip this\nplease"),
        ("headed/file", "x"),
        ("unheaded/.skip", "keep this"),
        ("unheaded/file", "x"),
        ("large", "more than ten bytes"),
        ("from file/out", "x"),
    ] {
        write(&source.join(path), text);
    }
    let patterns = root.join("patterns");
    std::fs::write(&patterns, "# what is out\n\n/from file/out\n").unwrap();
    let own = source.join("deep/target/kept.not");
    let path = PathSource::new(&source)
        .unwrap()
        .exclude_patterns(["*.tmp", "!keep.tmp", "/target/", own.to_str().unwrap()])
        .unwrap()
        .iexclude_patterns(["*.jpg"])
        .unwrap()
        .exclude_file(&patterns)
        .unwrap()
        .exclude_caches()
        .exclude_if_present(".nobackup")
        .unwrap()
        .exclude_if_present(".skip:skip this")
        .unwrap()
        .exclude_larger_than(60);
    // Above: the greatest text that is kept has 55 bytes.
    write(&source.join("large"), &"x".repeat(61));
    let repository = init(&[&root.join("r")]).await;
    let report = repository.backup(Plan::new().source(path)).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(
        paths(&repository, &report, source.to_str().unwrap()).await,
        [
            "cache",
            "cache/CACHEDIR.TAG",
            "deep",
            "deep/target",
            "deep/target/kept",
            "from file",
            "headed",
            "headed/.skip",
            "keep.tmp",
            "no cache",
            "no cache/CACHEDIR.TAG",
            "no cache/entry",
            "tagged",
            "tagged/.nobackup",
            "unheaded",
            "unheaded/.skip",
            "unheaded/file",
        ]
    );
    assert_eq!(report.snapshot.snapshot.excludes.len(), 6, "{:?}", report.snapshot.snapshot.excludes);

    let bad = PathSource::new(&source).unwrap().exclude_patterns(["fine", "a[b"]).unwrap_err();
    assert!(bad.kind() == ErrorKind::Invalid && bad.key() == Some("a[b"), "{bad}");
    let missing = PathSource::new(&source).unwrap().exclude_file(root.join("no such file")).unwrap_err();
    assert!(missing.is_not_found() && missing.to_string().contains("no such file"), "{missing}");
}

#[tokio::test]
async fn a_stream_that_gives_nothing_is_left_out_and_does_not_hold_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let repository = init(&[&dir.path().join("r")]).await;
    let silent = || futures_util::stream::pending::<aeth_core::Result<Bytes>>().boxed();
    let halting = futures_util::stream::iter([Ok(Bytes::from(vec![7; 900 << 10]))]).chain(silent()).boxed();
    let once = |stream| aeth_core::Body::Once(stream, None);
    let streams = StreamSource::new()
        .file(VirtualFile::new("silent", UNIX_EPOCH), once(silent()))
        .file(VirtualFile::new("halting", UNIX_EPOCH), once(halting))
        .bytes(VirtualFile::new("well", UNIX_EPOCH), "here");
    let plan = Plan::new().source(Source::files("/app", streams)).stall_timeout(Duration::from_millis(50));
    let report = repository.backup(plan).await.unwrap();
    let skipped: Vec<_> = report.skipped.iter().map(|item| (item.path.as_str(), item.error.kind())).collect();
    assert_eq!(skipped, [("/app/halting", ErrorKind::Timeout), ("/app/silent", ErrorKind::Timeout)]);
    assert_eq!(paths(&repository, &report, "/app").await, ["well"]);

    // A cancelled run does not wait for one either.
    let stuck = StreamSource::new().file(VirtualFile::new("silent", UNIX_EPOCH), once(silent()));
    let token = CancellationToken::new();
    let plan = Plan::new().source(Source::files("/app", stuck)).cancel_with(token.clone());
    let (result, ()) = tokio::join!(repository.backup(plan), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        token.cancel();
    });
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    assert!(files_below(&dir.path().join("r/locks")).is_empty());
}

#[tokio::test]
async fn commands_are_files_and_their_failures_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let repository = init(&[&dir.path().join("r")]).await;
    let shell = |script: &str| ExternalCommand::new("sh").args(["-c", script]);
    let file = || VirtualFile::new("", UNIX_EPOCH);
    let source = |at: &str, script: &str| Source::files(at, CommandSource::new(file(), shell(script)));
    let noisy = "i=0; while [ $i -lt 3000 ]; do echo 'some noise on the other side, more than a pipe holds' >&2; \
                 i=$((i+1)); done; printf done";
    let plan = Plan::new()
        .source(source("/dumps/good", "printf '%s' \"$VALUE\"; sleep 0"))
        .source(source("/dumps/noisy", noisy))
        .source(source("/dumps/failing", "printf half; echo first >&2; echo 'no such table' >&2; exit 3"))
        .source(source("/dumps/slow", "printf half; sleep 1000"))
        .source(Source::files(
            "/dumps/missing",
            CommandSource::new(file(), ExternalCommand::new("/no/program")),
        ))
        .stall_timeout(Duration::from_secs(1));
    let report = repository.backup(plan).await.unwrap();
    let error = |path: &str| {
        let found = report.skipped.iter().find(|item| item.path == path);
        found.unwrap_or_else(|| panic!("{path} is not in {:?}", report.skipped)).error.clone()
    };
    let failed = error("/dumps/failing").to_string();
    assert!(
        failed.contains("no such table") && failed.contains('3') && !failed.contains("first"),
        "{failed}"
    );
    assert_eq!(error("/dumps/slow").kind(), ErrorKind::Timeout);
    assert!(error("/dumps/missing").is_not_found());
    assert_eq!(report.skipped_total, 3);
    assert_eq!(paths(&repository, &report, "/dumps").await, ["good", "noisy"]);
    assert_eq!(content(&repository, &report, "/dumps/noisy").await, b"done");
}

#[tokio::test]
async fn a_configuration_comes_back_with_its_secrets_and_shows_none() {
    let dir = tempfile::tempdir().unwrap();
    let repository = init(&[&dir.path().join("r")]).await;
    let set = || {
        ConfigSet::new()
            .text("app.toml", "port = 80\n")
            .unwrap()
            .value("nested/limits.json", &[1, 2, 3])
            .unwrap()
            .secret("keys/signing", Secret::new("a very secret thing".to_owned()))
            .unwrap()
    };
    assert!(!format!("{:?}", set()).contains("very secret"));
    for name in ["", "/x", "a//b", "../x", "a/./b", "secrets/mine"] {
        let error = ConfigSet::new().text(name, "").unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.remedy().is_some(), "{name}: {error}");
    }
    let plan = || Plan::new().source(Source::files("/app/config", set()));
    let report = repository.backup(plan()).await.unwrap();
    assert!(report.is_complete() && !format!("{report:?}").contains("very secret"));
    let back = ConfigSet::from_snapshot(&repository, &report.snapshot, "/app/config").await.unwrap();
    assert_eq!(back.texts()["app.toml"], "port = 80\n");
    assert_eq!(back.texts().len(), 2);
    assert_eq!(back.secrets()["keys/signing"].expose(), b"a very secret thing");
    let target = dir.path().join("t");
    repository.restore(&report.snapshot, RestoreOptions::new(&target).root("/app/config")).await.unwrap();
    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &str| std::fs::metadata(target.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("secrets/keys/signing"), mode("app.toml")), (0o600, 0o640));
    // Nothing in clear in the repository.
    for file in files_below(&dir.path().join("r")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(11).any(|window| window == b"very secret"), "{file:?}");
    }
    let again = repository.backup(plan()).await.unwrap();
    assert_eq!(again.snapshot.snapshot.tree, report.snapshot.snapshot.tree);
    let missing = ConfigSet::from_snapshot(&repository, &report.snapshot, "/nowhere").await;
    assert!(missing.unwrap_err().is_not_found());
}

/// Copies by writing, or fails.
#[derive(Debug)]
struct Copier(Option<&'static str>);

#[async_trait]
impl OnlineCopy for Copier {
    async fn copy_to(&self, path: &Path) -> aeth_core::Result<()> {
        match self.0 {
            Some(text) => Ok(std::fs::write(path, text)?),
            None => Err(aeth_core::Error::unavailable("the database is gone")),
        }
    }
}

#[tokio::test]
async fn copies_and_volumes_have_their_places_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let repository = init(&[&dir.path().join("r")]).await;
    let (scratch, volume) = (dir.path().join("scratch"), dir.path().join("volume"));
    sample_tree(&volume, 11);
    let copy = |copier| CopySource::new("/databases/app.sqlite", &scratch, copier);
    let uploads = VolumeSource::new("uploads", &volume)
        .unwrap()
        .label("driver", "local")
        .data(|data| data.exclude_patterns(["/deep"]).unwrap());
    let plan = Plan::new().source(copy(Copier(Some("consistent")))).sources(uploads.into_sources());
    let report = repository.backup(plan).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(content(&repository, &report, "/databases/app.sqlite").await, b"consistent");
    assert!(files_below(&scratch).is_empty(), "{:?}", files_below(&scratch));
    let description = content(&repository, &report, "/volumes/uploads/volume.json").await;
    let description: serde_json::Value = serde_json::from_slice(&description).unwrap();
    assert_eq!(description["labels"]["driver"], "local");
    assert_eq!(description["name"], "uploads");
    let held = paths(&repository, &report, "/volumes/uploads/data").await;
    assert!(held.contains(&"sparse".to_owned()) && !held.contains(&"deep".to_owned()), "{held:?}");
    for name in ["", "a/b", ".."] {
        assert_eq!(VolumeSource::new(name, &volume).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(VolumeSource::new("x", volume.join("empty")).is_err());

    // Without its database a backup is none.
    let error = repository.backup(Plan::new().source(copy(Copier(None)))).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("app.sqlite"), "{error}");
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);
    assert!(std::fs::read_dir(&scratch).unwrap().next().is_none());
}

#[tokio::test]
async fn hooks_come_in_order_and_what_was_stopped_is_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let repository = init(&[&dir.path().join("r")]).await;
    let log = Arc::new(parking_lot::Mutex::new(Vec::<String>::new()));
    let source = || Source::files("/app", StreamSource::new().bytes(VirtualFile::new("x", UNIX_EPOCH), "x"));
    let call = |name: &'static str, fails: bool| {
        let log = Arc::clone(&log);
        Hook::call(name, move |outcome: Option<Outcome>| {
            let said = outcome.map_or("before", |outcome| outcome.as_str());
            log.lock().push(format!("{name} {said}"));
            async move { if fails { Err(aeth_core::Error::other("refused to")) } else { Ok(()) } }
        })
    };
    let take = || std::mem::take(&mut *log.lock());

    let told = dir.path().join("told");
    let script =
        format!("echo \"$AETHERIUS_BACKUP_OUTCOME $AETHERIUS_BACKUP_SNAPSHOT\" > '{}'", told.display());
    let plan = Plan::new()
        .source(source())
        .before(call("stop", false))
        .before(call("note", true).optional())
        .after(Hook::command("write", ExternalCommand::new("sh").args(["-c", &script])))
        .after(call("start", false));
    let report = repository.backup(plan).await.unwrap();
    assert_eq!(take(), ["stop before", "note before", "start complete"]);
    assert!(report.is_complete() && report.hooks.len() == 1 && report.hooks[0].hook == "note", "{report:?}");
    assert_eq!(std::fs::read_to_string(&told).unwrap(), format!("complete {}\n", report.snapshot.id));

    // A hook that must succeed ends the run; the ones after it come all the same.
    let plan = Plan::new()
        .source(source())
        .before(call("stop", false))
        .before(call("check", true))
        .before(call("never", false))
        .after(call("start", false));
    let error = repository.backup(plan).await.unwrap_err();
    assert!(error.to_string().contains("hook check") && error.to_string().contains("refused to"), "{error}");
    assert_eq!(take(), ["stop before", "check before", "start failed"]);
    assert_eq!(repository.snapshots().await.unwrap().len(), 1);

    // One that fails afterwards, and one that hangs, leave the snapshot and are named.
    let plan = Plan::new()
        .source(source())
        .after(
            Hook::command("hang", ExternalCommand::new("sleep").arg("1000"))
                .timeout(Duration::from_millis(50)),
        )
        .after(call("fail", true))
        .after(call("last", false));
    let report = repository.backup(plan).await.unwrap();
    assert_eq!(take(), ["fail complete", "last complete"]);
    let failed: Vec<_> = report.hooks.iter().map(|hook| (hook.hook.as_str(), hook.error.kind())).collect();
    assert_eq!(failed, [("hang", ErrorKind::Timeout), ("fail", ErrorKind::Other)]);
    assert!(!report.is_complete());

    // A run whose future is dropped starts again what it stopped.
    let stuck = futures_util::stream::pending::<aeth_core::Result<Bytes>>().boxed();
    let stuck =
        StreamSource::new().file(VirtualFile::new("stuck", UNIX_EPOCH), aeth_core::Body::Once(stuck, None));
    let plan = Plan::new()
        .source(Source::files("/stuck", stuck))
        .before(call("stop", false))
        .after(call("start", false));
    let grown = async |length| {
        while log.lock().len() < length {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = repository.backup(plan) => panic!("it ended without its stream"),
        () = grown(1) => {}
    }
    tokio::time::timeout(Duration::from_secs(60), grown(2)).await.expect("what was stopped stays so");
    assert_eq!(take(), ["stop before", "start failed"]);
}

#[tokio::test]
async fn a_directory_that_contains_itself_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("s");
    write(&source.join("file"), "x");
    std::fs::create_dir(source.join("inner")).unwrap();
    let mount =
        std::process::Command::new("mount").arg("--bind").args([&source, &source.join("inner")]).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("this process may not mount: no loop to be found");
        return;
    }
    let repository = init(&[&dir.path().join("r")]).await;
    let report = repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await;
    let unmounted = std::process::Command::new("umount").arg(source.join("inner")).status().unwrap();
    assert!(unmounted.success());
    let report = report.unwrap();
    assert_eq!(report.skipped_total, 1, "{report:?}");
    let inner = source.canonicalize().unwrap().join("inner");
    assert_eq!(report.skipped[0].path, inner.to_str().unwrap());
    assert!(report.skipped[0].error.to_string().contains("contains itself"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_proves_a_snapshot_and_names_what_is_damaged() {
    use aeth_backup::DrillOptions;
    let dir = tempfile::tempdir().unwrap();
    let (source, sink, scratch) = (dir.path().join("s"), dir.path().join("r"), dir.path().join("drill"));
    sample_tree(&source, 21);
    let repository = init(&[&sink]).await;
    let none = repository.drill(DrillOptions::new(&scratch)).await.unwrap_err();
    assert!(none.is_not_found(), "{none}");
    let report = repository.backup(Plan::new().source(PathSource::new(&source).unwrap())).await.unwrap();
    let drill = repository.drill(DrillOptions::new(&scratch)).await.unwrap();
    assert!(drill.passed() && drill.snapshot == report.snapshot.id, "{drill:?}");
    // The five bytes of a hard link are written once.
    assert!(drill.verified > 100 && drill.bytes + 5 == drill.total_bytes, "{drill:?}");
    let sample = repository.drill(DrillOptions::new(&scratch).sample(50_000).seed(7)).await.unwrap();
    assert!(sample.passed() && sample.files < 40 && sample.files == sample.wanted, "{sample:?}");
    assert!(std::fs::read_dir(&scratch).unwrap().next().is_none());
    // Every pack is damaged in the middle: the drill must see it.
    for pack in files_below(&sink.join("data")) {
        let mut bytes = std::fs::read(&pack).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        std::fs::write(&pack, bytes).unwrap();
    }
    match open(&[&sink]).await.drill(DrillOptions::new(&scratch)).await {
        Ok(drill) => assert!(!drill.passed() && !drill.problems.is_empty(), "{drill:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
    assert!(std::fs::read_dir(&scratch).unwrap().next().is_none());
}

#[cfg(feature = "integration")]
mod git {
    use super::*;
    use aeth_backup::GitSource;

    fn git(dir: &Path, args: &[&str]) -> String {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(dir)
            .args([
                "-c",
                "user.name=Test",
                "-c",
                "user.email=test@localhost",
                "-c",
                "init.defaultBranch=main",
            ])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("install git: this test needs it");
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[tokio::test]
    async fn a_git_repository_comes_back_by_stock_clone() {
        let dir = tempfile::tempdir().unwrap();
        let (work, target) = (dir.path().join("work"), dir.path().join("t"));
        std::fs::create_dir(&work).unwrap();
        git(&work, &["init", "--quiet"]);
        let plan = || Plan::new().source(Source::files("/git/work.bundle", GitSource::new(&work)));
        let repository = init(&[&dir.path().join("r")]).await;
        let empty = repository.backup(plan()).await.unwrap_err();
        assert!(empty.kind() == ErrorKind::Invalid && empty.to_string().contains("no commit"), "{empty}");
        for number in 0..3 {
            write(&work.join("file"), &format!("version {number}"));
            git(&work, &["add", "."]);
            git(&work, &["commit", "--quiet", "-m", "more"]);
        }
        git(&work, &["branch", "side", "HEAD~1"]);
        git(&work, &["tag", "-a", "v1", "-m", "the first"]);
        let references = git(&work, &["show-ref"]);
        let first = repository.backup(plan()).await.unwrap();
        assert!(first.is_complete(), "{first:?}");
        let second = repository.backup(plan()).await.unwrap();
        let counts = second.snapshot.snapshot.summary.clone().unwrap();
        assert_eq!((counts.files_unmodified, counts.data_blobs), (1, 0), "it was made again: {counts:?}");
        write(&work.join("file"), "one more");
        git(&work, &["commit", "--quiet", "-am", "after"]);
        let third = repository.backup(plan()).await.unwrap();
        assert_eq!(third.snapshot.snapshot.summary.clone().unwrap().files_changed, 1);

        let options = RestoreOptions::new(&target).root("/git");
        repository.restore(&second.snapshot, options).await.unwrap();
        git(dir.path(), &["clone", "--quiet", "--mirror", "t/work.bundle", "cloned"]);
        let cloned = dir.path().join("cloned");
        assert_eq!(git(&cloned, &["show-ref"]), references);
        git(&cloned, &["fsck", "--strict"]);

        git(dir.path(), &["clone", "--quiet", "--depth=1", &format!("file://{}", work.display()), "shallow"]);
        let shallow = GitSource::new(dir.path().join("shallow"));
        let error = repository.backup(Plan::new().source(Source::files("/git/s.bundle", shallow))).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
        let none = GitSource::new(dir.path().join("t"));
        let error =
            repository.backup(Plan::new().source(Source::files("/git/n.bundle", none))).await.unwrap_err();
        assert!(error.to_string().contains("not a git repository"), "{error}");
    }
}
