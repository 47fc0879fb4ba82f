//! What a server says of itself, in one round trip.

use sqlx::{PgConnection, Row};
use std::time::Duration;

/// As plain text, so that it passes any pooler. In recovery the timeline is that of the log which is being received
/// or was, as far as this role may know it; the position is what was replayed.
const ASK: &str = "
SELECT pg_backend_pid() AS pid,
    (SELECT (extract(epoch FROM a.backend_start) * 1000000)::bigint
     FROM pg_stat_get_activity(pg_backend_pid()) a) AS begun,
    pg_is_in_recovery() AS recovering,
    current_setting('transaction_read_only')::boolean AS read_only,
    (SELECT system_identifier FROM pg_control_system()) AS system,
    CASE WHEN pg_is_in_recovery() THEN
        (SELECT greatest(c.timeline_id, r.min_recovery_end_timeline,
            (SELECT w.received_tli FROM pg_stat_wal_receiver w LIMIT 1))
         FROM pg_control_checkpoint() c, pg_control_recovery() r)
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
    END AS timeline,
    CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint
    ELSE (pg_current_wal_flush_lsn() - '0/0')::bigint
    END AS lsn";

/// What a server was at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) pid: i32,
    /// When the session began, in microseconds: with the pid it is unmistakable.
    pub(super) begun: i64,
    pub(super) system: u64,
    pub(super) timeline: u32,
    pub(super) recovering: bool,
    pub(super) read_only: bool,
    /// Replayed in recovery, else flushed.
    pub(super) lsn: u64,
    /// Before it was asked.
    pub(super) taken: Duration,
}

/// Asks the server at the other end; `now` is the time before that.
pub(super) async fn look(connection: &mut PgConnection, now: Duration) -> Result<Sight, sqlx::Error> {
    let row = sqlx::raw_sql(ASK).fetch_one(connection).await?;
    Ok(Sight {
        pid: row.try_get("pid")?,
        begun: row.try_get::<Option<i64>, _>("begun")?.unwrap_or(0),
        system: row.try_get::<i64, _>("system")?.cast_unsigned(),
        timeline: row.try_get::<i32, _>("timeline")?.cast_unsigned(),
        recovering: row.try_get("recovering")?,
        read_only: row.try_get("read_only")?,
        lsn: row.try_get::<Option<i64>, _>("lsn")?.unwrap_or(0).cast_unsigned(),
        taken: now,
    })
}

/// Where earlier timelines ended, as a server on a later one knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    /// The timeline whose history it is.
    pub(super) timeline: u32,
    /// (timeline, end), in order.
    ends: Vec<(u32, u64)>,
}

impl History {
    /// Asks for the history file. `None` when this role may not read it.
    pub(super) async fn ask(
        connection: &mut PgConnection,
        timeline: u32,
    ) -> Result<Option<Self>, sqlx::Error> {
        let sql = format!("SELECT pg_read_file('pg_wal/{timeline:08X}.history', 0, 1048576, true)");
        let text: Result<Option<String>, sqlx::Error> =
            match sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await {
                Ok(row) => row.try_get(0),
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => Ok(None),
                Err(error) => Err(error),
            };
        Ok(text?.map(|text| Self::parse(timeline, &text)))
    }

    /// Lines of timeline, position, reason; comments begin with `#`.
    fn parse(timeline: u32, text: &str) -> Self {
        let line = |line: &str| {
            let mut words = line.split_whitespace();
            let timeline = words.next()?.parse().ok()?;
            let (high, low) = words.next()?.split_once('/')?;
            let (high, low) = (u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?);
            Some((timeline, high << 32 | low))
        };
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        Self { timeline, ends: lines.filter_map(line).collect() }
    }

    /// Where an ancestor ended; `None` for a timeline that is no ancestor.
    pub(super) fn end_of(&self, timeline: u32) -> Option<u64> {
        self.ends.iter().find(|(ancestor, _)| *ancestor == timeline).map(|(_, end)| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_file_is_read() {
        let text = "# made by hand\n1\t0/30000D8\tno recovery target specified\n\n2\t1/A\tbefore 2026\n";
        let history = History::parse(3, text);
        assert_eq!(history.end_of(1), Some(0x0300_00d8));
        assert_eq!(history.end_of(2), Some(0x1_0000_000a));
        assert_eq!(history.end_of(3), None);
    }
}
