//! What a schedule runs.

use crate::backup::{BackupReport, Plan};
use crate::progress::Progress;
use crate::repo::Repository;
use aeth_core::Result;
use async_trait::async_trait;
use std::fmt;
use tokio_util::sync::CancellationToken;

/// What a run that a schedule starts is given.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct JobRun {
    /// Stops the run: the schedule is closed, or another process leads.
    pub cancel: CancellationToken,
    /// Counts what the run does.
    pub progress: Progress,
}

/// Something that a schedule can run.
#[async_trait]
pub trait BackupJob: fmt::Debug + Send + Sync + 'static {
    /// The repository, for what comes after a run: retention, prune, check, drills.
    ///
    /// # Errors
    /// Those of opening it.
    ///
    /// # Cancel safety
    /// Must be cancel-safe.
    async fn repository(&self) -> Result<Repository>;

    /// Makes one backup.
    ///
    /// # Errors
    /// Any. One that [no repetition can help](aeth_core::Retry) waits for the next time that is due; others are
    /// tried again before that.
    ///
    /// # Cancel safety
    /// Must be cancel-safe.
    async fn run(&self, run: JobRun) -> Result<BackupReport>;
}

type MakePlan = dyn Fn() -> Result<Plan> + Send + Sync;

/// A plan that is made anew for each run of a repository that is open.
pub struct PlanJob {
    repository: Repository,
    plan: Box<MakePlan>,
}

impl fmt::Debug for PlanJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanJob").field("repository", &self.repository.id()).finish_non_exhaustive()
    }
}

impl PlanJob {
    /// Runs what `plan` makes: streams, for example, can be read once only.
    pub fn new(repository: Repository, plan: impl Fn() -> Result<Plan> + Send + Sync + 'static) -> Self {
        Self { repository, plan: Box::new(plan) }
    }
}

#[async_trait]
impl BackupJob for PlanJob {
    async fn repository(&self) -> Result<Repository> {
        Ok(self.repository.clone())
    }

    async fn run(&self, run: JobRun) -> Result<BackupReport> {
        let plan = (self.plan)()?.cancel_with(run.cancel).progress(run.progress);
        self.repository.backup(plan).await
    }
}
