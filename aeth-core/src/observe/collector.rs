//! The visit that renders every export.

use super::HistogramSnapshot;
use std::borrow::Cow;
use std::fmt;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// The unit of a metric's *exported* value; histograms and counters of [`Unit::Seconds`] are recorded in
/// nanoseconds and scaled by the exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// A plain number.
    None,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A ratio, 0 to 1.
    Ratio,
}

impl Unit {
    /// The suffix that OpenMetrics asks for, without underscore.
    #[must_use]
    pub fn suffix(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Ratio => Some("ratio"),
        }
    }
}

/// The static side of a metric family.
///
/// The name follows OpenMetrics without type suffix (`aeth_cache_hits`, `aeth_db_query_duration_seconds`): it
/// starts with `aeth_`, and ends in the unit's suffix when the unit has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Descriptor {
    /// The name of the family.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its unit.
    pub unit: Unit,
}

impl Descriptor {
    /// A counter of plain numbers.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Counter, unit: Unit::None }
    }

    /// A gauge of plain numbers.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Gauge, unit: Unit::None }
    }

    /// A histogram of durations, recorded in nanoseconds, exported in seconds.
    #[must_use]
    pub const fn duration(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Histogram, unit: Unit::Seconds }
    }

    /// Sets the unit.
    #[must_use]
    pub const fn with_unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }
}

/// A label: name and value. Values are of low cardinality (component and namespace names, never keys).
pub type Label<'a> = (&'static str, &'a str);

/// Receives metrics during a visit.
pub trait Collector {
    /// A counter's value; of [`Unit::Seconds`] in nanoseconds.
    fn counter(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: u64);

    /// A gauge's value, in its unit.
    fn gauge(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: f64);

    /// A histogram's state; of [`Unit::Seconds`] in nanoseconds.
    fn histogram(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: &HistogramSnapshot);
}

/// Something that has metrics.
pub trait MetricsSource: fmt::Debug + Send + Sync + 'static {
    /// The component's name, for messages.
    fn component(&self) -> Cow<'_, str>;

    /// Shows every metric. Wait-free: it reads atomics or what a background task has gathered, never asks an
    /// engine, never blocks.
    fn collect(&self, out: &mut dyn Collector);
}
