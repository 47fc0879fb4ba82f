//! Files that are wrong, and other processes.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use aeth_core::observe::{HealthCheck, Status};
use aeth_core::{Error, ErrorKind, Lifecycle, Retry};
use aeth_db::{Integrity, SqliteDatabase, SqliteOptions, SqlxResultExt, TransactOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

async fn refused(options: SqliteOptions) -> Error {
    SqliteDatabase::open(options).await.unwrap_err()
}

/// Another process that holds a lock until its input closes.
struct Holder(Child);

impl Holder {
    fn new(path: &Path, begin: &str) -> Self {
        let script = "import sqlite3, sys\n\
                      c = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      c.execute(sys.argv[2])\n\
                      print('held', flush=True)\n\
                      sys.stdin.read()\n";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .arg(begin)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`python3` is needed: apt-get install python3");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let missing = refused(SqliteOptions::new(dir.path().join("no/such/a.db"))).await;
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.remedy().unwrap().contains("create the directory"));
    assert!(missing.key().unwrap().ends_with("no/such/a.db"));
    assert_eq!(refused(SqliteOptions::new(dir.path())).await.kind(), ErrorKind::Invalid);
    let absent = refused(SqliteOptions::new(dir.path().join("a.db")).create(false)).await;
    assert_eq!(absent.kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
    for bad in [
        SqliteOptions::new(""),
        SqliteOptions::memory().readers(0),
        SqliteOptions::memory().acquire_timeout(Duration::ZERO),
        SqliteOptions::memory().statement_timeout(Some(Duration::ZERO)),
    ] {
        assert_eq!(refused(bad).await.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn something_else_is_corrupt_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let text = b"this is a letter and no database ".repeat(200);
    std::fs::write(&path, &text).unwrap();
    let error = refused(SqliteOptions::new(&path)).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Corrupt, Retry::Never));
    assert!(error.remedy().unwrap().contains("restore"));
    assert_eq!(std::fs::read(&path).unwrap(), text);
}

#[tokio::test]
async fn damage_inside_is_found_and_makes_health_down() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let db = SqliteDatabase::open(SqliteOptions::new(&path)).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT);
         CREATE INDEX i ON t (s);
         WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 2000)
         INSERT INTO t SELECT n, 'text number ' || n FROM c",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    drop(writer);
    assert!(db.check_integrity(Integrity::Full).await.unwrap().is_empty());
    db.close(Duration::from_secs(5)).await.unwrap();

    let mut file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut page = [0; 4096];
    file.seek(SeekFrom::Start(4096 * 9)).unwrap();
    file.read_exact(&mut page).unwrap();
    page[8..600].fill(0x5a);
    file.seek(SeekFrom::Start(4096 * 9)).unwrap();
    file.write_all(&page).unwrap();
    drop(file);

    let db = SqliteDatabase::open(SqliteOptions::new(&path)).await.unwrap();
    assert_eq!(db.check().await.status, Status::Up, "nobody has looked yet");
    let findings = db.check_integrity(Integrity::Quick).await;
    match &findings {
        Ok(findings) => assert!(!findings.is_empty()),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
    }
    assert_eq!(db.check().await.status, Status::Down);
    let mut reader = db.read().await.unwrap();
    let rows: Result<Vec<(i64, String)>, _> =
        sqlx::query_as("SELECT n, s FROM t ORDER BY n").fetch_all(&mut reader).await;
    assert_eq!(rows.storage().unwrap_err().kind(), ErrorKind::Corrupt);
}

fn insert(
    tx: &mut aeth_db::SqliteTransaction,
) -> futures_core::future::BoxFuture<'_, Result<(), aeth_db::TransactError>> {
    Box::pin(async move {
        sqlx::query("INSERT INTO t VALUES (2)").execute(&mut *tx).await?;
        Ok(())
    })
}

#[tokio::test]
async fn another_process_that_writes_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let options = SqliteOptions::new(&path).busy_timeout(Duration::from_millis(150));
    let db = SqliteDatabase::open(options).await.unwrap();
    let mut writer = db.write().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (n)").execute(&mut writer).await.unwrap();
    drop(writer);

    let holder = Holder::new(&path, "BEGIN IMMEDIATE");
    let mut writer = db.write().await.unwrap();
    let busy = sqlx::query("INSERT INTO t VALUES (1)").execute(&mut writer).await.storage().unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(busy.retry().is_worthwhile() && busy.remedy().unwrap().contains("another process"));
    drop(writer);
    let mut reader = db.read().await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut reader).await.unwrap();
    assert_eq!(rows, 0, "readers go on");
    drop(reader);

    let options = TransactOptions::default().attempts(2);
    let exhausted = db.transact_with(options, insert).await.unwrap_err();
    assert_eq!((exhausted.kind(), exhausted.retry()), (ErrorKind::Busy, Retry::Exhausted));

    let patient = TransactOptions::default().attempts(100);
    let (done, ()) = tokio::join!(db.transact_with(patient, insert), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        holder.let_go();
    });
    done.unwrap();
}

#[tokio::test]
async fn a_file_locked_as_a_whole_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let holder = Holder::new(&path, "BEGIN EXCLUSIVE");
    let error = refused(SqliteOptions::new(&path).busy_timeout(Duration::from_millis(100))).await;
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.key().unwrap().ends_with("a.db"));
    holder.let_go();
    SqliteDatabase::open(SqliteOptions::new(&path)).await.unwrap();
}
