//! Bad input and bad servers: each is a typed error with a remedy and the right verdict.

use crate::support::{execute, fresh, psql, with};
use aeth_core::{Error, ErrorKind, Retry, Secret};
use aeth_db::{Consistency, PostgresDatabase, PostgresOptions, SqlxResultExt};
use std::time::Duration;
use testkit::Postgres;

async fn refused(url: String) -> Error {
    let options = PostgresOptions::new(url).connect_timeout(Duration::from_secs(5));
    let error = PostgresDatabase::open(options).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hush"), "a password was shown: {shown}");
    assert!(error.remedy().is_some() && error.operation().is_some(), "{error:?}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_address_is_told() {
    let port = Postgres::shared().port();
    let kinds = [
        ("mysql://u:hush@127.0.0.1/db".to_owned(), ErrorKind::Invalid),
        (format!("postgres://u:hush@127.0.0.1:{port}x/db"), ErrorKind::Invalid),
        (format!("postgres://postgres:hush@127.0.0.1:{port}/nothing"), ErrorKind::NotFound),
        (format!("postgres://nobody:hush@127.0.0.1:{port}/postgres"), ErrorKind::Denied),
        (format!("postgres://postgres:hush@127.0.0.1:{}/db", testkit::free_port()), ErrorKind::Unavailable),
        ("postgres://postgres:hush@no-such-host.invalid/db".to_owned(), ErrorKind::Unavailable),
        (format!("postgres://postgres:hush@127.0.0.1:{port}/postgres?sslmode=require"), ErrorKind::Denied),
        (
            format!("postgres://postgres:hush@127.0.0.1:{port}/postgres?target_session_attrs=boss"),
            ErrorKind::Invalid,
        ),
    ];
    for (url, kind) in kinds {
        let error = refused(url.clone()).await;
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
    }
    // A port that swallows what it is told.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://u:hush@{}/db", silent.local_addr().unwrap());
    let options = PostgresOptions::new(url).connect_timeout(Duration::from_millis(100));
    assert_eq!(PostgresDatabase::open(options).await.unwrap_err().kind(), ErrorKind::Timeout);
    let zero = PostgresOptions::new("postgres://h/db").max_connections(0);
    assert_eq!(PostgresDatabase::open(zero).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_come_from_files_and_tls_is_checked() {
    let rules = "hostssl all app all scram-sha-256\nhost all postgres all trust\nlocal all all trust";
    let server = Postgres::builder().access(rules).tls().start();
    server.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'hush'");
    let dir = testkit::temp_dir();
    let (good, bad, url_file) = (dir.path().join("good"), dir.path().join("bad"), dir.path().join("url"));
    std::fs::write(&good, "hush\n").unwrap();
    std::fs::write(&bad, "wrong\n").unwrap();
    let certificate = server.certificate();
    let url = |mode: &str| {
        let root = certificate.display();
        format!("postgres://app@localhost:{}/postgres?sslmode={mode}&sslrootcert={root}", server.port())
    };
    std::fs::write(&url_file, url("verify-full")).unwrap();
    let options = PostgresOptions::from_url_file(&url_file).unwrap().password_file(&good).unwrap();
    let db = PostgresDatabase::open(options).await.unwrap();
    let mut conn = db.write().await.unwrap();
    let tls: bool = sqlx::query_scalar("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    assert!(tls);
    let options = PostgresOptions::new(url("verify-full")).password_file(&bad).unwrap();
    assert_eq!(PostgresDatabase::open(options).await.unwrap_err().kind(), ErrorKind::Denied);
    let options = PostgresOptions::new(url("disable")).password(Secret::new("hush"));
    assert_eq!(PostgresDatabase::open(options).await.unwrap_err().kind(), ErrorKind::Denied);
    // Without the authority the certificate is nobody's.
    let bare = format!("postgres://app@localhost:{}/postgres?sslmode=verify-full", server.port());
    let options = PostgresOptions::new(bare).password(Secret::new("hush"));
    let error = PostgresDatabase::open(options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(PostgresOptions::from_url_file(dir.path().join("none")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_out_of_connections_or_killed_is_told_and_found_again() {
    let mut server = Postgres::builder()
        .setting("max_connections", "6")
        .setting("superuser_reserved_connections", "1")
        .setting("max_wal_senders", "0")
        .start();
    server.psql("postgres", "CREATE ROLE app LOGIN; GRANT CREATE ON SCHEMA public TO app");
    let url = format!("postgres://app@127.0.0.1:{}/postgres", server.port());
    let options = PostgresOptions::new(url).probe_interval(Duration::from_millis(20));
    let db = PostgresDatabase::open(options).await.unwrap();
    let mut held = Vec::new();
    let error = loop {
        match db.write().await {
            Ok(conn) => held.push(conn),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), held.len()), (ErrorKind::Busy, 4), "{error:?}");
    assert!(error.retry().is_worthwhile() && error.remedy().unwrap().contains("max_connections"));
    held.truncate(1);
    let mut conn = held.pop().unwrap();
    let running = tokio::spawn(async move {
        let slept = sqlx::query("SELECT pg_sleep(60)").execute(&mut conn).await.storage();
        slept.unwrap_err()
    });
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while server.psql("postgres", sleeping) != "1" {}
    server.kill();
    let error = running.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let error = loop {
        match db.write().await {
            Err(error) => break error,
            Ok(mut conn) => drop(sqlx::query("SELECT 1").execute(&mut conn).await),
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    server.restart();
    crate::support::until("the server is found again", async || db.write().await.is_ok()).await;
    execute(&db, "SELECT 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_cannot_be_are_told() {
    let (db, name) = with(|options| options.lock_timeout(Some(Duration::from_millis(50)))).await;
    execute(&db, "CREATE TABLE t (a int PRIMARY KEY, b int REFERENCES t, c int CHECK (c > 0))").await;
    execute(&db, "INSERT INTO t VALUES (1, NULL, 1)").await;
    for (sql, kind) in [
        ("SELEKT 1", ErrorKind::Invalid),
        ("SELECT * FROM nothing", ErrorKind::Invalid),
        ("SELECT 1 / 0", ErrorKind::Invalid),
        ("INSERT INTO t VALUES (1)", ErrorKind::AlreadyExists),
        ("CREATE TABLE t (a int)", ErrorKind::AlreadyExists),
        ("INSERT INTO t VALUES (2, 3)", ErrorKind::Precondition),
        ("INSERT INTO t VALUES (2, NULL, -1)", ErrorKind::Invalid),
        ("SELECT set_config('nothing.of the kind', 'a', false)", ErrorKind::Invalid),
    ] {
        let mut conn = db.write().await.unwrap();
        let error = sqlx::query(sql).execute(&mut conn).await.storage().unwrap_err();
        assert_eq!((error.kind(), error.retry()), (kind, Retry::Never), "{sql}: {error:?}");
    }
    let mut conn = db.write().await.unwrap();
    let mut many = sqlx::QueryBuilder::<sqlx::Postgres>::new("SELECT ");
    let mut list = many.separated(", ");
    for n in 0..70_000 {
        list.push_bind(n);
    }
    let error = many.build().execute(&mut conn).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.remedy().unwrap().contains("array"));
    drop(conn);
    let mut holder = db.begin().await.unwrap();
    sqlx::query("LOCK TABLE t").execute(&mut holder).await.unwrap();
    let mut conn = db.read(Consistency::Strong).await.unwrap();
    let error = sqlx::query("SELECT * FROM t").execute(&mut conn).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error:?}");
    drop(holder);
    psql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
    let mut conn = db.write().await;
    if let Ok(conn) = &mut conn {
        let error = sqlx::query("SELECT 1").execute(conn).await.storage().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_may_do_what_it_was_granted() {
    let (db, name) = fresh().await;
    execute(&db, "CREATE TABLE t (a int)").await;
    let role = format!("role_{name}");
    psql(&name, &format!("CREATE ROLE {role} LOGIN"));
    let url = format!("postgres://{role}@127.0.0.1:{}/{name}", Postgres::shared().port());
    // Probing needs no privilege at all.
    let db = PostgresDatabase::open(PostgresOptions::new(url)).await.unwrap();
    let mut conn = db.write().await.unwrap();
    let error = sqlx::query("SELECT * FROM t").execute(&mut conn).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    conn.token().await.unwrap();
}
