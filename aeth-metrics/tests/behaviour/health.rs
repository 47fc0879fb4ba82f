//! Damping, caching, time limits, probes and documents.
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

use crate::common;

use aeth_core::observe::{Health, HealthCheck, Status};
use aeth_core::{Clock, Tasks, async_trait};
use aeth_metrics::{CheckOptions, Format, HealthOptions, HealthRegistry, Probe, Registry};
use common::TestClock;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[derive(Debug)]
struct Scripted {
    name: &'static str,
    says: Mutex<Health>,
    runs: AtomicUsize,
    hangs: std::sync::atomic::AtomicBool,
}

impl Scripted {
    fn new(name: &'static str, health: Health) -> Arc<Self> {
        Arc::new(Self { name, says: Mutex::new(health), runs: AtomicUsize::new(0), hangs: false.into() })
    }

    fn say(&self, health: Health) {
        *self.says.lock().unwrap() = health;
    }
}

#[async_trait]
impl HealthCheck for Scripted {
    fn component(&self) -> Cow<'_, str> {
        self.name.into()
    }

    async fn check(&self) -> Health {
        self.runs.fetch_add(1, SeqCst);
        if self.hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        let health = self.says.lock().unwrap().clone();
        assert!(health.reason.as_deref() != Some("panic"), "as told");
        health
    }
}

fn options() -> CheckOptions {
    CheckOptions::default().fall(3).rise(2).max_age(Duration::from_secs(5))
}

fn registry(clock: &Arc<TestClock>) -> HealthRegistry {
    HealthRegistry::new(Arc::clone(clock) as Arc<dyn Clock>, HealthOptions::default().checks(options()))
}

#[tokio::test]
async fn it_falls_after_three_failures_and_rises_after_two_successes() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let check = Scripted::new("database", Health::up());
    health.register(check.clone());
    let mut seen = Vec::new();
    let script = [true, false, false, true, false, false, false, false, true, false, true, true, true];
    for up in script {
        check.say(if up { Health::up() } else { Health::down("no route") });
        clock.advance(Duration::from_secs(6));
        seen.push(health.component("database").await.unwrap().health.status == Status::Up);
    }
    let expected = [true, true, true, true, true, true, false, false, false, false, false, true, true];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_first_answer_counts_at_once_and_since_is_when_it_changed() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let check = Scripted::new("cache", Health::down("refused"));
    health.register(check.clone());
    let began = clock.now();
    let first = health.component("cache").await.unwrap();
    assert_eq!(first.health.status, Status::Down);
    assert_eq!(first.health.since, Some(began));
    check.say(Health::up());
    clock.advance(Duration::from_secs(6));
    let second = health.component("cache").await.unwrap();
    assert_eq!(second.health.status, Status::Down);
    assert_eq!(second.health.reason.as_deref(), Some("up 1 of 2 times"));
    assert_eq!(second.health.since, Some(began), "still the same verdict");
    clock.advance(Duration::from_secs(6));
    let third = health.component("cache").await.unwrap();
    assert_eq!(third.health.status, Status::Up);
    assert_eq!(third.health.since, Some(clock.now()));
}

#[tokio::test]
async fn a_failure_on_the_way_down_is_told() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let check = Scripted::new("cache", Health::up());
    health.register(check.clone());
    health.component("cache").await.unwrap();
    check.say(Health::down("refused"));
    clock.advance(Duration::from_secs(6));
    let answer = health.component("cache").await.unwrap().health;
    assert_eq!((answer.status, answer.reason.as_deref()), (Status::Up, Some("down 1 of 3 times: refused")));
}

#[tokio::test]
async fn young_answers_are_given_again_and_one_run_serves_all() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let check = Scripted::new("database", Health::up());
    health.register(check.clone());
    let asked = futures_util::future::join_all((0..50).map(|_| health.report(Probe::All))).await;
    assert!(asked.iter().all(|report| report.status == Status::Up));
    assert_eq!(check.runs.load(SeqCst), 1);
    clock.advance(Duration::from_secs(5));
    health.report(Probe::All).await;
    assert_eq!(check.runs.load(SeqCst), 1);
    clock.advance(Duration::from_secs(1));
    health.report(Probe::All).await;
    assert_eq!(check.runs.load(SeqCst), 2);
    health.refresh(Probe::All).await;
    assert_eq!(check.runs.load(SeqCst), 3);
}

