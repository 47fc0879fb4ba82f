//! Instruments, the pull-model of metrics, and health.
//!
//! A component owns its instruments (relaxed atomics; recording costs nanoseconds and never locks) and shows
//! them to whoever visits with a [`Collector`]. No registration order, no global, no cost when nobody looks.

mod collector;
mod health;
mod histogram;
mod instrument;
pub mod standard;

pub use collector::{Collector, Descriptor, Label, MetricKind, MetricsSource, Unit};
pub use health::{Health, HealthCheck, Status};
pub use histogram::{Histogram, HistogramSnapshot};
pub use instrument::{Counter, Gauge};
