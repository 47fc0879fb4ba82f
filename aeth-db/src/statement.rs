//! One statement on its way through a connection: timed, limited, recorded, whatever the engine.

use crate::error::{kind_of, suspects_server};
use crate::observe::{Outcome, Prepared, Recorder};
use aeth_core::ErrorKind;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use sqlx::error::BoxDynError;
use sqlx::{Database, Either, Execute, SqlStr};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// What a running statement gives.
pub(crate) type Step<DB> = Result<Either<<DB as Database>::QueryResult, <DB as Database>::Row>, sqlx::Error>;

/// What is known of a connection's state without asking it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    /// A statement was begun and not seen to its end.
    pub(crate) running: bool,
    /// A transaction may be open.
    pub(crate) transaction: bool,
    /// The last statement failed: in PostgreSQL, an open transaction is lost then.
    pub(crate) failed: bool,
    /// A statement may have changed what outlives it: settings, locks, temporary tables.
    pub(crate) session: bool,
    /// A statement may have opened a transaction that the handle does not know.
    pub(crate) opened: bool,
    /// The host had it in its bare form.
    pub(crate) bare: bool,
    /// It must not be used again.
    pub(crate) broken: bool,
    /// The server may have changed its role.
    pub(crate) suspect: bool,
}

impl Flags {
    pub(crate) fn is_clean(self) -> bool {
        !(self.running || self.transaction || self.bare || self.broken || self.suspect)
    }
}

#[cfg(feature = "postgres")]
impl Flags {
    /// Clean, and nothing that outlives a statement was done.
    pub(crate) fn is_untouched(self) -> bool {
        self.is_clean() && !self.session && !self.opened
    }
}

/// A query taken apart, so that its text is known while it runs.
pub(crate) struct Parts<DB: Database> {
    pub(crate) sql: SqlStr,
    arguments: Result<Option<DB::Arguments>, BoxDynError>,
    pub(crate) persistent: bool,
}

impl<DB: Database> Parts<DB> {
    pub(crate) fn of<'q, E: Execute<'q, DB>>(mut query: E) -> Self {
        let arguments = query.take_arguments();
        let persistent = query.persistent();
        Self { sql: query.sql(), arguments, persistent }
    }

    /// Whether it goes by the protocol that binds values, and not as plain text.
    pub(crate) fn has_arguments(&self) -> bool {
        !matches!(self.arguments, Ok(None))
    }
}

impl<DB: Database> fmt::Debug for Parts<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("persistent", &self.persistent).finish_non_exhaustive()
    }
}

impl<DB: Database> Execute<'_, DB> for Parts<DB> {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&DB::Statement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<DB::Arguments>, BoxDynError> {
        std::mem::replace(&mut self.arguments, Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// One statement under way. Dropped before its end, it leaves the connection marked.
#[derive(Debug)]
pub(crate) struct Running<'c> {
    recorder: &'c Recorder,
    flags: &'c mut Flags,
    /// The connection's prepared statements, when this one is kept among them.
    prepared: Option<&'c mut Prepared>,
    sql: SqlStr,
    started: Duration,
    pub(crate) rows: u64,
    writes: bool,
    ended: Option<Option<ErrorKind>>,
}

impl<'c> Running<'c> {
    pub(crate) fn begin<DB: Database>(
        recorder: &'c Recorder,
        (flags, prepared): (&'c mut Flags, &'c mut Prepared),
        parts: &Parts<DB>,
        started: Duration,
        writes: bool,
    ) -> Self {
        flags.running = true;
        let prepared = (parts.persistent && parts.has_arguments()).then_some(prepared);
        Self { recorder, flags, prepared, sql: parts.sql.clone(), started, rows: 0, writes, ended: None }
    }

    pub(crate) fn succeed(&mut self) {
        self.ended = Some(None);
        self.flags.running = false;
        self.flags.failed = false;
    }

    pub(crate) fn fail(&mut self, error: &sqlx::Error) {
        let kind = kind_of(error);
        self.ended = Some(Some(kind));
        self.flags.running = false;
        self.flags.failed = true;
        self.flags.broken |= kind == ErrorKind::Unavailable || matches!(error, sqlx::Error::Protocol(_));
        self.flags.suspect |= suspects_server(error);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let duration = self.recorder.clock.monotonic().saturating_sub(self.started);
        let error = self.ended.flatten();
        let ended = self.ended.is_some();
        let outcome = Outcome { writes: self.writes, duration, rows: self.rows, error, ended };
        let lasting = self.recorder.record(self.sql.as_str(), outcome, self.prepared.take());
        self.flags.session |= lasting.session;
        self.flags.opened |= lasting.transaction;
    }
}

/// The rows of a running statement.
pub(crate) struct Rows<'c, DB: Database> {
    // Dropped first: the statement ends before it is recorded.
    inner: BoxStream<'c, Step<DB>>,
    running: Running<'c>,
    /// How long the next step may take.
    limit: Option<Duration>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<'c, DB: Database> Rows<'c, DB> {
    pub(crate) fn new(inner: BoxStream<'c, Step<DB>>, running: Running<'c>, limit: Option<Duration>) -> Self {
        Self { inner, running, limit, waiting: None }
    }
}

/// The error of an engine that does not answer at all.
pub(crate) fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the server does not answer"))
}

impl<DB: Database> Stream for Rows<'_, DB> {
    type Item = Step<DB>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Step<DB>>> {
        let Poll::Ready(step) = self.inner.poll_next_unpin(cx) else {
            let Some(limit) = self.limit else { return Poll::Pending };
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
            std::task::ready!(waiting.as_mut().poll(cx));
            let error = silent();
            self.running.fail(&error);
            return Poll::Ready(Some(Err(error)));
        };
        self.waiting = None;
        match &step {
            None => self.running.succeed(),
            Some(Ok(Either::Right(_))) => self.running.rows += 1,
            Some(Ok(Either::Left(_))) => {}
            Some(Err(error)) => self.running.fail(error),
        }
        Poll::Ready(step)
    }
}
