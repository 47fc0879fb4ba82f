//! Runs that come by themselves, and what comes after them.

use super::{Backup, BackupRun, Inner, closed};
use aeth_backup::{
    BackupJob, BackupReport, CheckOptions, CheckReport, DrillOptions, DrillReport, ForgetOptions,
    ForgetReport, JobRun, PruneOptions, PruneReport, Repository, Schedule, ScheduleOptions, SnapshotFilter,
};
use aeth_core::{Result, Tasks};
use async_trait::async_trait;
use std::sync::{Arc, Weak};

/// The storage's own backup, as its schedule runs it. It does not keep the storage alive.
#[derive(Debug)]
struct Scheduled(Weak<Inner>);

impl Scheduled {
    fn backup(&self) -> Result<Backup> {
        self.0.upgrade().map(|inner| Backup { inner }).ok_or_else(closed)
    }
}

#[async_trait]
impl BackupJob for Scheduled {
    async fn repository(&self) -> Result<Repository> {
        self.backup()?.repository().await
    }

    async fn run(&self, run: JobRun) -> Result<BackupReport> {
        let wanted = BackupRun::new().progress(run.progress).cancel_with(run.cancel).tag("scheduled");
        // The schedule notes how it ended.
        self.backup()?.run_unnoted(wanted).await
    }
}

/// Only what a storage made: a repository may hold more.
pub(crate) fn own_snapshots() -> SnapshotFilter {
    SnapshotFilter::new().tags(["aetherius"])
}

impl Backup {
    /// Starts the schedule that the configuration asks for.
    pub(crate) fn start_schedule(&self, options: ScheduleOptions, tasks: &Tasks) {
        let inner = &self.inner;
        let job = Scheduled(Arc::downgrade(inner));
        let options = options.monitor(inner.monitor.clone());
        inner.schedule.get_or_init(|| Schedule::start(job, options, tasks, Arc::clone(&inner.clock)));
    }

    /// The schedule, when one is configured: its [status](Schedule::status), its [notices](Schedule::subscribe), and
    /// runs and drills at once.
    #[must_use]
    pub fn schedule(&self) -> Option<&Schedule> {
        self.inner.schedule.get()
    }

    /// Forgets restore points of storages that a policy does not keep. What else the repository holds stays; forget
    /// it through the [repository](Self::repository). The data of what is forgotten stays until a
    /// [prune](Self::prune).
    ///
    /// # Errors
    /// Those of [`Backup::repository`] and [`Repository::forget`].
    ///
    /// # Cancel safety
    /// As [`Repository::forget`].
    pub async fn forget(&self, options: ForgetOptions) -> Result<ForgetReport> {
        self.repository().await?.forget(options.filter(own_snapshots())).await
    }

    /// Removes what no restore point needs any more.
    ///
    /// # Errors
    /// Those of [`Backup::repository`] and [`Repository::prune`].
    ///
    /// # Cancel safety
    /// As [`Repository::prune`].
    pub async fn prune(&self, options: PruneOptions) -> Result<PruneReport> {
        // Boxed: a prune is long, and its state is large.
        let repository = self.repository().await?;
        Box::pin(repository.prune(options)).await
    }

    /// Looks for damage in every location.
    ///
    /// # Errors
    /// Those of [`Backup::repository`] and [`Repository::check`]. Damage is no error: the report names it.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn check(&self, options: CheckOptions) -> Result<CheckReport> {
        let repository = self.repository().await?;
        Box::pin(repository.check(options)).await
    }

    /// Restores a restore point, or a sample of it, into a directory of its own, reads every file again, and
    /// removes it: an untested backup is no backup. Metrics and health note how it ended.
    ///
    /// # Errors
    /// Those of [`Backup::repository`] and [`Repository::drill`]. Files that do not come back right are no error:
    /// the report names them.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn drill(&self, options: DrillOptions) -> Result<DrillReport> {
        let repository = self.repository().await?;
        let result = Box::pin(repository.drill(options)).await;
        self.inner.monitor.note_drill(&result).await;
        result
    }
}
