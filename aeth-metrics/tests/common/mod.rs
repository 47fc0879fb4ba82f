//! A clock that stands still unless it is told to go, and a source with one of everything.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use aeth_core::Clock;
use aeth_core::async_trait;
use aeth_core::observe::{Collector, Histogram, MetricsSource, standard};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Time that a test owns; sleepers wake when it passes their instant.
#[derive(Debug)]
pub struct TestClock(watch::Sender<Duration>);

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Duration::from_secs(1_000))))
    }

    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now += by);
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000) + *self.0.borrow()
    }

    fn monotonic(&self) -> Duration {
        *self.0.borrow()
    }

    async fn sleep(&self, duration: Duration) {
        let until = *self.0.borrow() + duration;
        drop(self.0.subscribe().wait_for(|now| *now >= until).await);
    }
}

/// Shows every well-known metric, with awkward label values.
#[derive(Debug, Default)]
pub struct Everything {
    pub histogram: Histogram,
}

impl MetricsSource for Everything {
    fn component(&self) -> Cow<'_, str> {
        "everything".into()
    }

    fn collect(&self, out: &mut dyn Collector) {
        use aeth_core::observe::MetricKind;
        let snapshot = self.histogram.snapshot();
        for descriptor in standard::ALL.iter().flat_map(|section| section.iter()) {
            for value in ["plain", "quote\"back\\slash", "line\nbreak", "", "ünïcode { } , = # EOF"] {
                let labels = [("namespace", value)];
                match descriptor.kind {
                    MetricKind::Counter => out.counter(descriptor, &labels, 7),
                    MetricKind::Gauge => out.gauge(descriptor, &labels, 1.5),
                    _ => out.histogram(descriptor, &labels, &snapshot),
                }
            }
        }
    }
}
