//! The facade as a host uses it: opening, closing, coming back, refusing, restoring.
#![cfg(all(
    feature = "cache",
    feature = "files",
    feature = "backup",
    feature = "metrics",
    feature = "sqlite"
))]
#![allow(clippy::unwrap_used)]

use aetherius::core::conformance::blob_store::BlobSubject;
use aetherius::core::observe::Status;
use aetherius::prelude::*;
use aetherius::sqlx;
use aetherius::{Encryption, ErrorKind, SecretSource, StorageBuilder};
use std::fs;
use std::path::Path;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

fn secret() -> Secret {
    Secret::new("a test's own secret")
}

fn with_backup(dir: &Path) -> StorageBuilder {
    Storage::builder(dir.join("data")).secret(secret()).backup_to(dir.join("a")).backup_to(dir.join("b"))
}

async fn fill(storage: &Storage) {
    storage.files().put("notes/1.txt", "remember the milk").await.unwrap();
    storage.files().put("empty", "").await.unwrap();
    let mut writer = storage.database().unwrap().sqlite().unwrap().write().await.unwrap();
    sqlx::query("CREATE TABLE IF NOT EXISTS t (x INTEGER)").execute(&mut writer).await.unwrap();
    sqlx::query("INSERT INTO t VALUES (42)").execute(&mut writer).await.unwrap();
}

