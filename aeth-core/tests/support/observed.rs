//! A source of metrics and a health check.

use aeth_core::async_trait;
use aeth_core::observe::{Collector, Descriptor, Health, HealthCheck, Histogram, MetricsSource, Unit};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// One way in which a source of metrics can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFlaw {
    BadName,
    TwoKinds,
    BadLabel,
    SeriesTwice,
    NotANumber,
    CounterFalls,
    Slow,
}

#[derive(Debug, Default)]
pub struct RefMetrics {
    pub flaw: Option<MetricsFlaw>,
    pub visits: AtomicU64,
    pub histogram: Histogram,
}

impl MetricsSource for RefMetrics {
    fn component(&self) -> Cow<'_, str> {
        "reference".into()
    }

    fn collect(&self, out: &mut dyn Collector) {
        let flaw = |flaw| self.flaw == Some(flaw);
        let visit = self.visits.fetch_add(1, SeqCst);
        self.histogram.record(visit * 1000);
        let name = if flaw(MetricsFlaw::BadName) { "aeth_calls_total" } else { "aeth_calls" };
        let calls = Descriptor::counter(name, "Calls.");
        let count = if flaw(MetricsFlaw::CounterFalls) { 100 - visit } else { visit };
        out.counter(&calls, &[("kind", "a")], count);
        if flaw(MetricsFlaw::BadLabel) {
            out.counter(&calls, &[("Kind", "b")], count);
        }
        if flaw(MetricsFlaw::SeriesTwice) {
            out.counter(&calls, &[("kind", "a")], count);
        }
        if flaw(MetricsFlaw::TwoKinds) {
            out.gauge(&Descriptor::gauge("aeth_calls", "Calls."), &[("kind", "b")], 1.0);
        }
        let share = Descriptor::gauge("aeth_hit_ratio", "Hits.").with_unit(Unit::Ratio);
        out.gauge(&share, &[], if flaw(MetricsFlaw::NotANumber) { f64::NAN } else { 0.5 });
        let duration = Descriptor::duration("aeth_call_duration_seconds", "How long calls took.");
        out.histogram(&duration, &[], &self.histogram.snapshot());
        if flaw(MetricsFlaw::Slow) {
            std::thread::sleep(Duration::from_millis(80));
        }
    }
}

/// One way in which a health check can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthFlaw {
    Hangs,
    BadName,
    NoReason,
    NotANumber,
    OneAtATime,
    DropBreaks,
}

#[derive(Debug, Default)]
pub struct RefHealth {
    pub flaw: Option<HealthFlaw>,
    pub running: AtomicU64,
}

#[async_trait]
impl HealthCheck for RefHealth {
    fn component(&self) -> Cow<'_, str> {
        if self.flaw == Some(HealthFlaw::BadName) { "My Database".into() } else { "database".into() }
    }

    async fn check(&self) -> Health {
        let running = self.running.fetch_add(1, SeqCst);
        let hangs = match self.flaw {
            Some(HealthFlaw::Hangs) => true,
            Some(HealthFlaw::OneAtATime) => running > 0,
            Some(HealthFlaw::DropBreaks) => running > 3,
            _ => false,
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        self.running.fetch_sub(1, SeqCst);
        let mut health = Health::degraded("half of it is missing");
        if self.flaw == Some(HealthFlaw::NoReason) {
            health.reason = None;
        }
        let value = if self.flaw == Some(HealthFlaw::NotANumber) { f64::NAN } else { 5.0 };
        health.with_observed("connections", value, "")
    }
}
