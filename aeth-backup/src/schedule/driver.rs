//! The loop that waits, leads, runs and remembers.

use super::due::{self, Due};
use super::job::{BackupJob, JobRun};
use super::lead::Lead;
use super::notice::{Notice, SkipReason};
use super::options::ScheduleOptions;
use super::state::ScheduleState;
use super::{Cron, chores};
use crate::backup::BackupReport;
use crate::drill::DrillReport;
use crate::monitor::seconds;
use crate::progress::{Progress, ProgressReport};
use crate::repo::host::machine_name;
use aeth_core::{Clock, Error, ErrorKind, Lifecycle, Result, Tasks};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// How long the wall clock is trusted: it may be set, and the machine may sleep.
const LOOK: Duration = Duration::from_secs(60);
/// Between two tries to reach the state.
const AGAIN: Duration = Duration::from_secs(60);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3_600);
/// Notices that wait for a slow receiver; older ones are lost to it, which it is told.
const NOTICES: usize = 256;

/// A schedule that runs: backups when they are due, what comes after them, and restore drills. Cheap to clone; all
/// clones are the same. It runs until it is [closed](Lifecycle::close), or until the tasks that it was started
/// with are.
///
/// ```
/// use aeth_backup::{PathSource, Plan, PlanJob, Repository, Schedule, ScheduleOptions};
/// use aeth_core::{SystemClock, Tasks};
///
/// fn nightly(repository: Repository, tasks: &Tasks) -> aeth_core::Result<Schedule> {
///     let job = PlanJob::new(repository, || Ok(Plan::new().source(PathSource::new("/srv/app")?)));
///     let options = ScheduleOptions::new("nightly", "30 2 * * *".parse()?);
///     let schedule = Schedule::start(job, options, tasks, SystemClock::shared());
///     let mut notices = schedule.subscribe();
///     tasks.spawn_until_closed(async move {
///         while let Ok(notice) = notices.recv().await {
///             tracing::info!(severity = ?notice.severity(), "{notice}");
///         }
///     });
///     Ok(schedule)
/// }
/// ```
#[derive(Clone)]
pub struct Schedule {
    inner: Arc<Inner>,
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("name", &self.inner.options.name)
            .field("when", &self.inner.options.when)
            .finish_non_exhaustive()
    }
}

/// What a schedule is doing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// When the next run begins.
    pub next: Option<SystemTime>,
    /// When the next drill begins.
    pub next_drill: Option<SystemTime>,
    /// How far the run is that is going on.
    pub running: Option<ProgressReport>,
    /// Runs that failed since the last success, as far as this process knows.
    pub failures: u32,
}

struct Inner {
    job: Box<dyn BackupJob>,
    options: ScheduleOptions,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    notices: broadcast::Sender<Notice>,
    status: Mutex<ScheduleStatus>,
    progress: Mutex<Option<Progress>>,
    /// Held by a run from its start until its chores are done.
    running: tokio::sync::Mutex<()>,
    drilling: tokio::sync::Mutex<()>,
    /// One change of the state at a time.
    state: tokio::sync::Mutex<()>,
}

/// Which of the two things that come by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Backup,
    Drill,
}

impl Kind {
    fn last(self, state: &ScheduleState) -> Option<u64> {
        match self {
            Self::Backup => state.last_due,
            Self::Drill => state.last_drill_due,
        }
    }

    fn set_last(self, state: &mut ScheduleState, due: SystemTime) {
        match self {
            Self::Backup => state.last_due = Some(seconds(due)),
            Self::Drill => state.last_drill_due = Some(seconds(due)),
        }
    }
}

