//! What the server says of itself: figures, health, advice.
#![cfg(feature = "integration")]
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used)]

use aeth_cache::redis::{Redis, RedisMonitor, RedisOptions, Severity};
use aeth_core::SystemClock;
use aeth_core::cache::{CacheTierExt, Entry};
use aeth_core::observe::{
    Collector, Descriptor, HealthCheck, HistogramSnapshot, Label, MetricsSource, Status,
};
use aeth_core::{Key, Namespace};
use std::collections::BTreeMap;
use std::time::Duration;

fn open(server: &testkit::Redis) -> Redis {
    let options = RedisOptions::new(server.url()).with_command_timeout(Duration::from_millis(500));
    Redis::open(options, SystemClock::shared()).unwrap()
}

#[derive(Default)]
struct Figures(BTreeMap<&'static str, f64>);

impl Collector for Figures {
    fn counter(&mut self, descriptor: &Descriptor, _labels: &[Label<'_>], value: u64) {
        self.0.insert(descriptor.name, value as f64);
    }
    fn gauge(&mut self, descriptor: &Descriptor, _labels: &[Label<'_>], value: f64) {
        self.0.insert(descriptor.name, value);
    }
    fn histogram(&mut self, _: &Descriptor, _: &[Label<'_>], _: &HistogramSnapshot) {
        panic!("there are none");
    }
}

fn figures(monitor: &RedisMonitor) -> BTreeMap<&'static str, f64> {
    let mut out = Figures::default();
    monitor.collect(&mut out);
    out.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_follow_the_server() {
    let mut server = testkit::Redis::start();
    let redis = open(&server);
    let monitor = redis.monitor(Duration::from_millis(100));
    let (tier, space) = (redis.tier(), Namespace::new("space").unwrap());
    for at in 0..50 {
        let key = Key::new(at.to_string()).unwrap();
        tier.put(&space, key.clone(), Entry::new("x", 0, u64::MAX)).await.unwrap();
        tier.get(&space, &key).await.hit().unwrap();
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let seen = figures(&monitor);
    // Fifty entries and the state of their namespace.
    assert_eq!(seen.get("aeth_redis_keys"), Some(&51.0), "{seen:?}");
    assert_eq!(seen.get("aeth_redis_up"), Some(&1.0));
    assert!(
        seen["aeth_redis_key_hits"] >= 50.0 && seen["aeth_redis_memory_used_bytes"] > 500_000.0,
        "{seen:?}"
    );
    assert!(!seen.contains_key("aeth_redis_memory_max_bytes"), "no limit is set");
    server.kill();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(figures(&monitor)["aeth_redis_up"], 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_what_is_wrong() {
    let mut server = testkit::Redis::start();
    let redis = open(&server);
    let health = redis.check().await;
    assert_eq!((health.status, health.reason), (Status::Up, None));
    server.cli(&["CONFIG", "SET", "maxmemory", "900kb"]);
    let health = redis.check().await;
    assert_eq!(health.status, Status::Degraded, "{health:?}");
    assert!(health.reason.unwrap().contains("maxmemory-policy"));
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    server.pause();
    let health = redis.check().await;
    assert_eq!(health.status, Status::Down, "{health:?}");
    server.resume();
    assert_eq!(redis.check().await.status, Status::Up);
    let port = testkit::free_port().to_string();
    server.cli(&["REPLICAOF", "127.0.0.1", &port]);
    let health = redis.check().await;
    assert_eq!(health.status, Status::Down, "{health:?}");
    assert!(health.reason.unwrap().contains("replica"));
    server.kill();
    assert_eq!(redis.check().await.status, Status::Down);
}

#[tokio::test]
async fn advice_rests_on_evidence() {
    let server = testkit::Redis::start();
    let redis = open(&server);
    let advice = redis.advise().await.unwrap();
    let rules: Vec<&str> = advice.iter().map(|advice| advice.rule).collect();
    assert!(rules.starts_with(&["memory-limit"]) && rules.contains(&"eviction-policy"), "{advice:?}");
    assert!(
        advice.iter().all(|advice| !advice.evidence.is_empty() && !advice.remedy.is_empty()),
        "{advice:?}"
    );
    assert_eq!(advice[0].severity, Severity::Critical);
    server.cli(&["CONFIG", "SET", "maxmemory", "100mb"]);
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "volatile-lfu"]);
    server.cli(&["CONFIG", "SET", "slowlog-log-slower-than", "1"]);
    let advice = redis.advise().await.unwrap();
    let rules: Vec<&str> = advice.iter().map(|advice| advice.rule).collect();
    assert_eq!(rules, ["slow-commands"], "{advice:?}");
    // Which commands, how often, how long: and nothing of what they were given.
    let evidence = &advice[0].evidence;
    assert!(evidence.iter().any(|(name, told)| name == "CONFIG" && told.contains(" ms")), "{evidence:?}");
    assert!(!format!("{evidence:?}").contains("volatile"), "{evidence:?}");
}
