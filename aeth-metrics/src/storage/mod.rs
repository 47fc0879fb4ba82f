//! The figures of an application's storage.

mod compute;
mod meter;
mod model;

pub use meter::Meter;
pub use model::{
    BackupMetrics, CacheMetrics, DatabaseMetrics, FileMetrics, Latency, StorageMetrics, VolumeMetrics,
};