async fn check(storage: &Storage) {
    assert_eq!(storage.files().get("notes/1.txt").await.unwrap(), "remember the milk");
    assert_eq!(storage.files().get("empty").await.unwrap(), "");
    let mut reader = storage.database().unwrap().sqlite().unwrap().read().await.unwrap();
    let x: i64 = sqlx::query_scalar("SELECT x FROM t").fetch_one(&mut reader).await.unwrap();
    assert_eq!(x, 42);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_is_there_after_a_restart() {
    let dir = testkit::temp_dir();
    for secret in [None, Some(secret())] {
        let data = dir.path().join(if secret.is_some() { "sealed" } else { "plain" });
        let open = || {
            let builder = Storage::builder(&data);
            match &secret {
                Some(secret) => builder.secret(secret.clone()),
                None => builder,
            }
        };
        let storage = open().open().await.unwrap();
        fill(&storage).await;
        let users = storage.cache::<String>("users").unwrap();
        let user =
            users.get_or_load(&7u64, || async { Ok::<_, aetherius::Error>("ann".to_owned()) }).await.unwrap();
        assert_eq!((*user).as_str(), "ann");
        assert!(storage.cache::<u64>("users").is_err(), "the same name with another type");
        storage.shutdown(DEADLINE).await.unwrap();
        storage.shutdown(DEADLINE).await.unwrap();
        let again = open().open().await.unwrap();
        check(&again).await;
        again.shutdown(DEADLINE).await.unwrap();
        let stored = fs::read(data.join("files/notes/1.txt")).unwrap();
        let in_clear = stored.windows(4).any(|window| window == b"milk");
        assert_eq!(in_clear, secret.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_storage_on_the_directory_is_told_who_has_it() {
    let dir = testkit::temp_dir();
    let first = Storage::open(dir.path()).await.unwrap();
    let error = Storage::open(dir.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    first.shutdown(DEADLINE).await.unwrap();
    Storage::open(dir.path()).await.unwrap().shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_that_do_not_fit_are_refused_and_harm_nothing() {
    let dir = testkit::temp_dir();
    let (sealed, plain) = (dir.path().join("sealed"), dir.path().join("plain"));
    let storage = Storage::builder(&sealed).secret(secret()).open().await.unwrap();
    fill(&storage).await;
    storage.shutdown(DEADLINE).await.unwrap();
    let wrong = Storage::builder(&sealed).secret(Secret::new("another")).open().await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Denied, "{wrong}");
    assert!(wrong.remedy().is_some() && !wrong.to_string().contains("another"), "{wrong}");
    let none = Storage::open(&sealed).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Denied, "{none}");
    let off =
        Storage::builder(&sealed).secret(secret()).encryption(Encryption::Off).open().await.unwrap_err();
    assert_eq!(off.kind(), ErrorKind::Denied, "{off}");
    fs::rename(sealed.join("keys"), sealed.join("mislaid")).unwrap();
    let lost = Storage::builder(&sealed).secret(secret()).open().await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Precondition, "{lost}");
    fs::rename(sealed.join("mislaid"), sealed.join("keys")).unwrap();
    let storage = Storage::builder(&sealed).secret(secret()).open().await.unwrap();
    check(&storage).await;
    storage.shutdown(DEADLINE).await.unwrap();

    let storage = Storage::open(&plain).await.unwrap();
    fill(&storage).await;
    storage.shutdown(DEADLINE).await.unwrap();
    let late = Storage::builder(&plain).secret(secret()).open().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Precondition, "{late}");
    let kept = Storage::builder(&plain).secret(secret()).encryption(Encryption::Off).open().await.unwrap();
    check(&kept).await;
    kept.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_is_reported_at_once_and_nothing_is_opened() {
    let dir = testkit::temp_dir();
    let data = dir.path().join("data");
    fs::write(dir.path().join("a-file"), "x").unwrap();
    let mut settings = Settings::new(&data);
    settings.cache.memory = aetherius::Size::from_bytes(10);
    settings.secret = Some(SecretSource::File(dir.path().join("no-such-secret")));
    settings.files.encryption = Encryption::Required;
    settings.database.readers = 0;
    settings.backup.locations =
        ["a-file", "twice", "twice", "data/files/x"].map(|name| dir.path().join(name).into()).into();
    settings.backup.directories = vec![dir.path().join("no-such-directory")];
    settings.health.disk_down_percent = 10;
    let error = Storage::from_settings(&settings).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let text = error.to_string();
    for named in [
        "cache.memory",
        "no-such-secret",
        "files.encryption",
        "database.readers",
        "backup.locations[0]",
        "backup.locations[2]",
        "backup.locations[3]",
        "no-such-directory",
        "health.disk_down_percent",
    ] {
        assert!(text.contains(named), "{named} is missing in: {text}");
    }
    assert!(!data.exists(), "something was opened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_there_is_no_backup_and_health_says_so() {
    let dir = testkit::temp_dir();
    let storage = Storage::open(dir.path()).await.unwrap();
    let health = storage.health().await;
    let backup = &health.component("backup").unwrap().health;
    assert_eq!(backup.status, Status::Degraded);
    assert!(backup.reason.as_deref().unwrap().contains("backup_to"), "{backup:?}");
    let error = storage.backup().run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.remedy().is_some());
    for part in ["cache", "database", "storage", "volumes"] {
        assert!(health.component(part).is_some(), "{part} has no health");
    }
    storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_machine_gets_everything_back_in_one_call() {
    let dir = testkit::temp_dir();
    let tree = dir.path().join("tree");
    testkit::Shape::new(3).files(40).bytes(1 << 18).build(&tree).unwrap();
    let builder = || with_backup(dir.path()).backup_directory(&tree);
    let storage = builder().open().await.unwrap();
    fill(&storage).await;
    let report = storage.backup().run().await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let kept = builder().restore(RestorePoint::Latest).await.unwrap_err();
    assert_eq!(kept.kind(), ErrorKind::Busy, "the directory is open: {kept}");
    storage.shutdown(DEADLINE).await.unwrap();
    let kept = builder().restore(RestorePoint::Latest).await.unwrap_err();
    assert_eq!(kept.kind(), ErrorKind::AlreadyExists, "nothing of value is overwritten: {kept}");

    fs::remove_dir_all(dir.path().join("data")).unwrap();
    // One location is lost as well.
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    let unknown = builder().restore(RestorePoint::Id("0123abcd".into())).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");
    let restored = builder().restore(RestorePoint::Latest).await.unwrap();
    assert_eq!((restored.files.blobs, restored.files.skipped_total, restored.database), (2, 0, true));
    check(&restored.storage).await;
    let target = dir.path().join("tree-again");
    let progress = aetherius::backup::Progress::new();
    let whole = restored.storage.backup();
    let report = whole.restore_directory(&RestorePoint::Latest, &tree, &target, progress).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    testkit::assert_same_tree(&tree, &target, testkit::Compare::full());
    restored.storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_did_not_finish_is_refused_and_begun_anew() {
    let dir = testkit::temp_dir();
    let data = dir.path().join("data");
    let storage = with_backup(dir.path()).open().await.unwrap();
    fill(&storage).await;
    storage.backup().run().await.unwrap();
    storage.shutdown(DEADLINE).await.unwrap();
    // What a kill in the middle leaves: the mark, files without an index, half a key.
    fs::remove_dir_all(data.join("db")).unwrap();
    fs::remove_dir_all(data.join("keys")).unwrap();
    fs::write(data.join("restoring"), "").unwrap();
    let error = with_backup(dir.path()).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    let restored = with_backup(dir.path()).restore(RestorePoint::Latest).await.unwrap();
    check(&restored.storage).await;
    restored.storage.shutdown(DEADLINE).await.unwrap();
    with_backup(dir.path()).open().await.unwrap().shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_location_that_is_away_keeps_nothing_from_working() {
    let dir = testkit::temp_dir();
    fs::write(dir.path().join("not-mounted"), "a file where a disk should be").unwrap();
    let away = dir.path().join("not-mounted").join("repository");
    let storage =
        Storage::builder(dir.path().join("data")).secret(secret()).backup_to(&away).open().await.unwrap();
    fill(&storage).await;
    let error = storage.backup().run().await.unwrap_err();
    assert!(error.to_string().contains("not-mounted"), "{error}");
    let health = storage.health().await;
    assert_eq!(health.component("backup").unwrap().health.status, Status::Degraded);
    fs::remove_file(dir.path().join("not-mounted")).unwrap();
    let report = storage.backup().run().await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_locations_is_enough_and_the_other_catches_up() {
    let dir = testkit::temp_dir();
    let storage = with_backup(dir.path()).open().await.unwrap();
    fill(&storage).await;
    storage.backup().run().await.unwrap();
    storage.shutdown(DEADLINE).await.unwrap();
    // The second disk is not mounted: its directory is there and empty.
    fs::rename(dir.path().join("b"), dir.path().join("b-elsewhere")).unwrap();
    fs::create_dir(dir.path().join("b")).unwrap();
    let storage = with_backup(dir.path()).open().await.unwrap();
    let report = storage.backup().run().await.unwrap();
    assert_eq!(report.sinks.iter().filter(|sink| sink.error.is_none()).count(), 1, "{report:?}");
    let health = storage.health().await;
    let backup = &health.component("backup").unwrap().health;
    assert!(backup.reason.as_deref().unwrap().contains("did not reach"), "{backup:?}");
    storage.shutdown(DEADLINE).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("b")).unwrap().count(), 0, "the mount point was written to");
    // It is mounted again.
    fs::remove_dir(dir.path().join("b")).unwrap();
    fs::rename(dir.path().join("b-elsewhere"), dir.path().join("b")).unwrap();
    let storage = with_backup(dir.path()).open().await.unwrap();
    assert!(storage.backup().run().await.unwrap().is_complete());
    storage.shutdown(DEADLINE).await.unwrap();
    let snapshots = |name: &str| fs::read_dir(dir.path().join(name).join("snapshots")).unwrap().count();
    assert_eq!((snapshots("a"), snapshots("b")), (3, 3));
    // The disk is lost, and a new one stands in its place.
    fs::remove_dir_all(dir.path().join("b")).unwrap();
    let storage = with_backup(dir.path()).fill_lost_locations().open().await.unwrap();
    assert!(storage.backup().run().await.unwrap().is_complete());
    storage.shutdown(DEADLINE).await.unwrap();
    assert_eq!((snapshots("a"), snapshots("b")), (4, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_directory_is_not_adopted() {
    let dir = testkit::temp_dir();
    fs::create_dir(dir.path().join("db")).unwrap();
    fs::write(dir.path().join("db/precious"), "x").unwrap();
    let error = Storage::open(dir.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    assert!(dir.path().join("db/precious").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_a_run_and_what_comes_after_is_closed() {
    let dir = testkit::temp_dir();
    let tree = dir.path().join("tree");
    testkit::Shape::new(9).files(2_000).bytes(64 << 20).build(&tree).unwrap();
    let storage = with_backup(dir.path()).backup_directory(&tree).open().await.unwrap();
    let running = storage.clone();
    let run = storage.tasks().spawn(async move { running.backup().run().await });
    while !dir.path().join("a/data").exists() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    storage.shutdown(DEADLINE).await.unwrap();
    match run.await.unwrap() {
        Ok(report) => assert!(report.is_complete(), "it was done before: {report:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
    }
    assert_eq!(storage.backup().run().await.unwrap_err().kind(), ErrorKind::Closed);
    let again = with_backup(dir.path()).backup_directory(&tree).open().await.unwrap();
    assert!(again.backup().run().await.unwrap().is_complete());
    again.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_backup_password_is_known_when_the_storage_opens() {
    let dir = testkit::temp_dir();
    with_backup(dir.path()).open().await.unwrap().shutdown(DEADLINE).await.unwrap();
    let error = with_backup(dir.path()).backup_password(Secret::new("guess")).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("password"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_a_newer_release_is_refused() {
    let dir = testkit::temp_dir();
    Storage::open(dir.path()).await.unwrap().shutdown(DEADLINE).await.unwrap();
    fs::write(dir.path().join("layout"), "2\n").unwrap();
    assert_eq!(Storage::open(dir.path()).await.unwrap_err().kind(), ErrorKind::Unsupported);
    // A crash while the file was made leaves it empty.
    fs::write(dir.path().join("layout"), "").unwrap();
    Storage::open(dir.path()).await.unwrap().shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_facades_own_composition_keeps_the_laws_of_stores() {
    let dir = testkit::temp_dir();
    let storage = Storage::builder(dir.path()).secret(secret()).open().await.unwrap();
    let report = BlobSubject::new(std::sync::Arc::clone(storage.files().store())).run().await;
    assert!(report.is_ok(), "{report}");
    storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_facades_parts_keep_the_laws_of_metrics_and_health() {
    use aetherius::core::conformance::{health_check, metrics_source};
    use aetherius::core::observe::{HealthCheck, MetricsSource};
    use std::sync::Arc;
    let dir = testkit::temp_dir();
    let storage = with_backup(dir.path()).open().await.unwrap();
    fill(&storage).await;
    let (files, caches) = (storage.files().clone(), storage.caches().clone());
    let (database, volumes) = (storage.database().unwrap().clone(), storage.volumes().clone());
    // Health shows what was found when it was asked last.
    drop(storage.health().await);
    let sources: [Arc<dyn MetricsSource>; 6] = [
        Arc::new(files.clone()),
        Arc::new(caches.clone()),
        Arc::new(database.clone()),
        Arc::new(volumes.clone()),
        Arc::new(storage.backup().monitor().clone()),
        Arc::new(storage.health_checks().clone()),
    ];
    for source in sources {
        let component = source.component().into_owned();
        let report = metrics_source::run_all(source).await;
        assert!(report.is_ok(), "{component}: {report}");
    }
    let checks: [Arc<dyn HealthCheck>; 5] = [
        Arc::new(files),
        Arc::new(caches),
        Arc::new(database),
        Arc::new(volumes),
        Arc::new(storage.backup().monitor().clone()),
    ];
    for check in checks {
        let component = check.component().into_owned();
        let report = health_check::run_all(check).await;
        assert!(report.is_ok(), "{component}: {report}");
    }
    storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_happened() {
    let dir = testkit::temp_dir();
    let storage = with_backup(dir.path()).open().await.unwrap();
    fill(&storage).await;
    storage.files().survey().await.unwrap();
    storage.backup().run().await.unwrap();
    let metrics = storage.metrics().storage_metrics();
    assert_eq!(metrics.backups.failures, Some(0));
    let text = storage.metrics().collect().render(aetherius::metrics::Format::OpenMetrics);
    for family in [
        "aeth_files_size_bytes",
        "aeth_db_connections",
        "aeth_cache_memory",
        "aeth_volume_size",
        "aeth_backup_last_success",
    ] {
        assert!(text.contains(family), "{family} is not exported");
    }
    assert!(text.ends_with("# EOF\n"));
    storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_backs_up_forgets_prunes_checks_and_drills_until_the_storage_closes() {
    use aetherius::backup::{DrillOptions, ForgetOptions, Notice, RetentionPolicy, Severity};
    let dir = testkit::temp_dir();
    let mut settings = Settings::new(dir.path().join("data"));
    settings.backup.locations.push(dir.path().join("a").into());
    settings.backup.schedule = Some("* * * * * *".into());
    settings.backup.keep = aetherius::KeepSettings::default().last(1);
    settings.backup.drill = Some("CRON_TZ=UTC * * * * * *".into());
    settings.health.backup_max_unverified = Some("1h".parse().unwrap());
    let storage = StorageBuilder::from_settings(&settings).secret(secret()).open().await.unwrap();
    let schedule = storage.backup().schedule().expect("it is configured");
    let mut notices = schedule.subscribe();
    fill(&storage).await;
    let mut seen = std::collections::BTreeSet::new();
    let everything = async {
        while seen.len() < 5 {
            let notice = notices.recv().await.unwrap();
            match &notice {
                Notice::Finished { .. } => seen.insert("finished"),
                Notice::Forgot { snapshots: 1.. } => seen.insert("forgot"),
                Notice::Pruned { .. } => seen.insert("pruned"),
                Notice::Checked { .. } => seen.insert("checked"),
                Notice::DrillPassed { .. } => seen.insert("drilled"),
                // The first drill may come before the first run.
                Notice::DrillFailed { error, .. } => {
                    assert!(error.is_not_found(), "{notice}");
                    continue;
                }
                other => {
                    assert_ne!(other.severity(), Severity::Error, "{other}");
                    continue;
                }
            };
        }
    };
    tokio::time::timeout(Duration::from_secs(120), everything).await.expect("it does not do everything");
    assert!(storage.backup().monitor().record().verified.is_some());
    storage.shutdown(DEADLINE).await.unwrap();
    let closed = storage.backup().run().await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Closed);

    // Without a schedule the same is said by hand, and only what a storage made is forgotten.
    settings.backup.schedule = None;
    settings.backup.keep = aetherius::KeepSettings::default();
    settings.backup.drill = None;
    let storage = StorageBuilder::from_settings(&settings).secret(secret()).open().await.unwrap();
    let backup = storage.backup();
    assert!(backup.schedule().is_none());
    let foreign = aetherius::backup::Plan::new()
        .source(aetherius::backup::Source::files("/foreign", aetherius::backup::StreamSource::new()));
    let foreign = backup.repository().await.unwrap().backup(foreign).await.unwrap();
    backup.run().await.unwrap();
    backup.forget(ForgetOptions::new(RetentionPolicy::new().last(1))).await.unwrap();
    let left = backup.snapshots().await.unwrap();
    assert!(left.len() == 2 && left.iter().any(|entry| entry.id == foreign.snapshot.id), "{left:?}");
    assert!(backup.drill(DrillOptions::new(dir.path().join("drill"))).await.unwrap().passed());
    check(&storage).await;
    storage.shutdown(DEADLINE).await.unwrap();
}

#[test]
fn mistakes_in_a_schedule_are_found_before_anything_is_opened() {
    let dir = testkit::temp_dir();
    let mut settings = Settings::new(dir.path().join("data"));
    settings.backup.drill = Some("at night".into());
    settings.backup.keep.within = Some("a while".into());
    settings.backup.keep.daily = 3;
    let open = |settings: &Settings| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let opened = runtime.block_on(StorageBuilder::from_settings(settings).secret(secret()).open());
        opened.map(drop).unwrap_err()
    };
    let error = format!("{:?}", open(&settings));
    for word in ["backup.drill", "at night", "backup.keep.within", "backup.schedule"] {
        assert!(error.contains(word), "{word} is not in {error}");
    }
    settings.backup = aetherius::BackupSettings::default();
    settings.backup.schedule = Some("30 2 * * *".into());
    assert!(format!("{:?}", open(&settings)).contains("backup.locations"));
    assert!(!dir.path().join("data").exists());
}
