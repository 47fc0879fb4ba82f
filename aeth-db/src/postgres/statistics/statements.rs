//! What the server knows of statements: `pg_stat_statements`, where it is there.

use crate::error::SqlxResultExt;
use crate::postgres::handle::PostgresDatabase;
use crate::postgres::node::AsyncAside;
use aeth_core::{Error, Result};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Row};
use std::panic::Location;
use std::time::Duration;

/// One statement as the server counts it, of all who use the database, since its figures were reset.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServerStatement {
    /// The server's number for it. It is the server's own, and differs between major versions.
    pub query_id: i64,
    /// Its text, with `$1`, `$2`, … for values.
    pub statement: String,
    /// How often it ran.
    pub calls: u64,
    /// How long it took in all.
    pub time: Duration,
    /// Rows that it gave or changed.
    pub rows: u64,
    /// Pages that were in the server's cache.
    pub cache_hits: u64,
    /// Pages that were read from below it.
    pub cache_misses: u64,
    /// Bytes of sorts and hashes that did not fit into `work_mem`.
    pub spilled: u64,
}

/// All statements together, as `pg_stat_statements` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatementTotals {
    /// How often statements ran.
    pub calls: u64,
    /// How long they took in all.
    pub time: Duration,
}

/// Where the extension is, and under which name its column is (another one before PostgreSQL 13). It may be there
/// without being loaded: asking it fails then.
const WHERE: &str = "
SELECT format('%I.pg_stat_statements', n.nspname),
    CASE WHEN current_setting('server_version_num')::int < 130000 THEN 'total_time' ELSE 'total_exec_time' END
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'";

const MINE: &str = "dbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

fn from_millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default()
}

fn count(row: &PgRow, name: &str) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(name).map(|count| u64::try_from(count).unwrap_or(0))
}

impl<'r> FromRow<'r, PgRow> for ServerStatement {
    fn from_row(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            query_id: row.try_get::<Option<i64>, _>("queryid")?.unwrap_or(0),
            statement: row.try_get("query")?,
            calls: count(row, "calls")?,
            time: from_millis(row.try_get("time")?),
            rows: count(row, "rows")?,
            cache_hits: count(row, "hits")?,
            cache_misses: count(row, "reads")?,
            spilled: count(row, "spilled")?,
        })
    }
}

impl PostgresDatabase {
    /// The statements on which the server has spent the most time, at most `limit`, by its own count: those of other
    /// programs too. `None` when the extension `pg_stat_statements` is not there.
    ///
    /// # Errors
    /// `Precondition` when the extension is there but was not loaded at the server's start; as
    /// [`write`](Self::write), and for statements. Statements of others have no text for a role that is no member of
    /// `pg_read_all_stats`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[track_caller]
    pub fn server_statements(
        &self,
        limit: u32,
    ) -> impl Future<Output = Result<Option<Vec<ServerStatement>>>> + Send {
        let place = Location::caller();
        async move {
            let named = |error: Error| error.with_operation("server_statements").with_component("database");
            let mut conn = self.write_at(place).await.map_err(named)?;
            let found: Option<(String, String)> =
                sqlx::query_as(WHERE).fetch_optional(&mut conn).await.storage().map_err(named)?;
            let Some((view, time)) = found else { return Ok(None) };
            let sql = format!(
                "SELECT queryid, coalesce(query, '') AS query, calls, {time} AS time, rows,
                    shared_blks_hit AS hits, shared_blks_read AS reads, temp_blks_written * 8192 AS spilled
                 FROM {view} WHERE {MINE} ORDER BY {time} DESC LIMIT $1"
            );
            let statements = sqlx::query_as(AssertSqlSafe(sql)).bind(i64::from(limit)).fetch_all(&mut conn);
            statements.await.storage().map(Some).map_err(named)
        }
    }
}

/// Asks for the totals; `None` without the extension.
pub(super) struct AskTotals;

impl AsyncAside<Option<StatementTotals>> for AskTotals {
    async fn run(self, connection: &mut PgConnection) -> Result<Option<StatementTotals>, sqlx::Error> {
        let Some(found) = sqlx::raw_sql(WHERE).fetch_optional(&mut *connection).await? else {
            return Ok(None);
        };
        let (view, time): (String, String) = (found.try_get(0)?, found.try_get(1)?);
        let sql = format!(
            "SELECT coalesce(sum(calls), 0)::bigint AS calls, coalesce(sum({time}), 0)::float8 AS time
             FROM {view} WHERE {MINE}"
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?;
        Ok(Some(StatementTotals { calls: count(&row, "calls")?, time: from_millis(row.try_get("time")?) }))
    }
}
