//! What is exported is valid, complete and exact.
#![allow(clippy::clone_on_ref_ptr, clippy::unwrap_used, missing_docs)]

use crate::common;
use crate::open_metrics;

use aeth_core::observe::{Collector, Descriptor, Histogram, MetricKind, Unit, standard};
use aeth_metrics::{Families, Format, Registry};
use common::{Everything, TestClock};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn everything() -> Registry {
    let everything = Everything::default();
    for n in [0, 1, 999, 1_000, 1_023, 1_024, 5_000_000, 3_600_000_000_000] {
        everything.histogram.record(n);
    }
    let registry = Registry::new(TestClock::new());
    registry.register(Arc::new(everything));
    registry
}

#[test]
fn every_well_known_metric_passes_the_strict_parser() {
    let families = everything().collect();
    assert_eq!(families.rejections(), []);
    let parsed = open_metrics::parse(&families.render(Format::OpenMetrics)).unwrap();
    for descriptor in standard::ALL.iter().flat_map(|section| section.iter()) {
        let family = &parsed[descriptor.name];
        assert_eq!(family.help.as_deref(), Some(descriptor.help));
        assert_eq!(family.unit.as_deref(), descriptor.unit.suffix());
        let values: std::collections::BTreeSet<_> =
            family.samples.iter().flat_map(|s| &s.labels).filter(|(l, _)| l == "namespace").collect();
        assert_eq!(values.len(), 5, "{}", descriptor.name);
    }
}

