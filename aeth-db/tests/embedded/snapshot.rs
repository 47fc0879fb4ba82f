//! Copies under load.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use aeth_core::{ErrorKind, Lifecycle};
use aeth_db::{Integrity, SqliteDatabase, SqliteOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_one_instant_while_writers_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = SqliteDatabase::open(SqliteOptions::new(dir.path().join("app.db"))).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE a (n INTEGER PRIMARY KEY, pad TEXT); CREATE TABLE b (n INTEGER PRIMARY KEY, pad TEXT);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20000)
         INSERT INTO a SELECT n, hex(randomblob(40)) FROM c; INSERT INTO b SELECT * FROM a",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    drop(writer);
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicU64::new(0));
    let writing = {
        let (db, stop, written) = (db.clone(), Arc::clone(&stop), Arc::clone(&written));
        tokio::spawn(async move {
            while !stop.load(SeqCst) {
                db.transact(|tx| {
                    Box::pin(async move {
                        // Both tables always have the same rows.
                        for sql in ["INSERT INTO a (pad) VALUES ('x')", "INSERT INTO b (pad) VALUES ('x')"] {
                            sqlx::query(sql).execute(&mut *tx).await?;
                        }
                        Ok(())
                    })
                })
                .await
                .unwrap();
                written.fetch_add(1, SeqCst);
            }
        })
    };
    let mut sizes = Vec::new();
    for n in 0..3 {
        let before = written.load(SeqCst);
        let snapshot = db.snapshot_to(dir.path().join(format!("copy-{n}.db"))).await.unwrap();
        assert!(written.load(SeqCst) > before, "writers went on");
        assert_eq!(snapshot.bytes, std::fs::metadata(&snapshot.path).unwrap().len());
        sizes.push(snapshot.bytes);
    }
    stop.store(true, SeqCst);
    writing.await.unwrap();
    for n in 0..3 {
        let path = dir.path().join(format!("copy-{n}.db"));
        let copy = SqliteDatabase::open(SqliteOptions::new(&path).create(false)).await.unwrap();
        assert!(copy.check_integrity(Integrity::Full).await.unwrap().is_empty());
        let mut reader = copy.read().await.unwrap();
        let (a, b): (i64, i64) = sqlx::query_as("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)")
            .fetch_one(&mut reader)
            .await
            .unwrap();
        assert!(a == b && a >= 20_000, "{a} {b}");
        drop(reader);
        copy.close(Duration::from_secs(5)).await.unwrap();
    }
    let taken = db.snapshot_to(dir.path().join("copy-0.db")).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let nowhere = db.snapshot_to(dir.path().join("no/copy.db")).await.unwrap_err();
    assert_eq!(nowhere.kind(), ErrorKind::NotFound);
    // A cancelled one leaves nothing behind, whenever that is. The machine decides which of them are in time.
    let never = dir.path().join("never.db");
    for microseconds in [0, 100, 500, 1_000, 1_500, 2_000, 3_000, 5_000] {
        let limit = Duration::from_micros(microseconds);
        if let Ok(finished) = tokio::time::timeout(limit, db.snapshot_to(&never)).await {
            std::fs::remove_file(finished.unwrap().path).unwrap();
        }
    }
    db.close(Duration::from_secs(30)).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("tmp") || name.contains("never"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_database_in_memory_can_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let db = SqliteDatabase::open(SqliteOptions::memory()).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (n); INSERT INTO t VALUES (7)").execute(&mut writer).await.unwrap();
    drop(writer);
    let path = db.snapshot_to(dir.path().join("kept.db")).await.unwrap().path;
    let kept = SqliteDatabase::open(SqliteOptions::new(path)).await.unwrap();
    let mut reader = kept.read().await.unwrap();
    let n: i64 = sqlx::query_scalar("SELECT n FROM t").fetch_one(&mut reader).await.unwrap();
    assert_eq!(n, 7);
}
