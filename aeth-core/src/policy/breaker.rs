//! The circuit breaker.

use super::BreakerSettings;
use crate::{Clock, Error, ErrorKind, Result, Retry};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Whether requests are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// All of them.
    Closed,
    /// One, as a probe.
    HalfOpen,
    /// None.
    Open,
}

#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// The last outcomes, newest in the lowest bit: 1 is a failure.
    outcomes: u64,
    count: u32,
    gate: Gate,
    /// How long it opens the next time.
    open: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Closed,
    OpenUntil(Duration),
    Probing,
}

/// A request that was let through. Dropped without a verdict (its caller went away) it counts for nothing, and a
/// probe makes room for the next one.
#[derive(Debug)]
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
    settled: bool,
}

impl Breaker {
    pub(super) fn new(settings: BreakerSettings, clock: Arc<dyn Clock>) -> Self {
        let inner = Inner { outcomes: 0, count: 0, gate: Gate::Closed, open: settings.open };
        Self { settings, clock, inner: Mutex::new(inner) }
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.inner.lock().gate {
            Gate::Closed => BreakerState::Closed,
            Gate::Probing => BreakerState::HalfOpen,
            Gate::OpenUntil(until) if self.clock.monotonic() >= until => BreakerState::HalfOpen,
            Gate::OpenUntil(_) => BreakerState::Open,
        }
    }

    /// True while nothing is wrong: closed, and few of the last requests failed.
    pub(super) fn is_calm(&self) -> bool {
        let inner = self.inner.lock();
        inner.gate == Gate::Closed && inner.outcomes.count_ones() * 10 <= inner.count
    }

    /// Lets a request through, or refuses it.
    pub(super) fn enter(&self) -> Result<Pass<'_>> {
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock();
        let probe = match inner.gate {
            Gate::Closed => false,
            Gate::OpenUntil(until) if now >= until => {
                inner.gate = Gate::Probing;
                true
            }
            Gate::OpenUntil(until) => return Err(refused(until.saturating_sub(now))),
            Gate::Probing => return Err(refused(Duration::ZERO)),
        };
        Ok(Pass { breaker: self, probe, settled: false })
    }

    fn settle(&self, probe: bool, failed: bool) {
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock();
        if probe {
            if failed {
                inner.gate = Gate::OpenUntil(now.saturating_add(inner.open));
                inner.open = inner.open.saturating_mul(2).min(self.settings.open_cap);
            } else {
                *inner = Inner { outcomes: 0, count: 0, gate: Gate::Closed, open: self.settings.open };
            }
            return;
        }
        if inner.gate != Gate::Closed {
            // A straggler from before it opened says nothing new.
            return;
        }
        let window = self.settings.window.clamp(1, 64);
        let mask = u64::MAX >> (64 - window);
        inner.outcomes = (inner.outcomes << 1 | u64::from(failed)) & mask;
        inner.count = (inner.count + 1).min(window);
        let failures = inner.outcomes.count_ones();
        let enough = inner.count >= self.settings.least.min(window);
        if failed && enough && f64::from(failures) >= f64::from(inner.count) * self.settings.ratio {
            inner.gate = Gate::OpenUntil(now.saturating_add(inner.open));
            inner.open = inner.open.saturating_mul(2).min(self.settings.open_cap);
        }
    }
}

fn refused(left: Duration) -> Error {
    Error::unavailable(format!("the circuit breaker is open, for another {left:?} at least"))
        .with_retry(Retry::Exhausted)
        .with_remedy("see the errors before it: too many of the last requests failed")
}

/// Whether an outcome speaks against the component: an answer of any other kind shows that it lives.
pub(super) fn is_failure(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

impl Pass<'_> {
    /// Tells how it went.
    pub(super) fn settle<T>(mut self, outcome: &Result<T>) {
        self.settled = true;
        self.breaker.settle(self.probe, outcome.as_ref().is_err_and(is_failure));
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.settled || !self.probe {
            return;
        }
        let mut inner = self.breaker.inner.lock();
        if inner.gate == Gate::Probing {
            inner.gate = Gate::OpenUntil(self.breaker.clock.monotonic());
        }
    }
}
