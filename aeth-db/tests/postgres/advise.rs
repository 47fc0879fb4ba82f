//! What the server counts, and what could be better on it.

use crate::support::{execute, fresh, number, psql, until, with};
use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource};
use aeth_core::observe::{HealthCheck, Status};
use aeth_db::{Finding, PostgresDatabase, PostgresOptions, Topic};
use std::collections::HashMap;
use testkit::Postgres;

#[derive(Default)]
struct Gathered(HashMap<&'static str, f64>);

impl Collector for Gathered {
    #[allow(clippy::cast_precision_loss)]
    fn counter(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: u64) {
        *self.0.entry(descriptor.name).or_default() += value as f64;
    }

    fn gauge(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: f64) {
        *self.0.entry(descriptor.name).or_default() += value;
    }

    fn histogram(&mut self, _: &Descriptor, _: &[Label<'_>], _: &HistogramSnapshot) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_figures_are_shown_without_asking() {
    let (db, _) = fresh().await;
    until("a sample was taken", async || {
        let mut gathered = Gathered::default();
        db.collect(&mut gathered);
        gathered.0.get("aeth_db_size_bytes").is_some_and(|size| *size > 1e6)
            && gathered.0.get("aeth_db_server_sessions").is_some_and(|sessions| *sessions >= 1.0)
            && gathered.0.contains_key("aeth_db_server_bloat_bytes")
    })
    .await;
    let statistics = db.server_statistics().unwrap();
    assert_eq!(statistics.connections_max, 200);
    assert!(statistics.connections >= statistics.active + statistics.idle, "{statistics:?}");
    assert!(statistics.size > 1 << 20 && statistics.commits > 0, "{statistics:?}");
    // Not installed here.
    assert_eq!((statistics.statements, db.server_statements(10).await.unwrap()), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_are_counted() {
    let (db, _) = with(|options| options.max_connections(1).statement_cache(2)).await;
    let counted = || {
        let mut gathered = Gathered::default();
        db.collect(&mut gathered);
        ["hits", "misses", "evictions"]
            .map(|what| gathered.0[format!("aeth_db_statement_cache_{what}").as_str()])
    };
    let before = counted();
    let mut conn = db.write().await.unwrap();
    for sql in
        ["SELECT 1::bigint", "SELECT 2::bigint", "SELECT 1::bigint", "SELECT 3::bigint", "SELECT 2::bigint"]
    {
        number(&mut conn, sql).await;
    }
    // Plain text is not prepared; a wrong one is not kept.
    sqlx::raw_sql("SELECT 1").execute(&mut conn).await.unwrap();
    sqlx::query("SELECT wrong").execute(&mut conn).await.unwrap_err();
    let after = counted();
    let more: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(more, [1.0, 4.0, 2.0]);
    let kept = number(&mut conn, "SELECT count(*) FROM pg_prepared_statements").await;
    assert!(kept <= 2, "{kept} are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_knows_of_statements_is_shown() {
    let server = Postgres::builder().setting("shared_preload_libraries", "pg_stat_statements").start();
    server.psql("postgres", "CREATE SCHEMA tools; CREATE EXTENSION pg_stat_statements SCHEMA tools");
    let db = PostgresDatabase::open(PostgresOptions::new(server.url("postgres"))).await.unwrap();
    let mut conn = db.write().await.unwrap();
    for n in 0..7_i64 {
        let sql = "SELECT count(*) FROM generate_series(1, 1000 + $1)";
        let count: i64 = sqlx::query_scalar(sql).bind(n).fetch_one(&mut conn).await.unwrap();
        assert_eq!(count, 1000 + n);
    }
    drop(conn);
    let statements = db.server_statements(100).await.unwrap().unwrap();
    let mine = statements.iter().find(|s| s.statement.contains("generate_series")).unwrap();
    assert!((mine.calls, mine.rows) == (7, 7) && !mine.time.is_zero() && mine.query_id != 0, "{mine:?}");
    assert!(statements.is_sorted_by(|one, next| one.time >= next.time));
    assert_eq!(db.server_statements(1).await.unwrap().unwrap().len(), 1);
    until("the totals are sampled", async || {
        let totals = db.server_statistics().and_then(|statistics| statistics.statements);
        totals.is_some_and(|totals| totals.calls > 0)
    })
    .await;
}

fn about(findings: &[Finding], topic: Topic, text: &str) -> bool {
    findings.iter().any(|finding| {
        let named = finding.subject.contains(text) || finding.problem.contains(text);
        finding.topic == topic && !finding.evidence.is_empty() && named
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_room_is_found_and_given_back() {
    let (db, name) = fresh().await;
    execute(
        &db,
        "CREATE TABLE \"Wide Rows\" (id bigint PRIMARY KEY, t text) WITH (autovacuum_enabled = off);
         INSERT INTO \"Wide Rows\" SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 100000) i;
         CREATE INDEX \"wide text\" ON \"Wide Rows\" (t); ANALYZE",
    )
    .await;
    // Full tables are not taken for empty ones.
    let findings = db.advise().await.unwrap();
    assert!(!findings.iter().any(|finding| finding.topic == Topic::Bloat), "{findings:?}");
    execute(&db, "DELETE FROM \"Wide Rows\" WHERE id % 10 <> 0").await;
    psql(&name, "VACUUM (ANALYZE) \"Wide Rows\"");
    let findings = db.advise().await.unwrap();
    for text in ["Wide Rows", "wide text"] {
        assert!(about(&findings, Topic::Bloat, text), "{text}: {findings:?}");
    }
    for finding in findings.iter().filter(|finding| finding.topic == Topic::Bloat) {
        psql(&name, finding.statement.as_ref().unwrap());
    }
    let findings = db.advise().await.unwrap();
    assert!(!findings.iter().any(|finding| finding.topic == Topic::Bloat), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_slots_and_standbys_are_mended_by_what_is_proposed() {
    let mut server =
        Postgres::builder().setting("archive_mode", "on").setting("archive_command", "false").start();
    let run = |sql: &str| server.psql("postgres", sql);
    run("CREATE TABLE t (id serial, n int); SELECT setval('t_id_seq', 2000000000);
         INSERT INTO t (n) VALUES (1), (1)");
    let psql = server.program("psql");
    let failed = std::process::Command::new(psql)
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &server.port().to_string(), "-c"])
        .arg("CREATE UNIQUE INDEX CONCURRENTLY half ON t (n)")
        .output()
        .unwrap();
    assert!(!failed.status.success(), "two rows with one key have a unique index");
    run("DELETE FROM t WHERE id = (SELECT max(id) FROM t)");
    run("SELECT pg_create_physical_replication_slot('gone', true); SELECT pg_switch_wal()");
    for (setting, value) in [
        ("password_encryption", "md5"),
        ("effective_cache_size", "8MB"),
        ("autovacuum", "off"),
        ("max_worker_processes", "9"),
        ("synchronous_standby_names", "nobody"),
    ] {
        run(&format!("ALTER SYSTEM SET {setting} = '{value}'"));
    }
    run("SELECT pg_reload_conf()");
    let url = server.url("postgres");
    let db = PostgresDatabase::open(PostgresOptions::new(url)).await.unwrap();
    let mendable = [
        (Topic::Setting, "password_encryption"),
        (Topic::Setting, "effective_cache_size"),
        (Topic::Setting, "autovacuum"),
        (Topic::Setting, "log_lock_waits"),
        (Topic::Replication, "synchronous_standby_names"),
        (Topic::Replication, "gone"),
        (Topic::Replication, "max_slot_wal_keep_size"),
        (Topic::UnusedIndex, "half"),
        (Topic::Maintenance, "t_id_seq"),
    ];
    let told = [
        (Topic::Setting, "max_worker_processes"),
        (Topic::Setting, "pg_stat_statements"),
        (Topic::Replication, "archive_command"),
    ];
    let mut findings = Vec::new();
    until("all is found", async || {
        findings = db.advise().await.unwrap();
        mendable.iter().chain(&told).all(|(topic, text)| about(&findings, *topic, text))
    })
    .await;
    // First what lets commits through again.
    findings.sort_by_key(|finding| finding.subject != "synchronous_standby_names");
    for finding in &findings {
        if let Some(statement) = &finding.statement {
            run(statement);
            run("SELECT pg_reload_conf()");
        }
    }
    until("all that can be is mended", async || {
        findings = db.advise().await.unwrap();
        !mendable.iter().any(|(topic, text)| about(&findings, *topic, text))
    })
    .await;
    // The others take effect when the server starts again, as they say.
    server.restart();
    let loaded = server.psql("postgres", "SHOW shared_preload_libraries");
    assert_eq!(loaded, "pg_stat_statements");
    until("the restart did the rest", async || {
        let Ok(findings) = db.advise().await else { return false };
        if let Some(statement) = findings.iter().find(|finding| finding.subject == "pg_stat_statements") {
            server.psql("postgres", statement.statement.as_ref().unwrap());
        }
        !told[..2].iter().any(|(topic, text)| about(&findings, *topic, text))
    })
    .await;
    assert_ne!(db.check().await.status, Status::Down);
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_have_evidence_and_a_statement_that_mends() {
    let (db, name) = with(|options| options.max_connections(190)).await;
    execute(
        &db,
        "CREATE TABLE parents (id bigint PRIMARY KEY); CREATE TABLE \"Odd Names\" (id bigint PRIMARY KEY,
            parent bigint REFERENCES parents, a bigint, b text);
         CREATE INDEX never ON \"Odd Names\" (b); CREATE INDEX twice ON \"Odd Names\" (a);
         CREATE INDEX twice_again ON \"Odd Names\" (a); CREATE INDEX used ON \"Odd Names\" (parent, a);
         ALTER TABLE \"Odd Names\" SET (autovacuum_enabled = off);
         INSERT INTO \"Odd Names\" SELECT i, NULL, i, i FROM generate_series(1, 20000) i",
    )
    .await;
    execute(&db, "DROP INDEX used").await;
    execute(&db, "DELETE FROM \"Odd Names\" WHERE id <= 12000").await;
    let wanted = [
        (Topic::Setting, "fsync"),
        (Topic::MissingIndex, "foreign key"),
        (Topic::UnusedIndex, "never"),
        (Topic::UnusedIndex, "twice_again"),
        (Topic::Maintenance, "dead"),
        (Topic::Pool, "most of the server's connections"),
    ];
    let mut findings = Vec::new();
    until("the server has counted", async || {
        findings = db.advise().await.unwrap();
        wanted.iter().all(|(topic, text)| about(&findings, *topic, text))
    })
    .await;
    // What is proposed runs, and what it was proposed for is gone then. Settings are the cluster's: not here.
    for finding in &findings {
        if let Some(statement) = finding.statement.as_ref().filter(|_| finding.topic != Topic::Setting) {
            psql(&name, statement);
        }
    }
    until("all is mended", async || {
        let findings = db.advise().await.unwrap();
        !wanted[1..5].iter().any(|(topic, text)| about(&findings, *topic, text))
    })
    .await;
}
