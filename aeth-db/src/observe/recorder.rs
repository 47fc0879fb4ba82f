//! The instruments of one database handle.

use super::prepared::{Preparation, Prepared};
use super::session::Lasting;
use super::statements::{SlowQuery, StatementStatistics, Statements};
use aeth_core::observe::standard::{database, labels};
use aeth_core::observe::{Collector, Counter, Histogram};
use aeth_core::{Clock, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

/// The kinds that are counted; a kind that is not among them counts as the last.
const KINDS: [ErrorKind; 13] = [
    ErrorKind::NotFound,
    ErrorKind::AlreadyExists,
    ErrorKind::Precondition,
    ErrorKind::Invalid,
    ErrorKind::Denied,
    ErrorKind::Unsupported,
    ErrorKind::Busy,
    ErrorKind::Full,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::Corrupt,
    ErrorKind::Closed,
    ErrorKind::Other,
];

/// How one statement went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) writes: bool,
    pub(crate) duration: Duration,
    pub(crate) rows: u64,
    pub(crate) error: Option<ErrorKind>,
    /// Whether its end was seen.
    pub(crate) ended: bool,
}

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) clock: Arc<dyn Clock>,
    slow_after: Duration,
    statements: Statements,
    reads: Histogram,
    writes: Histogram,
    slow: Counter,
    errors: [Counter; KINDS.len()],
    statement_hits: Counter,
    statement_misses: Counter,
    statement_evictions: Counter,
    pub(crate) pool_wait: Histogram,
    pub(crate) pool_timeouts: Counter,
    pub(crate) commits: Counter,
    pub(crate) rollbacks: Counter,
    pub(crate) retries: Counter,
    pub(crate) conflicts: Counter,
}

impl Recorder {
    pub(crate) fn new(clock: Arc<dyn Clock>, slow_after: Duration) -> Self {
        Self {
            clock,
            slow_after,
            statements: Statements::new(),
            reads: Histogram::new(),
            writes: Histogram::new(),
            slow: Counter::new(),
            errors: [const { Counter::new() }; KINDS.len()],
            statement_hits: Counter::new(),
            statement_misses: Counter::new(),
            statement_evictions: Counter::new(),
            pool_wait: Histogram::new(),
            pool_timeouts: Counter::new(),
            commits: Counter::new(),
            rollbacks: Counter::new(),
            retries: Counter::new(),
            conflicts: Counter::new(),
        }
    }

    /// Notes a statement, and says what it may have left behind. `prepared` are those of its connection, when it is
    /// kept among them; one that was broken off is not counted there.
    pub(crate) fn record(&self, sql: &str, outcome: Outcome, prepared: Option<&mut Prepared>) -> Lasting {
        let Outcome { writes, duration, rows, error, ended } = outcome;
        let times = if writes { &self.writes } else { &self.reads };
        times.record_duration(duration);
        if let Some(kind) = error {
            let place = KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1);
            if let Some(counter) = self.errors.get(place) {
                counter.increment();
            }
        }
        let noted = self.statements.record(sql, duration, rows, error);
        if let Some(prepared) = prepared.filter(|_| ended) {
            match prepared.touch(noted.text, error.is_some()) {
                Some(Preparation::Hit) => self.statement_hits.increment(),
                Some(Preparation::Miss) => self.statement_misses.increment(),
                Some(Preparation::Evicted) => {
                    self.statement_misses.increment();
                    self.statement_evictions.increment();
                }
                None => {}
            }
        }
        if duration >= self.slow_after {
            self.slow.increment();
            self.statements.record_slow(sql, self.clock.now(), (duration, rows, error));
        }
        noted.lasting
    }

    pub(crate) fn slow_queries(&self) -> Vec<SlowQuery> {
        self.statements.slow()
    }

    pub(crate) fn statistics(&self) -> Vec<StatementStatistics> {
        self.statements.statistics()
    }

    pub(crate) fn collect(&self, name: &str, out: &mut dyn Collector) {
        let named = (labels::DATABASE, name);
        let by = |label, value| [named, (label, value)];
        out.histogram(&database::QUERY_TIME, &by(labels::OPERATION, labels::READ), &self.reads.snapshot());
        out.histogram(&database::QUERY_TIME, &by(labels::OPERATION, labels::WRITE), &self.writes.snapshot());
        for (kind, count) in KINDS.iter().zip(&self.errors) {
            out.counter(&database::ERRORS, &by(labels::KIND, kind.as_str()), count.get());
        }
        out.histogram(&database::POOL_WAIT, &[named], &self.pool_wait.snapshot());
        for (descriptor, counter) in [
            (&database::SLOW_QUERIES, &self.slow),
            (&database::POOL_TIMEOUTS, &self.pool_timeouts),
            (&database::COMMITS, &self.commits),
            (&database::ROLLBACKS, &self.rollbacks),
            (&database::RETRIES, &self.retries),
            (&database::DEADLOCKS, &self.conflicts),
            (&database::STATEMENT_CACHE_HITS, &self.statement_hits),
            (&database::STATEMENT_CACHE_MISSES, &self.statement_misses),
            (&database::STATEMENT_CACHE_EVICTIONS, &self.statement_evictions),
        ] {
            out.counter(descriptor, &[named], counter.get());
        }
    }
}
