//! PostgreSQL instead of SQLite, with replicas, and in the backup.

use super::{DEADLINE, secret, secret_file, settings};
use aetherius::core::observe::Status;
use aetherius::db::{Consistency, Engine, PostgresDatabase};
use aetherius::prelude::*;
use aetherius::{Address, ErrorKind, SecretSource, StorageBuilder, sqlx};
use testkit::Postgres;

async fn run(database: &PostgresDatabase, statement: &'static str) {
    let mut connection = database.write().await.unwrap();
    sqlx::query(statement).execute(&mut connection).await.unwrap();
}

async fn count(database: &PostgresDatabase) -> i64 {
    let mut connection = database.read(Consistency::Strong).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_and_its_replica_by_a_url_in_a_file() {
    let dir = testkit::temp_dir();
    let access =
        "host all all 127.0.0.1/32 trust\nlocal all all trust\nhost replication all 127.0.0.1/32 trust";
    let primary = Postgres::builder().access(access).start();
    let replica = Postgres::builder().start_standby(&primary);
    let url =
        format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), replica.port());
    let mut settings = settings(dir.path(), "data");
    settings.database.url = Some(Address::File(secret_file(dir.path(), "url", &url)));
    settings.database.max_connections = 3;
    let storage = Storage::from_settings(&settings).await.unwrap();
    let database = storage.database().unwrap();
    assert_eq!(database.engine(), Engine::Postgres);
    let postgres = database.postgres().unwrap();
    run(postgres, "CREATE TABLE notes (text text)").await;
    assert_eq!(count(postgres).await, 0);
    assert_eq!(postgres.servers().len(), 2);
    assert_eq!(storage.health().await.component("database").unwrap().health.status, Status::Up);
    storage.shutdown(DEADLINE).await.unwrap();
    assert_eq!(postgres.write().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_point_holds_the_dump_and_an_empty_machine_gets_it_back() {
    let dir = testkit::temp_dir();
    let server = Postgres::shared();
    let builder = |name: &str, database: &str| {
        let mut settings = settings(dir.path(), name);
        settings.database.url = Some(server.url(database).into());
        settings.backup.pg_dump = server.program("pg_dump");
        settings.backup.locations = vec![dir.path().join("backup").into()];
        StorageBuilder::from_settings(&settings)
    };
    let (live, fresh) = (server.database(), server.database());
    let storage = builder("data", &live).open().await.unwrap();
    let postgres = storage.database().unwrap().postgres().unwrap().clone();
    run(&postgres, "CREATE TABLE notes (id bigint PRIMARY KEY, text text)").await;
    run(&postgres, "INSERT INTO notes SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 2000) n")
        .await;
    storage.files().put("a.txt", "beside it").await.unwrap();
    let report = storage.backup().run().await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    run(&postgres, "INSERT INTO notes VALUES (0, 'too late')").await;
    storage.shutdown(DEADLINE).await.unwrap();

    // The judge: stock restic gives the dump, and stock pg_restore reads it.
    let restic = testkit::restic_in(dir.path().join("backup"), super::SECRET);
    let out = dir.path().join("out");
    restic.run(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), out.as_os_str()]);
    let dump = out.join("aetherius/database/app.dump");
    let listed =
        std::process::Command::new(server.program("pg_restore")).arg("--list").arg(&dump).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("TABLE DATA public notes"), "{listed:?}");

    let filled = builder("elsewhere", &live).restore(RestorePoint::Latest).await.unwrap_err();
    assert_eq!(filled.kind(), ErrorKind::AlreadyExists, "{filled}");
    assert!(filled.to_string().contains("notes"), "{filled}");
    let restored = builder("elsewhere", &fresh).restore(RestorePoint::Latest).await.unwrap();
    assert!(restored.database && restored.files.blobs == 1, "{restored:?}");
    assert_eq!(count(restored.storage.database().unwrap().postgres().unwrap()).await, 2000);
    assert_eq!(restored.storage.files().get("a.txt").await.unwrap(), "beside it");
    restored.storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_that_fails_is_no_restore_point() {
    let dir = testkit::temp_dir();
    let server = Postgres::shared();
    let mut settings = settings(dir.path(), "data");
    settings.database.url = Some(server.url(&server.database()).into());
    settings.backup.locations = vec![dir.path().join("backup").into()];
    settings.backup.pg_dump = server.program("pg_dump");
    let storage = Storage::from_settings(&settings).await.unwrap();
    storage.backup().run().await.unwrap();
    storage.shutdown(DEADLINE).await.unwrap();
    settings.backup.pg_dump = "/no/such/pg_dump".into();
    let storage = Storage::from_settings(&settings).await.unwrap();
    let error = storage.backup().run().await.unwrap_err();
    assert!(error.to_string().contains("/no/such/pg_dump") && error.remedy().is_some(), "{error}");
    let whole: Vec<bool> = storage
        .backup()
        .snapshots()
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.snapshot.tags.contains(&"aetherius".to_owned()))
        .collect();
    assert_eq!(whole, [true, false], "a restore point without its database must not be restored for whole");
    storage.shutdown(DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_from_a_file_opens_the_database_and_dumps_it() {
    let dir = testkit::temp_dir();
    let access =
        "local all all trust\nhost all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256";
    let server = Postgres::builder().access(access).start();
    server.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'p@ss: word'");
    server.psql("postgres", "CREATE DATABASE app OWNER app");
    let url = format!("postgres://app@127.0.0.1:{}/app", server.port());
    let mut settings = settings(dir.path(), "data");
    settings.database.url = Some(url.as_str().into());
    settings.backup.pg_dump = server.program("pg_dump");
    settings.backup.locations = vec![dir.path().join("backup").into()];
    let denied = StorageBuilder::from_settings(&settings).secret(secret()).open().await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied, "{denied}");
    settings.database.password = Some(SecretSource::File(secret_file(dir.path(), "pg", "p@ss: word")));
    let storage = Storage::from_settings(&settings).await.unwrap();
    let report = storage.backup().run().await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    storage.shutdown(DEADLINE).await.unwrap();
    // The same with the password in a URL that is a secret itself.
    settings.database.password = None;
    let url = format!("postgres://app:p%40ss%3A%20word@127.0.0.1:{}/app", server.port());
    settings.database.url = Some(Address::File(secret_file(dir.path(), "whole-url", &url)));
    let storage = Storage::from_settings(&settings).await.unwrap();
    assert!(storage.backup().run().await.unwrap().is_complete());
    storage.shutdown(DEADLINE).await.unwrap();
}
