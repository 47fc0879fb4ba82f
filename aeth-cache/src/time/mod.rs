//! The time on the hit path.

mod alarms;

pub(crate) use alarms::{Alarm, Alarms};

use aeth_core::{Clock, ClockExt, SystemClock};
use alarms::Waiting;
use parking_lot::Mutex;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

/// How far the coarse time may lag behind.
const TICK: Duration = Duration::from_millis(5);
/// After this many ticks the ticker sleeps until somebody asks for the time again.
const TICKS_BEFORE_SLEEP: u32 = 200;
/// Times of fewer ticks are not worth an alarm that may come a tick or two late.
const LEAST_TICKS: u32 = 20;
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
    /// What is added to `now` for milliseconds since the Unix epoch.
    ahead: AtomicU64,
    thread: OnceLock<Thread>,
    alarms: Mutex<Vec<Weak<Waiting>>>,
}

impl CoarseClock {
    /// The machine's clock, read every few milliseconds. Where no thread can be had, it is read each time.
    pub(crate) fn ticking() -> Self {
        let clock = SystemClock::new();
        let ticker = Arc::new(Ticker {
            clock,
            now: AtomicU64::new(ASLEEP),
            // From the start, because who sees the first time need not see what was stored beside it.
            ahead: AtomicU64::new(clock.unix_millis().wrapping_sub(millis(clock.monotonic()))),
            thread: OnceLock::new(),
            alarms: Mutex::default(),
        });
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

    /// The same, and as milliseconds since the Unix epoch.
    pub(crate) fn moment(&self) -> (u64, u64) {
        let now = self.now();
        match &self.ticker {
            Some(ticker) => (now, now.wrapping_add(ticker.ahead.load(Relaxed))),
            None => (now, self.clock.unix_millis()),
        }
    }

    /// Alarms that all go off the same time after they are set, a few ticks late; `None` where that is too coarse for
    /// the time, or nothing ticks.
    pub(crate) fn alarms(&self, after: Duration) -> Option<Alarms> {
        let ticker = self.ticker.as_ref().filter(|_| after >= TICK * LEAST_TICKS)?;
        let waiting = Arc::new(Waiting::default());
        ticker.alarms.lock().push(Arc::downgrade(&waiting));
        Some(Alarms::new(waiting, Arc::clone(ticker), after))
    }

    /// Milliseconds since the clock's origin, read from the clock itself.
    pub(crate) fn exact_now(&self) -> u64 {
        millis(self.clock.monotonic())
    }
}

impl Ticker {
    #[cold]
    fn wake(&self) -> u64 {
        let now = self.read();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
        now
    }

    /// Sees to it that it ticks, for an alarm that was just set.
    fn keep_awake(&self) {
        if self.now.load(SeqCst) & ASLEEP != 0 {
            self.wake();
        }
    }

    /// Reads the clock, for whoever asks next.
    fn read(&self) -> u64 {
        let now = millis(self.clock.monotonic());
        // First, as it is read: whoever sees the new time adds at worst what a step of the clock has changed since.
        self.ahead.store(self.clock.unix_millis().wrapping_sub(now), Relaxed);
        self.now.store(now, SeqCst);
        now
    }

    /// Lets the alarms go off whose time has come; true while others are set.
    fn ring(&self, now: u64) -> bool {
        let mut set = false;
        self.alarms.lock().retain(|waiting| match waiting.upgrade() {
            Some(waiting) => {
                set |= waiting.ring(now);
                true
            }
            None => false,
        });
        set
    }

    fn run(ticker: &Weak<Self>) {
        loop {
            let mut set = true;
            while set {
                for _ in 0..TICKS_BEFORE_SLEEP {
                    thread::sleep(TICK);
                    let Some(ticker) = ticker.upgrade() else { return };
                    let now = ticker.read();
                    set = ticker.ring(now);
                }
            }
            match ticker.upgrade() {
                Some(ticker) => {
                    let now = ticker.now.fetch_or(ASLEEP, SeqCst);
                    // Whoever has set one in between may have taken the ticker for awake.
                    if ticker.ring(now) {
                        ticker.read();
                        continue;
                    }
                }
                None => return,
            }
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
