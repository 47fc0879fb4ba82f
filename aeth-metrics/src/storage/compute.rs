//! From the well-known metrics to the figures.

use super::model::{
    BackupMetrics, CacheMetrics, DatabaseMetrics, FileMetrics, Latency, StorageMetrics, VolumeMetrics,
};
use crate::families::{Families, Value};
use aeth_core::observe::standard::{backup, cache, database, files, labels, volume};
use aeth_core::observe::{Descriptor, HistogramSnapshot};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl StorageMetrics {
    /// The figures of one visit. `families` are the changes over the interval `over`
    /// ([`Families::since`]), or the totals when `over` is the life of the components.
    #[must_use]
    pub fn from_families(families: &Families, over: Duration, at: SystemTime) -> Self {
        let over = over.as_secs_f64();
        Self {
            at,
            over,
            database: database_metrics(families),
            cache: cache_metrics(families, over),
            files: file_metrics(families),
            volumes: volume_metrics(families, over),
            backups: backup_metrics(families, at),
        }
    }
}

fn database_metrics(families: &Families) -> DatabaseMetrics {
    DatabaseMetrics {
        connections: gauges(families, &database::CONNECTIONS).reduce(sum),
        query_time: merged(families, &database::QUERY_TIME).as_ref().and_then(latency),
        slow_queries: counted(families, &database::SLOW_QUERIES),
        deadlocks: counted(families, &database::DEADLOCKS),
        size: gauges(families, &database::SIZE).reduce(sum),
    }
}

fn cache_metrics(families: &Families, over: f64) -> CacheMetrics {
    let hits = counted(families, &cache::HITS);
    let misses = counted(families, &cache::MISSES);
    let lookups = match (hits, misses) {
        (None, None) => None,
        (hits, misses) => Some(hits.unwrap_or(0).saturating_add(misses.unwrap_or(0))),
    };
    let hit_rate = lookups.and_then(|all| ratio(hits.unwrap_or(0), all));
    CacheMetrics {
        hit_rate,
        miss_rate: hit_rate.map(|rate| 1.0 - rate),
        eviction_rate: counted(families, &cache::EVICTIONS).and_then(|n| per_second(n, over)),
        memory_usage: gauges(families, &cache::MEMORY).reduce(sum),
    }
}

fn file_metrics(families: &Families) -> FileMetrics {
    let operations = counted(families, &files::OPERATIONS);
    FileMetrics {
        total_size: gauges(families, &files::SIZE).reduce(sum),
        upload_speed: speed(families, &files::UPLOADED, &files::UPLOAD_TIME),
        download_speed: speed(families, &files::DOWNLOADED, &files::DOWNLOAD_TIME),
        error_rate: operations
            .and_then(|all| ratio(counted(families, &files::ERRORS).unwrap_or(0).min(all), all)),
    }
}

fn volume_metrics(families: &Families, over: f64) -> VolumeMetrics {
    VolumeMetrics {
        disk_usage: gauges(families, &volume::USAGE).reduce(f64::max),
        available_space: gauges(families, &volume::AVAILABLE).reduce(f64::min),
        io_operations: per_device(families, &volume::OPERATIONS).and_then(|n| per_second(n, over)),
        throughput: per_device(families, &volume::BYTES).and_then(|n| per_second(n, over)),
    }
}

fn backup_metrics(families: &Families, at: SystemTime) -> BackupMetrics {
    let now = at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let age = |descriptor| gauges(families, descriptor).reduce(f64::min).map(|then| (now - then).max(0.0));
    BackupMetrics {
        last_success_age: age(&backup::LAST_SUCCESS),
        duration: gauges(families, &backup::DURATION).reduce(f64::max),
        size: gauges(families, &backup::SIZE).reduce(sum),
        verified_age: age(&backup::VERIFIED),
        failures: counted(families, &backup::FAILURES),
    }
}

fn sum(a: f64, b: f64) -> f64 {
    a + b
}

fn gauges<'a>(families: &'a Families, descriptor: &Descriptor) -> impl Iterator<Item = f64> + use<'a> {
    families.get(descriptor.name).into_iter().flat_map(|family| family.samples()).filter_map(|(_, value)| {
        match value {
            Value::Gauge(gauge) => Some(*gauge),
            _ => None,
        }
    })
}

fn counted(families: &Families, descriptor: &Descriptor) -> Option<u64> {
    let counters = families.get(descriptor.name)?.samples().filter_map(|(_, value)| match value {
        Value::Counter(count) => Some(*count),
        _ => None,
    });
    Some(counters.fold(0, u64::saturating_add))
}

/// Counts each (device, operation) once: several volumes on one device show the same figure.
fn per_device(families: &Families, descriptor: &Descriptor) -> Option<u64> {
    let mut devices: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (series, value) in families.get(descriptor.name)?.samples() {
        let label = |name| series.iter().find(|(l, _)| *l == name).map_or("", |(_, value)| value.as_str());
        // A volume whose device is unknown stands for itself.
        let device = Some(label(labels::DEVICE)).filter(|d| !d.is_empty()).unwrap_or(label(labels::VOLUME));
        if let Value::Counter(count) = value {
            let most = devices.entry((device, label(labels::OPERATION))).or_default();
            *most = (*most).max(*count);
        }
    }
    Some(devices.into_values().fold(0, u64::saturating_add))
}

fn merged(families: &Families, descriptor: &Descriptor) -> Option<HistogramSnapshot> {
    let mut all = HistogramSnapshot::default();
    for (_, value) in families.get(descriptor.name)?.samples() {
        if let Value::Histogram(snapshot) = value {
            all.merge(snapshot);
        }
    }
    Some(all)
}

#[allow(clippy::cast_precision_loss, reason = "durations in seconds need no more than 53 bits")]
fn latency(snapshot: &HistogramSnapshot) -> Option<Latency> {
    if snapshot.count() == 0 {
        return None;
    }
    let seconds = |q| snapshot.quantile(q) as f64 / 1e9;
    Some(Latency {
        count: snapshot.count(),
        mean: snapshot.mean() / 1e9,
        p50: seconds(0.5),
        p95: seconds(0.95),
        p99: seconds(0.99),
    })
}

#[allow(clippy::cast_precision_loss, reason = "a speed needs no more than 53 bits")]
fn speed(families: &Families, bytes: &Descriptor, time: &Descriptor) -> Option<f64> {
    let bytes = counted(families, bytes)?;
    let nanoseconds = merged(families, time)?.sum();
    (bytes > 0 && nanoseconds > 0).then(|| bytes as f64 / (nanoseconds as f64 / 1e9))
}

#[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn per_second(count: u64, over: f64) -> Option<f64> {
    (over > 0.0).then(|| count as f64 / over)
}

#[allow(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
