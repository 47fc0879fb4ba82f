//! What one visit has found, grouped by family.

use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricKind};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// The value of one series.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A counter's; of unit seconds in nanoseconds.
    Counter(u64),
    /// A gauge's.
    Gauge(f64),
    /// A histogram's; of unit seconds in nanoseconds.
    Histogram(HistogramSnapshot),
}

/// One series of a family: its labels, sorted by name, and its value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Names and values of the labels, sorted by name.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

impl Sample {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_str())
    }
}

/// A metric family with its series, sorted by labels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Family {
    /// Name, help, kind and unit.
    pub descriptor: Descriptor,
    samples: BTreeMap<Vec<(&'static str, String)>, Value>,
}

impl Family {
    /// The series, sorted by labels.
    pub fn samples(&self) -> impl Iterator<Item = (&[(&'static str, String)], &Value)> {
        self.samples.iter().map(|(labels, value)| (labels.as_slice(), value))
    }
}

/// Something that a source has shown and that cannot be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejection {
    /// The family's name.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metric `{}`: {}", self.name, self.reason)
    }
}

/// What one visit over the sources has found.
///
/// A [`Collector`] itself, so that a source can be visited without a registry. Two sources that show the same
/// series: counters and histograms add up, of gauges the later one stays. What OpenMetrics cannot express (bad
/// names, a family shown with two kinds) is left out and listed in [`rejections`](Self::rejections).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Families {
    families: BTreeMap<&'static str, Family>,
    rejections: Vec<Rejection>,
}

/// Suffixes that the text format gives to samples; a family that ends in one could be taken for another's
/// sample.
const RESERVED: [&str; 6] = ["_total", "_created", "_bucket", "_count", "_sum", "_info"];

impl Families {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The families, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Family> {
        self.families.values()
    }

    /// A family by its name without type suffix.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Family> {
        self.families.get(name)
    }

    /// What was left out.
    #[must_use]
    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// What has changed after `earlier`: counters and histograms less what they were then, gauges as they are.
    /// A counter that is smaller than before was reset and counts whole.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (name, family) in &mut self.families {
            let Some(before) = earlier.families.get(name) else { continue };
            for (labels, value) in &mut family.samples {
                match (value, before.samples.get(labels)) {
                    (Value::Counter(now), Some(Value::Counter(before))) => {
                        *now = now.checked_sub(*before).unwrap_or(*now);
                    }
                    (Value::Histogram(now), Some(Value::Histogram(before))) => *now = now.since(before),
                    _ => {}
                }
            }
        }
        self
    }

    fn reject(&mut self, name: &'static str, reason: &'static str) {
        let rejection = Rejection { name, reason };
        if !self.rejections.contains(&rejection) {
            self.rejections.push(rejection);
        }
    }

    fn add(&mut self, descriptor: &Descriptor, kind: MetricKind, labels: &[Label<'_>], value: Value) {
        if let Err(reason) = check(descriptor, kind, labels) {
            return self.reject(descriptor.name, reason);
        }
        let family = self
            .families
            .entry(descriptor.name)
            .or_insert_with(|| Family { descriptor: *descriptor, samples: BTreeMap::new() });
        if family.descriptor.kind != kind || family.descriptor.unit != descriptor.unit {
            return self.reject(descriptor.name, "shown with two kinds or units");
        }
        let mut labels: Vec<_> = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        labels.sort_unstable();
        match family.samples.entry(labels) {
            Entry::Vacant(vacant) => {
                vacant.insert(value);
            }
            Entry::Occupied(mut occupied) => match (occupied.get_mut(), value) {
                (Value::Counter(sum), Value::Counter(more)) => *sum = sum.wrapping_add(more),
                (Value::Histogram(sum), Value::Histogram(more)) => sum.merge(&more),
                (present, later) => *present = later,
            },
        }
    }
}

impl Collector for Families {
    fn counter(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: u64) {
        self.add(descriptor, MetricKind::Counter, labels, Value::Counter(value));
    }

    fn gauge(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: f64) {
        self.add(descriptor, MetricKind::Gauge, labels, Value::Gauge(value));
    }

    fn histogram(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: &HistogramSnapshot) {
        self.add(descriptor, MetricKind::Histogram, labels, Value::Histogram(value.clone()));
    }
}

fn check(descriptor: &Descriptor, kind: MetricKind, labels: &[Label<'_>]) -> Result<(), &'static str> {
    let name = descriptor.name;
    if descriptor.kind != kind {
        return Err("shown as another kind than described");
    }
    if !is_name(name, true) {
        return Err("the name must match [a-zA-Z_:][a-zA-Z0-9_:]*");
    }
    if RESERVED.iter().any(|suffix| name.ends_with(suffix)) {
        return Err("the name ends in a suffix that the text format adds itself");
    }
    if let Some(unit) = descriptor.unit.suffix()
        && !name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'))
    {
        return Err("the name must end in its unit");
    }
    for (i, (label, _)) in labels.iter().enumerate() {
        if !is_name(label, false) || label.starts_with("__") {
            return Err(
                "a label's name must match [a-zA-Z_][a-zA-Z0-9_]* and not begin with two underscores",
            );
        }
        if matches!(*label, "le" | "quantile") {
            return Err("the labels `le` and `quantile` belong to the text format");
        }
        if labels.iter().take(i).any(|(other, _)| other == label) {
            return Err("a label is given twice");
        }
    }
    Ok(())
}

fn is_name(name: &str, colons: bool) -> bool {
    let mut bytes = name.bytes();
    let good = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colons && b == b':');
    bytes.next().is_some_and(good) && bytes.all(|b| good(b) || b.is_ascii_digit())
}