impl Schedule {
    /// Starts it. `tasks` are told to stop before it does.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(
        job: impl BackupJob,
        options: ScheduleOptions,
        tasks: &Tasks,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (notices, _) = broadcast::channel(NOTICES);
        let inner = Arc::new(Inner {
            job: Box::new(job),
            options,
            clock,
            tasks: tasks.child(),
            notices,
            status: Mutex::default(),
            progress: Mutex::default(),
            running: tokio::sync::Mutex::default(),
            drilling: tokio::sync::Mutex::default(),
            state: tokio::sync::Mutex::default(),
        });
        let kinds = [Some(Kind::Backup), inner.options.drill.is_some().then_some(Kind::Drill)];
        for kind in kinds.into_iter().flatten() {
            let own = Arc::clone(&inner);
            drop(inner.tasks.spawn_until_closed(own.follow(kind)));
        }
        Self { inner }
    }

    /// What happens from now on. A receiver that is too slow is told how many notices it lost.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.inner.notices.subscribe()
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> ScheduleStatus {
        let mut status = self.inner.status.lock().clone();
        status.running = self.inner.progress.lock().as_ref().map(Progress::report);
        status
    }

    /// Runs now, beside what is due, with everything that comes after a run.
    ///
    /// # Errors
    /// `Busy` while a run is going on, here or where another process leads; `Closed`; those of the job.
    ///
    /// # Cancel safety
    /// Cancel-safe as far as the job is.
    pub async fn run_now(&self) -> Result<BackupReport> {
        let inner = &self.inner;
        inner.refuse_closed()?;
        let Ok(_one) = inner.running.try_lock() else {
            return Err(busy("a run is going on"));
        };
        let Some(lead) = inner.lead("backup").await? else {
            return Err(busy("another process leads"));
        };
        let report = Box::pin(inner.backup(&lead, inner.clock.now())).await;
        lead.release().await;
        report
    }

    /// Drills now, beside what is due.
    ///
    /// # Errors
    /// `Unsupported` when the schedule has no drill; `Busy` while one is going on; `Closed`; those of
    /// [`Repository::drill`](crate::Repository::drill).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn drill_now(&self) -> Result<DrillReport> {
        self.inner.refuse_closed()?;
        let Ok(_one) = self.inner.drilling.try_lock() else {
            return Err(busy("a drill is going on"));
        };
        Box::pin(self.inner.drill(self.inner.tasks.token())).await
    }
}

fn busy(message: &'static str) -> Error {
    Error::new(ErrorKind::Busy, message).with_component("schedule").with_remedy("wait until it is over")
}

#[async_trait]
impl Lifecycle for Schedule {
    async fn close(&self, deadline: Duration) -> Result<()> {
        self.inner.tasks.close(deadline).await.map_err(|error| error.with_component("schedule"))
    }
}

impl Inner {
    fn tell(&self, notice: Notice) {
        match notice.severity() {
            super::Severity::Info => tracing::info!(schedule = self.options.name, "{notice}"),
            _ => tracing::warn!(schedule = self.options.name, "{notice}"),
        }
        // Nobody may listen.
        drop(self.notices.send(notice));
    }

    fn refuse_closed(&self) -> Result<()> {
        if self.tasks.is_closing() {
            return Err(Error::closed("the schedule was closed").with_component("schedule"));
        }
        Ok(())
    }

    async fn lead(&self, what: &str) -> Result<Option<Lead>> {
        let name = format!("{}.{what}", self.options.name);
        Lead::acquire(self.options.leader.as_ref(), &name, self.options.leader_ttl, &self.clock).await
    }

    /// Waits for one due time after the other, for ever.
    async fn follow(self: Arc<Self>, kind: Kind) {
        let cron = match (kind, &self.options.drill) {
            (Kind::Drill, Some(drill)) => &drill.when,
            _ => &self.options.when,
        };
        let mut known = ScheduleState::default();
        loop {
            known = self.remembered(known).await;
            let Some(due) = self.wait(cron.clone(), kind, kind.last(&known)).await else {
                // Nothing is due any more.
                return std::future::pending().await;
            };
            match kind {
                Kind::Backup => self.due_backup(due, &mut known).await,
                Kind::Drill => self.due_drill(due, &mut known).await,
            }
        }
    }

    /// The state, as the store has it.
    async fn remembered(&self, known: ScheduleState) -> ScheduleState {
        let Some(store) = &self.options.store else { return known };
        loop {
            match store.load().await {
                Ok(state) => return state,
                Err(error) => self.tell(Notice::StateFailed { error }),
            }
            self.clock.sleep(AGAIN).await;
        }
    }

