//! PostgreSQL on this machine: pools around drivers, a cache level beside a plain table, results kept and run again.

mod level;
mod plain;
mod pools;
mod results;

use aeth_db::{PostgresDatabase, PostgresOptions, sqlx};

use crate::BoxError;
use crate::row::Row;

const ROWS: i32 = 100_000;
const TASKS: usize = 16;

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let server = testkit::Postgres::builder().setting("shared_buffers", "256MB").start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let socket = server.socket_dir().display().to_string();
        let url = format!("postgres://postgres@{}:{}/postgres", socket.replace('/', "%2F"), server.port());
        let options = PostgresOptions::new(url.as_str()).max_connections(TASKS);
        let db = PostgresDatabase::open(options).await?;
        let make = format!(
            "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, filler text NOT NULL);
             INSERT INTO accounts SELECT i, i, repeat('x', 84) FROM generate_series(1, {ROWS}) i;
             ANALYZE accounts"
        );
        execute(&db, make).await?;
        pools::run(&db, (url.as_str(), socket.as_str(), server.port()), report).await?;
        level::run(&db, report).await?;
        results::run(&db, report).await
    })
}

async fn execute(db: &PostgresDatabase, sql: String) -> Result<(), BoxError> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db.write().await?).await?;
    Ok(())
}
