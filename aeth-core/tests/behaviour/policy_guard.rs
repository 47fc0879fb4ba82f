//! The guard applies a policy in its one order.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    clippy::clone_on_ref_ptr,
    reason = "a test crate"
)]

use aeth_core::policy::{
    BreakerSettings, BreakerState, CallKind, Guard, HedgeSettings, Policy, Repeat, Retries,
};
use aeth_core::sim::MockClock;
use aeth_core::{Clock, Error, ErrorKind, Result, Retry};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn unavailable() -> Error {
    Error::unavailable("down")
}

fn guard(policy: Policy, clock: &MockClock) -> Guard {
    Guard::new("test", policy.with_seed(7), clock.shared())
}

/// Makes a call whose attempts give these results in turn; gives its result and the number of attempts.
async fn call(guard: &Guard, kind: CallKind, results: &[Result<u32>]) -> (Result<u32>, u32) {
    let made = AtomicU32::new(0);
    let result = guard
        .call(kind, |number| {
            assert_eq!(made.fetch_add(1, SeqCst) + 1, number);
            let result = results[(number as usize - 1).min(results.len() - 1)].clone();
            Box::pin(async move { result })
        })
        .await;
    (result, made.load(SeqCst))
}

#[tokio::test]
async fn transient_failures_are_repeated_and_then_exhausted() {
    let clock = MockClock::new();
    let guard = guard(Policy::default().without_breaker(), &clock);
    let read = CallKind::read("get");
    let (result, made) =
        clock.drive(call(&guard, read, &[Err(unavailable()), Err(unavailable()), Ok(5)])).await;
    assert_eq!((result.unwrap(), made), (5, 3));
    let (result, made) = clock.drive(call(&guard, read, &[Err(unavailable())])).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.retry(), made), (ErrorKind::Unavailable, Retry::Exhausted, 4));
    for final_one in [Error::not_found("x"), unavailable().with_retry(Retry::Exhausted), Error::invalid("x")]
    {
        let (result, made) = clock.drive(call(&guard, read, &[Err(final_one.clone())])).await;
        assert_eq!((result.unwrap_err().kind(), made), (final_one.kind(), 1));
    }
}

#[tokio::test]
async fn stacked_guards_do_not_multiply_attempts() {
    let clock = MockClock::new();
    let (outer, inner) = (guard(Policy::default(), &clock), guard(Policy::default(), &clock));
    let made = Arc::new(AtomicU32::new(0));
    let result: Result<()> = clock
        .drive(outer.call(CallKind::read("get"), |_| {
            let made = Arc::clone(&made);
            let inner = &inner;
            Box::pin(async move {
                inner
                    .call(CallKind::read("get"), |_| {
                        made.fetch_add(1, SeqCst);
                        Box::pin(async { Err(unavailable()) })
                    })
                    .await
            })
        }))
        .await;
    assert_eq!(result.unwrap_err().retry(), Retry::Exhausted);
    assert_eq!(made.load(SeqCst), 4);
}

#[tokio::test]
async fn the_time_that_an_error_asks_for_is_waited() {
    let clock = MockClock::new();
    let guard = guard(Policy::default(), &clock);
    let busy = Error::new(ErrorKind::Busy, "slow down").with_retry(Retry::After(SECOND * 7));
    let (result, made) = clock.drive(call(&guard, CallKind::once("put"), &[Err(busy), Ok(1)])).await;
    assert_eq!((result.unwrap(), made), (1, 2));
    assert!(clock.monotonic() >= SECOND * 7 && clock.monotonic() < SECOND * 8, "{:?}", clock.monotonic());
}

#[tokio::test]
async fn what_may_have_taken_effect_is_not_repeated() {
    let clock = MockClock::new();
    let guard = guard(Policy::default(), &clock);
    for error in [unavailable(), Error::timeout("late")] {
        let (result, made) = clock.drive(call(&guard, CallKind::once("rename"), &[Err(error), Ok(1)])).await;
        assert_eq!((result.unwrap_err().retry(), made), (Retry::Exhausted, 1));
    }
    let never = CallKind::idempotent("put").with_repeat(Repeat::Never);
    let busy = Err(Error::new(ErrorKind::Busy, "busy"));
    assert_eq!(clock.drive(call(&guard, never, &[busy, Ok(1)])).await.1, 1);
}

