//! Limits of time for many calls at once.
//!
//! A timer for each call of a tier costs a good part of what the call itself costs, and hardly one ever goes off. All
//! calls of a tier have the same limit: the first that was made is the first whose time is up. So they stand in one
//! queue, and whoever ticks looks at its front.

use super::{Ticker, millis};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Sets alarms that go off the same time after they are set, never early and a few ticks late.
pub(crate) struct Alarms {
    waiting: Arc<Waiting>,
    ticker: Arc<Ticker>,
    after: u64,
}

/// An alarm that is set, until it is dropped.
pub(crate) struct Alarm<'a> {
    waiting: &'a Waiting,
    number: u64,
}

/// The alarms that are set, in the order in which they go off.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// The number of the alarm at the front.
    first: u64,
    alarms: VecDeque<Entry>,
}

struct Entry {
    /// Milliseconds of the clock.
    due: u64,
    /// Whom to wake; `None` once it has gone off or was dropped.
    waker: Option<Waker>,
}

impl Alarms {
    pub(super) fn new(waiting: Arc<Waiting>, ticker: Arc<Ticker>, after: Duration) -> Self {
        Self { waiting, ticker, after: millis(after) }
    }

    /// Sets one for a call that began at this time of the clock.
    pub(crate) fn set(&self, began: Duration, context: &Context<'_>) -> Alarm<'_> {
        // Both times are cut to whole milliseconds.
        let due = millis(began).saturating_add(self.after).saturating_add(1);
        let number = {
            let mut queue = self.waiting.0.lock();
            // Callers may come here in another order than they began in.
            let due = queue.alarms.back().map_or(due, |last| due.max(last.due));
            queue.alarms.push_back(Entry { due, waker: Some(context.waker().clone()) });
            queue.first + queue.alarms.len() as u64 - 1
        };
        self.ticker.keep_awake();
        Alarm { waiting: &self.waiting, number }
    }
}

impl Alarm<'_> {
    /// Ready once it has gone off.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<()> {
        match self.waiting.0.lock().get(self.number) {
            Some(Entry { waker: Some(waker), .. }) => {
                if !waker.will_wake(context.waker()) {
                    waker.clone_from(context.waker());
                }
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        let waker = {
            let mut queue = self.waiting.0.lock();
            let waker = queue.get(self.number).and_then(|entry| entry.waker.take());
            queue.forget();
            waker
        };
        // Not under the lock: it may be the last reference to a task.
        drop(waker);
    }
}

impl Waiting {
    /// Lets those go off whose time has come; true while others are set.
    pub(super) fn ring(&self, now: u64) -> bool {
        let (wakers, set) = {
            let mut queue = self.0.lock();
            let due = queue.alarms.iter().take_while(|entry| entry.due <= now).count();
            let wakers: Vec<Waker> =
                queue.alarms.iter_mut().take(due).filter_map(|entry| entry.waker.take()).collect();
            queue.forget();
            (wakers, !queue.alarms.is_empty())
        };
        wakers.into_iter().for_each(Waker::wake);
        set
    }
}

impl Queue {
    fn get(&mut self, number: u64) -> Option<&mut Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.alarms.get_mut(index)
    }

    /// Takes away those at the front that nobody waits for.
    fn forget(&mut self) {
        while self.alarms.front().is_some_and(|entry| entry.waker.is_none()) {
            self.alarms.pop_front();
            self.first += 1;
        }
    }
}

impl fmt::Debug for Alarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarms").field("after", &self.after).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::CoarseClock;
    use std::future::poll_fn;

    const AFTER: Duration = Duration::from_millis(150);

    async fn wait(alarms: &Alarms, clock: &CoarseClock) {
        let mut alarm = None;
        poll_fn(|context| match &alarm {
            Some(alarm) => Alarm::poll(alarm, context),
            None => {
                alarm = Some(alarms.set(clock.clock().monotonic(), context));
                Poll::Pending
            }
        })
        .await;
    }

    #[tokio::test]
    async fn alarms_go_off_and_not_early_however_many_there_are_and_however_long_nobody_asked() {
        let clock = CoarseClock::ticking();
        let alarms = clock.alarms(AFTER).unwrap();
        // The ticker goes to sleep after a second.
        for pause in [0, 1300] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let began = clock.clock().monotonic();
            let many = (0..100).map(|_| wait(&alarms, &clock));
            futures_util::future::join_all(many).await;
            assert!(clock.clock().monotonic() >= began + AFTER);
            assert!(alarms.waiting.0.lock().alarms.is_empty());
        }
    }

    #[tokio::test]
    async fn a_dropped_alarm_wakes_nobody_and_leaves_nothing() {
        let clock = CoarseClock::ticking();
        let alarms = clock.alarms(AFTER).unwrap();
        let now = clock.clock().monotonic();
        let [first, second, third] = poll_fn(|context| {
            Poll::Ready([alarms.set(now, context), alarms.set(now, context), alarms.set(now, context)])
        })
        .await;
        drop(second);
        assert_eq!(alarms.waiting.0.lock().alarms.len(), 3, "it is not the first");
        drop(first);
        assert_eq!(alarms.waiting.0.lock().alarms.len(), 1);
        poll_fn(|context| Alarm::poll(&third, context)).await;
        assert!(alarms.waiting.0.lock().alarms.is_empty());
        drop(third);
    }

    #[tokio::test]
    async fn an_alarm_that_moves_to_another_task_wakes_that_one() {
        let clock = CoarseClock::ticking();
        let alarms = clock.alarms(AFTER).unwrap();
        let mut waiting = Box::pin(wait(&alarms, &clock));
        assert!(futures_util::future::poll_immediate(&mut waiting).await.is_none());
        assert!(futures_util::future::poll_immediate(&mut waiting).await.is_none());
        waiting.await;
    }

    #[test]
    fn short_times_are_left_to_timers() {
        assert!(CoarseClock::ticking().alarms(Duration::from_millis(20)).is_none());
        let exact = CoarseClock::exact(aeth_core::SystemClock::shared());
        assert!(exact.alarms(AFTER).is_none());
    }
}
