//! Schedules, on a clock that the test owns; the repositories are real.

use crate::common::*;
use aeth_backup::{
    BackupJob, BackupMonitor, BackupReport, CheckOptions, Chore, Cron, DrillOptions, DrillSchedule,
    FileScheduleStore, ForgetOptions, JobRun, MonitorOptions, Notice, PathSource, Plan, PlanJob,
    PruneOptions, Repository, RetentionPolicy, Schedule, ScheduleOptions, Severity, SkipReason,
};
use aeth_core::coord::LeaderLock;
use aeth_core::observe::Status;
use aeth_core::sim::MockClock;
use aeth_core::{Clock, Error, ErrorKind, Lifecycle, Result, Tasks, async_trait};
use aeth_files::FileLock;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast::Receiver;

const HOUR: Duration = Duration::from_secs(3_600);

/// The mock clock begins at 2025-01-01 00:00 UTC.
fn at(hours: u32) -> SystemTime {
    MockClock::new().now() + HOUR * hours
}

fn nightly() -> Cron {
    "0 3 * * *".parse::<Cron>().unwrap().in_zone("UTC").unwrap()
}

async fn next(notices: &mut Receiver<Notice>) -> Notice {
    let notice = tokio::time::timeout(Duration::from_secs(60), notices.recv()).await;
    notice.expect("no notice came").unwrap()
}

/// Lets time pass until the next notice comes.
async fn pass(clock: &MockClock, time: Duration, notices: &mut Receiver<Notice>) -> Notice {
    settle(clock).await;
    clock.advance(time);
    next(notices).await
}

/// Waits until the schedule sleeps.
async fn settle(clock: &MockClock) {
    while clock.sleepers() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Fails so many times, then succeeds.
#[derive(Debug)]
struct Moody {
    inner: PlanJob,
    fails: AtomicUsize,
    kind: ErrorKind,
    runs: Arc<AtomicUsize>,
}

#[async_trait]
impl BackupJob for Moody {
    async fn repository(&self) -> Result<Repository> {
        self.inner.repository().await
    }

    async fn run(&self, run: JobRun) -> Result<BackupReport> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) > 0 {
            self.fails.fetch_sub(1, Ordering::SeqCst);
            return Err(Error::new(self.kind, "not in the mood"));
        }
        self.inner.run(run).await
    }
}

