//! Making a restore point.

use super::{Backup, DATABASE_AT, FILES_AT, Inner, record};
use aeth_backup::{BackupReport, BlobSource, Observer, PathSource, Plan, Progress, SinkStatus, Source};
#[cfg(feature = "sqlite")]
use aeth_core::Error;
use aeth_core::Result;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A run to be made: what is counted and watched, and what stops it.
#[derive(Debug, Default)]
#[non_exhaustive]
#[must_use = "a run does nothing until it is started"]
pub struct BackupRun {
    plan: Plan,
}

impl BackupRun {
    /// A run with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts into `progress`.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.plan = self.plan.progress(progress);
        self
    }

    /// Tells `observer` what happens.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.plan = self.plan.observer(observer);
        self
    }

    /// Adds a tag to the restore point.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.plan = self.plan.tag(tag);
        self
    }

    /// Stops the run when `token` is cancelled; the next one goes on from what was stored.
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.plan = self.plan.cancel_with(token);
        self
    }
}

impl Backup {
    /// Makes a restore point at every location: the directories in full fidelity, the files as plaintext, and
    /// a consistent copy of the database.
    ///
    /// # Errors
    /// Those of [`Backup::repository`] and [`Repository::backup`](aeth_backup::Repository::backup). What could
    /// not be read is no error: the report lists it.
    ///
    /// # Cancel safety
    /// Cancel-safe: no restore point is made then, and the next run goes on from what was stored.
    pub async fn run(&self) -> Result<BackupReport> {
        self.run_with(BackupRun::new()).await
    }

    /// [`Backup::run`] with progress, observer, tags or a token.
    ///
    /// # Errors
    /// As [`Backup::run`].
    ///
    /// # Cancel safety
    /// As [`Backup::run`].
    pub async fn run_with(&self, run: BackupRun) -> Result<BackupReport> {
        let inner = &self.inner;
        let _one_at_a_time = inner.running.lock().await;
        inner.record.runs.increment();
        // Boxed: a run is long, and its state is large.
        let made = tokio::select! {
            made = Box::pin(self.make(run.plan)) => Some(made),
            () = inner.closing.cancelled() => None,
        };
        // Neither a success nor a failure: the storage was closed.
        let Some(result) = made else { return Err(super::closed()) };
        let now = record::seconds(inner.clock.now());
        let record = Arc::clone(&inner.record);
        let outcome = result.as_ref().map(Outcome::of).map_err(ToString::to_string);
        let noted = inner.tasks.spawn_blocking(move || match outcome {
            Ok(outcome) => {
                record.skipped.add(outcome.skipped);
                record.update(|kept| {
                    kept.last_success = Some(now);
                    kept.duration = outcome.seconds;
                    kept.size = outcome.size;
                    kept.added = outcome.added;
                    kept.lagging = outcome.lagging;
                    kept.skipped = outcome.skipped;
                    kept.reached.extend(outcome.reached);
                    kept.failure = None;
                });
            }
            Err(failure) => {
                record.failures.increment();
                record.update(|kept| kept.failure = Some(failure));
            }
        });
        // The note is made even when nobody waits for it.
        drop(noted.await);
        result
    }

    async fn make(&self, plan: Plan) -> Result<BackupReport> {
        let repository = self.repository().await?;
        let inner = &self.inner;
        let mut plan = plan.tag("aetherius");
        for directory in &inner.directories {
            plan = plan.source(directory.clone());
        }
        if let Some(files) = &inner.files {
            plan = plan.source(Source::files(FILES_AT, BlobSource::new(Arc::clone(files))));
        }
        let copy = inner.copy_database().await?;
        if let Some(copy) = &copy {
            plan = plan.source(PathSource::new(&copy.0)?.at(DATABASE_AT));
        }
        let report = repository.backup(plan).await?;
        match report.skipped.iter().find(|skipped| skipped.path.starts_with(DATABASE_AT)) {
            Some(skipped) => Err(skipped.error.clone().with_operation("back up the database")),
            None => Ok(report),
        }
    }
}

/// What of a report is noted.
struct Outcome {
    seconds: f64,
    size: u64,
    added: u64,
    skipped: u64,
    lagging: Vec<String>,
    reached: Vec<String>,
}

impl Outcome {
    fn of(report: &BackupReport) -> Self {
        let summary = report.snapshot.snapshot.summary.as_ref();
        Self {
            seconds: report.elapsed.as_secs_f64(),
            size: summary.map_or(0, |summary| summary.total_bytes_processed),
            added: summary.map_or(0, |summary| summary.data_added_packed),
            skipped: report.skipped_total,
            lagging: names(report, |sink| sink.error.is_some()),
            reached: names(report, |sink| sink.error.is_none()),
        }
    }
}

fn names(report: &BackupReport, which: impl Fn(&SinkStatus) -> bool) -> Vec<String> {
    report.sinks.iter().filter(|sink| which(sink)).map(|sink| sink.name.clone()).collect()
}

/// A file that is removed when it is no longer needed.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(%error, "a temporary copy of the database could not be removed");
    }
}

impl Inner {
    /// A consistent copy of the database, in the scratch directory.
    #[cfg(feature = "sqlite")]
    async fn copy_database(&self) -> Result<Option<Scratch>> {
        let Some(database) = &self.database else {
            return Ok(None);
        };
        let directory = self.data.scratch();
        let path = directory.join("app.sqlite");
        let fresh = path.clone();
        let prepared = self.tasks.spawn_blocking(move || {
            std::fs::create_dir_all(&directory)?;
            // What a run that was killed left behind.
            match std::fs::remove_file(&fresh) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
        prepared.await.map_err(|error| Error::other("the copy was interrupted").with_source(error))??;
        database.sqlite()?.snapshot_to(&path).await?;
        Ok(Some(Scratch(path)))
    }

    /// Without a database there is no copy.
    #[cfg(not(feature = "sqlite"))]
    #[allow(clippy::unused_async, reason = "the same call with and without the feature")]
    async fn copy_database(&self) -> Result<Option<Scratch>> {
        Ok(None)
    }
}
