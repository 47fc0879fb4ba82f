//! Cached results: what is refused, what ends them.

use crate::support::{execute, fresh, psql, until};
use aeth_core::ErrorKind;
use aeth_db::{
    CacheFreshness, CachedQuery, PostgresCacheTier, PostgresDatabase, PostgresTierOptions, QueryCache,
    QueryCacheOptions,
};
use std::sync::Arc;

pub(crate) async fn open(db: &PostgresDatabase) -> QueryCache {
    let tier = PostgresCacheTier::open(db.clone(), PostgresTierOptions::default()).await.unwrap();
    QueryCache::open(db.clone(), Arc::new(tier), QueryCacheOptions::default()).await.unwrap()
}

async fn names(cache: &QueryCache, fresh: CacheFreshness) -> Vec<(i64, String)> {
    let query = CachedQuery::new("SELECT id, name FROM users WHERE team = $1 ORDER BY id").bind(1_i64);
    cache.fetch(query, fresh).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_kept_until_its_table_changes() {
    let (db, name) = fresh().await;
    let cache = open(&db).await;
    execute(
        &db,
        "CREATE TYPE colour AS ENUM ('red', 'green');
         CREATE TABLE users (id bigint PRIMARY KEY, team bigint, name text, c colour DEFAULT 'red');
         CREATE TABLE teams (id bigint PRIMARY KEY); CREATE VIEW named AS SELECT id, name FROM users;
         INSERT INTO users VALUES (1, 1, 'ann'), (2, 2, 'ben')",
    )
    .await;
    cache.watch("users", true).await.unwrap();
    cache.watch("public.teams", false).await.unwrap();
    let strict = CacheFreshness::Strict;
    for _ in 0..3 {
        assert_eq!(names(&cache, strict).await, [(1, "ann".to_owned())]);
    }
    assert_eq!((cache.statistics().misses, cache.statistics().hits), (1, 2));
    // Another table's change does not end it; its own does, by whatever statement and session.
    psql(&name, "INSERT INTO teams VALUES (1)");
    names(&cache, strict).await;
    assert_eq!(cache.statistics().hits, 3);
    for (sql, outcome) in [
        ("INSERT INTO users VALUES (3, 1, 'cid')", vec![1, 3]),
        ("UPDATE users SET team = 2 WHERE id = 1", vec![3]),
        ("DELETE FROM users WHERE id = 3", vec![]),
        ("COPY users FROM PROGRAM 'printf ''4\\t1\\tdan\\tred\\n'''", vec![4]),
        ("BEGIN; INSERT INTO users VALUES (5, 1, 'eve'); ROLLBACK", vec![4]),
        ("SET session_replication_role = replica; INSERT INTO users VALUES (6, 1, 'fay')", vec![4, 6]),
        ("TRUNCATE users", vec![]),
    ] {
        psql(&name, sql);
        let ids: Vec<i64> = names(&cache, strict).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, outcome, "{sql}");
    }
    // Through a view, and with a type that sqlx must look up.
    let through = || {
        CachedQuery::new("SELECT n.id FROM named n JOIN users u USING (id) WHERE u.c::text = $1").bind("red")
    };
    for n in 0..3_i64 {
        psql(&name, &format!("INSERT INTO users VALUES ({n}, 1, 'x')"));
        let rows: Vec<(i64,)> = cache.fetch(through(), strict).await.unwrap();
        assert_eq!(rows.len() as i64, n + 1);
    }
    // An eventual reader needs no look while he hears everything, and hears of what changes.
    until("the subscription stands", async || {
        let before = db.statement_statistics().iter().map(|s| s.time.count()).sum::<u64>();
        names(&cache, CacheFreshness::Eventual).await;
        // Only the level is asked.
        db.statement_statistics().iter().map(|s| s.time.count()).sum::<u64>() == before + 1
    })
    .await;
    psql(&name, "UPDATE users SET name = 'zoe' WHERE id = 0");
    until("the change is heard", async || {
        names(&cache, CacheFreshness::Eventual).await.first().is_some_and(|(_, name)| name == "zoe")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_stale_is_refused() {
    let (db, _) = fresh().await;
    let cache = open(&db).await;
    execute(
        &db,
        "CREATE TABLE t (a bigint, at timestamptz); CREATE TABLE other (a bigint); CREATE TABLE safe (a bigint);
         ALTER TABLE safe ENABLE ROW LEVEL SECURITY;
         CREATE TABLE parts (a bigint) PARTITION BY RANGE (a); CREATE TABLE part PARTITION OF parts DEFAULT;
         CREATE VIEW chance AS SELECT a, random() AS r FROM t",
    )
    .await;
    for table in ["t", "safe"] {
        cache.watch(table, false).await.unwrap();
    }
    for (table, kind) in [
        ("parts", ErrorKind::Unsupported),
        ("part", ErrorKind::Unsupported),
        ("chance", ErrorKind::Unsupported),
        ("nothing", ErrorKind::Invalid),
    ] {
        assert_eq!(cache.watch(table, false).await.unwrap_err().kind(), kind, "{table}");
    }
    for (sql, kind) in [
        ("SELECT a FROM other", ErrorKind::Unsupported),
        ("SELECT t.a FROM t WHERE NOT EXISTS (SELECT FROM other)", ErrorKind::Unsupported),
        ("SELECT relpages::bigint FROM pg_class LIMIT 1", ErrorKind::Unsupported),
        ("SELECT (random() * 10)::bigint FROM t", ErrorKind::Unsupported),
        ("SELECT r::bigint FROM chance", ErrorKind::Unsupported),
        ("SELECT a FROM t WHERE at > now()", ErrorKind::Unsupported),
        ("SELECT a FROM t WHERE at > CURRENT_DATE", ErrorKind::Unsupported),
        ("SELECT a FROM t WHERE at > 'yesterday'", ErrorKind::Unsupported),
        ("SELECT a FROM safe", ErrorKind::Unsupported),
        ("SELECT a FROM t FOR UPDATE", ErrorKind::Denied),
        ("INSERT INTO t VALUES (1) RETURNING a", ErrorKind::Denied),
        ("SELECT nonsense", ErrorKind::Invalid),
    ] {
        let refused = cache.fetch::<(i64,)>(CachedQuery::new(sql), CacheFreshness::Strict).await;
        assert_eq!(refused.unwrap_err().kind(), kind, "{sql}");
    }
    for sql in ["SELECT a FROM safe", "SELECT a FROM t WHERE at > now()"] {
        let declared = CachedQuery::new(sql).deterministic();
        cache.fetch::<(i64,)>(declared, CacheFreshness::Strict).await.unwrap();
    }
    let declared = CachedQuery::new("SELECT a FROM other").deterministic();
    let refused = cache.fetch::<(i64,)>(declared, CacheFreshness::Strict).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
}