#[tokio::test]
async fn a_hanging_check_is_down_after_its_timeout_and_holds_nobody_up() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let (good, bad) = (Scripted::new("cache", Health::up()), Scripted::new("database", Health::up()));
    bad.hangs.store(true, SeqCst);
    health.register(good.clone());
    health.register(bad);
    let asking = health.clone();
    let report = tokio::spawn(async move { asking.report(Probe::Readiness).await });
    while good.runs.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    clock.advance(Duration::from_secs(5));
    let report = report.await.unwrap();
    assert_eq!(report.status, Status::Down);
    assert_eq!(report.component("cache").unwrap().health.status, Status::Up);
    let database = &report.component("database").unwrap().health;
    assert_eq!(database.reason.as_deref(), Some("no answer within 5s"));
    assert_eq!(database.latency, Duration::from_secs(5));
}

#[tokio::test]
async fn a_dropped_asker_leaves_the_check_to_the_next() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let check = Scripted::new("database", Health::up());
    check.hangs.store(true, SeqCst);
    health.register(check.clone());
    let dropped = tokio::time::timeout(Duration::from_millis(20), health.report(Probe::All)).await;
    assert!(dropped.is_err());
    check.hangs.store(false, SeqCst);
    assert_eq!(health.report(Probe::All).await.status, Status::Up);
}

#[tokio::test]
async fn a_panicking_check_is_down() {
    let clock = TestClock::new();
    let health = registry(&clock);
    health.register(Scripted::new("database", Health::degraded("panic")));
    let answer = health.component("database").await.unwrap().health;
    assert_eq!((answer.status, answer.reason.as_deref()), (Status::Down, Some("the check panicked")));
}

#[tokio::test]
async fn probes_ask_what_belongs_to_them() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let database = Scripted::new("database", Health::down("away"));
    health.register(database.clone());
    health.register_with(Scripted::new("backup", Health::down("late")), options().critical(false));
    let statuses = async |probe| health.report(probe).await.http_status();
    assert_eq!(statuses(Probe::Liveness).await, 200, "a database that is away is no reason to restart");
    assert_eq!(statuses(Probe::Readiness).await, 503);
    assert_eq!(statuses(Probe::Startup).await, 503);
    database.say(Health::up());
    for _ in 0..2 {
        health.refresh(Probe::All).await;
    }
    let whole = health.report(Probe::All).await;
    assert_eq!((whole.status, whole.http_status()), (Status::Degraded, 200), "backup is not critical");
    assert_eq!(statuses(Probe::Startup).await, 200);
    database.say(Health::down("away"));
    for _ in 0..3 {
        health.refresh(Probe::All).await;
    }
    assert_eq!(statuses(Probe::Startup).await, 200, "once started, started");
    assert_eq!(statuses(Probe::Readiness).await, 503);
    assert!(health.component("nothing").await.is_none());
}

#[tokio::test]
async fn the_document_is_that_of_the_draft() {
    let clock = TestClock::new();
    let health = registry(&clock);
    health.register(Scripted::new("cache", Health::up().with_observed("connections", 3.0, "connections")));
    health.register(Scripted::new("database", Health::degraded("slow \"disk\"\nreplace it")));
    let report = health.report(Probe::All).await;
    let json: serde_json::Value = serde_json::from_str(&report.document().to_json()).unwrap();
    assert_eq!(json["status"], "warn");
    assert_eq!(json["output"], "database: slow \"disk\"\nreplace it");
    let cache = &json["checks"]["cache:status"][0];
    assert_eq!(cache["componentId"], "cache");
    assert_eq!(cache["status"], "pass");
    assert_eq!(cache["time"], "2023-11-14T22:30:00Z");
    assert_eq!(cache["since"], cache["time"]);
    assert_eq!(json["checks"]["cache:connections"][0]["observedValue"], 3.0);
    assert_eq!(json["checks"]["cache:responseTime"][0]["observedUnit"], "ms");
    let one = health.component("database").await.unwrap().document();
    assert_eq!((one.status, one.checks.len()), ("warn", 2));
}

#[tokio::test]
async fn the_watch_keeps_answers_and_metrics_current() {
    let clock = TestClock::new();
    let health = registry(&clock);
    let check = Scripted::new("database", Health::up());
    health.register(check.clone());
    let metrics = Registry::new(clock.clone());
    metrics.register(Arc::new(health.clone()));
    assert_eq!(metrics.collect().iter().count(), 0, "unknown is left out");
    let tasks = Tasks::new();
    health.watch(&tasks, Duration::from_secs(10));
    for n in 1..=3 {
        while check.runs.load(SeqCst) < n {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(10));
    }
    let text = metrics.collect().render(Format::OpenMetrics);
    assert!(text.contains("aeth_health_status{component=\"database\"} 0.0\n"), "{text}");
    tasks.close(Duration::from_secs(1)).await.unwrap();
}
