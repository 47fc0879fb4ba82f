//! PgBouncer in transaction mode: clients share sessions, and notice nothing.

use crate::support::{number, psql};
use aeth_core::ErrorKind;
use aeth_core::observe::{HealthCheck, Status};
use aeth_db::{
    Begin, Consistency, Isolation, Migrations, Pooler, PostgresDatabase, PostgresOptions, SqlxResultExt,
    TransactOptions,
};
use std::time::Duration;
use testkit::{PgBouncer, Postgres};

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_over_few_sessions_get_their_own_answers() {
    let name = Postgres::shared().database();
    let bouncer = PgBouncer::start(Postgres::shared());
    let options = PostgresOptions::new(bouncer.url(&name)).max_connections(24).pooler(Pooler::Transaction);
    let db = PostgresDatabase::open(options).await.unwrap();
    assert_eq!(db.check().await.status, Status::Up);
    let migrations = Migrations::new("app").step(1, "t", "CREATE TABLE t (id bigint PRIMARY KEY, n bigint)");
    db.migrate(&migrations).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..24_i64 {
        let db = db.clone();
        tasks.spawn(async move {
            for round in 0..20_i64 {
                // Texts of their own: another client's unnamed statement must never be taken for this one's.
                let sql = format!("SELECT $1::bigint * 1000 + {round} WHERE $2::text <> '{task}'");
                let mut conn = db.write().await.unwrap();
                let answer: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
                    .bind(task)
                    .bind("x")
                    .fetch_one(&mut conn)
                    .await
                    .unwrap();
                assert_eq!(answer, task * 1000 + round);
                let rows: Vec<i64> = sqlx::query_scalar("SELECT generate_series(1, $1::bigint)")
                    .bind(round)
                    .fetch_all(&mut conn)
                    .await
                    .unwrap();
                assert_eq!(rows.len() as i64, round);
            }
            db.transact(Isolation::Serializable, TransactOptions::default().attempts(100), |tx| {
                Box::pin(async move {
                    let n: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(&mut *tx).await?;
                    let insert = sqlx::query("INSERT INTO t VALUES ($1, $2)").bind(task).bind(n);
                    insert.execute(&mut *tx).await?;
                    Ok(())
                })
            })
            .await
            .unwrap();
        });
    }
    tasks.join_all().await;
    assert_eq!(psql(&name, "SELECT count(*), count(DISTINCT n) FROM t"), "24|24");
    let mut conn = db.read(Consistency::Strong).await.unwrap();
    assert_eq!(number(&mut conn, "SELECT sum(n)::bigint FROM t").await, 276);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_kept_and_ended_behind_it_too() {
    use aeth_db::{CacheFreshness, CachedQuery, QueryCache, QueryCacheOptions, SqlCacheTier, SqlTierOptions};
    let name = Postgres::shared().database();
    let bouncer = PgBouncer::start(Postgres::shared());
    let options = PostgresOptions::new(bouncer.url(&name)).pooler(Pooler::Transaction);
    let db = PostgresDatabase::open(options).await.unwrap();
    let tier = SqlCacheTier::open(&db.clone().into(), SqlTierOptions::default()).await.unwrap();
    let cache = QueryCache::open(db, std::sync::Arc::new(tier), QueryCacheOptions::default()).await.unwrap();
    psql(&name, "CREATE TABLE t (n bigint)");
    cache.watch("t", true).await.unwrap();
    for (round, fresh) in
        (1_i64..=8).zip([CacheFreshness::Strict, CacheFreshness::Eventual].into_iter().cycle())
    {
        psql(&name, "INSERT INTO t VALUES (1)");
        for _ in 0..2 {
            let query = CachedQuery::new("SELECT count(*) FROM t WHERE n = $1").bind(1_i64);
            // Nobody can listen there: an eventual reader looks each time.
            assert_eq!(cache.fetch::<(i64,)>(query, fresh).await.unwrap(), [(round,)]);
        }
    }
    let statistics = cache.statistics();
    assert_eq!((statistics.hits, statistics.outdated), (8, 7), "{statistics:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_session_is_unsupported_and_dropped_work_does_no_harm() {
    let name = Postgres::shared().database();
    let bouncer = PgBouncer::start(Postgres::shared());
    let options = PostgresOptions::new(bouncer.url(&name)).max_connections(4).pooler(Pooler::Transaction);
    let db = PostgresDatabase::open(options).await.unwrap();
    let mut conn = db.write().await.unwrap();
    let limited = conn.set_statement_timeout(Some(Duration::from_secs(1))).await;
    assert_eq!(limited.unwrap_err().kind(), ErrorKind::Unsupported);
    drop(conn);
    assert_eq!(db.lock("a", Duration::ZERO).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let Err(refused) = db.listen("a").await else { panic!("it listens") };
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    // In a transaction the limit holds.
    let begin = Begin::default().statement_timeout(Duration::from_millis(30));
    let mut transaction = db.write().await.unwrap().begin_with(begin).await.unwrap();
    let error = sqlx::query("SELECT pg_sleep(60)").execute(&mut transaction).await.storage().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    drop(transaction);
    psql(&name, "CREATE TABLE t (n bigint)");
    for round in 0..20 {
        let mut transaction = db.begin().await.unwrap();
        sqlx::query("INSERT INTO t VALUES ($1)").bind(round).execute(&mut transaction).await.unwrap();
        let sleep = sqlx::query("SELECT pg_sleep(0.05)").execute(&mut transaction);
        drop(tokio::time::timeout(Duration::from_millis(5), sleep).await);
        drop(transaction);
        let mut conn = db.write().await.unwrap();
        let answer: i64 =
            sqlx::query_scalar("SELECT $1::bigint").bind(round).fetch_one(&mut conn).await.unwrap();
        assert_eq!(answer, round);
    }
    let mut conn = db.read(Consistency::Strong).await.unwrap();
    crate::support::until("all is rolled back", async || {
        number(&mut conn, "SELECT count(*) FROM t").await == 0
    })
    .await;
}
