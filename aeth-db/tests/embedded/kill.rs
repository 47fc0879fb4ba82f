//! A process that is killed loses nothing that it was told is committed.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout, missing_docs)]

use aeth_db::{Integrity, SqliteDatabase, SqliteOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "AETH_DB_KILL_CHILD";

async fn open(path: &Path) -> SqliteDatabase {
    SqliteDatabase::open(SqliteOptions::new(path)).await.unwrap()
}

/// The process that is killed: writes a pair of rows and says so when they are committed, without end.
#[tokio::test]
async fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let db = open(Path::new(&path)).await;
    loop {
        let id: i64 = db
            .transact(|tx| {
                Box::pin(async move {
                    let insert = "INSERT INTO t (pad) VALUES (hex(randomblob(200))) RETURNING id";
                    sqlx::query(insert).execute(&mut *tx).await?;
                    Ok(sqlx::query_scalar(insert).fetch_one(&mut *tx).await?)
                })
            })
            .await
            .unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "committed {id}").unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = open(&path).await;
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, pad TEXT)").execute(&mut writer).await.unwrap();
    drop((writer, db));
    let mut random = fastrand::Rng::with_seed(1);
    let mut acknowledged = 0;
    for round in 0..12 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let reading = std::thread::spawn(move || {
            let ids = output.lines().map_while(Result::ok);
            ids.filter_map(|line| line.strip_prefix("committed ")?.parse::<i64>().ok()).max()
        });
        std::thread::sleep(Duration::from_millis(random.u64(60..250)));
        process.kill().unwrap();
        process.wait().unwrap();
        acknowledged = reading.join().unwrap().unwrap_or(0).max(acknowledged);

        let db = open(&path).await;
        let mut reader = db.read().await.unwrap();
        let (rows, last): (i64, i64) = sqlx::query_as("SELECT count(*), coalesce(max(id), 0) FROM t")
            .fetch_one(&mut reader)
            .await
            .unwrap();
        assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, {last} is there");
        assert!(rows == last && rows % 2 == 0, "round {round}: half a transaction is there");
        drop(reader);
        assert!(db.check_integrity(Integrity::Full).await.unwrap().is_empty(), "round {round}");
    }
    assert!(acknowledged > 0, "the process never got to write");
}
