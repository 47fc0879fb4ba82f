//! The handle at work: loans, limits, conflicts, ends.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::clone_on_ref_ptr, missing_docs)]

use aeth_core::observe::{HealthCheck, Status};
use aeth_core::{ErrorKind, Lifecycle, Retry};
use aeth_db::{Database, Integrity, SqliteDatabase, SqliteOptions, SqlxResultExt, TransactError};
use futures_util::StreamExt;
use std::path::Path;
use std::time::{Duration, Instant};

async fn open(dir: &Path) -> SqliteDatabase {
    let db = SqliteDatabase::open(SqliteOptions::new(dir.join("app.db")).readers(4)).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
        .execute(&mut writer)
        .await
        .unwrap();
    db
}

async fn count(db: &SqliteDatabase) -> i64 {
    let mut reader = db.read().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM account").fetch_one(&mut reader).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_whole_transactions_while_one_writes() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    db.transact(|tx| {
        Box::pin(async move {
            for id in 0..10 {
                sqlx::query("INSERT INTO account VALUES (?, 100)").bind(id).execute(&mut *tx).await?;
            }
            Ok(())
        })
    })
    .await
    .unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let db = db.clone();
        tasks.spawn(async move {
            let mut reads = 0_u64;
            while Instant::now() < until {
                let mut reader = db.read().await.unwrap();
                let sum: i64 = sqlx::query_scalar("SELECT sum(balance) FROM account")
                    .fetch_one(&mut reader)
                    .await
                    .unwrap();
                assert_eq!(sum, 1000);
                reads += 1;
            }
            reads
        });
    }
    for seed in 0..4_u64 {
        let db = db.clone();
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut writes = 0_u64;
            while Instant::now() < until {
                let (from, to, abort) = (random.i64(0..10), random.i64(0..10), random.u8(0..4) == 0);
                let moved = db
                    .transact(|tx| {
                        Box::pin(async move {
                            let take = "UPDATE account SET balance = balance - 1 WHERE id = ?";
                            sqlx::query(take).bind(from).execute(&mut *tx).await?;
                            if abort {
                                return Err(TransactError::abort("changed my mind"));
                            }
                            let give = "UPDATE account SET balance = balance + 1 WHERE id = ?";
                            sqlx::query(give).bind(to).execute(&mut *tx).await?;
                            Ok(())
                        })
                    })
                    .await;
                assert_eq!(moved.is_err(), abort, "{moved:?}");
                writes += 1;
            }
            writes
        });
    }
    let done = tasks.join_all().await;
    assert!(done.iter().all(|n| *n > 0), "everybody got a turn: {done:?}");
}

#[tokio::test]
async fn readers_cannot_write_and_are_told_how() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    let mut reader = db.read().await.unwrap();
    let refused = sqlx::query("DELETE FROM account").execute(&mut reader).await.storage().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied);
    assert!(refused.remedy().unwrap().contains("write()"));
}

#[tokio::test]
async fn errors_have_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO account VALUES (1, 1);
         CREATE TABLE child (parent INTEGER REFERENCES account(id), n INTEGER CHECK (n > 0))",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    for (sql, kind) in [
        ("INSERT INTO account VALUES (1, 1)", ErrorKind::AlreadyExists),
        ("INSERT INTO child VALUES (7, 1)", ErrorKind::Precondition),
        ("INSERT INTO child VALUES (1, 0)", ErrorKind::Invalid),
        ("INSERT INTO account VALUES (2, NULL)", ErrorKind::Invalid),
        ("SELEC 1", ErrorKind::Invalid),
        ("SELECT * FROM nothing", ErrorKind::Invalid),
    ] {
        let error = sqlx::query(sql).execute(&mut writer).await.storage().unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, Retry::Never), "{sql}");
    }
    let missing: Result<i64, _> =
        sqlx::query_scalar("SELECT id FROM account WHERE id = 99").fetch_one(&mut writer).await;
    assert_eq!(missing.storage().unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_statement_is_stopped_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        SqliteOptions::new(dir.path().join("a.db")).statement_timeout(Some(Duration::from_millis(200)));
    let db = SqliteDatabase::open(options).await.unwrap();
    let mut reader = db.read().await.unwrap();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let started = Instant::now();
    let error = sqlx::query(endless).execute(&mut reader).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let one: i64 = sqlx::query_scalar("SELECT 1").fetch_one(&mut reader).await.unwrap();
    assert_eq!(one, 1, "the connection goes on");
    let slow = db.slow_queries();
    assert_eq!(slow.len(), 1);
    assert_eq!(slow[0].error, Some(ErrorKind::Timeout));
    assert!(slow[0].statement.starts_with("with recursive n(i) as (select ? union all"), "{slow:?}");
}

