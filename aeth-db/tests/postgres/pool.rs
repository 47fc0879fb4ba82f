//! Loans: what comes home clean is handed out as it is, what does not is cleaned first.

use crate::support::{execute, fresh, number, psql, until, with};
use aeth_core::conformance::{health_check, metrics_source};
use aeth_core::{ErrorKind, Lifecycle};
use aeth_db::{
    Begin, Consistency, Database, Engine, Migrations, PostgresDatabase, PostgresOptions, SqlxResultExt,
    TargetSession,
};
use futures_util::TryStreamExt;
use sqlx::Row;
use std::sync::Arc;
use std::time::Duration;
use testkit::Postgres;

#[tokio::test(flavor = "multi_thread")]
async fn one_handle_for_both_engines() {
    let (postgres, _) = fresh().await;
    let db = Database::from(postgres);
    assert_eq!(db.engine(), Engine::Postgres);
    assert_eq!(db.sqlite().unwrap_err().kind(), ErrorKind::Unsupported);
    let migrations =
        Migrations::new("app").step(1, "t", "CREATE TABLE t (a bigint); INSERT INTO t VALUES (1)");
    assert_eq!(db.migrate(&migrations).await.unwrap().to, 1);
    let mut reader = db.postgres().unwrap().read(Consistency::Strong).await.unwrap();
    assert_eq!(number(&mut reader, "SELECT sum(a)::bigint FROM t").await, 1);
    let mut rows = sqlx::query("SELECT generate_series(1, 1000) AS n").fetch(&mut reader);
    let mut sum = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        sum += row.get::<i32, _>("n");
    }
    assert_eq!(sum, 500_500);
    drop(rows);
    drop(reader);
    let statistics = db.statement_statistics();
    assert!(statistics.iter().any(|s| &*s.statement == "select sum(a)::bigint from t"), "{statistics:?}");
    let db = Arc::new(db);
    metrics_source::run_all(db.clone()).await.into_result().unwrap();
    health_check::run_all(db).await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_the_next_holders_as_it_was_new() {
    let (db, _) = with(|options| options.max_connections(1)).await;
    execute(&db, "CREATE TABLE t (a int)").await;
    let pid = db.write().await.unwrap().backend_pid();
    for dirt in [
        "SET search_path = pg_catalog",
        "BEGIN; INSERT INTO t VALUES (1)",
        "SELECT pg_advisory_lock(7)",
        "SELECT set_config('work_mem', '1234kB', false)",
        "CREATE TEMPORARY TABLE t2 (a int)",
        "LISTEN a",
        "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    ] {
        execute(&db, dirt).await;
        let mut conn = db.write().await.unwrap();
        assert_eq!(conn.backend_pid(), pid, "the connection is cleaned, not replaced: {dirt}");
        let clean = "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
             AND pid = pg_backend_pid()) + (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) \
             FROM pg_cursors WHERE name <> '') + (SELECT count(*) FROM pg_class WHERE relname = 't2') + \
             (current_setting('work_mem') = '1234kB')::int + (current_setting('search_path') = 'pg_catalog')::int";
        assert_eq!(number(&mut conn, clean).await, 0, "{dirt}");
        sqlx::query("INSERT INTO t VALUES (1)").execute(&mut conn).await.unwrap();
        sqlx::query("DELETE FROM t").execute(&mut conn).await.unwrap();
    }
    // The same through the bare connection, of which nothing is seen.
    let mut conn = db.write().await.unwrap();
    sqlx::raw_sql("BEGIN; INSERT INTO t VALUES (1); SET LOCAL work_mem = 64")
        .execute(conn.bare().unwrap())
        .await
        .unwrap();
    drop(conn);
    let mut conn = db.write().await.unwrap();
    assert_eq!((conn.backend_pid(), number(&mut conn, "SELECT count(*) FROM t").await), (pid, 0));
    // A prepared statement outlives the cleaning.
    assert!(number(&mut conn, "SELECT count(*) FROM pg_prepared_statements").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_no_connection_is_told_who_has_them() {
    let (db, _) = with(|options| options.max_connections(1).acquire_timeout(Duration::from_millis(50))).await;
    let held = db.write().await.unwrap();
    let error = db.write().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.message().contains("1 of 1 in use: ") && error.message().contains("pool.rs"), "{error}");
    drop(held);
    db.write().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_end_by_age_and_dead_ones_are_found() {
    let (db, name) = with(|options| options.max_connections(1).idle_check(Duration::ZERO)).await;
    let pid = db.write().await.unwrap().backend_pid();
    assert_eq!(db.write().await.unwrap().backend_pid(), pid);
    psql(&name, &format!("SELECT pg_terminate_backend({pid})"));
    // Looked at before it is handed out, because it was idle for longer than nothing.
    until("the ended session is replaced", async || {
        let mut conn = db.write().await.unwrap();
        sqlx::query("SELECT 1").execute(&mut conn).await.is_ok() && conn.backend_pid() != pid
    })
    .await;
    let (db, _) =
        with(|options| options.max_connections(1).max_lifetime(Some(Duration::from_millis(30)))).await;
    let pid = db.write().await.unwrap().backend_pid();
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_ne!(db.write().await.unwrap().backend_pid(), pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_the_hosts_is_shared_not_doubled() {
    let name = Postgres::shared().database();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(3)
        .connect(&Postgres::shared().url(&name))
        .await
        .unwrap();
    let options = PostgresOptions::from_pool(pool.clone()).max_connections(2);
    let db = PostgresDatabase::open(options).await.unwrap();
    let (mut one, mut two) = (db.write().await.unwrap(), db.write().await.unwrap());
    assert_eq!(number(&mut one, "SELECT 1::bigint").await + number(&mut two, "SELECT 2::bigint").await, 3);
    assert_eq!(pool.size(), 2);
    let one: i64 = sqlx::query_scalar("SELECT 1::bigint").fetch_one(&pool).await.unwrap();
    assert_eq!((one, pool.size()), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_loans_and_ends_every_session() {
    let (db, name) = fresh().await;
    let held = db.write().await.unwrap();
    let error = db.close(Duration::from_millis(30)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Timeout && error.message().contains("pool.rs"), "{error}");
    assert_eq!(db.read(Consistency::Eventual).await.unwrap_err().kind(), ErrorKind::Closed);
    drop(held);
    db.close(Duration::from_secs(30)).await.unwrap();
    db.close(Duration::from_secs(30)).await.unwrap();
    drop(db);
    let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'");
    until("every session ends", async || psql("postgres", &sessions) == "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wish_for_a_session_is_met_or_refused() {
    let (db, name) = fresh().await;
    for target in
        [TargetSession::Any, TargetSession::ReadWrite, TargetSession::Primary, TargetSession::PreferStandby]
    {
        assert!(!db.session(target).await.unwrap().is_standby());
    }
    for target in [TargetSession::Standby, TargetSession::ReadOnly] {
        assert_eq!(db.session(target).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    psql("postgres", &format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let url = |target: &str| format!("{}?target_session_attrs={target}", Postgres::shared().url(&name));
    let refused = PostgresDatabase::open(PostgresOptions::new(url("read-write"))).await.unwrap_err();
    assert!(refused.message().contains("no server is read-write"), "{refused}");
    let db = PostgresDatabase::open(PostgresOptions::new(url("read-only"))).await.unwrap();
    let mut conn = db.session(TargetSession::ReadOnly).await.unwrap();
    let error = sqlx::query("CREATE TABLE t (a int)").execute(&mut conn).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_hold_on_the_server() {
    let (db, _) = with(|options| options.max_connections(1)).await;
    let mut conn = db.write().await.unwrap();
    conn.set_statement_timeout(Some(Duration::from_millis(20))).await.unwrap();
    let error = sqlx::query("SELECT pg_sleep(30)").execute(&mut conn).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    drop(conn);
    let mut conn = db.write().await.unwrap();
    assert_eq!(
        number(&mut conn, "SELECT (current_setting('statement_timeout') = '1min')::int::bigint").await,
        1
    );
    let begin = Begin::default().statement_timeout(Duration::from_millis(20)).read_only(true);
    let mut transaction = conn.begin_with(begin).await.unwrap();
    let error = sqlx::query("SELECT pg_sleep(30)").execute(&mut transaction).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(transaction.commit().await.unwrap_err().kind(), ErrorKind::Precondition);
}
