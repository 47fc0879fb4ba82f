//! What the tests share.

use aeth_db::{Consistency, PostgresConn, PostgresDatabase, PostgresOptions};
use std::time::Duration;
use testkit::Postgres;

/// A database of its own on the shared cluster.
pub(crate) async fn fresh() -> (PostgresDatabase, String) {
    with(|options| options).await
}

pub(crate) async fn with(
    change: impl FnOnce(PostgresOptions) -> PostgresOptions,
) -> (PostgresDatabase, String) {
    let name = tokio::task::spawn_blocking(|| Postgres::shared().database()).await.unwrap();
    let options = PostgresOptions::new(Postgres::shared().url(&name));
    (PostgresDatabase::open(change(options)).await.unwrap(), name)
}

pub(crate) fn psql(database: &str, sql: &str) -> String {
    Postgres::shared().psql(database, sql)
}

pub(crate) async fn execute(db: &PostgresDatabase, sql: &'static str) {
    let mut conn = db.write().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
}

pub(crate) async fn number(conn: &mut PostgresConn, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(conn).await.unwrap()
}

pub(crate) async fn read_number(db: &PostgresDatabase, sql: &'static str) -> i64 {
    number(&mut db.read(Consistency::Strong).await.unwrap(), sql).await
}

/// Waits until something holds: what is waited for is decided by the server, not by the clock.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 30 s");
}
