//! Making a restore point.

use super::{Backup, DATABASE_AT, FILES_AT};
#[cfg(feature = "sqlite")]
use aeth_backup::CopySource;
use aeth_backup::{BackupReport, BlobSource, Observer, Plan, Progress, Repository, Source, TagEdit};
use aeth_core::Result;
use std::path::Path;
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
        // Boxed: a run is long, and its state is large.
        let result = Box::pin(self.run_unnoted(run)).await;
        self.inner.monitor.note_run(&result).await;
        result
    }

    /// A run that somebody else notes.
    pub(crate) async fn run_unnoted(&self, run: BackupRun) -> Result<BackupReport> {
        let inner = &self.inner;
        let _one_at_a_time = inner.running.lock().await;
        tokio::select! {
            made = Box::pin(self.make(run.plan)) => made,
            () = inner.closing.cancelled() => Err(super::closed()),
        }
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
        #[cfg(feature = "sqlite")]
        if let Some(database) = inner.database.as_ref().filter(|database| database.sqlite().is_ok()) {
            plan = plan.source(CopySource::new(
                DATABASE_AT,
                inner.data.scratch(),
                super::SqliteCopy::new(database.clone()),
            ));
        }
        #[cfg(feature = "postgres")]
        if let Some(tools) = &inner.dump {
            plan = plan.source(tools.source(inner.clock.now()));
        }
        let report = repository.backup(plan).await?;
        // A copy that could not be read is no backup of the database.
        let scratch = inner.data.scratch();
        let of_database = |path: &Path| path.starts_with(&scratch) || path.starts_with("/aetherius/database");
        match report.skipped.iter().find(|skipped| of_database(Path::new(&skipped.path))) {
            Some(skipped) => {
                let error = skipped.error.clone().with_operation("back up the database");
                self.disown(&repository, &report).await;
                Err(error)
            }
            None => Ok(report),
        }
    }

    /// Takes the mark of a storage from a restore point without its database, so that nobody restores it for whole.
    async fn disown(&self, repository: &Repository, report: &BackupReport) {
        let edit = TagEdit::Change { add: vec!["incomplete".into()], remove: vec!["aetherius".into()] };
        if let Err(error) = repository.edit_tags(std::slice::from_ref(&report.snapshot), &edit).await {
            tracing::warn!(%error, snapshot = %report.snapshot.id, "a restore point without its database keeps its mark");
        }
    }
}
