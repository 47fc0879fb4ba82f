//! Writers and readers of cached results, history checked.

use crate::support::{execute, with};
use aeth_db::{
    CacheFreshness, CachedQuery, Isolation, PostgresCacheTier, PostgresTierOptions, QueryCache,
    QueryCacheOptions, TransactOptions,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};

const TABLES: [&str; 3] = [
    "SELECT n FROM a WHERE id = $1",
    "SELECT n FROM b WHERE id = $1",
    "SELECT a.n + b.n FROM a JOIN b USING (id) WHERE id = $1",
];
const IDS: usize = 4;

/// Whoever reads strictly sees at least what was acknowledged before he began. 10^6 reads with
/// `AETH_TORTURE_COUNT=500`.
#[tokio::test(flavor = "multi_thread")]
async fn torture_strict_results() {
    const READS: u64 = 2_000;
    for case in testkit::campaign("strict-results", 1) {
        let (db, _) = with(|options| options.max_connections(16)).await;
        let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
        let options = QueryCacheOptions::default();
        let cache = QueryCache::open(db.clone(), Arc::new(tier), options).await.unwrap();
        execute(
            &db,
            "CREATE TABLE a (id int PRIMARY KEY, n bigint); CREATE TABLE b (id int PRIMARY KEY, n bigint);
             INSERT INTO a SELECT i, 0 FROM generate_series(0, 3) i; INSERT INTO b SELECT * FROM a",
        )
        .await;
        cache.watch("a", false).await.unwrap();
        cache.watch("b", false).await.unwrap();
        let acked: Arc<[[AtomicI64; IDS]; 2]> = Arc::default();
        let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..4_u64 {
            let (db, acked, done) = (db.clone(), acked.clone(), done.clone());
            let mut rng = fastrand::Rng::with_seed(case.seed() * 100 + writer);
            tasks.spawn(async move {
                while !done.load(SeqCst) {
                    let (table, id) = (rng.usize(..2), rng.usize(..IDS));
                    let sql = [
                        "UPDATE a SET n = n + 1 WHERE id = $1 RETURNING n",
                        "UPDATE b SET n = n + 1 WHERE id = $1 RETURNING n",
                    ][table];
                    let written =
                        db.transact(Isolation::ReadCommitted, TransactOptions::default(), move |tx| {
                            let id = id as i32;
                            Box::pin(async move {
                                Ok(sqlx::query_scalar::<_, i64>(sql).bind(id).fetch_one(&mut *tx).await?)
                            })
                        });
                    let n = written.await.unwrap();
                    acked[table][id].fetch_max(n, SeqCst);
                    tokio::time::sleep(std::time::Duration::from_millis(rng.u64(..20))).await;
                }
            });
        }
        for reader in 0..8_u64 {
            let (cache, acked, done, reads) = (cache.clone(), acked.clone(), done.clone(), reads.clone());
            let mut rng = fastrand::Rng::with_seed(case.seed() * 100 + 50 + reader);
            tasks.spawn(async move {
                while !done.load(SeqCst) {
                    let (what, id) = (rng.usize(..3), rng.usize(..IDS));
                    let before = |table: usize| acked[table][id].load(SeqCst);
                    let least = match what {
                        2 => before(0) + before(1),
                        table => before(table),
                    };
                    let query = CachedQuery::new(TABLES[what]).bind(id as i32);
                    let rows: Vec<(i64,)> = cache.fetch(query, CacheFreshness::Strict).await.unwrap();
                    assert!(rows[0].0 >= least, "{} of {id}: {} after {least}", TABLES[what], rows[0].0);
                    if reads.fetch_add(1, SeqCst) >= READS {
                        done.store(true, SeqCst);
                    }
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                done.store(true, SeqCst);
            }
            ended.unwrap();
        }
        let statistics = cache.statistics();
        assert!(statistics.hits > 0 && statistics.outdated > 0, "{statistics:?}");
    }
}