    /// Waits until the next due time and its jitter have come, whatever happens to the wall clock meanwhile.
    async fn wait(&self, cron: Cron, kind: Kind, last: Option<u64>) -> Option<SystemTime> {
        let Due { at, missed } = due::next(&cron, last, self.clock.now(), self.options.catch_up)?;
        if let (Some(due), Kind::Backup) = (missed, kind) {
            self.tell(Notice::Skipped { due, reason: SkipReason::Missed });
        }
        let mut target = at;
        loop {
            let jitter = due::jitter(self.options.jitter, &machine_name(), &self.options.name, target);
            let begin = target.checked_add(jitter).unwrap_or(target);
            {
                let mut status = self.status.lock();
                match kind {
                    Kind::Backup => status.next = Some(begin),
                    Kind::Drill => status.next_drill = Some(begin),
                }
            }
            let now = self.clock.now();
            let left = begin.duration_since(now).unwrap_or(Duration::ZERO);
            if left.is_zero() {
                // After a sleep of the machine the last of several stands for all.
                return Some(cron.last_until(now).filter(|last| *last > target).unwrap_or(target));
            }
            self.clock.sleep(left.min(LOOK)).await;
            // A clock that was set back brings earlier times with it.
            let now = self.clock.now();
            if now < target
                && let Some(due) = due::next(&cron, last, now, true)
            {
                target = due.at;
            }
        }
    }

    async fn due_backup(&self, due: SystemTime, known: &mut ScheduleState) {
        known.last_due = Some(seconds(due));
        let lead = match self.lead("backup").await {
            Ok(Some(lead)) => lead,
            Ok(None) => return self.tell(Notice::Skipped { due, reason: SkipReason::NotLeader }),
            Err(error) => return self.tell(Notice::Failed { error, retry_at: None }),
        };
        // Another leader may have done it just now.
        let before = self.remembered(known.clone()).await;
        if self.options.store.is_some() && before.last_due >= Some(seconds(due)) {
            lead.release().await;
            return self.tell(Notice::Skipped { due, reason: SkipReason::NotLeader });
        }
        let Ok(one) = self.running.try_lock() else {
            lead.release().await;
            self.remember(Kind::Backup, due, |_| {}).await;
            return self.tell(Notice::Skipped { due, reason: SkipReason::Overlap });
        };
        // Before the run: one that kills its process must not be tried again at once for ever.
        self.remember(Kind::Backup, due, |_| {}).await;
        self.attempts(&lead, due).await;
        drop(one);
        lead.release().await;
        // What came due meanwhile is not made up for.
        if let Some(last) = self.options.when.last_until(self.clock.now()).filter(|last| *last > due) {
            known.last_due = Some(seconds(last));
            self.remember(Kind::Backup, last, |_| {}).await;
            self.tell(Notice::Skipped { due: last, reason: SkipReason::Overlap });
        }
    }

