//! The record as metrics.

use super::BackupMonitor;
use aeth_core::observe::{Collector, MetricsSource, standard::backup, standard::labels};
use std::borrow::Cow;

impl MetricsSource for BackupMonitor {
    fn component(&self) -> Cow<'_, str> {
        "backup".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "seconds and bytes are exact far beyond any real figure")]
    fn collect(&self, out: &mut dyn Collector) {
        let inner = &*self.inner;
        let plan = (labels::PLAN, inner.plan.as_str());
        let own = [plan];
        let record = inner.record.read();
        if let Some(at) = record.last_success {
            out.gauge(&backup::LAST_SUCCESS, &own, at as f64);
            out.gauge(&backup::DURATION, &own, record.duration);
            out.gauge(&backup::SIZE, &own, record.size as f64);
            out.gauge(&backup::ADDED, &own, record.added as f64);
            out.gauge(&backup::REPOSITORY, &own, record.repository as f64);
            if record.size > 0 {
                let new = record.new_bytes.min(record.size) as f64 / record.size as f64;
                out.gauge(&backup::DEDUPLICATED, &own, 1.0 - new);
            }
        }
        if let Some(at) = record.verified {
            out.gauge(&backup::VERIFIED, &own, at as f64);
        }
        out.counter(&backup::RUNS, &own, inner.runs.get());
        out.counter(&backup::FAILURES, &own, inner.failures.get());
        out.counter(&backup::SKIPPED, &own, inner.skipped.get());
        out.counter(&backup::DRILL_FAILURES, &own, inner.drill_failures.get());
        for (name, location) in &record.locations {
            let labels = [plan, (labels::LOCATION, name.as_str())];
            if let Some(at) = location.last_success {
                out.gauge(&backup::LOCATION_LAST_SUCCESS, &labels, at as f64);
            }
            out.counter(&backup::LOCATION_FAILURES, &labels, location.failures);
            out.gauge(&backup::LOCATION_LAG, &labels, location.lag_bytes as f64);
        }
    }
}
