//! Schemas, step by step.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use aeth_core::ErrorKind;
use aeth_db::{Database, Migrations, SqliteOptions};
use std::path::Path;

async fn open(dir: &Path) -> Database {
    Database::open_sqlite(SqliteOptions::new(dir.join("app.db"))).await.unwrap()
}

fn one() -> Migrations {
    Migrations::new("app").step(1, "users", "CREATE TABLE users (id INTEGER PRIMARY KEY);\r\nSELECT 1;")
}

fn two() -> Migrations {
    one().step(2, "mail", "ALTER TABLE users ADD COLUMN mail TEXT; CREATE INDEX mails ON users (mail)")
}

#[tokio::test]
async fn new_steps_are_applied_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    let versions = |report: aeth_db::MigrationReport| (report.from, report.to);
    assert_eq!(versions(db.migrate(&one()).await.unwrap()), (0, 1));
    assert_eq!(versions(db.migrate(&one()).await.unwrap()), (1, 1));
    assert_eq!(versions(db.migrate(&two()).await.unwrap()), (1, 2));
    drop(db);
    let db = open(dir.path()).await;
    assert_eq!(versions(db.migrate(&two()).await.unwrap()), (2, 2));
    let mut reader = db.sqlite().unwrap().read().await.unwrap();
    let rows: Vec<(String, i64, String, String)> =
        sqlx::query_as("SELECT schema, version, name, checksum FROM aeth_migrations ORDER BY version")
            .fetch_all(&mut reader)
            .await
            .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[1].0.as_str(), rows[1].1, rows[1].2.as_str(), rows[1].3.len()), ("app", 2, "mail", 64));
}

#[tokio::test]
async fn schemas_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    db.migrate(&two()).await.unwrap();
    let other = Migrations::new("library").step(1, "t", "CREATE TABLE library (n)");
    assert_eq!(db.migrate(&other).await.unwrap().to, 1);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    db.migrate(&two()).await.unwrap();

    let ahead = db.migrate(&one()).await.unwrap_err();
    assert_eq!(ahead.kind(), ErrorKind::Precondition);
    assert!(ahead.to_string().contains("at step 2, the program knows 1"), "{ahead}");

    let same =
        Migrations::new("app").step(1, "users", "CREATE TABLE users (id INTEGER PRIMARY KEY);\nSELECT 1;");
    let changed = same.step(2, "mail", "ALTER TABLE users ADD COLUMN email TEXT");
    let error = db.migrate(&changed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("step 2 (`mail`)"), "line ends do not count: {error}");

    let gap = Migrations::new("gap").step(1, "a", "SELECT 1").step(3, "c", "SELECT 1");
    assert_eq!(db.migrate(&gap).await.unwrap_err().kind(), ErrorKind::Invalid);

    let broken = two().step(3, "fine", "CREATE TABLE three (n)").step(4, "broken", "CREATE TABEL four (n)");
    let error = db.migrate(&broken).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("step 4 (`broken`) fails: ") && error.to_string().contains("TABEL"));
    let mut reader = db.sqlite().unwrap().read().await.unwrap();
    let three: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'three'")
        .fetch_one(&mut reader)
        .await
        .unwrap();
    assert_eq!(three, 0, "all or nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_start_at_once_apply_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let path = dir.path().to_owned();
        tasks.spawn(async move { open(&path).await.migrate(&two()).await.unwrap().from });
    }
    let mut from = tasks.join_all().await;
    from.sort_unstable();
    assert_eq!(from, [0, 2, 2, 2]);
}

#[tokio::test]
async fn migrations_of_sqlx_run_over_our_connection() {
    let dir = tempfile::tempdir().unwrap();
    let steps = dir.path().join("migrations");
    std::fs::create_dir(&steps).unwrap();
    std::fs::write(steps.join("1_users.sql"), "CREATE TABLE users (id INTEGER PRIMARY KEY)").unwrap();
    let db = open(dir.path()).await;
    for known in [1, 2, 2] {
        if known == 2 {
            std::fs::write(steps.join("2_mail.sql"), "ALTER TABLE users ADD COLUMN mail TEXT").unwrap();
        }
        let migrator = sqlx::migrate::Migrator::new(steps.clone()).await.unwrap();
        let mut conn = db.sqlite().unwrap().write().await.unwrap();
        migrator.run(conn.bare().unwrap()).await.unwrap();
        let applied: i64 =
            sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(&mut conn).await.unwrap();
        assert_eq!(applied, known);
    }
    // Ours do not disturb them.
    let ours = Migrations::new("app").step(1, "notes", "CREATE TABLE notes (body TEXT)");
    assert_eq!(db.migrate(&ours).await.unwrap().to, 1);
    let mut conn = db.sqlite().unwrap().write().await.unwrap();
    sqlx::query("INSERT INTO users (id, mail) VALUES (1, 'a')").execute(&mut conn).await.unwrap();
}
