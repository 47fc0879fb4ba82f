//! Futures that are dropped: the statement is stopped, the connection comes home clean.

use crate::support::{execute, number, psql, until, with};
use aeth_db::Consistency;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_statement_is_stopped_on_the_server() {
    let (db, name) = with(|options| options.max_connections(1)).await;
    let mut conn = db.write().await.unwrap();
    let pid = conn.backend_pid();
    let sleep = sqlx::query("SELECT pg_sleep(600)").execute(&mut conn);
    assert!(tokio::time::timeout(Duration::from_millis(50), sleep).await.is_err());
    drop(conn);
    let mut conn = db.write().await.unwrap();
    assert_eq!(conn.backend_pid(), pid, "the connection was cleaned, not replaced");
    assert_eq!(number(&mut conn, "SELECT 42::bigint").await, 42);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = ";
    assert_eq!(psql(&name, &format!("{sleeping}'{name}'")), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_rolled_back_wherever_it_is_dropped() {
    let (db, _) = with(|options| options.max_connections(2)).await;
    execute(&db, "CREATE TABLE t (a int)").await;
    let mut transaction = db.begin().await.unwrap();
    sqlx::query("INSERT INTO t VALUES (1)").execute(&mut transaction).await.unwrap();
    let insert = sqlx::query("INSERT INTO t SELECT 2 FROM pg_sleep(600)").execute(&mut transaction);
    assert!(tokio::time::timeout(Duration::from_millis(50), insert).await.is_err());
    drop(transaction);
    let mut reader = db.read(Consistency::Strong).await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    until("it is rolled back", async || number(&mut reader, open).await == 0).await;
    assert_eq!(number(&mut reader, "SELECT count(*) FROM t").await, 0);
}