    /// Runs, and again after a failure, until the next time is due.
    async fn attempts(&self, lead: &Lead, due: SystemTime) {
        let mut attempt = 0;
        loop {
            let Err(error) = Box::pin(self.backup(lead, due)).await else { return };
            if error.kind() == ErrorKind::Closed {
                return;
            }
            let pause =
                self.options.backoff.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST_BACKOFF);
            let at = self.clock.now().checked_add(pause);
            let next = self.options.when.next_after(self.clock.now());
            let retry_at = at
                .filter(|_| attempt < self.options.retries && can_help(&error))
                .filter(|at| next.is_none_or(|next| *at < next));
            self.tell(Notice::Failed { error, retry_at });
            if retry_at.is_none() {
                return;
            }
            attempt += 1;
            lead.keep(CancellationToken::new(), Box::pin(self.clock.sleep(pause))).await;
        }
    }

    /// One run and what comes after it.
    async fn backup(&self, lead: &Lead, due: SystemTime) -> Result<BackupReport> {
        let token = self.tasks.token().child_token();
        self.tell(Notice::Started { due });
        let progress = Progress::new();
        *self.progress.lock() = Some(progress.clone());
        let run = JobRun { cancel: token.clone(), progress };
        let done = lead.keep(token.clone(), self.job.run(run)).await;
        *self.progress.lock() = None;
        if let Some(monitor) = &self.options.monitor {
            monitor.note_run(&done).await;
        }
        let report = match done {
            Ok(report) => report,
            Err(error) => {
                self.status.lock().failures += 1;
                self.remember(Kind::Backup, due, |state| state.failures += 1).await;
                return Err(error);
            }
        };
        self.status.lock().failures = 0;
        let now = seconds(self.clock.now());
        self.remember(Kind::Backup, due, |state| {
            state.failures = 0;
            state.last_success = Some(now);
        })
        .await;
        self.tell(finished(&report));
        match self.job.repository().await {
            Ok(repository) => {
                let work = Box::pin(chores::run(&repository, &self.options, token.clone(), |notice| {
                    self.tell(notice)
                }));
                lead.keep(token, work).await;
            }
            Err(error) => tracing::warn!(%error, "the repository cannot be kept well"),
        }
        Ok(report)
    }

    async fn due_drill(&self, due: SystemTime, known: &mut ScheduleState) {
        known.last_drill_due = Some(seconds(due));
        let lead = match self.lead("drill").await {
            Ok(Some(lead)) => lead,
            Ok(None) => return,
            Err(error) => return self.tell(Notice::DrillFailed { error, problems: 0 }),
        };
        let before = self.remembered(known.clone()).await;
        if self.options.store.is_some() && before.last_drill_due >= Some(seconds(due)) {
            return lead.release().await;
        }
        if let Ok(_one) = self.drilling.try_lock() {
            self.remember(Kind::Drill, due, |_| {}).await;
            let token = self.tasks.token().child_token();
            let work = Box::pin(self.drill(token.clone()));
            // It was told.
            drop(lead.keep(token, work).await);
        }
        lead.release().await;
    }

    async fn drill(&self, token: CancellationToken) -> Result<DrillReport> {
        let Some(drill) = &self.options.drill else {
            return Err(Error::unsupported("the schedule has no drill")
                .with_component("schedule")
                .with_remedy("give one with ScheduleOptions::drill"));
        };
        let options = drill.options.clone().cancel_with(token);
        let result = match self.job.repository().await {
            Ok(repository) => Box::pin(repository.drill(options)).await,
            Err(error) => Err(error),
        };
        // A repository that is being pruned says nothing about what can be restored from it.
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
            self.tell(Notice::Skipped { due: self.clock.now(), reason: SkipReason::Overlap });
            return result;
        }
        if let Some(monitor) = &self.options.monitor {
            monitor.note_drill(&result).await;
        }
        match &result {
            Ok(report) if report.passed() => self.tell(Notice::DrillPassed {
                snapshot: report.snapshot,
                files: report.files,
                bytes: report.bytes,
            }),
            Ok(report) => {
                let error = report.problems.first().map_or_else(
                    || Error::corrupt("files are missing from what was restored"),
                    |problem| problem.error.clone().with_key(&problem.path),
                );
                self.tell(Notice::DrillFailed { error, problems: report.problems_total });
            }
            Err(error) if error.kind() == ErrorKind::Closed => {}
            Err(error) => self.tell(Notice::DrillFailed { error: error.clone(), problems: 0 }),
        }
        result
    }

    /// Writes down what is due no more.
    async fn remember(&self, kind: Kind, due: SystemTime, change: impl FnOnce(&mut ScheduleState)) {
        let Some(store) = &self.options.store else { return };
        let _one = self.state.lock().await;
        let changed = async {
            let mut state = store.load().await?;
            kind.set_last(&mut state, due);
            change(&mut state);
            store.save(&state).await
        };
        if let Err(error) = changed.await {
            self.tell(Notice::StateFailed { error });
        }
    }
}

/// Whether a second attempt may end otherwise.
fn can_help(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Denied | ErrorKind::Invalid | ErrorKind::Unsupported)
}

fn finished(report: &BackupReport) -> Notice {
    let counts = report.snapshot.snapshot.summary.clone().unwrap_or_default();
    Notice::Finished {
        snapshot: report.snapshot.id,
        files: counts.total_files_processed,
        bytes: counts.total_bytes_processed,
        added: counts.data_added_packed,
        skipped: report.skipped_total,
        changed: report.changed.len(),
        lagging: report
            .sinks
            .iter()
            .filter(|sink| sink.error.is_some())
            .map(|sink| sink.name.clone())
            .collect(),
        hooks: report.hooks.iter().map(|failure| failure.hook.clone()).collect(),
        elapsed: report.elapsed,
    }
}