#[tokio::test]
async fn who_waits_in_vain_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(dir.path().join("a.db")).acquire_timeout(Duration::from_millis(100));
    let db = SqliteDatabase::open(options).await.unwrap();
    let held = db.write().await.unwrap();
    let error = db.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    assert!(text.contains("1 of 1 in use: aeth-db/tests/embedded/sqlite.rs:"), "{text}");
    drop(held);
    db.write().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_futures_never_leave_a_connection_dirty() {
    // For campaigns: the number of drops of each of the eight tasks.
    let rounds = std::env::var("AETH_DROPS").map_or(400, |rounds| rounds.parse::<u32>().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(dir.path().join("app.db"))
        .readers(2)
        .synchronous(aeth_db::Synchronous::Normal)
        .acquire_timeout(Duration::from_secs(20));
    let db = SqliteDatabase::open(options).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
        .execute(&mut writer)
        .await
        .unwrap();
    drop(writer);
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..8_u64 {
        let db = db.clone();
        tasks.spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..rounds {
                let limit = Duration::from_micros(random.u64(0..1500));
                let kind = random.u8(0..4);
                let work = async {
                    match kind {
                        // Two rows or none: half a transaction would show.
                        0 => drop(
                            db.transact(|tx| {
                                Box::pin(async move {
                                    let insert = "INSERT INTO account (balance) VALUES (1)";
                                    sqlx::query(insert).execute(&mut *tx).await?;
                                    tokio::task::yield_now().await;
                                    sqlx::query(insert).execute(&mut *tx).await?;
                                    Ok(())
                                })
                            })
                            .await,
                        ),
                        1 => {
                            let mut reader = db.read().await.unwrap();
                            let long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000000) \
                                        SELECT sum(i) FROM n";
                            drop(sqlx::query(long).execute(&mut reader).await);
                        }
                        2 => {
                            let mut reader = db.read().await.unwrap();
                            let mut rows = sqlx::query("SELECT id FROM account").fetch(&mut reader);
                            while rows.next().await.is_some() {}
                        }
                        _ => {
                            let mut tx = db.begin().await.unwrap();
                            drop(sqlx::query("DELETE FROM account").execute(&mut tx).await);
                            std::future::pending::<()>().await;
                        }
                    }
                };
                drop(tokio::time::timeout(limit, work).await);
                if random.u8(0..8) == 0 {
                    let mut reader = db.read().await.unwrap();
                    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM account")
                        .fetch_one(&mut reader)
                        .await
                        .unwrap();
                    assert_eq!(rows % 2, 0, "half a transaction was seen");
                }
            }
        });
    }
    tasks.join_all().await;
    // Every connection is there and works, and no transaction is open.
    let mut readers = Vec::new();
    for _ in 0..2 {
        readers.push(db.read().await.unwrap());
    }
    let tx = db.begin().await.unwrap();
    tx.commit().await.unwrap();
    drop(readers);
    db.close(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO account VALUES (1, 1)").execute(&mut tx).await.unwrap();
    drop(tx);
    let mut bare = db.write().await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO account VALUES (2, 2)").execute(bare.bare().unwrap()).await.unwrap();
    drop(bare);
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO account VALUES (3, 3)").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn a_read_transaction_sees_one_state() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    let mut snapshot = db.begin_read().await.unwrap();
    let rows = "SELECT count(*) FROM account";
    let before: i64 = sqlx::query_scalar(rows).fetch_one(&mut snapshot).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::query("INSERT INTO account VALUES (1, 1)").execute(&mut writer).await.unwrap();
    let after: i64 = sqlx::query_scalar(rows).fetch_one(&mut snapshot).await.unwrap();
    assert_eq!((before, after), (0, 0));
    drop(snapshot);
    assert_eq!(count(&db).await, 1);
}

