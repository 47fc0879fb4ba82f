//! The laws of [`MetricsSource`].

use super::law::{Subject, ensure};
use super::{Check, Report, law};
use crate::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricKind, MetricsSource, Unit};
use crate::{Clock, SystemClock};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

super::law::laws! { MetricsSubject;
    "names-follow-the-rules" => names_follow_the_rules,
    "a-family-has-one-description" => a_family_has_one_description,
    "labels-follow-the-rules" => labels_follow_the_rules,
    "each-series-is-shown-once" => each_series_is_shown_once,
    "values-are-possible" => values_are_possible,
    "counters-only-grow" => counters_only_grow,
    "a-visit-is-quick" => a_visit_is_quick,
}

/// Most series of one source: more is a label of high cardinality.
const MOST: usize = 10_000;

/// A source of metrics, and how it is tested.
#[derive(Debug, Clone)]
pub struct MetricsSubject {
    source: Arc<dyn MetricsSource>,
    use_it: UseIt,
}

#[derive(Clone)]
struct UseIt(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl std::fmt::Debug for UseIt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UseIt")
    }
}

/// Checks every law on a source that is used between visits by whoever else does so.
///
/// # Panics
/// Outside of a tokio runtime with time enabled.
///
/// # Cancel safety
/// Cancel-safe.
pub async fn run_all(source: Arc<dyn MetricsSource>) -> Report {
    MetricsSubject::new(source).run().await
}

impl MetricsSubject {
    /// Tests `source`.
    #[must_use]
    pub fn new(source: Arc<dyn MetricsSource>) -> Self {
        Self { source, use_it: UseIt(Arc::new(|| Box::pin(std::future::ready(())))) }
    }

    /// Uses the component between two visits, so that its counters move.
    #[must_use]
    pub fn with_use<F>(mut self, use_it: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.use_it = UseIt(Arc::new(move || Box::pin(use_it())));
        self
    }

    /// Checks every law.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn run(&self) -> Report {
        law::run(self, LAWS, Duration::from_secs(60)).await
    }

    async fn visit(&self) -> Vec<Shown> {
        (self.use_it.0)().await;
        let mut visit = Visit(Vec::new());
        self.source.collect(&mut visit);
        visit.0
    }
}

impl Subject for MetricsSubject {
    fn label(&self) -> String {
        self.source.component().into_owned()
    }

    fn scoped(&self, _law: &'static str) -> Self {
        self.clone()
    }

    fn clean_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// One metric as it was shown.
#[derive(Debug)]
struct Shown {
    descriptor: Descriptor,
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(HistogramSnapshot),
}

struct Visit(Vec<Shown>);

impl Visit {
    fn add(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: Value) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.0.push(Shown { descriptor: *descriptor, labels, value });
    }
}

impl Collector for Visit {
    fn counter(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: u64) {
        self.add(descriptor, labels, Value::Counter(value));
    }

    fn gauge(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: f64) {
        self.add(descriptor, labels, Value::Gauge(value));
    }

