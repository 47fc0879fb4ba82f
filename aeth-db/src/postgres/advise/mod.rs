//! What could be better on the server, with the evidence. Nothing is changed.

mod rules;

use super::handle::PostgresDatabase;
use crate::error::SqlxResultExt;
use aeth_core::Result;
use rules::{RULES, Rule};
use std::panic::Location;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topic {
    /// A setting of the server.
    Setting,
    /// Connections and pools.
    Pool,
    /// An index that is missing.
    MissingIndex,
    /// An index that nobody uses, or that is there twice.
    UnusedIndex,
    /// Dead rows, statistics that are missing, numbers of transactions or keys that run out.
    Maintenance,
    /// Tables and indexes that are mostly empty.
    Bloat,
    /// Standbys and replication slots.
    Replication,
}

/// Something that differs from good practice.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about.
    pub topic: Topic,
    /// The setting, table, index or slot.
    pub subject: String,
    /// What is wrong, and why that matters.
    pub problem: String,
    /// The figures that it was seen by.
    pub evidence: String,
    /// The statement that would mend it; `None` where none can, and the problem says what does. Read it before you run
    /// it; settings that need a restart say so in the problem, the others want `SELECT pg_reload_conf()`.
    pub statement: Option<String>,
}

impl PostgresDatabase {
    /// Looks at settings and statistics of the primary, and says what differs from good practice. It changes nothing.
    ///
    /// Figures count since the server's statistics were reset: after a short time of use, absence proves little. A role
    /// that is no member of `pg_monitor` is not shown everything, and fewer things are found.
    ///
    /// # Errors
    /// As [`write`](Self::write), and for statements.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn advise(&self) -> impl Future<Output = Result<Vec<Finding>>> + Send {
        self.advise_at(Location::caller())
    }

    async fn advise_at(&self, place: &'static Location<'static>) -> Result<Vec<Finding>> {
        let named = |error: aeth_core::Error| error.with_operation("advise").with_component("database");
        let mut conn = self.write_at(place).await.map_err(named)?;
        let mut findings = Vec::new();
        for Rule { topic, sql } in RULES.into_iter().flatten() {
            let rows: Vec<(String, String, String, Option<String>)> =
                sqlx::query_as(*sql).fetch_all(&mut conn).await.storage().map_err(named)?;
            findings.extend(rows.into_iter().map(|(subject, problem, evidence, statement)| Finding {
                topic: *topic,
                subject,
                problem,
                evidence,
                statement,
            }));
        }
        let most: i32 = sqlx::query_scalar("SELECT current_setting('max_connections')::int")
            .fetch_one(&mut conn)
            .await
            .storage()
            .map_err(named)?;
        drop(conn);
        findings.extend(self.pool_findings(usize::try_from(most).unwrap_or(usize::MAX)));
        Ok(findings)
    }

    /// What this handle's own pools show.
    fn pool_findings(&self, most: usize) -> Vec<Finding> {
        let mine = self.shared.options.max_connections;
        let mut findings = Vec::new();
        if mine.saturating_mul(4) > most.saturating_mul(3) {
            findings.push(Finding {
                topic: Topic::Pool,
                subject: "max_connections".into(),
                problem: "this handle alone may take most of the server's connections; a second process, a backup or \
                          an administrator finds none"
                    .into(),
                evidence: format!("the pool may open {mine}, the server has {most}"),
                statement: None,
            });
        }
        let refused = self.shared.recorder.pool_timeouts.get();
        if refused > 0 {
            findings.push(Finding {
                topic: Topic::Pool,
                subject: self.shared.options.name.clone(),
                problem: "callers got no connection in time: connections are held for too long, or there are too few"
                    .into(),
                evidence: format!("{refused} callers gave up with a pool of {mine}"),
                statement: None,
            });
        }
        findings
    }
}
