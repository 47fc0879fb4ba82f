//! The figures, with their units.

use serde::Serialize;
use std::time::SystemTime;

/// Database, cache, files, volumes and backups at one instant.
///
/// Computed from the well-known metrics ([`aeth_core::observe::standard`]), summed over the components that
/// report them. A figure that no component reports is `None` (`null`): it is unknown, not zero. *Counts*, *rates*
/// and *speeds* are over the interval [`over`](Self::over), *sizes* and *ages* are of the instant
/// [`at`](Self::at).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StorageMetrics {
    /// When they were taken; serialised as RFC 3339 in UTC.
    #[serde(serialize_with = "rfc3339")]
    pub at: SystemTime,
    /// Length of the interval, in seconds.
    pub over: f64,
    /// The databases.
    pub database: DatabaseMetrics,
    /// The caches.
    pub cache: CacheMetrics,
    /// The blob stores.
    pub files: FileMetrics,
    /// The volumes.
    pub volumes: VolumeMetrics,
    /// The backups.
    pub backups: BackupMetrics,
}

/// The databases.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct DatabaseMetrics {
    /// Open connections, idle ones included.
    pub connections: Option<f64>,
    /// Time of the statements in the interval.
    pub query_time: Option<Latency>,
    /// Statements in the interval that took longer than the threshold.
    pub slow_queries: Option<u64>,
    /// Transactions in the interval that were aborted to end a deadlock or a lock conflict.
    pub deadlocks: Option<u64>,
    /// Size of the databases, in bytes.
    pub size: Option<f64>,
}

/// The caches.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct CacheMetrics {
    /// Share of the interval's look-ups that were answered from the cache, 0 to 1; `None` when there were none.
    pub hit_rate: Option<f64>,
    /// Share of the interval's look-ups that were not, 0 to 1; `None` when there were none.
    pub miss_rate: Option<f64>,
    /// Entries pushed out of memory, per second.
    pub eviction_rate: Option<f64>,
    /// Weight of the entries held in memory, in bytes.
    pub memory_usage: Option<f64>,
}

/// The blob stores.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct FileMetrics {
    /// Size of all blobs, in bytes.
    pub total_size: Option<f64>,
    /// Bytes written in the interval over the time that writes took, in bytes per second: the mean speed of one
    /// upload, whatever ran beside it. `None` when nothing was written.
    pub upload_speed: Option<f64>,
    /// Bytes read in the interval over the time that reads took, in bytes per second; `None` when nothing was
    /// read.
    pub download_speed: Option<f64>,
    /// Share of the interval's calls that failed, 0 to 1; `None` when there were none.
    pub error_rate: Option<f64>,
}

/// The volumes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct VolumeMetrics {
    /// Used share of the fullest volume, 0 to 1.
    pub disk_usage: Option<f64>,
    /// Available space of the volume that has the least, in bytes.
    pub available_space: Option<f64>,
    /// I/O requests finished by the devices, per second; each device counts once.
    pub io_operations: Option<f64>,
    /// Bytes moved by the devices, per second; each device counts once.
    pub throughput: Option<f64>,
}

/// The backups.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct BackupMetrics {
    /// Time since the last success of the plan whose last success is the oldest, in seconds; `None` when no
    /// plan has succeeded yet.
    pub last_success_age: Option<f64>,
    /// How long the longest of the plans' last successful runs took, in seconds.
    pub duration: Option<f64>,
    /// Size of the plans' last restore points, in bytes of their sources.
    pub size: Option<f64>,
    /// Time since the last proof of the plan whose last proof is the oldest, in seconds; `None` when no restore
    /// point was proven yet.
    pub verified_age: Option<f64>,
    /// Runs of the interval that failed.
    pub failures: Option<u64>,
}

/// A distribution of durations, in seconds. Quantiles are the upper bounds of recording buckets and at most
/// 12.5 % too high.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// Half of them took at most this long.
    pub p50: f64,
    /// 95 of 100 took at most this long.
    pub p95: f64,
    /// 99 of 100 took at most this long.
    pub p99: f64,
}

impl StorageMetrics {
    /// The unit of every figure by its path in the serialised form.
    ///
    /// ```
    /// use aeth_metrics::StorageMetrics;
    /// assert!(StorageMetrics::UNITS.contains(&("files.upload_speed", "bytes/second")));
    /// ```
    pub const UNITS: &'static [(&'static str, &'static str)] = &[
        ("at", "RFC 3339"),
        ("over", "seconds"),
        ("database.connections", "connections"),
        ("database.query_time.count", "statements"),
        ("database.query_time.mean", "seconds"),
        ("database.query_time.p50", "seconds"),
        ("database.query_time.p95", "seconds"),
        ("database.query_time.p99", "seconds"),
        ("database.slow_queries", "statements"),
        ("database.deadlocks", "transactions"),
        ("database.size", "bytes"),
        ("cache.hit_rate", "ratio"),
        ("cache.miss_rate", "ratio"),
        ("cache.eviction_rate", "entries/second"),
        ("cache.memory_usage", "bytes"),
        ("files.total_size", "bytes"),
        ("files.upload_speed", "bytes/second"),
        ("files.download_speed", "bytes/second"),
        ("files.error_rate", "ratio"),
        ("volumes.disk_usage", "ratio"),
        ("volumes.available_space", "bytes"),
        ("volumes.io_operations", "operations/second"),
        ("volumes.throughput", "bytes/second"),
        ("backups.last_success_age", "seconds"),
        ("backups.duration", "seconds"),
        ("backups.size", "bytes"),
        ("backups.verified_age", "seconds"),
        ("backups.failures", "runs"),
    ];
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::try_from(*at) {
        Ok(timestamp) => serializer.collect_str(&timestamp),
        Err(error) => Err(serde::ser::Error::custom(error)),
    }
}
