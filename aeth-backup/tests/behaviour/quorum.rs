//! Sinks of different speeds and moods under a quorum: the good ones are not held up, the others are brought up to
//! date, and what each lacks is known.

use crate::common::*;
use aeth_backup::{
    BackupMonitor, CheckOptions, Event, MonitorOptions, PathSource, Plan, Quorum, Repository,
    RepositoryOptions, RestoreOptions,
};
use aeth_core::backup::BackupSink;
use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource};
use aeth_core::sim::{Fault, FaultPlan, FaultySink};
use aeth_core::{ErrorKind, SystemClock};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

fn plan(source: &Path) -> Plan {
    Plan::new().source(PathSource::new(source).unwrap())
}

fn small() -> RepositoryOptions {
    options().pack_size(1 << 20).upload_budget(2 << 20)
}

fn faulty(root: &Path, plan: &FaultPlan) -> Arc<dyn BackupSink> {
    Arc::new(FaultySink::new(DirSink::clone(&DirSink::new(root)), plan.clone()))
}

/// A place with three sinks and a source of twelve packs.
fn place() -> (tempfile::TempDir, PathBuf, [PathBuf; 3]) {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for number in 0..12 {
        std::fs::write(source.join(number.to_string()), random_bytes(&mut random, 1 << 20)).unwrap();
    }
    let roots = ["a", "b", "c"].map(|name| dir.path().join(name));
    (dir, source, roots)
}

