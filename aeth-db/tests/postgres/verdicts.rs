//! What each kind of trouble is called, what is said to be done about it, and whether it is worth another attempt.

use crate::support::{execute, fresh, psql, with};
use aeth_core::{Error, ErrorKind, Retry};
use aeth_db::{
    Begin, Isolation, PostgresDatabase, PostgresOptions, SqlxResultExt, TargetSession, TransactOptions,
};
use std::sync::Arc;
use std::time::Duration;
use testkit::{Postgres, Tmpfs};

fn told(error: &Error, kind: ErrorKind, worthwhile: bool) {
    assert_eq!((error.kind(), error.retry().is_worthwhile()), (kind, worthwhile), "{error:?}");
    assert!(error.remedy().is_some(), "no remedy: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_code_of_trouble_has_kind_remedy_and_verdict() {
    use ErrorKind::{Busy, Corrupt, Denied, Full, Invalid, NotFound, Timeout, Unavailable, Unsupported};
    let (db, _) = fresh().await;
    let mut conn = db.write().await.unwrap();
    for (code, kind, worthwhile) in [
        ("40001", Busy, true),
        ("40P01", Busy, true),
        ("40002", Busy, true),
        ("40003", Unavailable, false),
        ("55P03", Busy, true),
        ("55006", Busy, true),
        ("53300", Busy, true),
        ("53400", Busy, true),
        ("53100", Full, false),
        ("53200", Full, false),
        ("57014", Timeout, true),
        ("25P03", Timeout, true),
        ("57P05", Timeout, true),
        ("57P01", Unavailable, true),
        ("57P02", Unavailable, true),
        ("57P03", Unavailable, true),
        ("57P04", NotFound, false),
        ("3D000", NotFound, false),
        ("08006", Unavailable, true),
        ("08P01", Unavailable, true),
        ("58030", Unavailable, true),
        ("28P01", Denied, false),
        ("28000", Denied, false),
        ("42501", Denied, false),
        ("25006", Denied, false),
        ("54001", Invalid, false),
        ("54011", Invalid, false),
        ("42P01", Invalid, false),
        ("XX001", Corrupt, false),
        ("XX002", Corrupt, false),
        ("26000", Unsupported, false),
    ] {
        let sql = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        let raised = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.storage();
        told(&raised.unwrap_err(), kind, worthwhile);
        // What says that the server went takes the connection with it.
        conn = db.write().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_serialised_or_locks_in_a_circle_is_busy() {
    let (db, _) = with(|options| options.lock_timeout(None)).await;
    execute(&db, "CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0), (2, 0)").await;
    let begin = Begin::default().isolation(Isolation::RepeatableRead);
    let mut late = db.write().await.unwrap().begin_with(begin).await.unwrap();
    sqlx::query("SELECT * FROM t").fetch_all(&mut late).await.unwrap();
    execute(&db, "UPDATE t SET n = n + 1").await;
    let error = sqlx::query("UPDATE t SET n = 7").execute(&mut late).await.storage().unwrap_err();
    told(&error, ErrorKind::Busy, true);
    assert!(error.remedy().unwrap().contains("transact"), "{error:?}");
    drop(late);

    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let mut tasks = tokio::task::JoinSet::new();
    for first in [1, 2] {
        let (db, barrier) = (db.clone(), Arc::clone(&barrier));
        tasks.spawn(async move {
            let mut transaction = db.begin().await.unwrap();
            let update = "UPDATE t SET n = n + 1 WHERE id = $1";
            sqlx::query(update).bind(first).execute(&mut transaction).await.unwrap();
            barrier.wait().await;
            let second = sqlx::query(update).bind(3 - first).execute(&mut transaction).await.storage();
            second.map(drop).err()
        });
    }
    let errors: Vec<Error> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(errors.len(), 1, "one of two is the victim: {errors:?}");
    told(&errors[0], ErrorKind::Busy, true);

    // What is in the way each time is told to be exhausted, so that nobody above tries again.
    let options = TransactOptions::default().attempts(3);
    let always = db.transact(Isolation::RepeatableRead, options, |tx| {
        let db = db.clone();
        Box::pin(async move {
            sqlx::query("SELECT * FROM t").fetch_all(&mut *tx).await?;
            execute(&db, "UPDATE t SET n = n + 1").await;
            sqlx::query("UPDATE t SET n = 7").execute(&mut *tx).await?;
            Ok(())
        })
    });
    let error = always.await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Busy, Retry::Exhausted), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_altered_and_statements_that_were_forgotten_are_prepared_anew() {
    let (db, _) = with(|options| options.max_connections(2)).await;
    execute(&db, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)").await;
    let all = "SELECT * FROM t";
    let (mut one, mut two) = (db.write().await.unwrap(), db.write().await.unwrap());
    for conn in [&mut one, &mut two] {
        sqlx::query(all).fetch_all(conn).await.unwrap();
    }
    sqlx::raw_sql("ALTER TABLE t ADD COLUMN more int").execute(&mut one).await.unwrap();
    let error = sqlx::query(all).fetch_all(&mut one).await.storage().unwrap_err();
    told(&error, ErrorKind::Busy, true);
    drop((one, two));
    let rows = db.transact(Isolation::default(), TransactOptions::default(), |tx| {
        Box::pin(async move { Ok(sqlx::query(all).fetch_all(&mut *tx).await?.len()) })
    });
    assert_eq!(rows.await.unwrap(), 1);
    // Whoever deallocates what is prepared spoils his own connection only, once.
    let mut conn = db.write().await.unwrap();
    sqlx::query(all).fetch_all(&mut conn).await.unwrap();
    sqlx::raw_sql("DEALLOCATE ALL").execute(&mut conn).await.unwrap();
    let error = sqlx::query(all).fetch_all(&mut conn).await.storage().unwrap_err();
    told(&error, ErrorKind::Unsupported, false);
    drop(conn);
    for _ in 0..4 {
        sqlx::query(all).fetch_all(&mut db.write().await.unwrap()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_lock_is_repeated_when_that_is_wanted() {
    let (db, _) = with(|options| options.lock_timeout(Some(Duration::from_millis(50)))).await;
    execute(&db, "CREATE TABLE t (n int)").await;
    let mut holder = db.begin().await.unwrap();
    sqlx::query("LOCK TABLE t").execute(&mut holder).await.unwrap();
    let insert = |options: TransactOptions| {
        db.transact(Isolation::default(), options, |tx| {
            Box::pin(async move {
                sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *tx).await.storage()?;
                Ok(())
            })
        })
    };
    let error = insert(TransactOptions::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Busy, Retry::After(Duration::ZERO)), "{error:?}");
    let patient = TransactOptions::default().attempts(1_000).lock_timeouts(true);
    let (inserted, ()) = tokio::join!(insert(patient), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        holder.rollback().await.unwrap();
    });
    inserted.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_are_too_long_are_told_how_to_be_shorter() {
    let (db, _) = fresh().await;
    let sum = format!("SELECT 1{}", "+1".repeat(100_000));
    let columns = format!("SELECT 1{}", ",1".repeat(2_000));
    for sql in [sum, columns] {
        let mut conn = db.write().await.unwrap();
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await.storage().unwrap_err();
        told(&error, ErrorKind::Invalid, false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_is_full_until_there_is_room() {
    use std::os::unix::fs::{MetadataExt, chown};
    let disk = Tmpfs::mount(4 << 20).unwrap();
    let place = disk.path().join("space");
    std::fs::create_dir(&place).unwrap();
    let owner = std::fs::metadata(Postgres::shared().data_dir()).unwrap();
    chown(&place, Some(owner.uid()), Some(owner.gid())).unwrap();
    let (db, name) = fresh().await;
    psql(&name, &format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
    execute(&db, "CREATE TABLE t (a text) TABLESPACE small; ALTER TABLE t ALTER a SET STORAGE EXTERNAL")
        .await;
    let fill = async || {
        db.transact(Isolation::default(), TransactOptions::default(), |tx| {
            Box::pin(async move {
                let fill = "INSERT INTO t SELECT repeat('x', 100000) FROM generate_series(1, 100)";
                sqlx::query(fill).execute(&mut *tx).await?;
                Ok(())
            })
        })
        .await
    };
    told(&fill().await.unwrap_err(), ErrorKind::Full, false);
    // Not by TRUNCATE: that begins with new files, for which there is no room.
    execute(&db, "DROP TABLE t").await;
    execute(&db, "CREATE TABLE t (a text) TABLESPACE small").await;
    execute(&db, "INSERT INTO t VALUES ('there is room')").await;
    execute(&db, "DROP TABLE t").await;
    execute(&db, "DROP TABLESPACE small").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_recovers_or_starts_is_waited_for_or_told() {
    let primary = Postgres::start();
    let mut standby = Postgres::builder().start_standby(&primary);
    let options = || {
        PostgresOptions::new(standby.url("postgres"))
            .probe_interval(Duration::from_millis(20))
            .connect_timeout(Duration::from_secs(5))
    };
    // It answers, and may be read from; nobody can write to it.
    let db = PostgresDatabase::open(options()).await.unwrap();
    assert!(db.read(aeth_db::Consistency::Eventual).await.unwrap().is_standby());
    told(&db.write().await.unwrap_err(), ErrorKind::Unavailable, true);
    let wanted = options().target(TargetSession::ReadWrite);
    let error = PostgresDatabase::open(wanted).await.unwrap_err();
    told(&error, ErrorKind::Unavailable, true);
    assert!(error.message().contains("standby"), "{error:?}");
    // One that takes no connections answers as one that starts does.
    let options = options();
    standby.psql("postgres", "ALTER SYSTEM SET hot_standby = off");
    standby.restart_unready();
    let mut refused = None;
    crate::support::until("the server says that it is not ready", async || {
        let error = PostgresDatabase::open(options.clone()).await.unwrap_err();
        told(&error, ErrorKind::Unavailable, true);
        let starting = error.message().contains("starting");
        refused = Some(error);
        starting
    })
    .await;
    assert!(refused.unwrap().remedy().unwrap().contains("wait"));
    let conf = standby.data_dir().join("postgresql.auto.conf");
    let settings = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, settings.replace("hot_standby = 'off'", "")).unwrap();
    standby.restart();
    crate::support::until("the open handle finds it", async || {
        db.read(aeth_db::Consistency::Eventual).await.is_ok()
    })
    .await;
}