#[tokio::test]
async fn an_attempt_that_hangs_is_cut_and_repeated() {
    let clock = MockClock::new();
    let guard = guard(Policy::default().with_attempt_timeout(SECOND), &clock);
    let result: Result<u32> = clock
        .drive(guard.call(CallKind::read("get"), |number| {
            Box::pin(async move {
                if number < 3 {
                    std::future::pending::<()>().await;
                }
                Ok(number)
            })
        }))
        .await;
    assert_eq!(result.unwrap(), 3);
    assert!(clock.monotonic() >= SECOND * 2);
}

#[tokio::test]
async fn the_deadline_bounds_everything_and_names_the_cause() {
    let clock = MockClock::new();
    let policy = Policy::default().with_attempt_timeout(SECOND * 4).with_deadline(SECOND * 6);
    let guard = guard(policy, &clock);
    let start = clock.monotonic();
    let result: Result<()> =
        clock.drive(guard.call(CallKind::read("get"), |_| Box::pin(std::future::pending()))).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Exhausted));
    assert!(clock.monotonic() - start <= SECOND * 6);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("no answer within 4s"), "{cause}");
    // A pause that would outlast the deadline is not begun.
    let start = clock.monotonic();
    let busy = Error::new(ErrorKind::Busy, "slow down").with_retry(Retry::After(SECOND * 60));
    let (result, made) = clock.drive(call(&guard, CallKind::read("get"), &[Err(busy)])).await;
    assert_eq!((result.unwrap_err().kind(), made), (ErrorKind::Busy, 1));
    assert_eq!(clock.monotonic(), start);
}

#[tokio::test]
async fn a_pause_holds_no_slot_and_waiting_is_not_the_attempts_time() {
    let clock = MockClock::new();
    let retries = Retries::default().with_attempts(2).with_backoff(SECOND * 5, SECOND * 5);
    let policy = Policy::none().with_concurrency(1).with_attempt_timeout(SECOND * 2).with_retries(retries);
    let guard = guard(policy, &clock);
    // The first fails at once and pauses; the second must get the slot meanwhile.
    let results = [Err(unavailable()), Ok(1)];
    let first = call(&guard, CallKind::read("get"), &results);
    let second = async {
        let result = call(&guard, CallKind::read("get"), &[Ok(2)]).await;
        (result, clock.monotonic())
    };
    let (first, (second, when)) = clock.drive(async { tokio::join!(first, second) }).await;
    assert_eq!((first.0.unwrap(), second.0.unwrap()), (1, 2));
    assert_eq!(when, Duration::ZERO, "the pause of the first held its slot");
    // Three calls of 1.5 seconds behind one slot: the last waits 3 seconds, more than an attempt may take.
    let slow = || {
        guard.call(CallKind::idempotent("get"), |_| {
            let clock = clock.clone();
            Box::pin(async move {
                clock.sleep(SECOND * 3 / 2).await;
                Ok(())
            })
        })
    };
    let (a, b, c) = clock.drive(async { tokio::join!(slow(), slow(), slow()) }).await;
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
}

#[tokio::test]
async fn the_concurrency_is_never_exceeded() {
    let clock = MockClock::new();
    let guard = guard(Policy::none().with_concurrency(3), &clock);
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let calls = (0..20).map(|_| {
        guard.call(CallKind::read("get"), |_| {
            let (now, most, clock) = (&now, &most, clock.clone());
            Box::pin(async move {
                most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                clock.sleep(SECOND).await;
                now.fetch_sub(1, SeqCst);
                Ok(())
            })
        })
    });
    let results = clock.drive(futures_util::future::join_all(calls)).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(most.load(SeqCst), 3);
    assert_eq!(clock.monotonic(), SECOND * 7);
}

