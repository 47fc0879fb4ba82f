//! What a guard counts.

use super::BreakerState;
use crate::observe::{Collector, Counter, Descriptor, Gauge, Histogram};

const ATTEMPTS: Descriptor = Descriptor::counter("aeth_policy_attempts", "Attempts made.");
const RETRIES: Descriptor =
    Descriptor::counter("aeth_policy_retries", "Attempts made after one that failed.");
const HEDGES: Descriptor = Descriptor::counter("aeth_policy_hedges", "Second requests for late reads.");
const HEDGES_WON: Descriptor =
    Descriptor::counter("aeth_policy_hedges_won", "Second requests that answered first.");
const REJECTED: Descriptor =
    Descriptor::counter("aeth_policy_rejected", "Attempts refused by the circuit breaker.");
const TIMEOUTS: Descriptor =
    Descriptor::counter("aeth_policy_timeouts", "Attempts and calls that ran out of time.");
const EXHAUSTED: Descriptor =
    Descriptor::counter("aeth_policy_exhausted", "Calls that failed after all their attempts.");
const OPENED: Descriptor = Descriptor::gauge("aeth_policy_breaker_state", "0: closed, 1: probing, 2: open.");
const RUNNING: Descriptor = Descriptor::gauge("aeth_policy_running", "Requests under way.");
const WAITING: Descriptor = Descriptor::gauge("aeth_policy_waiting", "Requests that wait for a slot.");
const DURATION: Descriptor =
    Descriptor::duration("aeth_policy_attempt_duration_seconds", "How long attempts took.");

#[derive(Debug, Default)]
pub(super) struct Instruments {
    pub(super) attempts: Counter,
    pub(super) retries: Counter,
    pub(super) hedges: Counter,
    pub(super) hedges_won: Counter,
    pub(super) rejected: Counter,
    pub(super) timeouts: Counter,
    pub(super) exhausted: Counter,
    pub(super) running: Gauge,
    pub(super) waiting: Gauge,
    pub(super) durations: Histogram,
}

impl Instruments {
    #[allow(clippy::cast_precision_loss, reason = "numbers of requests are far below 2^53")]
    pub(super) fn collect(&self, component: &str, breaker: BreakerState, out: &mut dyn Collector) {
        let labels = [("component", component)];
        for (descriptor, counter) in [
            (&ATTEMPTS, &self.attempts),
            (&RETRIES, &self.retries),
            (&HEDGES, &self.hedges),
            (&HEDGES_WON, &self.hedges_won),
            (&REJECTED, &self.rejected),
            (&TIMEOUTS, &self.timeouts),
            (&EXHAUSTED, &self.exhausted),
        ] {
            out.counter(descriptor, &labels, counter.get());
        }
        let state = match breaker {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        out.gauge(&OPENED, &labels, state);
        out.gauge(&RUNNING, &labels, self.running.get() as f64);
        out.gauge(&WAITING, &labels, self.waiting.get() as f64);
        out.histogram(&DURATION, &labels, &self.durations.snapshot());
    }
}

/// Raises a gauge as long as it lives.
pub(super) struct Raised<'a>(&'a Gauge);

impl<'a> Raised<'a> {
    pub(super) fn new(gauge: &'a Gauge) -> Self {
        gauge.add(1);
        Self(gauge)
    }
}

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
