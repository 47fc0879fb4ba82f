//! A primary and its standbys: who is asked, what is waited for, what is refused.

use crate::support::{number, until};
use aeth_core::ErrorKind;
use aeth_core::observe::{HealthCheck, Status};
use aeth_db::{
    Consistency, Isolation, PostgresDatabase, PostgresOptions, SqlxResultExt, Standing, TargetSession, Token,
    TransactOptions,
};
use std::time::Duration;
use testkit::Postgres;

fn url(servers: &[&Postgres]) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    format!("postgres://postgres@{}/postgres", hosts.join(","))
}

fn options(servers: &[&Postgres]) -> PostgresOptions {
    PostgresOptions::new(url(servers))
        .probe_interval(Duration::from_millis(20))
        .replica_wait(Duration::from_millis(50))
        .failover_timeout(Duration::from_secs(60))
}

async fn standings(db: &PostgresDatabase, wanted: &[Standing]) {
    until("the servers' standings", async || {
        db.servers().iter().map(|server| server.standing).eq(wanted.iter().copied())
    })
    .await;
}

async fn insert(db: &PostgresDatabase, n: i64) -> Token {
    let written = db.transact_with_token(Isolation::ReadCommitted, TransactOptions::default(), move |tx| {
        Box::pin(async move {
            sqlx::query("INSERT INTO t VALUES ($1)").bind(n).execute(&mut *tx).await?;
            Ok(())
        })
    });
    written.await.unwrap().1
}

const SUM: &str = "SELECT coalesce(sum(n), 0)::bigint FROM t";