fn breaking() -> Policy {
    let breaker = BreakerSettings::default().with_threshold(8, 4, 0.5).with_open(SECOND, SECOND * 4);
    Policy::none().with_breaker(breaker)
}

#[tokio::test]
async fn the_breaker_opens_probes_and_closes() {
    let clock = MockClock::new();
    let guard = guard(breaking(), &clock);
    let read = CallKind::read("get");
    for _ in 0..3 {
        assert_eq!(call(&guard, read, &[Err(unavailable())]).await.1, 1);
    }
    assert_eq!(guard.breaker_state(), BreakerState::Closed);
    call(&guard, read, &[Err(unavailable())]).await.0.unwrap_err();
    assert_eq!(guard.breaker_state(), BreakerState::Open);
    let (result, made) = call(&guard, read, &[Ok(1)]).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.retry(), made), (ErrorKind::Unavailable, Retry::Exhausted, 0));
    // A failed probe keeps it open, for twice as long.
    clock.advance(SECOND);
    assert_eq!(guard.breaker_state(), BreakerState::HalfOpen);
    assert_eq!(call(&guard, read, &[Err(unavailable())]).await.1, 1);
    assert_eq!(guard.breaker_state(), BreakerState::Open);
    clock.advance(SECOND);
    assert_eq!(guard.breaker_state(), BreakerState::Open);
    clock.advance(SECOND);
    assert_eq!(call(&guard, read, &[Ok(1)]).await.0.unwrap(), 1);
    assert_eq!(guard.breaker_state(), BreakerState::Closed);
    // It starts anew: one failure is not enough.
    call(&guard, read, &[Err(unavailable())]).await.0.unwrap_err();
    assert_eq!(guard.breaker_state(), BreakerState::Closed);
}

#[tokio::test]
async fn one_probe_at_a_time_and_a_dropped_one_makes_room() {
    let clock = MockClock::new();
    let guard = guard(breaking(), &clock);
    for _ in 0..4 {
        call(&guard, CallKind::read("get"), &[Err(unavailable())]).await.0.unwrap_err();
    }
    clock.advance(SECOND);
    {
        let hanging = guard.call(CallKind::read("get"), |_| Box::pin(std::future::pending::<Result<u32>>()));
        let mut hanging = std::pin::pin!(hanging);
        assert!(futures_util::poll!(hanging.as_mut()).is_pending());
        assert_eq!(
            call(&guard, CallKind::read("get"), &[Ok(1)]).await.1,
            0,
            "a second probe was let through"
        );
    }
    assert_eq!(call(&guard, CallKind::read("get"), &[Ok(1)]).await.0.unwrap(), 1);
    assert_eq!(guard.breaker_state(), BreakerState::Closed);
}

#[tokio::test]
async fn answers_of_other_kinds_do_not_open_the_breaker() {
    let clock = MockClock::new();
    let guard = guard(breaking(), &clock);
    for _ in 0..50 {
        call(&guard, CallKind::read("get"), &[Err(Error::not_found("x"))]).await.0.unwrap_err();
        call(&guard, CallKind::read("get"), &[Err(Error::new(ErrorKind::Busy, "x"))]).await.0.unwrap_err();
    }
    assert_eq!(guard.breaker_state(), BreakerState::Closed);
}

#[tokio::test]
async fn an_open_breaker_ends_the_retries() {
    let clock = MockClock::new();
    let guard = guard(breaking().with_retries(Retries::default().with_attempts(50)), &clock);
    let (result, made) = clock.drive(call(&guard, CallKind::read("get"), &[Err(unavailable())])).await;
    assert_eq!(
        (result.unwrap_err().retry(), made),
        (Retry::Exhausted, 4),
        "the breaker opens within one call"
    );
}

