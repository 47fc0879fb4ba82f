//! Calls with a limit, and what they leave behind when it passes.
//!
//! A guard deep inside of a call must know why the call was dropped: because it took too long, which speaks against
//! the tier, or because whoever wanted the answer went away, which does not. And a call that must not be refused by
//! a breaker (the replay of removals) must be known as one. Both are facts about the call as a whole, and its parts
//! see them through the thread that polls or drops them.

use crate::time::{Alarm, Alarms};
use aeth_core::{Clock, Error, Result};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

thread_local! {
    static TIMED_OUT: Cell<bool> = const { Cell::new(false) };
    static URGENT: Cell<bool> = const { Cell::new(false) };
}

/// True while calls are dropped because their limit has passed.
pub(super) fn is_timed_out() -> bool {
    TIMED_OUT.get()
}

/// True while a call is polled that no breaker may refuse.
pub(super) fn is_urgent() -> bool {
    URGENT.get()
}

/// Sets a flag of this thread until it is dropped.
struct Set(&'static std::thread::LocalKey<Cell<bool>>, bool);

impl Set {
    fn to(flag: &'static std::thread::LocalKey<Cell<bool>>, value: bool) -> Self {
        Self(flag, flag.replace(value))
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        self.0.set(self.1);
    }
}

/// Runs a call for at most `limit`. A call that is ready at once costs no timer.
///
/// The call is `Unpin` (calls of a tier are boxed), so that it can be dropped before this returns.
pub(crate) async fn timed<F>(clock: &dyn Clock, limit: Duration, mut call: F) -> Result<F::Output>
where
    F: Future + Send + Unpin,
{
    let first = poll_fn(|context| Poll::Ready(Pin::new(&mut call).poll(context))).await;
    if let Poll::Ready(output) = first {
        return Ok(output);
    }
    {
        let mut sleep = pin!(clock.sleep(limit));
        let output = poll_fn(|context| {
            if let Poll::Ready(output) = Pin::new(&mut call).poll(context) {
                return Poll::Ready(Some(output));
            }
            sleep.as_mut().poll(context).map(|()| None)
        });
        if let Some(output) = output.await {
            return Ok(output);
        }
    }
    Err(late(limit, call))
}

/// The same by an alarm, for a call that begins at `began`.
pub(super) async fn alarmed<F>(
    alarms: &Alarms,
    began: Duration,
    limit: Duration,
    mut call: F,
) -> Result<F::Output>
where
    F: Future + Send + Unpin,
{
    {
        let mut alarm = None;
        let output = poll_fn(|context| {
            if let Poll::Ready(output) = Pin::new(&mut call).poll(context) {
                return Poll::Ready(Some(output));
            }
            match &alarm {
                Some(alarm) => Alarm::poll(alarm, context).map(|()| None),
                None => {
                    alarm = Some(alarms.set(began, context));
                    Poll::Pending
                }
            }
        });
        if let Some(output) = output.await {
            return Ok(output);
        }
    }
    Err(late(limit, call))
}

/// Drops a call as one that took too long.
fn late<F>(limit: Duration, call: F) -> Error {
    {
        let _set = Set::to(&TIMED_OUT, true);
        drop(call);
    }
    Error::timeout(format!("no answer within {limit:?}"))
}

/// Runs a call that no breaker refuses.
pub(crate) async fn urgent<F: Future>(call: F) -> F::Output {
    let mut call = pin!(call);
    poll_fn(|context| {
        let _set = Set::to(&URGENT, true);
        call.as_mut().poll(context)
    })
    .await
}