    fn histogram(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: &HistogramSnapshot) {
        self.add(descriptor, labels, Value::Histogram(value.clone()));
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !text.contains("__")
        && !text.ends_with('_')
}

/// law: names-follow-the-rules. A name starts with `aeth_`, has lower-case letters, digits and single underscores,
/// ends in its unit's suffix, and not in one that an export adds; there is a help text; the source has a name.
async fn names_follow_the_rules(subject: &MetricsSubject) -> Check {
    let component = subject.source.component().into_owned();
    ensure!(!component.trim().is_empty(), "the source has no name");
    let shown = subject.visit().await;
    ensure!(!shown.is_empty(), "the source shows nothing");
    for Shown { descriptor, .. } in &shown {
        let name = descriptor.name;
        ensure!(is_name(name) && name.starts_with("aeth_"), "{name:?} is no name for a metric");
        if let Some(suffix) = descriptor.unit.suffix() {
            ensure!(name.ends_with(&format!("_{suffix}")), "{name:?} does not end in its unit _{suffix}");
        }
        for reserved in ["_total", "_count", "_sum", "_bucket", "_created", "_info", "_gcount", "_gsum"] {
            ensure!(!name.ends_with(reserved), "{name:?} ends in {reserved}, which the export adds");
        }
        ensure!(!descriptor.help.trim().is_empty(), "{name:?} has no help text");
        ensure!(!descriptor.help.contains('\n'), "the help text of {name:?} has several lines");
    }
    Ok(())
}

/// law: a-family-has-one-description. All metrics of one name have the same kind, unit and help text, and are
/// shown as what their kind says.
async fn a_family_has_one_description(subject: &MetricsSubject) -> Check {
    let mut families: BTreeMap<&str, Descriptor> = BTreeMap::new();
    for _ in 0..2 {
        for Shown { descriptor, value, .. } in subject.visit().await {
            let name = descriptor.name;
            let first = families.entry(name).or_insert(descriptor);
            ensure!(*first == descriptor, "{name:?} is described as {first:?} and as {descriptor:?}");
            let agrees = matches!(
                (&value, descriptor.kind),
                (Value::Counter(_), MetricKind::Counter)
                    | (Value::Gauge(_), MetricKind::Gauge)
                    | (Value::Histogram(_), MetricKind::Histogram)
            );
            ensure!(agrees, "{name:?} is a {:?}, shown as {value:?}", descriptor.kind);
        }
    }
    Ok(())
}

/// law: labels-follow-the-rules. Label names are lower-case words without reserved ones, each once; all series of
/// a family have the same names; there are at most 10,000 series.
async fn labels_follow_the_rules(subject: &MetricsSubject) -> Check {
    let mut families: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let shown = subject.visit().await;
    ensure!(shown.len() <= MOST, "the source shows {} series", shown.len());
    for Shown { descriptor, labels, .. } in &shown {
        let mut names: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
        for label in &names {
            ensure!(is_name(label), "{:?} has the label name {label:?}", descriptor.name);
            ensure!(!matches!(*label, "le" | "quantile"), "{:?} has the label {label:?}", descriptor.name);
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        ensure!(names.len() == count, "{:?} has a label twice", descriptor.name);
        let first = families.entry(descriptor.name).or_insert_with(|| names.clone());
        ensure!(*first == names, "{:?} has the labels {first:?} and {names:?}", descriptor.name);
    }
    Ok(())
}

/// law: each-series-is-shown-once. No two metrics have the same name and labels.
async fn each_series_is_shown_once(subject: &MetricsSubject) -> Check {
    let mut seen = std::collections::BTreeSet::new();
    for Shown { descriptor, mut labels, .. } in subject.visit().await {
        labels.sort();
        let text = format!("{}{labels:?}", descriptor.name);
        ensure!(seen.insert((descriptor.name, labels)), "{text} is shown twice in one visit");
    }
    Ok(())
}

/// law: values-are-possible. No gauge is NaN, a ratio lies between 0 and 1, sizes and durations are not negative.
async fn values_are_possible(subject: &MetricsSubject) -> Check {
    for Shown { descriptor, labels, value } in subject.visit().await {
        let Value::Gauge(value) = value else { continue };
        let possible = match descriptor.unit {
            Unit::Ratio => (0.0..=1.0).contains(&value),
            Unit::Bytes | Unit::Seconds => value >= 0.0,
            Unit::None => !value.is_nan(),
        };
        ensure!(possible, "{:?} {labels:?} in {:?} is {value}", descriptor.name, descriptor.unit);
    }
    Ok(())
}

/// law: counters-only-grow. From one visit to the next no counter and no histogram goes down or disappears.
async fn counters_only_grow(subject: &MetricsSubject) -> Check {
    let mut last: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for _ in 0..3 {
        let mut now = BTreeMap::new();
        for Shown { descriptor, labels, value } in subject.visit().await {
            let series = format!("{}{labels:?}", descriptor.name);
            match value {
                Value::Counter(value) => now.insert(series, vec![(0, value)]),
                Value::Histogram(value) => now.insert(series, value.buckets().collect()),
                Value::Gauge(_) => continue,
            };
        }
        for (series, before) in &last {
            let Some(after) = now.get(series) else {
                ensure!(before.is_empty(), "{series} is no longer shown");
                continue;
            };
            for (bound, count) in before {
                let grown = after.iter().find(|(other, _)| other == bound).map_or(0, |(_, count)| *count);
                ensure!(grown >= *count, "{series} went down from {count} to {grown}");
            }
        }
        last = now;
    }
    Ok(())
}

/// law: a-visit-is-quick. A visit takes less than 50 milliseconds, the quickest of five: it asks no engine.
async fn a_visit_is_quick(subject: &MetricsSubject) -> Check {
    let clock = SystemClock::new();
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let start = clock.monotonic();
        subject.source.collect(&mut Visit(Vec::new()));
        quickest = quickest.min(clock.monotonic().saturating_sub(start));
    }
    ensure!(quickest < Duration::from_millis(50), "the quickest of five visits took {quickest:?}");
    Ok(())
}