/// A call whose first request takes `first` and whose second takes nothing.
async fn late(guard: &Guard, clock: &MockClock, kind: CallKind, first: Duration) -> u32 {
    let requests = AtomicU32::new(0);
    let made = guard
        .call(kind, |_| {
            let request = requests.fetch_add(1, SeqCst);
            let clock = clock.clone();
            Box::pin(async move {
                if request == 0 {
                    clock.sleep(first).await;
                }
                Ok(())
            })
        })
        .await;
    made.unwrap();
    requests.load(SeqCst)
}

#[tokio::test]
async fn late_reads_are_hedged_within_the_budget() {
    let clock = MockClock::new();
    let hedge = HedgeSettings::default().with_after(SECOND).with_budget(0.05);
    let guard = guard(Policy::none().with_hedge(hedge), &clock);
    let read = CallKind::read("get");
    assert_eq!(clock.drive(late(&guard, &clock, read, SECOND * 5)).await, 1, "nothing is saved up yet");
    let mut hedged = 0;
    for n in 0..200 {
        let start = clock.monotonic();
        // One in eight is late: more than the budget, and no brown-out.
        let first = if n % 8 == 0 { SECOND * 5 } else { Duration::ZERO };
        let requests = clock.drive(late(&guard, &clock, read, first)).await;
        if requests == 2 {
            hedged += 1;
            assert!(clock.monotonic() - start < SECOND * 5, "the hedge did not answer first");
        }
    }
    assert!((1..=10).contains(&hedged), "{hedged} of 200 reads were hedged under a budget of 5 %");
    for kind in [CallKind::idempotent("put"), CallKind::once("rename")] {
        assert_eq!(clock.drive(late(&guard, &clock, kind, SECOND * 5)).await, 1, "only reads are hedged");
    }
    let mut hedged = 0;
    for _ in 0..200 {
        hedged += clock.drive(late(&guard, &clock, read, SECOND * 5)).await - 1;
    }
    assert!(hedged <= 2, "{hedged} of 200 reads were hedged in a brown-out");
}

#[tokio::test]
async fn hedges_take_a_slot_of_their_own_and_none_in_a_brown_out() {
    let clock = MockClock::new();
    let hedge = HedgeSettings::default().with_after(SECOND).with_budget(1.0);
    let read = CallKind::read("get");
    let one = guard(Policy::none().with_hedge(hedge).with_concurrency(1), &clock);
    assert_eq!(
        clock.drive(late(&one, &clock, read, SECOND * 5)).await,
        1,
        "a hedge exceeded the concurrency"
    );
    let breaker = BreakerSettings::default().with_threshold(16, 16, 1.0);
    let sick = guard(Policy::none().with_hedge(hedge).with_breaker(breaker), &clock);
    assert_eq!(clock.drive(late(&sick, &clock, read, SECOND * 5)).await, 2);
    for _ in 0..3 {
        clock.drive(call(&sick, read, &[Err(unavailable())])).await.0.unwrap_err();
    }
    assert_eq!(clock.drive(late(&sick, &clock, read, SECOND * 5)).await, 1, "hedged in a brown-out");
}

#[tokio::test]
async fn the_same_seed_pauses_the_same() {
    let mut ends = Vec::new();
    for _ in 0..2 {
        let clock = MockClock::new();
        let guard = guard(Policy::default(), &clock);
        clock.drive(call(&guard, CallKind::read("get"), &[Err(unavailable())])).await.0.unwrap_err();
        ends.push(clock.monotonic());
    }
    assert_eq!(ends[0], ends[1]);
    assert!(ends[0] > Duration::ZERO);
}

#[tokio::test]
async fn a_guard_is_a_source_of_metrics() {
    let clock = MockClock::new();
    let guard = guard(breaking(), &clock);
    let used = guard.clone();
    let source = Arc::new(guard);
    let subject = aeth_core::conformance::metrics_source::MetricsSubject::new(source).with_use(move || {
        let guard = used.clone();
        async move {
            drop(call(&guard, CallKind::read("get"), &[Err(unavailable())]).await);
        }
    });
    let report = subject.run().await;
    assert!(report.is_ok(), "{report}");
}
