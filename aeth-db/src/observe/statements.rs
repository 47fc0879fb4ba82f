//! Figures for each statement, and the slow ones.

use super::fingerprint;
use super::session::{self, Lasting};
use aeth_core::ErrorKind;
use aeth_core::observe::{Counter, Histogram, HistogramSnapshot};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Texts whose fingerprint is remembered, so that it need not be computed again.
const TEXTS: usize = 2048;
/// Fingerprints that have figures of their own; what comes later is counted together.
const FINGERPRINTS: usize = 512;
/// Slow statements that are kept.
const SLOW: usize = 128;

/// A statement that took longer than the threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowQuery {
    /// The statement without its values.
    pub statement: Arc<str>,
    /// Its fingerprint.
    pub fingerprint: u64,
    /// When it ended.
    pub at: SystemTime,
    /// How long it took, until its last row was taken.
    pub duration: Duration,
    /// Rows that it gave.
    pub rows: u64,
    /// The kind of its error, if it failed.
    pub error: Option<ErrorKind>,
}

/// The figures of all statements with one fingerprint since the database was opened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StatementStatistics {
    /// The statement without its values; `…` for those beyond the first 512 fingerprints.
    pub statement: Arc<str>,
    /// Its fingerprint: 64 bits of the normal form, the same in every process.
    pub fingerprint: u64,
    /// How long it took, in nanoseconds.
    pub time: HistogramSnapshot,
    /// Rows that it gave.
    pub rows: u64,
    /// Runs that failed.
    pub errors: u64,
}

#[derive(Debug)]
struct Statement {
    text: Arc<str>,
    fingerprint: u64,
    time: Histogram,
    rows: Counter,
    errors: Counter,
}

impl Statement {
    fn new(text: &str) -> Arc<Self> {
        Arc::new(Self {
            text: text.into(),
            fingerprint: fingerprint::hash(text),
            time: Histogram::new(),
            rows: Counter::new(),
            errors: Counter::new(),
        })
    }
}

#[derive(Debug, Clone)]
struct Found {
    statement: Arc<Statement>,
    noted: Noted,
}

/// What is known of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    /// What it may leave behind.
    pub(super) lasting: Lasting,
    /// Its number: the same text has the same.
    pub(super) text: u64,
}

/// The figures for each fingerprint, bounded, and the latest slow statements.
#[derive(Debug)]
pub(super) struct Statements {
    by_text: RwLock<HashMap<Box<str>, Found>>,
    by_fingerprint: RwLock<HashMap<u64, Arc<Statement>>>,
    others: Arc<Statement>,
    slow: Mutex<VecDeque<SlowQuery>>,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            by_text: RwLock::default(),
            by_fingerprint: RwLock::default(),
            others: Statement::new("…"),
            slow: Mutex::default(),
        }
    }

    pub(super) fn record(&self, sql: &str, duration: Duration, rows: u64, error: Option<ErrorKind>) -> Noted {
        let Found { statement, noted } = self.find(sql);
        statement.time.record_duration(duration);
        statement.rows.add(rows);
        if error.is_some() {
            statement.errors.increment();
        }
        noted
    }

    pub(super) fn record_slow(&self, sql: &str, at: SystemTime, run: (Duration, u64, Option<ErrorKind>)) {
        let found = self.find(sql).statement;
        // Those that share the last place are told apart here at least.
        let statement = if Arc::ptr_eq(&found, &self.others) {
            Statement::new(&fingerprint::normalise(sql))
        } else {
            found
        };
        let (duration, rows, error) = run;
        tracing::warn!(
            statement = &*statement.text,
            fingerprint = format_args!("{:016x}", statement.fingerprint),
            ?duration,
            rows,
            "slow statement"
        );
        let mut slow = self.slow.lock();
        if slow.len() == SLOW {
            slow.pop_front();
        }
        slow.push_back(SlowQuery {
            statement: Arc::clone(&statement.text),
            fingerprint: statement.fingerprint,
            at,
            duration,
            rows,
            error,
        });
    }

    pub(super) fn slow(&self) -> Vec<SlowQuery> {
        self.slow.lock().iter().cloned().collect()
    }

    pub(super) fn statistics(&self) -> Vec<StatementStatistics> {
        let mut statements: Vec<_> = self.by_fingerprint.read().values().map(Arc::clone).collect();
        statements.push(Arc::clone(&self.others));
        let mut statistics: Vec<_> = statements
            .iter()
            .map(|statement| StatementStatistics {
                statement: Arc::clone(&statement.text),
                fingerprint: statement.fingerprint,
                time: statement.time.snapshot(),
                rows: statement.rows.get(),
                errors: statement.errors.get(),
            })
            .filter(|statement| statement.time.count() > 0)
            .collect();
        statistics.sort_by_key(|statement| std::cmp::Reverse(statement.time.sum()));
        statistics
    }

    fn find(&self, sql: &str) -> Found {
        if let Some(found) = self.by_text.read().get(sql) {
            return found.clone();
        }
        let text = fingerprint::normalise(sql);
        let lasting = session::lasting(&text);
        let key = fingerprint::hash(&text);
        let known = self.by_fingerprint.read().get(&key).map(Arc::clone);
        let statement = known.unwrap_or_else(|| {
            let mut by_fingerprint = self.by_fingerprint.write();
            if by_fingerprint.len() >= FINGERPRINTS && !by_fingerprint.contains_key(&key) {
                return Arc::clone(&self.others);
            }
            Arc::clone(by_fingerprint.entry(key).or_insert_with(|| Statement::new(&text)))
        });
        let mut by_text = self.by_text.write();
        if let Some(found) = by_text.get(sql) {
            return found.clone();
        }
        if by_text.len() < TEXTS {
            let noted = Noted { lasting, text: by_text.len() as u64 };
            let found = Found { statement, noted };
            by_text.insert(sql.into(), found.clone());
            return found;
        }
        // A number far from those above.
        let noted = Noted { lasting, text: by_text.hasher().hash_one(sql) | 1 << 63 };
        Found { statement, noted }
    }
}
