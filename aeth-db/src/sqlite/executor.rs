//! Statements on their way through: limited, timed, counted.

use super::conn::{SqliteConn, SqliteTransaction};
use super::connect::Role;
use super::link::Flags;
use crate::error::kind_of;
use crate::observe::{Outcome, Recorder};
use aeth_core::ErrorKind;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteQueryResult, SqliteRow, SqliteStatement, SqliteTypeInfo};
use sqlx::{Either, Execute, Executor, SqlStr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

type Step = Result<Either<SqliteQueryResult, SqliteRow>, sqlx::Error>;

/// A query taken apart, so that its text is known while it runs.
struct Parts {
    sql: SqlStr,
    arguments: Result<Option<SqliteArguments>, BoxDynError>,
    persistent: bool,
}

impl Parts {
    fn of<'q, E: Execute<'q, Sqlite>>(mut query: E) -> Self {
        let arguments = query.take_arguments();
        let persistent = query.persistent();
        Self { sql: query.sql(), arguments, persistent }
    }
}

impl Execute<'_, Sqlite> for Parts {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&SqliteStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<SqliteArguments>, BoxDynError> {
        std::mem::replace(&mut self.arguments, Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// One statement under way. Dropped before its end, it leaves the connection marked.
struct Running<'c> {
    recorder: &'c Recorder,
    flags: &'c mut Flags,
    sql: SqlStr,
    started: Duration,
    rows: u64,
    writes: bool,
    ended: Option<Option<ErrorKind>>,
}

impl<'c> Running<'c> {
    fn end(&mut self, error: Option<ErrorKind>) {
        self.ended = Some(error);
        self.flags.running = false;
        if error == Some(ErrorKind::Unavailable) {
            self.flags.broken = true;
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let duration = self.recorder.clock.monotonic().saturating_sub(self.started);
        let error = self.ended.flatten();
        self.recorder
            .record(self.sql.as_str(), Outcome { writes: self.writes, duration, rows: self.rows, error });
    }
}

/// What sqlx needs and what we note, borrowed apart.
fn begin<'c>(
    conn: &'c mut SqliteConn,
    sql: &SqlStr,
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
    link.flags.running = true;
    let flags = &mut link.flags;
    let running = Running { recorder, flags, sql: sql.clone(), started, rows: 0, writes, ended: None };
    Some((&mut link.raw, running))
}

struct Rows<'c> {
    // Dropped first: the statement ends before it is recorded.
    inner: BoxStream<'c, Step>,
    running: Running<'c>,
}

impl Stream for Rows<'_> {
    type Item = Step;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Step>> {
        let step = std::task::ready!(self.inner.poll_next_unpin(cx));
        match &step {
            None => self.running.end(None),
            Some(Ok(Either::Right(_))) => self.running.rows += 1,
            Some(Ok(Either::Left(_))) => {}
            Some(Err(error)) => {
                let kind = kind_of(error);
                self.running.end(Some(kind));
            }
        }
        Poll::Ready(step)
    }
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
        let Some((raw, running)) = begin(self, &parts.sql) else {
            return futures_util::stream::once(async { Err(sqlx::Error::PoolClosed) }).boxed();
        };
        Box::pin(Rows { inner: raw.fetch_many(parts), running })
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
            let Some((raw, mut running)) = begin(self, &parts.sql) else {
                return Err(sqlx::Error::PoolClosed);
            };
            let row = raw.fetch_optional(parts).await;
            match &row {
                Ok(row) => {
                    running.rows = u64::from(row.is_some());
                    running.end(None);
                }
                Err(error) => running.end(Some(kind_of(error))),
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
