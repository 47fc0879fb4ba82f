//! Transactions: repeated when chance was against them, and only then.

use crate::support::{execute, fresh, number, psql, read_number, until, with};
use aeth_core::{ErrorKind, Retry};
use aeth_db::{Consistency, Isolation, Migrations, PostgresDatabase, TransactError, TransactOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

async fn add(db: &PostgresDatabase, isolation: Isolation) {
    let options = TransactOptions::default().attempts(200);
    db.transact(isolation, options, |tx| {
        Box::pin(async move {
            let n: i64 = sqlx::query_scalar("SELECT n FROM t").fetch_one(&mut *tx).await?;
            sqlx::query("UPDATE t SET n = $1").bind(n + 1).execute(&mut *tx).await?;
            Ok(())
        })
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_serialised_is_repeated() {
    let (db, _) = fresh().await;
    execute(&db, "CREATE TABLE t (n bigint); INSERT INTO t VALUES (0)").await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let db = db.clone();
        let isolation = if task % 2 == 0 { Isolation::Serializable } else { Isolation::RepeatableRead };
        tasks.spawn(async move {
            for _ in 0..10 {
                add(&db, isolation).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(read_number(&db, "SELECT n FROM t").await, 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_victim_of_a_deadlock_is_repeated() {
    let (db, _) = with(|options| options.lock_timeout(None)).await;
    execute(&db, "CREATE TABLE t (id int PRIMARY KEY, n bigint); INSERT INTO t VALUES (1, 0), (2, 0)").await;
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let mut tasks = tokio::task::JoinSet::new();
    for first in [1, 2] {
        let (db, barrier) = (db.clone(), barrier.clone());
        tasks.spawn(async move {
            let attempts = Arc::new(AtomicU32::new(0));
            let counted = attempts.clone();
            db.transact(Isolation::ReadCommitted, TransactOptions::default(), move |tx| {
                let (barrier, attempt) = (barrier.clone(), counted.fetch_add(1, Relaxed));
                Box::pin(async move {
                    let update = "UPDATE t SET n = n + 1 WHERE id = $1";
                    sqlx::query(update).bind(first).execute(&mut *tx).await?;
                    if attempt == 0 {
                        barrier.wait().await;
                    }
                    sqlx::query(update).bind(3 - first).execute(&mut *tx).await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
            attempts.load(Relaxed)
        });
    }
    let attempts = tasks.join_all().await;
    assert_eq!(attempts.iter().sum::<u32>(), 3, "{attempts:?}");
    assert_eq!(read_number(&db, "SELECT sum(n)::bigint FROM t").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_does_not_want_or_passed_over_is_not_committed() {
    let (db, _) = fresh().await;
    execute(&db, "CREATE TABLE t (n bigint PRIMARY KEY)").await;
    let error = db
        .transact(Isolation::default(), TransactOptions::default(), |tx| {
            Box::pin(async move {
                sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await?;
                Err::<(), _>(TransactError::abort("no"))
            })
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    // PostgreSQL answers the commit of a failed transaction with a rollback and no error.
    for bare in [false, true] {
        let error = db
            .transact(Isolation::default(), TransactOptions::default(), |tx| {
                Box::pin(async move {
                    sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await?;
                    let twice = sqlx::query("INSERT INTO t VALUES (1)");
                    if bare {
                        drop(twice.execute(tx.bare()?).await);
                    } else {
                        drop(twice.execute(&mut *tx).await);
                    }
                    Ok(())
                })
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    }
    assert_eq!(read_number(&db, "SELECT count(*) FROM t").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_before_the_commit_is_repeated() {
    let (db, name) = with(|options| options.probe_interval(Duration::from_millis(20))).await;
    execute(&db, "CREATE TABLE t (n bigint)").await;
    let attempts = AtomicU32::new(0);
    let done = db.transact(Isolation::default(), TransactOptions::default(), |tx| {
        let (name, first) = (name.clone(), attempts.fetch_add(1, Relaxed) == 0);
        Box::pin(async move {
            sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await?;
            if first {
                let kill = format!("SELECT pg_terminate_backend({})", tx.backend_pid());
                tokio::task::spawn_blocking(move || psql(&name, &kill)).await.unwrap();
            }
            sqlx::query("INSERT INTO t VALUES (2)").execute(&mut *tx).await?;
            Ok(())
        })
    });
    done.await.unwrap();
    assert_eq!(attempts.load(Relaxed), 2);
    assert_eq!(read_number(&db, "SELECT count(*) FROM t").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_told_and_not_repeated() {
    let (db, name) = fresh().await;
    // The session ends while it commits: a deferred trigger waits there.
    execute(
        &db,
        "CREATE TABLE t (n bigint);
         CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION wait()",
    )
    .await;
    let attempts = AtomicU32::new(0);
    let work = db.transact(Isolation::default(), TransactOptions::default(), |tx| {
        attempts.fetch_add(1, Relaxed);
        Box::pin(async move {
            sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await?;
            Ok(())
        })
    });
    let killer = tokio::task::spawn_blocking(move || {
        let kill =
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while psql(&name, kill) == "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let error = work.await.unwrap_err();
    killer.await.unwrap();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Never), "{error}");
    assert!(error.remedy().unwrap().contains("unknown"), "{error}");
    assert_eq!(attempts.load(Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_applied_once_by_many_and_watched() {
    let (db, name) = fresh().await;
    let one = Migrations::new("app").step(1, "t", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (db, one) = (db.clone(), one.clone());
        tasks.spawn(async move { db.migrate(&one).await.unwrap().from });
    }
    let from = tasks.join_all().await;
    assert_eq!(from.iter().filter(|from| **from == 0).count(), 1, "{from:?}");
    assert_eq!(psql(&name, "SELECT count(*) FROM t"), "1");
    let bad = one.clone().step(2, "u", "CREATE TABLE u (a int); SELECT nonsense");
    let error = db.migrate(&bad).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.message().contains("step 2 (`u`)"), "{error}");
    assert_eq!(psql(&name, "SELECT to_regclass('u') IS NULL"), "t");
    let changed = Migrations::new("app").step(1, "t", "CREATE TABLE t (a bigint)");
    assert_eq!(db.migrate(&changed).await.unwrap_err().kind(), ErrorKind::Corrupt);
    db.migrate(&one.clone().step(2, "u", "CREATE TABLE u (a int)")).await.unwrap();
    assert_eq!(db.migrate(&one).await.unwrap_err().kind(), ErrorKind::Precondition);
    // A statement whose table was altered under it is prepared anew.
    let mut reader = db.read(Consistency::Strong).await.unwrap();
    let count = async |reader: &mut aeth_db::PostgresConn| number(reader, "SELECT count(*) FROM t").await;
    assert_eq!(count(&mut reader).await, 1);
}

/// sqlx's migrations take a session lock, which the connection must not carry to the next one who gets it.
#[tokio::test(flavor = "multi_thread")]
async fn migrations_of_sqlx_run_over_our_connection() {
    let (db, name) = with(|options| options.max_connections(4)).await;
    let dir = testkit::temp_dir();
    std::fs::write(dir.path().join("1_users.sql"), "CREATE TABLE users (id int PRIMARY KEY)").unwrap();
    std::fs::write(dir.path().join("2_mail.sql"), "ALTER TABLE users ADD COLUMN mail text").unwrap();
    let migrator = sqlx::migrate::Migrator::new(dir.path().to_owned()).await.unwrap();
    let runs = (0..6).map(|_| async {
        let mut conn = db.write().await.unwrap();
        migrator.run(conn.bare().unwrap()).await.unwrap();
    });
    futures_util::future::join_all(runs).await;
    assert_eq!(psql(&name, "SELECT count(*) FROM _sqlx_migrations WHERE success"), "2");
    until("the release of the lock", async || {
        let held = "SELECT count(*) FROM pg_locks JOIN pg_database ON database = pg_database.oid \
                    WHERE locktype = 'advisory' AND datname = current_database()";
        psql(&name, held) == "0"
    })
    .await;
    let mut conn = db.write().await.unwrap();
    sqlx::query("INSERT INTO users VALUES ($1, $2)").bind(1).bind("a").execute(&mut conn).await.unwrap();
}
