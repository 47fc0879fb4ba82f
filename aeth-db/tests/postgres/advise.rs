//! What the server counts, and what could be better on it.

use crate::support::{execute, fresh, psql, until, with};
use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource};
use aeth_db::{Finding, Topic};
use std::collections::HashMap;

#[derive(Default)]
struct Gathered(HashMap<&'static str, f64>);

impl Collector for Gathered {
    #[allow(clippy::cast_precision_loss)]
    fn counter(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: u64) {
        *self.0.entry(descriptor.name).or_default() += value as f64;
    }

    fn gauge(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: f64) {
        self.0.insert(descriptor.name, value);
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
    })
    .await;
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
    let about = |findings: &[Finding], topic: Topic, text: &str| {
        findings.iter().any(|finding| {
            let named = finding.subject.contains(text) || finding.problem.contains(text);
            finding.topic == topic && !finding.evidence.is_empty() && named
        })
    };
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
