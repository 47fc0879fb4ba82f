//! The figures are what their definitions say.
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, missing_docs)]

use crate::common;

use aeth_core::observe::standard::{backup, cache, database, files, volume};
use aeth_core::observe::{Collector, Counter, Histogram, MetricsSource};
use aeth_metrics::{Registry, StorageMetrics};
use common::TestClock;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Default)]
struct Source {
    hits: Counter,
    misses: Counter,
    evictions: Counter,
    uploaded: Counter,
    upload_time: Histogram,
    operations: Counter,
    errors: Counter,
    queries: Histogram,
    slow: Counter,
    io: Counter,
    failures: Counter,
}

impl MetricsSource for Source {
    fn component(&self) -> Cow<'_, str> {
        "all".into()
    }

    fn collect(&self, out: &mut dyn Collector) {
        out.counter(&cache::HITS, &[("namespace", "a")], self.hits.get());
        out.counter(&cache::HITS, &[("namespace", "b")], self.hits.get());
        out.counter(&cache::MISSES, &[("namespace", "a")], self.misses.get());
        out.counter(&cache::EVICTIONS, &[], self.evictions.get());
        out.gauge(&cache::MEMORY, &[("namespace", "a")], 100.0);
        out.gauge(&cache::MEMORY, &[("namespace", "b")], 50.0);
        out.counter(&files::UPLOADED, &[], self.uploaded.get());
        out.histogram(&files::UPLOAD_TIME, &[], &self.upload_time.snapshot());
        out.counter(&files::OPERATIONS, &[("operation", "put")], self.operations.get());
        out.counter(&files::ERRORS, &[("operation", "put"), ("kind", "full")], self.errors.get());
        out.histogram(&database::QUERY_TIME, &[("operation", "read")], &self.queries.snapshot());
        out.gauge(&database::CONNECTIONS, &[("state", "idle")], 3.0);
        out.gauge(&database::CONNECTIONS, &[("state", "used")], 2.0);
        out.counter(&database::SLOW_QUERIES, &[], self.slow.get());
        for (name, usage) in [("data", 0.25), ("backup", 0.5)] {
            out.gauge(&volume::USAGE, &[("volume", name)], usage);
            out.gauge(&volume::AVAILABLE, &[("volume", name)], 1000.0 * usage);
            let labels = [("volume", name), ("device", "vda"), ("operation", "read")];
            out.counter(&volume::OPERATIONS, &labels, self.io.get());
            out.counter(&volume::BYTES, &labels, self.io.get() * 512);
        }
        out.gauge(&backup::LAST_SUCCESS, &[("plan", "daily")], 1_700_000_000.0);
        out.gauge(&backup::LAST_SUCCESS, &[("plan", "hourly")], 1_700_000_900.0);
        out.counter(&backup::FAILURES, &[], self.failures.get());
    }
}

#[test]
fn figures_of_an_interval_are_those_of_the_interval() {
    let clock = TestClock::new();
    let registry = Registry::new(clock.clone());
    let source = Arc::new(Source::default());
    registry.register(source.clone());
    source.hits.add(1000);
    source.queries.record(1);
    source.slow.add(50);
    let mut meter = registry.meter();
    let mut other = registry.meter();

    source.hits.add(3);
    source.misses.add(2);
    source.evictions.add(40);
    source.uploaded.add(8_000_000);
    source.upload_time.record_duration(Duration::from_secs(2));
    source.upload_time.record_duration(Duration::from_secs(2));
    source.operations.add(10);
    source.errors.add(1);
    source.queries.record_duration(Duration::from_millis(4));
    source.slow.add(2);
    source.io.add(100);
    source.failures.add(1);
    clock.advance(Duration::from_secs(10));

    let metrics = meter.read();
    assert_eq!(metrics.over, 10.0);
    assert_eq!(metrics.cache.hit_rate, Some(0.75), "3 of each namespace of 8");
    assert_eq!(metrics.cache.miss_rate, Some(0.25));
    assert_eq!(metrics.cache.eviction_rate, Some(4.0));
    assert_eq!(metrics.cache.memory_usage, Some(150.0));
    assert_eq!(metrics.files.upload_speed, Some(2_000_000.0));
    assert_eq!(metrics.files.download_speed, None);
    assert_eq!(metrics.files.error_rate, Some(0.1));
    assert_eq!(metrics.files.total_size, None, "nobody knows");
    let queries = metrics.database.query_time.unwrap();
    assert_eq!((queries.count, queries.mean), (1, 0.004));
    assert!((0.004..0.0045).contains(&queries.p99));
    assert_eq!(metrics.database.connections, Some(5.0));
    assert_eq!(metrics.database.slow_queries, Some(2));
    assert_eq!(metrics.database.deadlocks, None);
    assert_eq!(metrics.volumes.disk_usage, Some(0.5));
    assert_eq!(metrics.volumes.available_space, Some(250.0));
    assert_eq!(metrics.volumes.io_operations, Some(10.0), "two volumes, one device");
    assert_eq!(metrics.volumes.throughput, Some(5120.0));
    assert_eq!(metrics.backups.last_success_age, Some(1010.0), "the oldest plan");
    assert_eq!(metrics.backups.failures, Some(1));

    clock.advance(Duration::from_secs(10));
    let idle = meter.read();
    assert_eq!(idle.cache.hit_rate, None, "no look-ups");
    assert_eq!(idle.database.query_time, None);
    assert_eq!(idle.database.slow_queries, Some(0));
    let both = other.read();
    assert_eq!((both.over, both.cache.hit_rate), (20.0, Some(0.75)), "meters do not disturb each other");
    assert_eq!(registry.storage_metrics().database.slow_queries, Some(52));
}

#[test]
fn a_reset_counter_counts_whole() {
    let clock = TestClock::new();
    let registry = Registry::new(clock.clone());
    let old = Arc::new(Source::default());
    old.slow.add(10);
    registry.register(old);
    let before = registry.collect();
    let again = Registry::new(clock);
    let new = Arc::new(Source::default());
    new.slow.add(3);
    again.register(new);
    let metrics = StorageMetrics::from_families(
        &again.collect().since(&before),
        Duration::from_secs(1),
        std::time::UNIX_EPOCH,
    );
    assert_eq!(metrics.database.slow_queries, Some(3));
}

#[test]
fn every_serialised_figure_has_a_unit() {
    let clock = TestClock::new();
    let registry = Registry::new(clock.clone());
    let source = Arc::new(Source::default());
    source.queries.record(1);
    registry.register(source);
    clock.advance(Duration::from_secs(1));
    let json = serde_json::to_value(registry.storage_metrics()).unwrap();
    fn leaves(prefix: &str, value: &serde_json::Value, out: &mut BTreeSet<String>) {
        match value.as_object() {
            Some(object) => object.iter().for_each(|(name, value)| {
                let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                leaves(&path, value, out);
            }),
            None => {
                out.insert(prefix.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    leaves("", &json, &mut found);
    let described: BTreeSet<String> =
        StorageMetrics::UNITS.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(found, described);
    assert_eq!(json["at"], "2023-11-14T22:30:01Z");
}