#[tokio::test]
async fn statements_are_counted_by_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    let mut writer = db.write().await.unwrap();
    for id in 0..5 {
        sqlx::query("INSERT INTO account VALUES (?, ?)").bind(id).bind(1).execute(&mut writer).await.unwrap();
    }
    drop(sqlx::query("INSERT INTO account VALUES (0,0)").execute(&mut writer).await);
    let statistics = db.statement_statistics();
    let insert = statistics.iter().find(|s| s.statement.starts_with("insert")).unwrap();
    assert_eq!(&*insert.statement, "insert into account values (?)");
    assert_eq!((insert.time.count(), insert.errors), (6, 1));
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn what_only_postgresql_does_is_said_to_be_unsupported() {
    use aeth_db::{QueryCacheOptions, SqlCacheTier, SqlTierOptions};
    let db = Database::open_sqlite(SqliteOptions::memory()).await.unwrap();
    let tier = SqlCacheTier::open(&db, SqlTierOptions::default()).await.unwrap();
    let refused = db.query_cache(std::sync::Arc::new(tier), QueryCacheOptions::default()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.retry()), (ErrorKind::Unsupported, Retry::Never));
    assert!(refused.remedy().is_some());
}

#[tokio::test]
async fn in_memory_everything_works_on_one_connection() {
    let db = Database::open_sqlite(SqliteOptions::memory()).await.unwrap();
    let sqlite = db.sqlite().unwrap();
    let mut writer = sqlite.write().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (n); INSERT INTO t VALUES (1)").execute(&mut writer).await.unwrap();
    drop(writer);
    let mut reader = sqlite.read().await.unwrap();
    let n: i64 = sqlx::query_scalar("SELECT n FROM t").fetch_one(&mut reader).await.unwrap();
    assert_eq!(n, 1);
    drop(reader);
    assert_eq!(db.check().await.status, Status::Up);
    assert!(db.check_integrity(Integrity::Full).await.unwrap().is_empty());
    db.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn closing_waits_and_leaves_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    let mut reader = db.read().await.unwrap();
    sqlx::query("SELECT 1").execute(&mut reader).await.unwrap();
    let error = db.close(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("tests/embedded/sqlite.rs:"), "{error}");
    assert_eq!(db.read().await.unwrap_err().kind(), ErrorKind::Closed);
    drop(reader);
    db.close(Duration::from_secs(5)).await.unwrap();
    db.close(Duration::from_secs(5)).await.unwrap();
    assert_eq!(db.write().await.unwrap_err().kind(), ErrorKind::Closed);
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(files, ["app.db"]);
    assert_eq!(db.check().await.status, Status::Down);
}

/// The writer closes when all readers have, however many there are: whoever closes last removes the log, and a reader
/// cannot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_with_idle_readers_leaves_one_file() {
    for _ in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path()).await;
        let mut readers = Vec::new();
        for _ in 0..4 {
            let mut reader = db.read().await.unwrap();
            sqlx::query("SELECT count(*) FROM sqlite_master").execute(&mut reader).await.unwrap();
            readers.push(reader);
        }
        drop(readers);
        db.close(Duration::from_secs(5)).await.unwrap();
        let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(files, ["app.db"]);
    }
}

#[tokio::test]
async fn every_metric_is_a_well_known_one() {
    use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource, standard};
    #[derive(Default)]
    struct Names(Vec<(&'static str, f64)>);
    impl Collector for Names {
        fn counter(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: u64) {
            assert_eq!(labels[0], ("database", "main"));
            self.0.push((descriptor.name, value as f64));
        }
        fn gauge(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: f64) {
            self.0.push((descriptor.name, value));
        }
        fn histogram(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: &HistogramSnapshot) {
            self.0.push((descriptor.name, value.count() as f64));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path()).await;
    assert_eq!(db.check().await.status, Status::Up);
    let mut names = Names::default();
    db.collect(&mut names);
    for (name, _) in &names.0 {
        assert!(standard::find(name).is_some(), "{name}");
    }
    for descriptor in standard::database::ALL {
        assert!(names.0.iter().any(|(name, _)| *name == descriptor.name), "{} is missing", descriptor.name);
    }
    let value = |name| names.0.iter().filter(|(n, _)| *n == name).map(|(_, v)| v).sum::<f64>();
    assert!(value("aeth_db_size_bytes") >= 4096.0);
    assert_eq!(value("aeth_db_connections"), 2.0, "the writer and one reader");
    assert_eq!(value("aeth_db_connections_max"), 5.0);
}
