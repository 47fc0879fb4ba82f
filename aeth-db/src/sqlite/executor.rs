//! Statements on their way through: limited, timed, counted.

use super::conn::{SqliteConn, SqliteTransaction};
use super::connect::Role;
use crate::statement::{Parts, Rows, Running};
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::sqlite::{Sqlite, SqliteRow, SqliteStatement, SqliteTypeInfo};
use sqlx::{Execute, Executor, SqlStr};

type Step = crate::statement::Step<Sqlite>;

/// What sqlx needs and what we note, borrowed apart.
fn begin<'c>(
    conn: &'c mut SqliteConn,
    parts: &Parts<Sqlite>,
) -> Option<(&'c mut sqlx::SqliteConnection, Running<'c>)> {
    let (limit, writes) = (conn.statement_timeout, conn.role == Role::Writer);
    let SqliteConn { source, shared, .. } = conn;
    let link = match source.as_mut()? {
        super::conn::Source::Pooled(object) => &mut **object,
        super::conn::Source::Aside(link) => &mut **link,
    };
    let recorder = &shared.recorder;
    let started = recorder.clock.monotonic();
    link.control.limit(limit.map(|limit| started.saturating_add(limit)));
    let known = (&mut link.flags, &mut link.prepared);
    let running = Running::begin(recorder, known, parts, started, writes);
    Some((&mut link.raw, running))
}

impl<'c> Executor<'c> for &'c mut SqliteConn {
    type Database = Sqlite;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: Execute<'q, Sqlite>,
        'q: 'e,
        E: 'q,
    {
        let parts = Parts::of(query);
        let Some((raw, running)) = begin(self, &parts) else {
            return futures_util::stream::once(async { Err(sqlx::Error::PoolClosed) }).boxed();
        };
        // The engine itself looks at the time.
        Box::pin(Rows::<Sqlite>::new(raw.fetch_many(parts), running, None))
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<SqliteRow>, sqlx::Error>>
    where
        'c: 'e,
        E: Execute<'q, Sqlite>,
        'q: 'e,
        E: 'q,
    {
        let parts = Parts::of(query);
        Box::pin(async move {
            let Some((raw, mut running)) = begin(self, &parts) else {
                return Err(sqlx::Error::PoolClosed);
            };
            let row = raw.fetch_optional(parts).await;
            match &row {
                Ok(row) => {
                    running.rows = u64::from(row.is_some());
                    running.succeed();
                }
                Err(error) => running.fail(error),
            }
            row
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, Result<SqliteStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            match self.link() {
                Some(link) => link.raw.prepare_with(sql, parameters).await,
                None => Err(sqlx::Error::PoolClosed),
            }
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Sqlite>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            match self.link() {
                Some(link) => link.raw.describe(sql).await,
                None => Err(sqlx::Error::PoolClosed),
            }
        })
    }
}

impl<'c> Executor<'c> for &'c mut SqliteTransaction {
    type Database = Sqlite;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: Execute<'q, Sqlite>,
        'q: 'e,
        E: 'q,
    {
        self.conn.fetch_many(query)
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<SqliteRow>, sqlx::Error>>
    where
        'c: 'e,
        E: Execute<'q, Sqlite>,
        'q: 'e,
        E: 'q,
    {
        self.conn.fetch_optional(query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, Result<SqliteStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.conn.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Sqlite>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.conn.describe(sql)
    }
}
