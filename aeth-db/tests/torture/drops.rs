//! Futures dropped at random points: no connection is lost, none comes home dirty.

use crate::support::{execute, number, psql, until, with};
use aeth_db::PostgresDatabase;
use futures_util::StreamExt;
use std::time::Duration;

/// One thing that a task does, until it is dropped.
async fn work(db: &PostgresDatabase, what: u32) {
    let mut conn = db.write().await.unwrap();
    match what {
        0 => drop(sqlx::query("SELECT pg_sleep(0.002)").execute(&mut conn).await),
        1 => drop(sqlx::query("UPDATE t SET n = n + 1 WHERE id = $1").bind(7).execute(&mut conn).await),
        2 => {
            let mut rows =
                sqlx::query("SELECT n, repeat('x', 200) FROM t, generate_series(1, 20)").fetch(&mut conn);
            while let Some(Ok(_)) = rows.next().await {}
        }
        3 => {
            let mut transaction = conn.begin().await.unwrap();
            let sql = "INSERT INTO log VALUES ($1)";
            drop(sqlx::query(sql).bind(1).execute(&mut transaction).await);
            drop(sqlx::query("SELECT pg_sleep(0.001)").execute(&mut transaction).await);
            drop(sqlx::query(sql).bind(-1).execute(&mut transaction).await);
            drop(transaction.commit().await);
        }
        4 => drop(sqlx::query("SET work_mem = '3MB'").execute(&mut conn).await),
        _ => {
            // A text that is never the same is prepared anew each time.
            let sql = format!("SELECT {}::bigint", fastrand::u32(..));
            drop(sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut conn).await);
        }
    }
}

/// Futures dropped at random points: 10^5 of them with `AETH_TORTURE_COUNT=100`.
#[tokio::test(flavor = "multi_thread")]
async fn torture_dropped_futures() {
    const DROPS: u32 = 1_000;
    let (db, name) = with(|options| options.max_connections(8)).await;
    execute(
        &db,
        "CREATE TABLE t (id int PRIMARY KEY, n bigint); CREATE TABLE log (d bigint);
         INSERT INTO t SELECT i, 0 FROM generate_series(1, 20) i",
    )
    .await;
    for case in testkit::campaign("dropped-futures", 2) {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..16 {
            let (db, mut rng) = (db.clone(), fastrand::Rng::with_seed(case.seed() * 16 + task));
            tasks.spawn(async move {
                for _ in 0..DROPS / 16 {
                    let (what, after) = (rng.u32(..6), Duration::from_micros(rng.u64(0..3_000)));
                    let work = work(&db, what);
                    tokio::pin!(work);
                    // Polled a few times, then left: sooner than any timer, or by one.
                    if rng.bool() {
                        for _ in 0..rng.u32(1..6) {
                            let polled = futures_util::poll!(&mut work);
                            if polled.is_ready() {
                                break;
                            }
                            tokio::task::yield_now().await;
                        }
                    } else {
                        drop(tokio::time::timeout(after, &mut work).await);
                    }
                }
            });
        }
        tasks.join_all().await;
        // None is lost: all eight can be had at once; and none is dirty.
        let mut all = Vec::new();
        for _ in 0..8 {
            let mut conn = db.write().await.unwrap();
            let dirty = "SELECT (current_setting('work_mem') = '3MB')::int::bigint + (SELECT count(*) FROM pg_locks \
                 WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation = 'log'::regclass)";
            assert_eq!(number(&mut conn, dirty).await, 0);
            all.push(conn);
        }
        let open = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND state <> 'idle' \
             AND pid <> pg_backend_pid()"
        );
        assert_eq!(psql(&name, &open), "0");
        let sessions = format!(
            "SELECT count(*) <= 9 FROM pg_stat_activity WHERE datname = '{name}' \
             AND pid <> pg_backend_pid()"
        );
        until("closed sessions end", async || psql(&name, &sessions) == "t").await;
        assert_eq!(
            psql(&name, "SELECT coalesce(sum(d), 0) FROM log"),
            "0",
            "half a transaction was committed"
        );
    }
}
