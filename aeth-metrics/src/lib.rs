//! Metrics, health and volumes of an application's storage.
//!
//! Components record with the instruments of `aeth-core` and show them through
//! [`MetricsSource`](aeth_core::observe::MetricsSource); this crate visits them. One visit gives [`Families`],
//! from which everything else is made:
//!
//! | what | by |
//! |---|---|
//! | OpenMetrics 1.0 and Prometheus 0.0.4 text | [`Families::render`] with a [`Format`] |
//! | [`StorageMetrics`], the figures of database, cache, files, volumes and backups | [`Registry::storage_metrics`], [`Meter::read`] |
//! | usage, space and I/O of the disks | [`Volumes`] |
//! | liveness, readiness, startup, `application/health+json` | [`HealthRegistry`] |
//!
//! ```
//! use aeth_core::SystemClock;
//! use aeth_core::observe::{Collector, Counter, MetricsSource, standard};
//! use aeth_metrics::{Format, Registry};
//! use std::{borrow::Cow, sync::Arc};
//!
//! #[derive(Debug, Default)]
//! struct MyCache {
//!     hits: Counter,
//! }
//!
//! impl MetricsSource for MyCache {
//!     fn component(&self) -> Cow<'_, str> {
//!         "cache".into()
//!     }
//!     fn collect(&self, out: &mut dyn Collector) {
//!         out.counter(&standard::cache::HITS, &[("namespace", "users")], self.hits.get());
//!     }
//! }
//!
//! let cache = Arc::new(MyCache::default());
//! let registry = Registry::new(SystemClock::shared());
//! registry.register(cache.clone());
//! cache.hits.add(3);
//! let text = registry.collect().render(Format::OpenMetrics);
//! assert!(text.contains("aeth_cache_hits_total{namespace=\"users\"} 3\n"));
//! assert!(text.ends_with("# EOF\n"));
//! ```
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `http` | `http::router`: `/metrics`, `/api/health/*`, `/api/metrics`, `/livez`, `/readyz`, `/startupz` for axum 0.8 |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod export;
mod families;
mod health;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod registry;
mod storage;
mod volume;

pub use export::Format;
pub use families::{Families, Family, Rejection, Sample, Value};
pub use health::{
    CheckOptions, ComponentHealth, HealthDocument, HealthOptions, HealthRegistry, HealthReport, Probe,
};
pub use registry::Registry;
pub use storage::{
    BackupMetrics, CacheMetrics, DatabaseMetrics, FileMetrics, Latency, Meter, StorageMetrics, VolumeMetrics,
};
pub use volume::{Mount, VolumeIo, VolumeOptions, VolumeRates, VolumeReport, VolumeSpec, Volumes};
