//! Statements on their way through: limited, timed, counted.

use super::conn::{PostgresConn, Role};
use super::transaction::PostgresTransaction;
use crate::error::through_sqlx;
use crate::statement::{Parts, Rows, Running, silent};
use aeth_core::{Error, ErrorKind, Retry};
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgRow, PgStatement, PgTypeInfo, Postgres};
use sqlx::{Execute, Executor, PgConnection, SqlStr};
use std::time::Duration;

type Step = crate::statement::Step<Postgres>;

/// What sqlx needs and what we note, borrowed apart.
struct Begun<'c> {
    raw: &'c mut PgConnection,
    running: Running<'c>,
    patience: Option<Duration>,
    /// The statement needs a transaction around it, because a pooler stands between.
    wrapped: bool,
}

/// The error of a writer whose server was left behind.
pub(super) fn left_behind(conn: &PostgresConn) -> Option<Error> {
    let timeline = conn.object.as_ref()?.opened.timeline;
    if conn.role == Role::Reader || conn.shared.fleet.newest() <= timeline {
        return None;
    }
    let message = format!("{} is on timeline {timeline}, and a newer primary was seen", conn.node.address);
    Some(
        Error::new(ErrorKind::Unavailable, message)
            .with_retry(Retry::After(Duration::ZERO))
            .with_component("database")
            .with_remedy("take a new connection by `write()`: it goes to the new primary"),
    )
}

/// The server takes no message that is longer, and ends the session at the attempt
/// (`PQ_LARGE_MESSAGE_LIMIT`, which is its limit for one allocation).
const LONGEST: usize = (1 << 30) - 1024;

impl PostgresConn {
    fn begin_statement<'c>(&'c mut self, parts: &mut Parts<Postgres>) -> Result<Begun<'c>, sqlx::Error> {
        if let Some(error) = left_behind(self) {
            if let Some(link) = self.link() {
                link.flags.suspect = true;
            }
            return Err(through_sqlx(error));
        }
        if parts.sql.as_str().len() > LONGEST {
            let error = Error::invalid("the statement's text is longer than a gigabyte")
                .with_remedy("split it, or bind what is long as a value");
            return Err(through_sqlx(error));
        }
        let (writes, timeout) = (self.role == Role::Writer, self.statement_timeout);
        let Self { object, shared, .. } = self;
        let link = object.as_deref_mut().ok_or(sqlx::Error::PoolClosed)?;
        let pooled = shared.pooled();
        if pooled {
            parts.persistent = false;
        }
        let wrapped = pooled && !link.flags.transaction && parts.has_arguments();
        let recorder = &shared.recorder;
        let started = recorder.clock.monotonic();
        let (raw, known) = link.apart();
        let running = Running::begin(recorder, known, parts, started, writes);
        Ok(Begun { raw, running, patience: shared.patience(timeout), wrapped })
    }
}

/// Runs a statement in a transaction of its own and gathers what it gives.
async fn wrapped(begun: Begun<'_>, parts: Parts<Postgres>) -> Result<Vec<Step>, sqlx::Error> {
    let Begun { raw, mut running, patience, .. } = begun;
    let work = async {
        (&mut *raw).execute("BEGIN").await?;
        let steps: Result<Vec<_>, sqlx::Error> = (&mut *raw).fetch_many(parts).try_collect().await;
        let end = if steps.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = (&mut *raw).execute(end).await;
        let steps = steps?;
        ended?;
        Ok(steps)
    };
    let done = limited(patience, work).await;
    match done {
        Ok(steps) => {
            running.rows = steps.iter().filter(|step| step.is_right()).count() as u64;
            running.succeed();
            Ok(steps.into_iter().map(Ok).collect())
        }
        Err(error) => {
            running.fail(&error);
            Err(error)
        }
    }
}

async fn limited<T>(
    patience: Option<Duration>,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match patience {
        Some(patience) => tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(silent())),
        None => work.await,
    }
}

impl<'c> Executor<'c> for &'c mut PostgresConn {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        let mut parts = Parts::of(query);
        match self.begin_statement(&mut parts) {
            Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
            Ok(begun) if begun.wrapped => futures_util::stream::once(wrapped(begun, parts))
                .map_ok(futures_util::stream::iter)
                .try_flatten()
                .boxed(),
            Ok(Begun { raw, running, patience, .. }) => {
                Box::pin(Rows::<Postgres>::new(raw.fetch_many(parts), running, patience))
            }
        }
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        let mut parts = Parts::of(query);
        Box::pin(async move {
            let begun = self.begin_statement(&mut parts)?;
            if begun.wrapped {
                // Rare, and large: in place it would make every statement's future as large.
                let steps = Box::pin(wrapped(begun, parts)).await?;
                return Ok(steps.into_iter().flatten().find_map(sqlx::Either::right));
            }
            let Begun { raw, mut running, patience, .. } = begun;
            let row = limited(patience, raw.fetch_optional(parts)).await;
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
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let link = self.link().ok_or(sqlx::Error::PoolClosed)?;
            // Broken off, its answer would be taken for the next statement's.
            link.flags.running = true;
            let prepared = link.raw().prepare_with(sql, parameters).await;
            link.flags.running = false;
            prepared
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let link = self.link().ok_or(sqlx::Error::PoolClosed)?;
            link.flags.running = true;
            let described = link.raw().describe(sql).await;
            link.flags.running = false;
            described
        })
    }
}

impl<'c> Executor<'c> for &'c mut PostgresTransaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> BoxStream<'e, Step>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        self.conn.fetch_many(query)
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: Execute<'q, Postgres>,
        'q: 'e,
        E: 'q,
    {
        self.conn.fetch_optional(query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.conn.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.conn.describe(sql)
    }
}
