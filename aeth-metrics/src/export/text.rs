//! OpenMetrics 1.0 and Prometheus 0.0.4.

use super::{Format, number};
use crate::families::{Families, Family, Value};
use aeth_core::observe::{HistogramSnapshot, MetricKind, Unit};
use std::fmt::{Result, Write};

type Labels = [(&'static str, String)];

impl Families {
    /// The families as text.
    ///
    /// Histograms have fixed bounds, which are bounds of the recording buckets, so that every `le` count is
    /// exact: 2ⁿ − 1 nanoseconds from 1 µs to 69 s for durations, 2ⁿ − 1 (every second power) up to 2⁴⁰ for
    /// everything else.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let mut out = String::with_capacity(16 * 1024);
        for family in self.iter() {
            // Writing into a string cannot fail.
            let _: Result = write_family(&mut out, format, family);
        }
        if format == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
        out
    }
}

fn write_family(out: &mut String, format: Format, family: &Family) -> Result {
    let descriptor = &family.descriptor;
    let kind = match descriptor.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        _ => "unknown",
    };
    // In the older format the family of a counter is named like its samples.
    let suffix = match (format, descriptor.kind) {
        (Format::Prometheus, MetricKind::Counter) => "_total",
        _ => "",
    };
    let name = descriptor.name;
    writeln!(out, "# TYPE {name}{suffix} {kind}")?;
    if let (Format::OpenMetrics, Some(unit)) = (format, descriptor.unit.suffix()) {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    write!(out, "# HELP {name}{suffix} ")?;
    escape(out, descriptor.help, format == Format::OpenMetrics)?;
    out.write_char('\n')?;
    for (labels, value) in family.samples() {
        write_sample(out, name, descriptor.unit, labels, value)?;
    }
    Ok(())
}

fn write_sample(out: &mut String, name: &str, unit: Unit, labels: &Labels, value: &Value) -> Result {
    match value {
        Value::Counter(count) => {
            write_series(out, name, "_total", labels, None)?;
            integer(out, unit, *count)?;
            out.write_char('\n')
        }
        Value::Gauge(gauge) => {
            write_series(out, name, "", labels, None)?;
            number::float(out, *gauge)?;
            out.write_char('\n')
        }
        Value::Histogram(snapshot) => write_histogram(out, name, unit, labels, snapshot),
    }
}

fn write_histogram(
    out: &mut String,
    name: &str,
    unit: Unit,
    labels: &Labels,
    snapshot: &HistogramSnapshot,
) -> Result {
    let (first, last, step) = if unit == Unit::Seconds { (10, 36, 1) } else { (0, 40, 2) };
    let mut bound = String::new();
    for power in (first..=last).step_by(step) {
        let at_most = (1_u64 << power) - 1;
        bound.clear();
        if unit == Unit::Seconds {
            number::nanoseconds(&mut bound, at_most)?;
        } else {
            write!(bound, "{at_most}.0")?;
        }
        write_series(out, name, "_bucket", labels, Some(&bound))?;
        writeln!(out, "{}", snapshot.count_at_or_below(at_most))?;
    }
    write_series(out, name, "_bucket", labels, Some("+Inf"))?;
    writeln!(out, "{}", snapshot.count())?;
    write_series(out, name, "_sum", labels, None)?;
    integer(out, unit, snapshot.sum())?;
    out.write_char('\n')?;
    write_series(out, name, "_count", labels, None)?;
    writeln!(out, "{}", snapshot.count())
}

fn integer(out: &mut String, unit: Unit, value: u64) -> Result {
    match unit {
        Unit::Seconds => number::nanoseconds(out, value),
        _ => write!(out, "{value}"),
    }
}

/// The series' name and labels, and the space after them.
fn write_series(out: &mut String, name: &str, suffix: &str, labels: &Labels, le: Option<&str>) -> Result {
    write!(out, "{name}{suffix}")?;
    let mut opened = false;
    for (label, value) in labels {
        out.write_char(if opened { ',' } else { '{' })?;
        opened = true;
        write!(out, "{label}=\"")?;
        escape(out, value, true)?;
        out.write_char('"')?;
    }
    if let Some(le) = le {
        out.write_char(if opened { ',' } else { '{' })?;
        opened = true;
        write!(out, "le=\"{le}\"")?;
    }
    out.write_str(if opened { "} " } else { " " })
}

/// Writes a label's value or a help text; the older format's help texts keep their quotes.
fn escape(out: &mut String, text: &str, quotes: bool) -> Result {
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '"' if quotes => out.write_str("\\\"")?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}
