//! Stops statements: their time ran out, or their caller went away.

use aeth_core::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Virtual-machine steps between two looks: some 10 µs, so that a look costs nothing.
pub(super) const STEPS: i32 = 2000;

/// What the engine asks while a statement runs; one for each connection.
#[derive(Debug)]
pub(super) struct Control {
    clock: Arc<dyn Clock>,
    /// Monotonic nanoseconds; `u64::MAX` for none.
    deadline: AtomicU64,
    stop: AtomicBool,
}

impl Control {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, deadline: AtomicU64::new(u64::MAX), stop: AtomicBool::new(false) })
    }

    /// Sets until when the next statement may run.
    pub(super) fn limit(&self, until: Option<Duration>) {
        let nanoseconds = until.map_or(u64::MAX, |until| u64::try_from(until.as_nanos()).unwrap_or(u64::MAX));
        self.deadline.store(nanoseconds, Relaxed);
    }

    /// Stops whatever runs, or lets the next run.
    pub(super) fn stop(&self, stop: bool) {
        self.stop.store(stop, Relaxed);
    }

    /// Whether the statement may go on.
    pub(super) fn may_go_on(&self) -> bool {
        if self.stop.load(Relaxed) {
            return false;
        }
        let deadline = self.deadline.load(Relaxed);
        deadline == u64::MAX || self.clock.monotonic().as_nanos() < u128::from(deadline)
    }
}