#[test]
fn the_parser_is_strict() {
    let good = "# TYPE a counter\n# HELP a text\na_total{x=\"y\"} 1\n# EOF\n";
    assert!(open_metrics::parse(good).is_ok());
    for bad in [
        "# TYPE a counter\na_total 1\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a counter\na_total -1\n# EOF\n",
        "# TYPE a counter\na_total 1\na_total 2\n# EOF\n",
        "# TYPE a gauge\na{x=\"y} 1\n# EOF\n",
        "# TYPE a gauge\na{x=\"\\q\"} 1\n# EOF\n",
        "# TYPE a gauge\na  1\n# EOF\n",
        "# TYPE a gauge\n# UNIT a bytes\na 1\n# EOF\n",
        "# TYPE a gauge\na 1\n# TYPE b gauge\nb 1\n# TYPE a gauge\na{x=\"y\"} 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n# EOF\n",
        "# TYPE a histogram\na_bucket{le=\"1.0\"} 1\na_sum 1\na_count 1\n# EOF\n",
    ] {
        assert!(open_metrics::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn histograms_are_exported_exactly() {
    let text = everything().collect().render(Format::OpenMetrics);
    let line = |line: &str| assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    line("aeth_db_query_duration_seconds_bucket{namespace=\"plain\",le=\"0.000001023\"} 5");
    line("aeth_db_query_duration_seconds_bucket{namespace=\"plain\",le=\"0.000002047\"} 6");
    line("aeth_db_query_duration_seconds_bucket{namespace=\"plain\",le=\"68.719476735\"} 7");
    line("aeth_db_query_duration_seconds_bucket{namespace=\"plain\",le=\"+Inf\"} 8");
    line("aeth_db_query_duration_seconds_sum{namespace=\"plain\"} 3600.005004047");
    line("aeth_db_query_duration_seconds_count{namespace=\"plain\"} 8");
    line("aeth_volume_io_busy_seconds_total{namespace=\"plain\"} 0.000000007");
    line("# UNIT aeth_db_size_bytes bytes");
}

#[test]
fn the_older_format_names_counters_by_their_samples() {
    let text = everything().collect().render(Format::Prometheus);
    assert!(text.contains("# TYPE aeth_cache_hits_total counter\n"));
    assert!(!text.contains("# UNIT") && !text.contains("# EOF\n"));
    assert!(text.contains("# TYPE aeth_db_size_bytes gauge\n"));
}

#[test]
fn the_format_is_negotiated() {
    let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                      q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(Format::negotiate(prometheus), Format::OpenMetrics);
    for plain in [
        "",
        "*/*",
        "text/html",
        "text/plain",
        "application/openmetrics-text;q=0",
        "text/plain, \
                   application/openmetrics-text;q=0.5",
    ] {
        assert_eq!(Format::negotiate(plain), Format::Prometheus, "{plain}");
    }
    assert_eq!(
        Format::OpenMetrics.content_type(),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
}

#[test]
fn what_the_format_cannot_say_is_rejected_and_named() {
    let mut families = Families::new();
    let gauge = Descriptor::gauge("aeth_x", "X.");
    families.gauge(&gauge, &[("bad-label", "v")], 1.0);
    families.gauge(&gauge, &[("le", "v")], 1.0);
    families.gauge(&gauge, &[("a", "1"), ("a", "2")], 1.0);
    families.counter(&gauge, &[], 1);
    families.gauge(&Descriptor::gauge("aeth_x_total", "X."), &[], 1.0);
    families.gauge(&Descriptor::gauge("9x", "X."), &[], 1.0);
    families.gauge(&Descriptor::gauge("aeth_size", "X.").with_unit(Unit::Bytes), &[], 1.0);
    assert_eq!(families.rejections().len(), 7);
    assert_eq!(families.iter().count(), 0);
    families.gauge(&gauge, &[], 1.0);
    families.counter(&Descriptor::counter("aeth_x", "X."), &[], 1);
    assert_eq!(families.rejections().len(), 8);
    open_metrics::parse(&families.render(Format::OpenMetrics)).unwrap();
}

#[test]
fn the_same_series_from_two_sources_is_one() {
    let registry = everything();
    registry.register(Arc::new(Everything::default()));
    let text = registry.collect().render(Format::OpenMetrics);
    open_metrics::parse(&text).unwrap();
    assert!(text.contains("aeth_cache_hits_total{namespace=\"plain\"} 14\n"));
    assert!(text.contains("aeth_cache_memory_bytes{namespace=\"plain\"} 1.5\n"));
}

proptest! {
    #[test]
    fn any_label_value_and_help_survive(
        values in proptest::collection::btree_set(any::<String>(), 1..6),
        gauge in any::<f64>(),
        count in any::<u64>(),
        recorded in proptest::collection::vec(any::<u64>(), 0..40),
    ) {
        let mut families = Families::new();
        let histogram = Histogram::new();
        recorded.iter().for_each(|n| histogram.record(*n));
        for value in &values {
            let labels = [("value", value.as_str()), ("another", "constant")];
            families.gauge(&Descriptor::gauge("aeth_g", "A \"quoted\" \\ help\nof two lines."), &labels, gauge);
            families.counter(&Descriptor::counter("aeth_c", "C."), &labels, count);
            families.histogram(&Descriptor::duration("aeth_h_seconds", "H."), &labels, &histogram.snapshot());
        }
        let parsed = open_metrics::parse(&families.render(Format::OpenMetrics)).unwrap();
        let labels_of = |family: &str| {
            let labels = parsed[family].samples.iter().flat_map(|s| &s.labels);
            labels.filter(|(l, _)| l == "value").map(|(_, v)| v.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        for family in ["aeth_g", "aeth_c", "aeth_h_seconds"] {
            prop_assert_eq!(labels_of(family), values.clone());
        }
        prop_assert_eq!(parsed["aeth_g"].help.as_deref(), Some("A \"quoted\" \\ help\nof two lines."));
        let read = parsed["aeth_g"].samples[0].value;
        prop_assert!(read == gauge || (read.is_nan() && gauge.is_nan()));
        let buckets = parsed["aeth_h_seconds"].samples.iter().filter(|s| s.name.ends_with("_count"));
        for count in buckets {
            prop_assert_eq!(count.value, recorded.len() as f64);
        }
    }
}

/// The kinds are all there: a new one must be thought of in the exporter.
#[test]
fn kinds_are_known() {
    for descriptor in standard::ALL.iter().flat_map(|section| section.iter()) {
        assert!(matches!(descriptor.kind, MetricKind::Counter | MetricKind::Gauge | MetricKind::Histogram));
    }
    assert!(Duration::from_nanos((1 << 36) - 1) > Duration::from_secs(60), "buckets reach a minute");
}
