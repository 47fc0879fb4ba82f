//! Disks that are full or read-only. Needs root, for a tmpfs of its own.
#![cfg(all(feature = "sqlite", feature = "integration"))]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use aeth_core::observe::{HealthCheck, Status};
use aeth_core::{ErrorKind, Lifecycle};
use aeth_db::{Integrity, SqliteDatabase, SqliteOptions};
use std::time::Duration;
use testkit::Tmpfs;

async fn fill(db: &SqliteDatabase) -> aeth_core::Error {
    for _ in 0..1000 {
        let filled = db
            .transact(|tx| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO t VALUES (randomblob(20000))").execute(&mut *tx).await?;
                    Ok(())
                })
            })
            .await;
        if let Err(error) = filled {
            return error;
        }
    }
    panic!("a disk of 2 MiB took 20 MB");
}

#[tokio::test]
async fn a_full_disk_is_full_and_loses_nothing() {
    let disk = Tmpfs::mount(2 << 20).unwrap();
    let db = SqliteDatabase::open(SqliteOptions::new(disk.path().join("a.db"))).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (b BLOB)").execute(&mut writer).await.unwrap();
    drop(writer);
    let error = fill(&db).await;
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(error.remedy().unwrap().contains("free some space"));
    let mut reader = db.read().await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut reader).await.unwrap();
    assert!(rows > 10, "what was committed is there");
    drop(reader);
    assert!(db.check_integrity(Integrity::Full).await.unwrap().is_empty());
    let error = db.snapshot_to(disk.path().join("copy.db")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(!disk.path().join("copy.db").exists());
    // Deleting makes room again; the log may need what is left of it, so it goes by pieces.
    let mut writer = db.write().await.unwrap();
    let deleted = sqlx::query("DELETE FROM t WHERE rowid = 1").execute(&mut writer).await;
    drop(deleted);
    drop(writer);
    assert_eq!(db.check().await.status, Status::Up);
}

#[tokio::test]
async fn a_read_only_disk_is_denied() {
    let disk = Tmpfs::mount(4 << 20).unwrap();
    let path = disk.path().join("a.db");
    let db = SqliteDatabase::open(SqliteOptions::new(&path)).await.unwrap();
    db.close(Duration::from_secs(5)).await.unwrap();
    disk.make_read_only().unwrap();
    let error = SqliteDatabase::open(SqliteOptions::new(&path)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    let error = SqliteDatabase::open(SqliteOptions::new(disk.path().join("new.db"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.remedy().unwrap().contains("writable"));
}