#[tokio::test(flavor = "multi_thread")]
async fn readers_get_what_they_must_see_and_no_server_of_the_past() {
    let mut primary = Postgres::start();
    let (a, b) = std::thread::scope(|scope| {
        let start = || Postgres::builder().start_standby(&primary);
        let other = scope.spawn(start);
        (start(), other.join().unwrap())
    });
    let stranger = Postgres::builder().stranger().start();
    primary.psql("postgres", "CREATE TABLE t (n bigint)");
    let ours = primary.psql("postgres", "SELECT system_identifier FROM pg_control_system()").parse().unwrap();
    let all = options(&[&a, &stranger, &primary, &b]).system_identifier(ours);
    let db = PostgresDatabase::open(all).await.unwrap();
    use Standing::{Down, Foreign, Primary, Stale, Standby};
    standings(&db, &[Standby, Foreign, Primary, Standby]).await;
    let health = db.check().await;
    assert!(health.status == Status::Degraded && health.reason.unwrap().contains("foreign"));

    // Both have replayed it: either may answer, and does.
    let token = insert(&db, 1).await;
    let text = token.to_string();
    let token: Token = text.parse().unwrap();
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let mut conn = db.read(Consistency::AtLeast(token)).await.unwrap();
        assert_eq!(number(&mut conn, SUM).await, 1);
        asked.insert((conn.server().to_owned(), conn.is_standby()));
    }
    assert!(asked.iter().any(|(_, standby)| *standby), "{asked:?}");

    // One lags: it is not asked by who must see it; with both, the primary is.
    a.psql("postgres", "SELECT pg_wal_replay_pause()");
    let token = insert(&db, 2).await;
    for _ in 0..32 {
        let mut conn = db.read(Consistency::AtLeast(token)).await.unwrap();
        assert_eq!(number(&mut conn, SUM).await, 3);
        assert!(!conn.server().ends_with(&format!(":{}", a.port())));
    }
    b.psql("postgres", "SELECT pg_wal_replay_pause()");
    let token = insert(&db, 4).await;
    let mut conn = db.read(Consistency::AtLeast(token)).await.unwrap();
    assert_eq!((number(&mut conn, SUM).await, conn.is_standby()), (7, false));
    drop(conn);
    assert!(db.read(Consistency::Eventual).await.unwrap().is_standby());
    until("both are known to be old", async || {
        !db.read(Consistency::Bounded(Duration::from_millis(100))).await.unwrap().is_standby()
    })
    .await;
    assert!(!db.read(Consistency::Strong).await.unwrap().is_standby());
    let mut conn = db.session(TargetSession::PreferStandby).await.unwrap();
    let error = sqlx::query("INSERT INTO t VALUES (8)").execute(&mut conn).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(conn.token().await.unwrap_err().kind(), ErrorKind::Precondition);
    drop(conn);

    // B is promoted though it never got the last write; A follows it.
    b.psql("postgres", "SELECT pg_wal_replay_resume()");
    a.psql("postgres", "SELECT pg_wal_replay_resume()");
    until("a and b have it", async || {
        let sum = "SELECT coalesce(sum(n), 0) FROM t";
        a.psql("postgres", sum) == "7" && b.psql("postgres", sum) == "7"
    })
    .await;
    let before = insert(&db, 0).await;
    until("a and b have it", async || {
        db.servers().iter().filter(|server| server.standing == Standby).all(|s| s.lsn >= Some(before.lsn()))
    })
    .await;
    // Cut off: what is written now reaches nobody.
    for standby in [&a, &b] {
        standby.psql("postgres", "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1 user=postgres'");
        standby.psql("postgres", "SELECT pg_reload_conf()");
    }
    until("nobody receives", async || {
        primary.psql("postgres", "SELECT count(*) FROM pg_stat_replication") == "0"
    })
    .await;
    let beyond = insert(&db, 100).await;
    primary.kill();
    let waiting = tokio::spawn({
        let db = db.clone();
        async move { insert(&db, 16).await }
    });
    b.promote();
    let after = waiting.await.unwrap();
    assert_eq!((before.timeline(), after.timeline()), (1, 2));
    a.follow(&b);
    standings(&db, &[Standby, Foreign, Down, Primary]).await;
    until("a follows", async || {
        db.read(Consistency::AtLeast(after)).await.is_ok_and(|conn| conn.is_standby())
    })
    .await;
    for token in [before, after] {
        let mut conn = db.read(Consistency::AtLeast(token)).await.unwrap();
        assert_eq!(number(&mut conn, SUM).await, 23);
    }
    let error = db.read(Consistency::AtLeast(beyond)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Precondition && error.message().contains("lost"), "{error}");

    // The old primary comes back and believes in itself; nobody else does.
    primary.restart();
    standings(&db, &[Standby, Foreign, Stale, Primary]).await;
    for _ in 0..32 {
        let conn = db.write().await.unwrap();
        assert!(conn.server().ends_with(&format!(":{}", b.port())));
        let mut conn = db.read(Consistency::AtLeast(after)).await.unwrap();
        assert_eq!(number(&mut conn, SUM).await, 23);
    }
    // One who knows nothing yet learns it when he opens the database, and one who has only the old primary
    // is told by his token.
    let late = PostgresDatabase::open(options(&[&primary, &b])).await.unwrap();
    standings(&late, &[Stale, Primary]).await;
    assert_eq!(late.read(Consistency::AtLeast(beyond)).await.unwrap_err().kind(), ErrorKind::Precondition);
    let alone = PostgresDatabase::open(options(&[&primary])).await.unwrap();
    assert_eq!(alone.read(Consistency::AtLeast(after)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let mut foreign = text.clone();
    foreign.replace_range(0..4, "0000");
    let foreign = Consistency::AtLeast(foreign.parse().unwrap());
    assert_eq!(db.read(foreign).await.unwrap_err().kind(), ErrorKind::Precondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_passed_over_until_it_answers() {
    let primary = Postgres::start();
    let standby = Postgres::builder().start_standby(&primary);
    // Long, so that only the probes can notice.
    let patient = options(&[&primary, &standby])
        .connect_timeout(Duration::from_secs(300))
        .acquire_timeout(Duration::from_secs(300));
    let db = PostgresDatabase::open(patient).await.unwrap();
    use Standing::{Down, Primary, Standby};
    standings(&db, &[Primary, Standby]).await;
    assert!(db.read(Consistency::Eventual).await.unwrap().is_standby());
    standby.freeze();
    standings(&db, &[Primary, Down]).await;
    for _ in 0..16 {
        let mut conn = db.read(Consistency::Eventual).await.unwrap();
        assert_eq!((number(&mut conn, "SELECT 1::bigint").await, conn.is_standby()), (1, false));
    }
    let health = db.check().await;
    assert_eq!(health.status, Status::Degraded, "{health:?}");
    standby.thaw();
    standings(&db, &[Primary, Standby]).await;
    until("it is read from again", async || {
        db.read(Consistency::Eventual).await.is_ok_and(|conn| conn.is_standby())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wish_is_met_by_a_cluster() {
    let primary = Postgres::start();
    let standby = Postgres::builder().start_standby(&primary);
    let db = PostgresDatabase::open(options(&[&primary, &standby])).await.unwrap();
    standings(&db, &[Standing::Primary, Standing::Standby]).await;
    use TargetSession::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
    for (target, standby) in [
        (ReadWrite, Some(false)),
        (Primary, Some(false)),
        (ReadOnly, Some(true)),
        (Standby, Some(true)),
        (PreferStandby, Some(true)),
        (Any, None),
    ] {
        for _ in 0..8 {
            let conn = db.session(target).await.unwrap();
            assert!(standby.is_none_or(|standby| conn.is_standby() == standby), "{target}");
        }
    }
    // By the URL's words too, each against a cluster that has no such server.
    for (server, refused) in [(&primary, ["read-only", "standby"]), (&standby, ["read-write", "primary"])] {
        for word in refused {
            let wanted = format!("{}?target_session_attrs={word}", url(&[server]));
            let error = PostgresDatabase::open(PostgresOptions::new(wanted)).await.unwrap_err();
            assert!(error.kind() == ErrorKind::Unavailable && error.message().contains(word), "{error:?}");
        }
        let wanted = format!("{}?target_session_attrs=prefer-standby", url(&[server]));
        PostgresDatabase::open(PostgresOptions::new(wanted)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_primaries_of_two_clusters_are_refused() {
    let (one, two) = (Postgres::shared(), Postgres::builder().stranger().start());
    let error = PostgresDatabase::open(options(&[one, &two])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let identifier =
        two.psql("postgres", "SELECT system_identifier FROM pg_control_system()").parse().unwrap();
    let db = PostgresDatabase::open(options(&[one, &two]).system_identifier(identifier)).await.unwrap();
    standings(&db, &[Standing::Foreign, Standing::Primary]).await;
    assert_eq!(db.system_identifier(), Some(identifier));
}
