//! What the server counts: sampled in the background, shown without asking.

use super::node::AsyncAside;
use super::shared::Shared;
use aeth_core::observe::standard::database;
use aeth_core::observe::{Collector, Descriptor, Label, Unit};
use aeth_core::{Clock, Error, Result};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Between two samples.
const INTERVAL: Duration = Duration::from_secs(10);

const SESSIONS: Descriptor =
    Descriptor::gauge("aeth_db_server_sessions", "Sessions on the database, of all its users.");
const COMMITS: Descriptor = Descriptor::counter(
    "aeth_db_server_commits",
    "Transactions committed on the database, of all its users.",
);
const ROLLBACKS: Descriptor = Descriptor::counter(
    "aeth_db_server_rollbacks",
    "Transactions rolled back on the database, of all its users.",
);
const DEADLOCKS: Descriptor =
    Descriptor::counter("aeth_db_server_deadlocks", "Deadlocks on the database, of all its users.");
const HITS: Descriptor =
    Descriptor::counter("aeth_db_server_cache_hits", "Pages that were in the server's cache.");
const READS: Descriptor =
    Descriptor::counter("aeth_db_server_cache_misses", "Pages that were read from below it.");
const SPILLED: Descriptor = Descriptor::counter(
    "aeth_db_server_spilled_bytes",
    "Bytes of sorts and hashes that did not fit into work_mem.",
)
.with_unit(Unit::Bytes);
const OLDEST: Descriptor = Descriptor::gauge(
    "aeth_db_server_oldest_transaction_seconds",
    "Age of the oldest open transaction: nothing deleted since is reclaimed.",
)
.with_unit(Unit::Seconds);
const DEAD: Descriptor = Descriptor::gauge("aeth_db_server_dead_rows", "Dead rows in all tables, about.");
const WRAPAROUND: Descriptor = Descriptor::gauge(
    "aeth_db_server_transaction_age",
    "Transactions since the oldest that is not frozen; writes are refused near two billion.",
);

const ASK: &str = "
SELECT d.numbackends::bigint AS sessions, d.xact_commit AS commits, d.xact_rollback AS rollbacks, d.deadlocks,
    d.blks_hit AS hits, d.blks_read AS reads, d.temp_bytes AS spilled,
    pg_database_size(d.datid) AS size,
    (SELECT coalesce(max(extract(epoch FROM now() - a.xact_start)), 0)::float8
     FROM pg_stat_activity a WHERE a.datid = d.datid) AS oldest,
    (SELECT coalesce(sum(t.n_dead_tup), 0)::bigint FROM pg_stat_user_tables t) AS dead,
    (SELECT age(p.datfrozenxid)::bigint FROM pg_database p WHERE p.oid = d.datid) AS age
FROM pg_stat_database d WHERE d.datname = current_database()";

/// One sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct ServerFigures {
    sessions: i64,
    commits: i64,
    rollbacks: i64,
    deadlocks: i64,
    hits: i64,
    reads: i64,
    spilled: i64,
    size: i64,
    oldest: f64,
    dead: i64,
    age: i64,
}

impl<'r> FromRow<'r, PgRow> for ServerFigures {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            sessions: row.try_get("sessions")?,
            commits: row.try_get("commits")?,
            rollbacks: row.try_get("rollbacks")?,
            deadlocks: row.try_get("deadlocks")?,
            hits: row.try_get("hits")?,
            reads: row.try_get("reads")?,
            spilled: row.try_get("spilled")?,
            size: row.try_get("size")?,
            oldest: row.try_get("oldest")?,
            dead: row.try_get("dead")?,
            age: row.try_get("age")?,
        })
    }
}

impl ServerFigures {
    #[allow(clippy::cast_precision_loss, reason = "gauges need no more than 53 bits")]
    pub(super) fn collect(&self, labels: &[Label<'_>], out: &mut dyn Collector) {
        for (descriptor, count) in [
            (&COMMITS, self.commits),
            (&ROLLBACKS, self.rollbacks),
            (&DEADLOCKS, self.deadlocks),
            (&HITS, self.hits),
            (&READS, self.reads),
            (&SPILLED, self.spilled),
        ] {
            out.counter(descriptor, labels, u64::try_from(count).unwrap_or(0));
        }
        for (descriptor, value) in [
            (&SESSIONS, self.sessions as f64),
            (&database::SIZE, self.size as f64),
            (&OLDEST, self.oldest),
            (&DEAD, self.dead as f64),
            (&WRAPAROUND, self.age as f64),
        ] {
            out.gauge(descriptor, labels, value);
        }
    }
}

/// Samples until the handle closes or goes away.
pub(super) async fn sample_forever(shared: Weak<Shared>) {
    loop {
        let Some(alive) = shared.upgrade() else { return };
        match sample(&alive).await {
            Ok(figures) => *alive.figures.write() = Some(figures),
            // What is not known is left out, not shown as it was.
            Err(_) => *alive.figures.write() = None,
        }
        let clock: Arc<dyn Clock> = Arc::clone(&alive.recorder.clock);
        drop(alive);
        clock.sleep(INTERVAL).await;
    }
}

async fn sample(shared: &Shared) -> Result<ServerFigures> {
    let primary = shared.fleet.primary().and_then(|(index, _)| shared.nodes.get(index));
    let node = primary.ok_or_else(|| Error::unavailable("there is no primary"))?;
    node.aside(shared.options.connect_timeout, Sample).await
}

struct Sample;

impl AsyncAside<ServerFigures> for Sample {
    async fn run(self, connection: &mut PgConnection) -> Result<ServerFigures, sqlx::Error> {
        ServerFigures::from_row(&sqlx::raw_sql(ASK).fetch_one(connection).await?)
    }
}
