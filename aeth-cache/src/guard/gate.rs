//! The circuit breaker of a tier.
//!
//! It counts as the family's breaker does ([`BreakerSettings`]), with one difference: whether it is open is one
//! atomic load, because a reader that has a stale value asks that on its fast path.

use super::timed::{is_timed_out, is_urgent};
use crate::time::millis;
use aeth_core::policy::{BreakerSettings, BreakerState};
use aeth_core::{Clock, Error, Result, Retry};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Told when the breaker opens, lets a probe through, closes.
pub(crate) type OnChange = Box<dyn Fn(BreakerState) + Send + Sync>;

pub(crate) struct Gate {
    settings: Option<BreakerSettings>,
    clock: Arc<dyn Clock>,
    /// Until when it is open, in milliseconds of the clock; 0: closed.
    open_until: AtomicU64,
    inner: Mutex<Inner>,
    on_change: std::sync::OnceLock<OnChange>,
}

#[derive(Debug)]
struct Inner {
    /// The last outcomes, newest in the lowest bit: 1 is a failure.
    outcomes: u64,
    count: u32,
    probing: bool,
    /// How long it opens the next time.
    open: Duration,
}

/// A call that was let through.
pub(crate) struct Pass<'a> {
    gate: &'a Gate,
    probe: bool,
    settled: bool,
}

impl Gate {
    pub(crate) fn new(settings: Option<BreakerSettings>, clock: Arc<dyn Clock>) -> Self {
        let open = settings.unwrap_or_default().open;
        let inner = Inner { outcomes: 0, count: 0, probing: false, open };
        Self {
            settings,
            clock,
            open_until: AtomicU64::new(0),
            inner: Mutex::new(inner),
            on_change: std::sync::OnceLock::new(),
        }
    }

    /// Calls `tell` on each change from now on; only the first that asks is told.
    pub(crate) fn on_change(&self, tell: OnChange) {
        drop(self.on_change.set(tell));
    }

    /// True while calls are refused.
    #[inline]
    pub(crate) fn is_open(&self, now: u64) -> bool {
        let until = self.open_until.load(Ordering::Relaxed);
        until != 0 && now < until
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.open_until.load(Ordering::Relaxed) {
            0 => BreakerState::Closed,
            until if millis(self.clock.monotonic()) < until => BreakerState::Open,
            _ => BreakerState::HalfOpen,
        }
    }

    /// Lets a call through, or refuses it.
    pub(super) fn enter(&self) -> Result<Pass<'_>> {
        let pass = |probe| Ok(Pass { gate: self, probe, settled: false });
        let until = self.open_until.load(Ordering::Acquire);
        if until == 0 {
            return pass(false);
        }
        let now = millis(self.clock.monotonic());
        let mut inner = self.inner.lock();
        if is_urgent() {
            // Its outcome is as good as a probe's, and it waits for none.
            inner.probing = true;
            return pass(true);
        }
        if now < until || inner.probing {
            let left = Duration::from_millis(until.saturating_sub(now));
            return Err(Error::unavailable(format!(
                "the circuit breaker is open, for another {left:?} at least"
            ))
            .with_retry(Retry::Exhausted)
            .with_remedy("see the errors before it: too many of the last calls failed"));
        }
        inner.probing = true;
        drop(inner);
        self.tell(BreakerState::HalfOpen);
        pass(true)
    }

    fn tell(&self, state: BreakerState) {
        if let Some(tell) = self.on_change.get() {
            tell(state);
        }
    }

    fn settle(&self, probe: bool, failed: bool) {
        let Some(settings) = &self.settings else { return };
        let mut inner = self.inner.lock();
        let closed = self.open_until.load(Ordering::Relaxed) == 0;
        let changed = if probe {
            inner.probing = false;
            if failed {
                self.open(&mut inner, settings);
                BreakerState::Open
            } else {
                *inner = Inner { outcomes: 0, count: 0, probing: false, open: settings.open };
                self.open_until.store(0, Ordering::Release);
                if closed {
                    return;
                }
                BreakerState::Closed
            }
        } else {
            // A straggler from before it opened says nothing new.
            if !closed || !inner.note(settings, failed) {
                return;
            }
            self.open(&mut inner, settings);
            BreakerState::Open
        };
        drop(inner);
        self.tell(changed);
    }

    fn open(&self, inner: &mut Inner, settings: &BreakerSettings) {
        let until = self.clock.monotonic().saturating_add(inner.open);
        inner.open = inner.open.saturating_mul(2).min(settings.open_cap);
        self.open_until.store(millis(until).max(1), Ordering::Release);
    }
}

impl Inner {
    /// Notes an outcome; true when it is time to open.
    fn note(&mut self, settings: &BreakerSettings, failed: bool) -> bool {
        let window = settings.window.clamp(1, 64);
        let mask = u64::MAX >> (64 - window);
        self.outcomes = (self.outcomes << 1 | u64::from(failed)) & mask;
        self.count = (self.count + 1).min(window);
        let enough = self.count >= settings.least.min(window);
        let failures = f64::from(self.outcomes.count_ones());
        failed && enough && failures >= f64::from(self.count) * settings.ratio
    }
}

impl Pass<'_> {
    /// Tells how it went.
    pub(super) fn settle(mut self, failed: bool) {
        self.settled = true;
        self.gate.settle(self.probe, failed);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if is_timed_out() {
            self.gate.settle(self.probe, true);
        } else if self.probe {
            // Whoever asked went away: the next one probes.
            self.gate.inner.lock().probing = false;
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("settings", &self.settings).field("state", &self.state()).finish()
    }
}
