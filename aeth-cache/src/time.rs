//! The time on the hit path.

use aeth_core::{Clock, SystemClock};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

/// How far the coarse time may lag behind.
const TICK: Duration = Duration::from_millis(5);
/// After this many ticks the ticker sleeps until somebody asks for the time again.
const TICKS_BEFORE_SLEEP: u32 = 200;
/// Set in the shared time while the ticker sleeps.
const ASLEEP: u64 = 1 << 63;

/// Monotonic milliseconds that cost one relaxed load: reading the machine's clock takes as long as the whole
/// look-up.
///
/// A thread refreshes the value, not a task: a runtime whose workers are all busy must not stop the time. It
/// sleeps when nobody has asked for about a second, so that an idle process stays idle.
pub(crate) struct CoarseClock {
    clock: Arc<dyn Clock>,
    ticker: Option<Arc<Ticker>>,
}

struct Ticker {
    clock: SystemClock,
    now: AtomicU64,
    thread: OnceLock<Thread>,
}

impl CoarseClock {
    /// The machine's clock, read every few milliseconds. Where no thread can be had, it is read each time.
    pub(crate) fn ticking() -> Self {
        let clock = SystemClock::new();
        let ticker = Arc::new(Ticker { clock, now: AtomicU64::new(ASLEEP), thread: OnceLock::new() });
        let weak = Arc::downgrade(&ticker);
        let spawned = thread::Builder::new().name("aeth-cache-tick".into()).spawn(move || Ticker::run(&weak));
        let ticker = spawned.ok().and_then(|handle| {
            ticker.thread.set(handle.thread().clone()).ok()?;
            Some(ticker)
        });
        Self { clock: Arc::new(clock), ticker }
    }

    /// `clock` itself, read each time.
    pub(crate) fn exact(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ticker: None }
    }

    /// The clock behind it.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Milliseconds since the clock's origin, at most a tick or two late.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match &self.ticker {
            Some(ticker) => {
                let now = ticker.now.load(Relaxed);
                if now & ASLEEP == 0 { now } else { ticker.wake() }
            }
            None => self.exact_now(),
        }
    }

    /// Milliseconds since the clock's origin, read from the clock itself.
    pub(crate) fn exact_now(&self) -> u64 {
        millis(self.clock.monotonic())
    }
}

impl Ticker {
    #[cold]
    fn wake(&self) -> u64 {
        let now = millis(self.clock.monotonic());
        self.now.store(now, Relaxed);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        now
    }

    fn run(ticker: &Weak<Self>) {
        loop {
            for _ in 0..TICKS_BEFORE_SLEEP {
                thread::sleep(TICK);
                let Some(ticker) = ticker.upgrade() else { return };
                ticker.now.store(millis(ticker.clock.monotonic()), Relaxed);
            }
            match ticker.upgrade() {
                Some(ticker) => ticker.now.fetch_or(ASLEEP, Relaxed),
                None => return,
            };
            loop {
                thread::park();
                match ticker.upgrade() {
                    // A spurious wake-up.
                    Some(ticker) if ticker.now.load(Relaxed) & ASLEEP != 0 => {}
                    Some(_) => break,
                    None => return,
                }
            }
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // The parked thread finds its weak reference dead and ends.
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

impl fmt::Debug for CoarseClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoarseClock").field("ticking", &self.ticker.is_some()).finish_non_exhaustive()
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ticker_advances_sleeps_and_wakes() {
        let clock = CoarseClock::ticking();
        let first = clock.now();
        thread::sleep(Duration::from_millis(60));
        assert!(clock.now() >= first + 30);
        // Past the ticker's bed time the next reading is exact again.
        thread::sleep(TICK * TICKS_BEFORE_SLEEP + Duration::from_millis(400));
        let late = clock.now();
        assert!(late + 50 >= clock.exact_now(), "the time stood still while the ticker slept");
    }
}
