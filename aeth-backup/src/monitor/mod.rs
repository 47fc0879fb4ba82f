//! What a plan's runs have done: over restarts, as metrics, as health.

mod health;
mod metrics;
mod record;

pub(crate) use record::seconds;
pub use record::{BackupRecord, LocationRecord};

use crate::backup::BackupReport;
use crate::drill::DrillReport;
use crate::schedule::replace_file;
use aeth_core::observe::Counter;
use aeth_core::{Clock, Error, Result};
use parking_lot::RwLock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// From which age on health is degraded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonitorOptions {
    /// The age of the last successful run. Default: 26 hours.
    pub max_age: Duration,
    /// The age of the last proof that a restore point is good: an untested backup is no backup. Default: `None`,
    /// which means that nobody asks.
    pub max_unverified: Option<Duration>,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(26 * 3_600), max_unverified: None }
    }
}

impl MonitorOptions {
    /// Sets [`max_age`](Self::max_age).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// Sets [`max_unverified`](Self::max_unverified).
    #[must_use]
    pub fn max_unverified(mut self, age: Duration) -> Self {
        self.max_unverified = Some(age);
        self
    }
}

/// Keeps what a plan's runs, checks and drills have done; a [`MetricsSource`](aeth_core::observe::MetricsSource) and a
/// [`HealthCheck`](aeth_core::observe::HealthCheck). Cheap to clone; all clones are the same record.
#[derive(Debug, Clone)]
pub struct BackupMonitor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    plan: String,
    path: Option<PathBuf>,
    options: MonitorOptions,
    clock: Arc<dyn Clock>,
    record: RwLock<BackupRecord>,
    /// Writes one after the other, so that the last record is the one that stays.
    writing: parking_lot::Mutex<()>,
    runs: Counter,
    failures: Counter,
    skipped: Counter,
    drill_failures: Counter,
}

impl BackupMonitor {
    /// A record of the plan of this name, kept in the file at `path` when one is given. A missing or damaged file
    /// means that nothing is known, which health then says. Blocks on I/O.
    #[must_use]
    pub fn open(
        plan: impl Into<String>,
        path: Option<PathBuf>,
        options: MonitorOptions,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let kept = path.as_ref().and_then(|path| std::fs::read(path).ok());
        let record = kept.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let inner = Inner {
            plan: plan.into(),
            path,
            options,
            clock,
            record: RwLock::new(record),
            writing: parking_lot::Mutex::default(),
            runs: Counter::new(),
            failures: Counter::new(),
            skipped: Counter::new(),
            drill_failures: Counter::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// What is known.
    #[must_use]
    pub fn record(&self) -> BackupRecord {
        self.inner.record.read().clone()
    }

    /// Notes how a run ended. A run that was cancelled (`Closed`) is neither a success nor a failure.
    ///
    /// # Cancel safety
    /// Cancel-safe: the note is made, and may not be written down.
    pub async fn note_run(&self, result: &Result<BackupReport>) {
        self.inner.runs.increment();
        match result {
            Ok(report) => {
                self.inner.skipped.add(report.skipped_total);
                let now = seconds(self.inner.clock.now());
                self.update(|record| record.succeeded(report, now)).await;
            }
            Err(error) if error.kind() == aeth_core::ErrorKind::Closed => {}
            Err(error) => {
                self.inner.failures.increment();
                let failure = error.to_string();
                self.update(|record| record.failure = Some(failure)).await;
            }
        }
    }

    /// Notes what a drill found, or why it could not be done.
    ///
    /// # Cancel safety
    /// As [`note_run`](Self::note_run).
    pub async fn note_drill(&self, result: &Result<DrillReport>) {
        let failure = match result {
            Ok(report) if report.passed() => return self.note_verified().await,
            Ok(report) => report
                .problems
                .first()
                .map_or_else(|| "files are missing from what was restored".to_owned(), ToString::to_string),
            Err(error) if error.kind() == aeth_core::ErrorKind::Closed => return,
            Err(error) => error.to_string(),
        };
        self.inner.drill_failures.increment();
        self.update(|record| record.drill_failure = Some(failure)).await;
    }

    /// Notes that a restore, a drill or a check of all data has just proved the backup good.
    ///
    /// # Cancel safety
    /// As [`note_run`](Self::note_run).
    pub async fn note_verified(&self) {
        let now = seconds(self.inner.clock.now());
        self.update(|record| {
            record.verified = Some(now);
            record.drill_failure = None;
        })
        .await;
    }

    /// Notes which locations hold the repository.
    ///
    /// # Cancel safety
    /// As [`note_run`](Self::note_run).
    pub async fn note_reached(&self, locations: impl IntoIterator<Item = String>) {
        let new: Vec<String> = {
            let record = self.inner.record.read();
            locations.into_iter().filter(|name| !record.reached.contains(name)).collect()
        };
        if !new.is_empty() {
            self.update(|record| record.reached.extend(new)).await;
        }
    }

    async fn update(&self, change: impl FnOnce(&mut BackupRecord)) {
        change(&mut self.inner.record.write());
        if self.inner.path.is_none() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        // Written even when nobody waits for it.
        let written = tokio::task::spawn_blocking(move || inner.write()).await;
        let written = written.unwrap_or_else(|error| Err(Error::other("interrupted").with_source(error)));
        if let Err(error) = written {
            // It costs knowledge after a restart, not data.
            tracing::warn!(%error, "the record of the backups could not be written");
        }
    }
}

impl Inner {
    fn write(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let _one = self.writing.lock();
        let text = serde_json::to_vec_pretty(&*self.record.read())
            .map_err(|error| Error::other("the record has no JSON form").with_source(error))?;
        replace_file(path, &text)
    }
}
