//! Everything on servers at once, and everything said by the environment.

use super::{DEADLINE, SECRET, bucket, redis_settings, secret_file, settings};
use aetherius::prelude::*;
use aetherius::{Error, TierKind, Via};
use testkit::{Moto, Postgres, Redis};

/// What an application does, wherever its storage lies.
async fn application(storage: &Storage) {
    storage.files().put("notes/1.txt", "remember the milk").await.unwrap();
    let users = storage.cache::<String>("users").unwrap();
    let load = || async { Ok::<_, Error>("ann".to_owned()) };
    assert_eq!(*users.get_or_load(&1u64, load).await.unwrap(), "ann");
    let migrations = Migrations::new("app").step(1, "notes", "CREATE TABLE notes (text TEXT)");
    storage.database().unwrap().migrate(&migrations).await.unwrap();
    let report = storage.backup().run().await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(storage.files().get("notes/1.txt").await.unwrap(), "remember the milk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_code_runs_embedded_and_on_servers_that_the_environment_names() {
    let dir = testkit::temp_dir();
    let embedded = {
        let mut settings = settings(dir.path(), "embedded");
        settings.backup.locations = vec![dir.path().join("backup").into()];
        settings
    };
    let path = |name: &str| dir.path().join(name).display().to_string();
    for name in ["env-files", "env-backup"] {
        Moto::shared().make_bucket(name);
    }
    let postgres = Postgres::shared().url(&Postgres::shared().database());
    let pg_dump = Postgres::shared().program("pg_dump").display().to_string();
    let key = secret_file(dir.path(), "key", "secret-key").display().to_string();
    let secret = secret_file(dir.path(), "the-secret", SECRET).display().to_string();
    let url = secret_file(dir.path(), "url", &postgres).display().to_string();
    let redis = secret_file(dir.path(), "redis-url", &Redis::shared().url()).display().to_string();
    let moto = Moto::shared().url();
    let mut variables = vec![
        ("SECRET_FILE", secret.as_str()),
        ("REDIS__URL_FILE", redis.as_str()),
        ("REDIS__PREFIX", "env"),
        ("CACHE__TIERS", "redis, database"),
        ("CACHE__BACKPLANE", "redis"),
        ("DATABASE__URL_FILE", url.as_str()),
        ("FILES__LOCATIONS", "s3://env-files/app"),
        ("FILES__PAGE_CACHE__SIZE", "16MiB"),
        ("BACKUP__PG_DUMP", pg_dump.as_str()),
        ("BACKUP__SCHEDULE", "0 0 1 1 *"),
        ("BACKUP__LEADER", "database"),
    ];
    let places = format!("{},s3://env-backup/repository", path("backup-too"));
    variables.push(("BACKUP__LOCATIONS", places.as_str()));
    let of = |list: &str| {
        ["ENDPOINT", "ALLOW_HTTP", "REGION", "USER", "KEY_FILE"].map(|field| format!("{list}__{field}"))
    };
    let (files, backup) = (of("FILES__LOCATIONS__0"), of("BACKUP__LOCATIONS__1"));
    for names in [&files, &backup] {
        let values = [moto.as_str(), "true", "us-east-1", "app", key.as_str()];
        variables.extend(names.iter().map(String::as_str).zip(values));
    }
    let variables =
        variables.into_iter().map(|(name, value)| (format!("AETHERIUS_{name}"), value.to_owned()));
    let distributed = Settings::new(dir.path().join("distributed")).overlay(variables).unwrap();
    assert_eq!(distributed.cache.tiers, [TierKind::Redis, TierKind::Database]);
    assert_eq!(distributed.backup.leader, Some(Via::Database));

    for settings in [embedded, distributed] {
        let storage = Storage::from_settings(&settings).await.unwrap();
        application(&storage).await;
        storage.shutdown(DEADLINE).await.unwrap();
    }
    // The judge reads the repository where the cloud has it.
    let repository = format!("s3:{}/env-backup/repository", Moto::shared().url());
    let restic = testkit::restic_in(repository, SECRET);
    let mut check = restic.command(["check", "--read-data"]);
    check.env("AWS_ACCESS_KEY_ID", "app").env("AWS_SECRET_ACCESS_KEY", "secret-key");
    check.env("AWS_DEFAULT_REGION", "us-east-1");
    let said = check.output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.contains("no errors were found"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_lost_comes_back_from_the_cloud() {
    let dir = testkit::temp_dir();
    let mut settings = settings(dir.path(), "data");
    settings.backup.locations = vec![bucket(dir.path(), "disaster", "backup")];
    settings.files.locations = vec![bucket(dir.path(), "disaster", "live")];
    settings.redis = Some(redis_settings(&Redis::shared().url(), "disaster"));
    settings.cache.tiers = vec![TierKind::Redis];
    let storage = Storage::from_settings(&settings).await.unwrap();
    application(&storage).await;
    storage.shutdown(DEADLINE).await.unwrap();
    std::fs::remove_dir_all(dir.path().join("data")).unwrap();
    let builder = || aetherius::StorageBuilder::from_settings(&settings);
    let kept = builder().restore(RestorePoint::Latest).await.unwrap_err();
    assert_eq!(kept.kind(), aetherius::ErrorKind::AlreadyExists, "the bucket holds the files: {kept}");
    settings.files.locations = vec![bucket(dir.path(), "disaster", "new-place")];
    let builder = || aetherius::StorageBuilder::from_settings(&settings);
    let restored = builder().restore(RestorePoint::Latest).await.unwrap();
    assert!(restored.database && restored.files.blobs == 1);
    assert_eq!(restored.storage.files().get("notes/1.txt").await.unwrap(), "remember the milk");
    restored.storage.shutdown(DEADLINE).await.unwrap();
}
