//! TLS by rustls: who the server is, is looked at.

use aeth_core::{Error, ErrorKind, Secret};
use aeth_db::{PostgresDatabase, PostgresOptions};
use std::path::Path;
use testkit::Postgres;

const RULES: &str = "hostssl all app all scram-sha-256\nhost all postgres all trust\nlocal all all trust";

fn url(server: &Postgres, mode: &str, root: Option<&Path>) -> String {
    let root = root.map(|root| format!("&sslrootcert={}", root.display())).unwrap_or_default();
    format!("postgres://app@localhost:{}/postgres?sslmode={mode}{root}", server.port())
}

async fn open(url: String) -> Result<PostgresDatabase, Error> {
    PostgresDatabase::open(PostgresOptions::new(url).password(Secret::new("hush"))).await
}

async fn refused(url: String) {
    let error = open(url.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.retry().is_worthwhile()), (ErrorKind::Denied, false), "{url}: {error:?}");
    assert!(error.remedy().is_some(), "{url}: {error:?}");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_believed_only_by_its_authority_and_name() {
    let server = Postgres::builder().access(RULES).tls().start();
    let other = Postgres::builder().access(RULES).tls_for("db.example").start();
    for server in [&server, &other] {
        server.psql("postgres", "CREATE ROLE app LOGIN PASSWORD 'hush'");
    }
    let (mine, wrong) = (server.certificate(), other.certificate());
    let db = open(url(&server, "verify-full", Some(&mine))).await.unwrap();
    let mut conn = db.write().await.unwrap();
    let (tls, version): (bool, String) =
        sqlx::query_as("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert!(tls && version.starts_with("TLSv1."), "{version}");
    // Cancelling and probing go the same way.
    let sleep = sqlx::query("SELECT pg_sleep(600)").execute(&mut conn);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), sleep).await.is_err());
    drop(conn);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    crate::support::until("the statement is stopped", async || server.psql("postgres", sleeping) == "0")
        .await;

    // An authority that is not its own; none but the world's; a file that is none.
    refused(url(&server, "verify-full", Some(&wrong))).await;
    refused(url(&server, "verify-ca", Some(&wrong))).await;
    refused(url(&server, "verify-full", None)).await;
    // Its authority, and another name: the name counts where it was said to.
    refused(url(&other, "verify-full", Some(&wrong))).await;
    open(url(&other, "verify-ca", Some(&wrong))).await.unwrap();
    // A server without TLS, and one that demands it.
    let plain =
        format!("postgres://postgres@localhost:{}/postgres?sslmode=require", Postgres::shared().port());
    refused(plain).await;
    refused(url(&server, "disable", None)).await;
    let missing = url(&server, "verify-full", Some(Path::new("no/such/file")));
    let error = open(missing).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::NotFound, Some("no/such/file")), "{error:?}");
    assert!(error.remedy().is_some() && !error.retry().is_worthwhile(), "{error:?}");
}
