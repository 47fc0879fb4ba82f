//! The figures of one sample.

use super::row;
use super::statements::StatementTotals;
use crate::postgres::node::AsyncAside;
use aeth_core::observe::standard::database;
use aeth_core::observe::{Collector, Descriptor, Label, Unit};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

const SESSIONS: Descriptor = Descriptor::gauge(
    "aeth_db_server_sessions",
    "Sessions on the database, of all its users, by state (active, idle, idle_in_transaction).",
);
const SESSIONS_BLOCKED: Descriptor = Descriptor::gauge(
    "aeth_db_server_sessions_blocked",
    "Sessions on the database that wait for a lock of another one.",
);
const CONNECTIONS: Descriptor =
    Descriptor::gauge("aeth_db_server_connections", "Clients connected to the server, to all its databases.");
const CONNECTIONS_MAX: Descriptor =
    Descriptor::gauge("aeth_db_server_connections_max", "Clients that the server takes.");
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
const BLOAT: Descriptor = Descriptor::gauge(
    "aeth_db_server_bloat_bytes",
    "Bytes of tables and indexes that hold nothing, by kind (table, index), estimated from the planner's statistics.",
)
.with_unit(Unit::Bytes);
const LAG: Descriptor = Descriptor::gauge(
    "aeth_db_server_replication_lag_bytes",
    "Bytes of log that a standby or slot has not confirmed yet, by its name.",
)
.with_unit(Unit::Bytes);
const CALLS: Descriptor =
    Descriptor::counter("aeth_db_server_statements", "Statements run on the database (pg_stat_statements).");
const TIME: Descriptor = Descriptor::counter(
    "aeth_db_server_statements_seconds",
    "Time that statements took on the database (pg_stat_statements).",
)
.with_unit(Unit::Seconds);

/// Standbys by what they have replayed, and slots that nobody reads by what is kept for them; then the rest.
const ASK: &str = "
WITH lags AS (
    SELECT name, max(behind)::bigint AS behind FROM (
        SELECT coalesce(nullif(application_name, ''), client_addr::text, pid::text) AS name,
            pg_current_wal_lsn() - replay_lsn AS behind
        FROM pg_stat_replication WHERE replay_lsn IS NOT NULL
        UNION ALL SELECT slot_name, pg_current_wal_lsn() - restart_lsn
        FROM pg_replication_slots WHERE NOT active AND restart_lsn IS NOT NULL
    ) every GROUP BY name
)
SELECT d.xact_commit AS commits, d.xact_rollback AS rollbacks, d.deadlocks,
    d.blks_hit AS hits, d.blks_read AS reads, d.temp_bytes AS spilled,
    pg_database_size(d.datid) AS size,
    a.active, a.idle, a.in_transaction, a.blocked, a.oldest,
    (SELECT sum(numbackends)::bigint FROM pg_stat_database) AS connections,
    current_setting('max_connections')::bigint AS connections_max,
    (SELECT coalesce(sum(t.n_dead_tup), 0)::bigint FROM pg_stat_user_tables t) AS dead,
    (SELECT age(p.datfrozenxid)::bigint FROM pg_database p WHERE p.oid = d.datid) AS age,
    (SELECT array_agg(name ORDER BY name) FROM lags) AS lag_names,
    (SELECT array_agg(behind ORDER BY name) FROM lags) AS lags
FROM pg_stat_database d, (
    SELECT count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'idle') AS idle,
        count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS in_transaction,
        count(*) FILTER (WHERE wait_event_type = 'Lock') AS blocked,
        coalesce(max(extract(epoch FROM now() - xact_start)), 0)::float8 AS oldest
    FROM pg_stat_activity WHERE datname = current_database()) a
WHERE d.datname = current_database()";

/// How far a standby, or a replication slot that nobody reads, is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaLag {
    /// The standby's application name, or the slot's.
    pub name: String,
    /// Bytes of log that it has not replayed, or that are kept for it.
    pub bytes: u64,
}