struct Place {
    dir: tempfile::TempDir,
    repository: Repository,
    runs: Arc<AtomicUsize>,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("s");
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("file"), "content").unwrap();
        let repository = init(&[&dir.path().join("r")]).await;
        Self { dir, repository, runs: Arc::default() }
    }

    fn job(&self, fails: usize, kind: ErrorKind) -> Moody {
        let source = self.dir.path().join("s");
        let plan = move || Ok(Plan::new().source(PathSource::new(&source)?));
        let inner = PlanJob::new(self.repository.clone(), plan);
        Moody { inner, fails: AtomicUsize::new(fails), kind, runs: Arc::clone(&self.runs) }
    }

    fn store(&self) -> FileScheduleStore {
        FileScheduleStore::new(self.dir.path().join("schedule.json"))
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_run_comes_when_it_is_due_with_everything_after_it() {
    let place = Place::new().await;
    let (clock, tasks) = (MockClock::new(), Tasks::new());
    let record = place.path().join("record.json");
    let monitor = |options| BackupMonitor::open("nightly", Some(record.clone()), options, clock.shared());
    let watched = monitor(MonitorOptions::default().max_unverified(HOUR * 24 * 30));
    assert_eq!(watched.verdict().status, Status::Degraded);
    let options = ScheduleOptions::new("nightly", nightly())
        .store(place.store())
        .retention(ForgetOptions::new(RetentionPolicy::new().last(2)))
        .prune(PruneOptions::new())
        .check(CheckOptions::structure())
        .drill(DrillSchedule::new(
            "0 5 * * *".parse::<Cron>().unwrap().in_zone("UTC").unwrap(),
            DrillOptions::new(place.path().join("drill")),
        ))
        .monitor(watched.clone());
    let schedule = Schedule::start(place.job(0, ErrorKind::Other), options, &tasks, clock.shared());
    let mut notices = schedule.subscribe();
    settle(&clock).await;
    assert_eq!(schedule.status().next, Some(at(3)));
    for night in 0..3_usize {
        let due = at(3 + 24 * u32::try_from(night).unwrap());
        clock.advance(due.duration_since(clock.now()).unwrap());
        let started = next(&mut notices).await;
        assert!(matches!(started, Notice::Started { due: started } if started == due), "{started:?}");
        let finished = next(&mut notices).await;
        assert!(matches!(finished, Notice::Finished { files: 1, skipped: 0, .. }), "{finished}");
        assert_eq!(finished.severity(), Severity::Info);
        let forgot = next(&mut notices).await;
        assert!(matches!(forgot, Notice::Forgot { snapshots } if snapshots == night / 2), "{forgot}");
        let pruned = next(&mut notices).await;
        assert!(matches!(pruned, Notice::Pruned { .. }), "{pruned}");
        let checked = next(&mut notices).await;
        assert!(matches!(checked, Notice::Checked { .. }), "{checked}");
        if night == 0 {
            assert!(watched.verdict().reason.unwrap().contains("no restore has ever been tried"));
        }
        // The drill's own time.
        let drilled = pass(&clock, HOUR * 2, &mut notices).await;
        assert!(matches!(drilled, Notice::DrillPassed { files: 1, .. }), "{drilled}");
        assert_eq!(watched.verdict().status, Status::Up, "{:?}", watched.verdict());
    }
    assert_eq!((place.runs(), place.repository.snapshots().await.unwrap().len()), (3, 2));
    schedule.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(schedule.run_now().await.unwrap_err().kind(), ErrorKind::Closed);

    // What was known is known after a restart, and ages.
    let again = monitor(MonitorOptions::default());
    assert_eq!(again.record(), watched.record());
    assert_eq!(again.verdict().status, Status::Up);
    clock.advance(HOUR * 27);
    assert!(again.verdict().reason.unwrap().contains("older than allowed"));
}

#[tokio::test]
async fn what_was_missed_is_made_up_for_once_and_only_if_wanted() {
    let place = Place::new().await;
    let clock = MockClock::new();
    let start = |catch_up| {
        let options = ScheduleOptions::new("nightly", nightly()).store(place.store()).catch_up(catch_up);
        Schedule::start(place.job(0, ErrorKind::Other), options, &Tasks::new(), clock.shared())
    };
    let first = start(true);
    let mut notices = first.subscribe();
    pass(&clock, HOUR * 3, &mut notices).await;
    next(&mut notices).await;
    first.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(place.runs(), 1);

    // Nobody runs for five days.
    clock.advance(HOUR * 24 * 5);
    let second = start(true);
    let mut notices = second.subscribe();
    let started = next(&mut notices).await;
    assert!(matches!(started, Notice::Started { due } if due == at(3 + 24 * 5)), "{started:?}");
    next(&mut notices).await;
    settle(&clock).await;
    assert_eq!((place.runs(), second.status().next), (2, Some(at(3 + 24 * 6))));
    second.close(Duration::from_secs(10)).await.unwrap();

    clock.advance(HOUR * 24 * 5);
    let third = start(false);
    let mut notices = third.subscribe();
    let skipped = next(&mut notices).await;
    assert!(matches!(skipped, Notice::Skipped { reason: SkipReason::Missed, .. }), "{skipped}");
    settle(&clock).await;
    assert_eq!((place.runs(), third.status().next), (2, Some(at(3 + 24 * 11))));
    third.close(Duration::from_secs(10)).await.unwrap();

    // A damaged state is no reason never to run again.
    std::fs::write(place.path().join("schedule.json"), "{").unwrap();
    let fourth = start(true);
    settle(&clock).await;
    assert_eq!(fourth.status().next, Some(at(3 + 24 * 11)));
}

#[tokio::test]
async fn a_failed_run_is_tried_again_with_growing_pauses_unless_that_cannot_help() {
    let place = Place::new().await;
    let (clock, tasks) = (MockClock::new(), Tasks::new());
    let options = ScheduleOptions::new("nightly", nightly()).backoff(HOUR / 2).retries(2);
    let job = place.job(2, ErrorKind::Unavailable);
    let schedule = Schedule::start(job, options.clone(), &tasks, clock.shared());
    let mut notices = schedule.subscribe();
    pass(&clock, HOUR * 3, &mut notices).await;
    for pause in [HOUR / 2, HOUR] {
        let failed = next(&mut notices).await;
        let again = clock.now() + pause;
        assert!(matches!(&failed, Notice::Failed { retry_at, .. } if *retry_at == Some(again)), "{failed}");
        assert_eq!(failed.severity(), Severity::Error);
        assert!(matches!(pass(&clock, pause, &mut notices).await, Notice::Started { .. }));
    }
    assert!(matches!(next(&mut notices).await, Notice::Finished { .. }));
    schedule.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(place.runs(), 3);

    let hopeless = place.job(9, ErrorKind::Denied);
    let schedule = Schedule::start(hopeless, options, &tasks, clock.shared());
    let mut notices = schedule.subscribe();
    pass(&clock, HOUR * 24, &mut notices).await;
    let failed = next(&mut notices).await;
    assert!(matches!(failed, Notice::Failed { retry_at: None, .. }), "{failed}");
    assert_eq!((schedule.status().failures, place.runs()), (1, 4));
}

#[tokio::test]
async fn of_two_processes_one_runs_and_a_second_run_is_refused() {
    let place = Place::new().await;
    let clock = MockClock::new();
    let locks: Arc<dyn LeaderLock> = Arc::new(FileLock::open(place.path().join("locks")).await.unwrap());
    let start = || {
        let options =
            ScheduleOptions::new("nightly", nightly()).store(place.store()).leader(Arc::clone(&locks));
        Schedule::start(place.job(0, ErrorKind::Other), options, &Tasks::new(), clock.shared())
    };
    let (one, two) = (start(), start());
    let (mut of_one, mut of_two) = (one.subscribe(), two.subscribe());
    while clock.sleepers() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    clock.advance(HOUR * 3);
    let (mut finished, mut skipped) = (0, 0);
    while finished + skipped < 2 {
        let notice = tokio::select! {
            notice = next(&mut of_one) => notice,
            notice = next(&mut of_two) => notice,
        };
        match notice {
            Notice::Finished { .. } => finished += 1,
            Notice::Skipped { reason: SkipReason::NotLeader, .. } => skipped += 1,
            Notice::Started { .. } => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!((finished, skipped, place.runs()), (1, 1, 1));

    // While one leads, nobody else runs.
    let held = locks.try_acquire("nightly.backup", HOUR).await.unwrap().unwrap();
    assert_eq!(one.run_now().await.unwrap_err().kind(), ErrorKind::Busy);
    held.release().await.unwrap();
    one.run_now().await.unwrap();
    let (first, second) = tokio::join!(two.run_now(), two.run_now());
    let refused = [&first, &second].into_iter().filter_map(|result| result.as_ref().err()).next().unwrap();
    assert_eq!((refused.kind(), first.is_ok()), (ErrorKind::Busy, true));
    assert_eq!(place.runs(), 3);
}

#[tokio::test]
async fn damage_and_failed_drills_are_told_and_remembered() {
    let place = Place::new().await;
    let (clock, tasks) = (MockClock::new(), Tasks::new());
    let monitor = BackupMonitor::open("nightly", None, MonitorOptions::default(), clock.shared());
    let options = ScheduleOptions::new("nightly", nightly())
        .check(CheckOptions::all_data())
        .drill(DrillSchedule::new(nightly(), DrillOptions::new(place.path().join("drill")).snapshot("0000")))
        .monitor(monitor.clone());
    let schedule = Schedule::start(place.job(0, ErrorKind::Other), options, &tasks, clock.shared());
    schedule.run_now().await.unwrap();
    for pack in files_below(&place.path().join("r/data")) {
        let mut bytes = std::fs::read(&pack).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&pack, bytes).unwrap();
    }
    let mut notices = schedule.subscribe();
    schedule.run_now().await.unwrap();
    let mut told = Vec::new();
    while let Ok(notice) = notices.try_recv() {
        told.push(notice);
    }
    let damage = told.iter().find(|notice| matches!(notice, Notice::ChoreFailed { chore: Chore::Check, .. }));
    let damage = damage.unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!(damage.severity(), Severity::Error);
    assert!(damage.to_string().contains("faults"), "{damage}");

    assert!(schedule.drill_now().await.unwrap_err().is_not_found());
    let drill = next(&mut notices).await;
    assert!(matches!(drill, Notice::DrillFailed { .. }) && drill.severity() == Severity::Error, "{drill}");
    let health = monitor.verdict();
    assert!(health.status == Status::Degraded && health.reason.unwrap().contains("drill failed"));
}
