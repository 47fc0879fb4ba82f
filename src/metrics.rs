//! Metrics, health and volumes; see [`Storage::metrics`](crate::Storage::metrics),
//! [`Storage::health`](crate::Storage::health) and [`Storage::volumes`](crate::Storage::volumes).

pub use aeth_metrics::{
    ComponentHealth, Families, Format, HealthDocument, HealthRegistry, HealthReport, Meter, Probe, Registry,
    StorageMetrics, VolumeReport, Volumes,
};

#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub use aeth_metrics::http;