/// What the primary counts, of all who use the database. Counters count since the server's statistics were reset.
///
/// A role that is no member of `pg_monitor` is not shown what others do: some figures are too small then.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServerStatistics {
    /// Sessions on the database that run a statement.
    pub active: u64,
    /// Sessions on the database that do nothing.
    pub idle: u64,
    /// Sessions on the database that hold a transaction open and do nothing.
    pub idle_in_transaction: u64,
    /// Sessions on the database that wait for a lock.
    pub blocked: u64,
    /// Clients of all databases of the server.
    pub connections: u64,
    /// Clients that the server takes.
    pub connections_max: u64,
    /// Transactions committed.
    pub commits: u64,
    /// Transactions rolled back.
    pub rollbacks: u64,
    /// Deadlocks.
    pub deadlocks: u64,
    /// Pages that were in the server's cache.
    pub cache_hits: u64,
    /// Pages that were read from below it.
    pub cache_misses: u64,
    /// Bytes of sorts and hashes that did not fit into `work_mem`.
    pub spilled: u64,
    /// Bytes of the database on disk.
    pub size: u64,
    /// Seconds since the oldest open transaction began.
    pub oldest_transaction: f64,
    /// Dead rows in all tables, about.
    pub dead_rows: u64,
    /// Transactions since the oldest that is not frozen.
    pub transaction_age: u64,
    /// Bytes of tables that hold nothing, estimated; `None` while it is not known.
    pub table_bloat: Option<u64>,
    /// Bytes of B-tree indexes that hold nothing, estimated; `None` while it is not known.
    pub index_bloat: Option<u64>,
    /// How far standbys, and slots that nobody reads, are behind.
    pub replicas: Vec<ReplicaLag>,
    /// The totals of `pg_stat_statements`, where it is there and may be read.
    pub statements: Option<StatementTotals>,
}

impl ServerStatistics {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let count = |name: &str| row.try_get::<i64, _>(name).map(|count| u64::try_from(count).unwrap_or(0));
        let names: Option<Vec<String>> = row.try_get("lag_names")?;
        let lags: Option<Vec<i64>> = row.try_get("lags")?;
        let replicas = names.unwrap_or_default().into_iter().zip(lags.unwrap_or_default());
        Ok(Self {
            active: count("active")?,
            idle: count("idle")?,
            idle_in_transaction: count("in_transaction")?,
            blocked: count("blocked")?,
            connections: count("connections")?,
            connections_max: count("connections_max")?,
            commits: count("commits")?,
            rollbacks: count("rollbacks")?,
            deadlocks: count("deadlocks")?,
            cache_hits: count("hits")?,
            cache_misses: count("reads")?,
            spilled: count("spilled")?,
            size: count("size")?,
            oldest_transaction: row.try_get("oldest")?,
            dead_rows: count("dead")?,
            transaction_age: count("age")?,
            table_bloat: None,
            index_bloat: None,
            replicas: replicas
                .map(|(name, bytes)| ReplicaLag { name, bytes: u64::try_from(bytes).unwrap_or(0) })
                .collect(),
            statements: None,
        })
    }

    #[allow(clippy::cast_precision_loss, reason = "gauges need no more than 53 bits")]
    pub(in crate::postgres) fn collect(&self, named: Label<'_>, out: &mut dyn Collector) {
        for (descriptor, count) in [
            (&COMMITS, self.commits),
            (&ROLLBACKS, self.rollbacks),
            (&DEADLOCKS, self.deadlocks),
            (&HITS, self.cache_hits),
            (&READS, self.cache_misses),
            (&SPILLED, self.spilled),
        ] {
            out.counter(descriptor, &[named], count);
        }
        for (descriptor, value) in [
            (&SESSIONS_BLOCKED, self.blocked as f64),
            (&CONNECTIONS, self.connections as f64),
            (&CONNECTIONS_MAX, self.connections_max as f64),
            (&database::SIZE, self.size as f64),
            (&OLDEST, self.oldest_transaction),
            (&DEAD, self.dead_rows as f64),
            (&WRAPAROUND, self.transaction_age as f64),
        ] {
            out.gauge(descriptor, &[named], value);
        }
        for (state, count) in
            [("active", self.active), ("idle", self.idle), ("idle_in_transaction", self.idle_in_transaction)]
        {
            out.gauge(&SESSIONS, &[named, ("state", state)], count as f64);
        }
        for (kind, bytes) in [("table", self.table_bloat), ("index", self.index_bloat)] {
            if let Some(bytes) = bytes {
                out.gauge(&BLOAT, &[named, ("kind", kind)], bytes as f64);
            }
        }
        for replica in &self.replicas {
            out.gauge(&LAG, &[named, ("replica", replica.name.as_str())], replica.bytes as f64);
        }
        if let Some(totals) = &self.statements {
            out.counter(&CALLS, &[named], totals.calls);
            out.counter(&TIME, &[named], totals.time.as_secs());
        }
    }
}

pub(super) struct Ask;

impl AsyncAside<ServerStatistics> for Ask {
    async fn run(self, connection: &mut PgConnection) -> Result<ServerStatistics, sqlx::Error> {
        ServerStatistics::from_row(&row(connection, ASK).await?)
    }
}
