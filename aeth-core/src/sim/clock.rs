//! A clock that the test owns.

use crate::Clock;
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A [`Clock`] that stands still until it is told to go on; clones are the same clock.
///
/// It starts at 2025-01-01 00:00:00 UTC with a monotonic time of zero.
///
/// ```
/// use aeth_core::{Clock, sim::MockClock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let clock = MockClock::new();
/// let year = Duration::from_secs(365 * 86_400);
/// clock.drive(clock.sleep(year)).await; // at once
/// assert_eq!(clock.monotonic(), year);
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MockClock(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    monotonic: Duration,
    /// What the wall clock was set off by, and whether backwards.
    step: (Duration, bool),
    next: u64,
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
}

/// 2025-01-01 00:00:00 UTC.
const START: Duration = Duration::from_secs(1_735_689_600);

impl MockClock {
    /// A clock that stands at its start.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same clock as a trait object.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Clock> {
        Arc::new(self.clone())
    }

    /// Lets time pass and wakes whoever sleeps no longer.
    pub fn advance(&self, time: Duration) {
        let woken = {
            let mut state = self.0.lock();
            state.monotonic = state.monotonic.saturating_add(time);
            state.take_due()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Lets time pass until the next sleeper wakes; false when nobody sleeps.
    pub fn advance_to_next(&self) -> bool {
        let woken = {
            let mut state = self.0.lock();
            let Some(next) = state.sleepers.keys().map(|(until, _)| *until).next() else {
                return false;
            };
            state.monotonic = state.monotonic.max(next);
            state.take_due()
        };
        woken.into_iter().for_each(Waker::wake);
        true
    }

    /// Sets the wall clock off by `step`, forwards, without letting monotonic time pass.
    pub fn step_forward(&self, step: Duration) {
        self.0.lock().step_by(step, false);
    }

    /// Sets the wall clock off by `step`, backwards, without letting monotonic time pass.
    pub fn step_back(&self, step: Duration) {
        self.0.lock().step_by(step, true);
    }

    /// How many sleep.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        self.0.lock().sleepers.len()
    }

    /// Runs `future` to its end, and lets time pass whenever it waits for nothing but this clock: whoever sleeps
    /// is woken in order as soon as all other tasks of the runtime have had their turns.
    ///
    /// # Cancel safety
    /// As cancel-safe as `future`.
    pub async fn drive<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut time = pin!(async {
            loop {
                // Enough turns for wake-ups to travel through a few tasks and channels.
                for _ in 0..32 {
                    tokio::task::yield_now().await;
                }
                if !self.advance_to_next() {
                    tokio::task::yield_now().await;
                }
            }
        });
        std::future::poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            // It never ends; polling it keeps its wake-up registered.
            let _: Poll<()> = time.as_mut().poll(context);
            Poll::Pending
        })
        .await
    }
}

impl State {
    fn take_due(&mut self) -> Vec<Waker> {
        let later = self.sleepers.split_off(&(self.monotonic, u64::MAX));
        std::mem::replace(&mut self.sleepers, later).into_values().flatten().collect()
    }

    fn step_by(&mut self, step: Duration, back: bool) {
        let (so_far, was_back) = self.step;
        self.step = match (was_back == back, so_far >= step) {
            (true, _) => (so_far.saturating_add(step), back),
            (false, true) => (so_far - step, was_back),
            (false, false) => (step - so_far, back),
        };
    }
}

#[async_trait]
impl Clock for MockClock {
    fn now(&self) -> SystemTime {
        let state = self.0.lock();
        let time = START.saturating_add(state.monotonic);
        let (step, back) = state.step;
        let since = if back { time.saturating_sub(step) } else { time.saturating_add(step) };
        // A test that lets more time pass than there is sees the clock at its origin.
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().monotonic
    }

    async fn sleep(&self, duration: Duration) {
        let place = {
            let mut state = self.0.lock();
            if duration.is_zero() {
                return;
            }
            let place = (state.monotonic.saturating_add(duration), state.next);
            state.next += 1;
            state.sleepers.insert(place, None);
            place
        };
        Sleep { clock: self, place }.await;
    }
}

struct Sleep<'a> {
    clock: &'a MockClock,
    place: (Duration, u64),
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match self.clock.0.lock().sleepers.get_mut(&self.place) {
            Some(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        self.clock.0.lock().sleepers.remove(&self.place);
    }
}

impl fmt::Debug for MockClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("MockClock")
            .field("monotonic", &state.monotonic)
            .field("sleepers", &state.sleepers.len())
            .finish()
    }
}