async fn assert_gives_back(root: &Path, source: &Path, dir: &Path) {
    let lone = open(&[root]).await;
    assert!(lone.check(CheckOptions::all_data()).await.unwrap().is_ok(), "{root:?}");
    let target = dir.join(format!("restored-{}", fastrand::u64(..)));
    let latest = lone.snapshot("latest").await.unwrap();
    let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
    assert!(lone.restore(&latest, options).await.unwrap().is_complete());
    assert_same_tree(source, &target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_hangs_never_holds_up_the_others() {
    let (dir, source, [a, b, c]) = place();
    init(&[&a, &b, &c]).await;
    // It takes its lock and two packs, then nothing, for longer than anybody waits.
    let hangs = FaultPlan::new(1).range("write", 4, u64::MAX, Fault::Hang);
    let fine = FaultPlan::new(2);
    let patient = small().quorum(Quorum::AtLeast(2)).sink_timeout(HOUR).patience(HOUR);
    let sinks = vec![faulty(&a, &fine), faulty(&b, &hangs), faulty(&c, &fine)];
    let repository = Repository::open(sinks, &password(), patient).await.unwrap();
    let (stored, mut snapshot) = tokio::sync::mpsc::unbounded_channel();
    let watched = plan(&source).observer(move |event: &Event<'_>| {
        if let Event::SnapshotStored { id } = event {
            stored.send(*id).unwrap();
        }
    });
    let run = repository.backup(watched);
    let id = tokio::select! {
        report = run => panic!("it did not wait for the one that hangs: {report:?}"),
        id = tokio::time::timeout(Duration::from_secs(120), snapshot.recv()) => {
            id.expect("the sink that hangs holds up the others").unwrap()
        }
    };
    // The caller lost patience: the snapshot is there all the same.
    for root in [&a, &c] {
        assert!(root.join("snapshots").join(id.to_string()).is_file());
        assert_gives_back(root, &source, dir.path()).await;
    }
    assert!(files_below(&b.join("snapshots")).is_empty());

    // With little patience the run ends, and says which sink lacks what; what is on its way to it is given up.
    let hangs = FaultPlan::new(1).range("write", 4, u64::MAX, Fault::Hang);
    let sinks = vec![faulty(&a, &fine), faulty(&b, &hangs), faulty(&c, &fine)];
    let hasty = small().quorum(Quorum::AtLeast(2)).sink_timeout(HOUR).patience(Duration::from_millis(200));
    let repository = Repository::open(sinks, &password(), hasty).await.unwrap();
    std::fs::write(source.join("more"), random_bytes(&mut fastrand::Rng::with_seed(2), 6 << 20)).unwrap();
    let report = repository.backup(plan(&source)).await.unwrap();
    let error = report.sinks[1].error.clone().unwrap();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(report.sinks[0].error.is_none() && report.sinks[2].error.is_none(), "{:?}", report.sinks);
    assert!(files_below(&b.join("snapshots")).is_empty() && files_below(&b.join("index")).is_empty());

    // It is well again: told what it lacks, and brought up to date without a run.
    let repository = Repository::open(sinks_of(&[&a, &b, &c]), &password(), small()).await.unwrap();
    let lag = repository.lag().await.unwrap();
    assert!(lag[0].is_current() && !lag[1].is_current() && lag[2].is_current(), "{lag:?}");
    assert_eq!(lag[1].snapshots, 2);
    assert!(lag[1].objects > 8 && lag[1].bytes > 8 << 20, "{lag:?}");
    let healed = repository.catch_up().await.unwrap();
    assert!(healed.iter().all(|sink| sink.error.is_none()), "{healed:?}");
    assert!(repository.lag().await.unwrap().iter().all(aeth_backup::SinkLag::is_current));
    assert_gives_back(&b, &source, dir.path()).await;
}

fn sinks_of(roots: &[&Path]) -> Vec<Arc<dyn BackupSink>> {
    sinks(roots)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_goes_ahead_and_a_slow_one_is_filled_afterwards() {
    let (dir, source, [a, b, _]) = place();
    init(&[&a, &b]).await;
    let slow = FaultPlan::new(1).every("write", 1, Fault::Delay(Duration::from_millis(120)));
    let primary = small().quorum(Quorum::Primary);
    let both = vec![faulty(&a, &FaultPlan::new(2)), faulty(&b, &slow)];
    let repository = Repository::open(both, &password(), primary.clone()).await.unwrap();
    let (b_then, seen) = (b.clone(), Arc::new(std::sync::Mutex::new(None)));
    let sees = Arc::clone(&seen);
    let watched = plan(&source).observer(move |event: &Event<'_>| {
        if matches!(event, Event::SnapshotStored { .. }) {
            *sees.lock().unwrap() = Some(files_below(&b_then.join("data")).len());
        }
    });
    let report = repository.backup(watched).await.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let (then, now) = (seen.lock().unwrap().unwrap(), files_below(&b.join("data")).len());
    assert!(then < now, "the slow one had {then} of {now} packs when the primary was through");
    assert_eq!(files_below(&a.join("data")).len(), now);
    assert!(report.sinks.iter().all(|sink| sink.missed_objects == 0), "{:?}", report.sinks);
    for root in [&a, &b] {
        assert_gives_back(root, &source, dir.path()).await;
    }

    // Without the primary there is no backup; without the other there is, and its lag is known.
    std::fs::write(source.join("more"), random_bytes(&mut fastrand::Rng::with_seed(2), 3 << 20)).unwrap();
    let (sick, fine) = (FaultPlan::new(3), FaultPlan::new(4));
    let both = vec![faulty(&a, &sick), faulty(&b, &fine)];
    let repository = Repository::open(both, &password(), primary.clone()).await.unwrap();
    sick.go_down(Fault::unavailable());
    let error = repository.backup(plan(&source)).await.unwrap_err();
    assert!(error.to_string().contains("the first is needed"), "{error}");
    sick.come_up();
    fine.go_down(Fault::unavailable());
    let monitor = BackupMonitor::open("plan", None, MonitorOptions::default(), SystemClock::shared());
    for round in 1..3_u64 {
        // Seeds that nothing else here has: bytes that are in the repository already are not written, nor missed.
        let mut random = fastrand::Rng::with_seed(100 + round);
        std::fs::write(source.join("more"), random_bytes(&mut random, 3 << 20)).unwrap();
        let report = repository.backup(plan(&source)).await;
        monitor.note_run(&report).await;
        let report = report.unwrap();
        assert!(report.sinks[0].error.is_none() && report.sinks[1].error.is_some(), "{report:?}");
        assert!(report.sinks[1].missed_bytes >= 3 << 20, "{report:?}");
    }
    let lag = lag_of(&monitor, &b);
    assert!(lag > 6_000_000.0, "{lag}");
    fine.come_up();
    let report = repository.backup(plan(&source)).await;
    monitor.note_run(&report).await;
    assert!(report.unwrap().is_complete());
    assert!(lag_of(&monitor, &b) < 1.0);
    assert_gives_back(&b, &source, dir.path()).await;
}

/// What the metrics say of a location's lag, in bytes.
fn lag_of(monitor: &BackupMonitor, root: &Path) -> f64 {
    #[derive(Debug)]
    struct Lag(String, Option<f64>);
    impl Collector for Lag {
        fn counter(&mut self, _: &Descriptor, _: &[Label<'_>], _: u64) {}

        fn gauge(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: f64) {
            if descriptor.name == "aeth_backup_location_lag_bytes" && labels.contains(&("location", &self.0))
            {
                self.1 = Some(value);
            }
        }

        fn histogram(&mut self, _: &Descriptor, _: &[Label<'_>], _: &HistogramSnapshot) {}
    }
    let mut lag = Lag(root.to_string_lossy().into_owned(), None);
    monitor.collect(&mut lag);
    lag.1.expect("no lag is shown")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_sink_that_hangs_does_not_hold_up_readers_for_long() {
    let (dir, source, [a, b, _]) = place();
    init(&[&a, &b]).await.backup(plan(&source)).await.unwrap();
    let hangs = FaultPlan::new(1);
    let both = vec![faulty(&a, &hangs), faulty(&b, &FaultPlan::new(2))];
    let hasty = small().quorum(Quorum::AtLeast(1)).sink_timeout(HOUR).patience(Duration::from_millis(200));
    let repository = Repository::open(both, &password(), hasty).await.unwrap();
    hangs.go_down(Fault::Hang);
    let target = dir.path().join("restored");
    let work = async {
        let latest = repository.snapshot("latest").await.unwrap();
        let options = RestoreOptions::new(&target).root(source.to_str().unwrap());
        repository.restore(&latest, options).await.unwrap()
    };
    let restored = tokio::time::timeout(Duration::from_secs(120), work).await;
    assert!(restored.expect("the sink that hangs holds up the restore").is_complete());
    assert_same_tree(&source, &target);
    // One that hangs from the beginning does not keep the repository from being opened, nor from being written.
    let both = vec![faulty(&a, &hangs), faulty(&b, &FaultPlan::new(2))];
    let hasty = small().quorum(Quorum::AtLeast(1)).sink_timeout(HOUR).patience(Duration::from_millis(200));
    let work = async {
        let repository = Repository::open(both, &password(), hasty).await.unwrap();
        repository.backup(plan(&source)).await.unwrap()
    };
    let report = tokio::time::timeout(Duration::from_secs(120), work).await;
    let report = report.expect("the sink that hangs holds up the run");
    assert!(report.sinks[0].error.is_some() && report.sinks[1].error.is_none(), "{:?}", report.sinks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_of_any_speed_end_up_the_same() {
    for seed in 0..3 {
        let (dir, source, [a, b, c]) = place();
        let roots = [&a, &b, &c];
        init(&roots.map(PathBuf::as_path)).await;
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..3_u64 {
            std::fs::write(source.join("more"), random_bytes(&mut random, 2 << 20)).unwrap();
            let sinks = roots.map(|root| {
                let late = Duration::from_millis(random.u64(..60));
                let plan = FaultPlan::new(random.u64(..)).chance("write", 0.5, Fault::Delay(late));
                faulty(root, &plan.chance("list", 0.3, Fault::Delay(late)))
            });
            let quorum = [Quorum::AtLeast(1), Quorum::AtLeast(2), Quorum::Primary][random.usize(..3)];
            let repository =
                Repository::open(sinks.into(), &password(), small().quorum(quorum)).await.unwrap();
            let report = repository.backup(plan(&source)).await.unwrap();
            assert!(report.is_complete(), "seed {seed}, round {round}, {quorum:?}: {report:?}");
            let names = roots.map(|root| {
                let files = files_below(root).into_iter();
                let names = files.map(|path| path.strip_prefix(root).unwrap().to_path_buf());
                names.filter(|name| !name.starts_with("tmp")).collect::<Vec<_>>()
            });
            assert_eq!(names[0], names[1], "seed {seed}, round {round}, {quorum:?}");
            assert_eq!(names[0], names[2], "seed {seed}, round {round}, {quorum:?}");
        }
        for root in roots {
            assert_gives_back(root, &source, dir.path()).await;
        }
    }
}
