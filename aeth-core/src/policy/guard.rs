//! The one right order.

use super::backoff::Backoff;
use super::breaker::Breaker;
use super::hedge::Hedge;
use super::instruments::{Instruments, Raised};
use super::{BreakerState, Policy};
use crate::observe::{Collector, MetricsSource};
use crate::{Clock, ClockExt, Error, ErrorKind, Result, Retry};
use futures_util::future::{BoxFuture, Either, select};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What a call is like, which decides how it may be made.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CallKind {
    /// Its name for messages.
    pub operation: &'static str,
    /// What may be done after a failure.
    pub repeat: Repeat,
    /// Whether a second request may be sent while the first is under way.
    pub hedge: bool,
    /// Time on top of attempt timeout and deadline, for the transfer of a body.
    pub extra: Duration,
}

/// What may be done after a transient failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repeat {
    /// The call is made once: its input is used up.
    Never,
    /// It is made again when it was refused (`Busy`), but not when it may have taken effect.
    IfRefused,
    /// It is made again after any transient failure: doing it twice is doing it once.
    Always,
}

impl CallKind {
    /// A read: repeated and hedged.
    #[must_use]
    pub fn read(operation: &'static str) -> Self {
        Self { operation, repeat: Repeat::Always, hedge: true, extra: Duration::ZERO }
    }

    /// A write that may be done twice: repeated, not hedged.
    #[must_use]
    pub fn idempotent(operation: &'static str) -> Self {
        Self { hedge: false, ..Self::read(operation) }
    }

    /// A write that must not be done twice: repeated only when it was refused.
    #[must_use]
    pub fn once(operation: &'static str) -> Self {
        Self { repeat: Repeat::IfRefused, ..Self::idempotent(operation) }
    }

    /// Sets what may be done after a failure.
    #[must_use]
    pub fn with_repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// Allows more time, for the transfer of a body.
    #[must_use]
    pub fn with_extra(mut self, extra: Duration) -> Self {
        self.extra = extra;
        self
    }
}

/// Applies a [`Policy`] to the calls of one component. Clones share breaker, slots, budget and instruments.
///
/// The wrappers [`PolicyStore`](super::PolicyStore), [`PolicyTier`](super::PolicyTier) and
/// [`PolicySink`](super::PolicySink) do so for whole contracts; adapters with calls of their own use it directly.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    component: String,
    policy: Policy,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    breaker: Option<Breaker>,
    slots: Option<Semaphore>,
    hedge: Option<Hedge>,
    instruments: Instruments,
}

impl Guard {
    /// A guard for the component of this name, which must be of low cardinality: it labels the metrics.
    #[must_use]
    pub fn new(component: impl Into<String>, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            component: component.into(),
            backoff: Backoff::new(policy.retries, policy.seed),
            breaker: policy.breaker.map(|settings| Breaker::new(settings, Arc::clone(&clock))),
            slots: policy.concurrency.map(|slots| Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS))),
            hedge: policy.hedge.map(Hedge::new),
            instruments: Instruments::default(),
            policy,
            clock,
        }))
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// The state of the circuit breaker; closed where there is none.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.0.breaker.as_ref().map_or(BreakerState::Closed, Breaker::state)
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Makes a call: `attempt` gives the future of each request, and is told the number of the attempt (from 1).
    ///
    /// # Errors
    /// Those of the last attempt, marked [`Retry::Exhausted`] when they were transient; `Unavailable` while the
    /// breaker is open; `Timeout` when the deadline passes, with the last attempt's error as its source.
    ///
    /// # Cancel safety
    /// As cancel-safe as the attempts.
    pub async fn call<'a, T: Send>(
        &'a self,
        kind: CallKind,
        attempt: impl Fn(u32) -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let last = Mutex::new(None);
        let retried = self.retried(kind, &attempt, &last);
        let Some(deadline) = self.0.policy.deadline else {
            return retried.await;
        };
        let limit = deadline.saturating_add(kind.extra);
        match self.0.clock.timeout(limit, retried).await {
            Ok(result) => result,
            Err(_) => {
                self.0.instruments.timeouts.increment();
                self.0.instruments.exhausted.increment();
                let error = Error::timeout(format!("the deadline of {limit:?} passed"))
                    .with_retry(Retry::Exhausted)
                    .with_operation(kind.operation)
                    .with_component(self.0.component.clone());
                Err(match last.lock().take() {
                    Some(cause) => error.with_source(cause),
                    None => error,
                })
            }
        }
    }

    async fn retried<'a, T: Send>(
        &'a self,
        kind: CallKind,
        attempt: &(impl Fn(u32) -> BoxFuture<'a, Result<T>> + Send + Sync),
        last: &Mutex<Option<Error>>,
    ) -> Result<T> {
        let inner = &*self.0;
        let start = inner.clock.monotonic();
        let mut number = 1;
        loop {
            // Boxed: beside a request to an engine an allocation is nothing, and callers' futures stay small.
            let error = match Box::pin(self.broken(kind, number, attempt)).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let Retry::After(asked) = error.retry() else {
                return Err(error);
            };
            let pause = inner.backoff.pause(number, asked);
            let passed = inner.clock.monotonic().saturating_sub(start);
            let deadline = inner.policy.deadline.map(|limit| limit.saturating_add(kind.extra));
            let late = deadline.is_some_and(|limit| passed.saturating_add(pause) >= limit);
            let allowed = match kind.repeat {
                Repeat::Always => true,
                Repeat::IfRefused => error.kind() == ErrorKind::Busy,
                Repeat::Never => false,
            };
            if !allowed {
                // Nobody below has repeated it, but nobody above may either: it may have taken effect.
                let over = kind.repeat == Repeat::IfRefused;
                return Err(if over { error.with_retry(Retry::Exhausted) } else { error });
            }
            if late || number >= inner.policy.retries.attempts.max(1) {
                inner.instruments.exhausted.increment();
                return Err(error.with_retry(Retry::Exhausted));
            }
            tracing::debug!(component = %inner.component, operation = kind.operation, number, %error, "trying again");
            *last.lock() = Some(error);
            inner.clock.sleep(pause).await;
            inner.instruments.retries.increment();
            number += 1;
        }
    }

    async fn broken<'a, T: Send>(
        &'a self,
        kind: CallKind,
        number: u32,
        attempt: &(impl Fn(u32) -> BoxFuture<'a, Result<T>> + Send + Sync),
    ) -> Result<T> {
        let Some(breaker) = &self.0.breaker else {
            return self.hedged(kind, number, attempt).await;
        };
        let pass = breaker.enter().map_err(|error| {
            self.0.instruments.rejected.increment();
            error.with_operation(kind.operation).with_component(self.0.component.clone())
        })?;
        let result = self.hedged(kind, number, attempt).await;
        pass.settle(&result);
        result
    }

    async fn hedged<'a, T: Send>(
        &'a self,
        kind: CallKind,
        number: u32,
        attempt: &(impl Fn(u32) -> BoxFuture<'a, Result<T>> + Send + Sync),
    ) -> Result<T> {
        let inner = &*self.0;
        inner.instruments.attempts.increment();
        let Some(hedge) = inner.hedge.as_ref().filter(|_| kind.hedge && number == 1) else {
            return self.slotted(kind, attempt(number)).await;
        };
        hedge.earn();
        let start = inner.clock.monotonic();
        let mut first = pin!(self.slotted(kind, attempt(number)));
        let late = inner.clock.sleep(hedge.delay());
        let result = match select(first.as_mut(), late).await {
            Either::Left((result, _)) => result,
            // In a brown-out more requests only add to it.
            Either::Right(_) => match self.spare().filter(|_| hedge.spend()) {
                None => first.await,
                Some(permit) => {
                    inner.instruments.hedges.increment();
                    let second = pin!(async {
                        let _held = permit;
                        self.timed(kind, attempt(number)).await
                    });
                    self.race(first, second).await
                }
            },
        };
        if result.is_ok() {
            hedge.record(inner.clock.monotonic().saturating_sub(start));
        }
        result
    }

    /// The first success of two, or the last failure.
    async fn race<T>(
        &self,
        first: impl Future<Output = Result<T>> + Unpin,
        second: impl Future<Output = Result<T>> + Unpin,
    ) -> Result<T> {
        match select(first, second).await {
            Either::Left((Ok(output), _)) => Ok(output),
            Either::Left((Err(_), second)) => {
                second.await.inspect(|_| self.0.instruments.hedges_won.increment())
            }
            Either::Right((Ok(output), _)) => {
                self.0.instruments.hedges_won.increment();
                Ok(output)
            }
            Either::Right((Err(_), first)) => first.await,
        }
    }

    /// A slot for a second request, when there is one to spare and nothing is wrong.
    fn spare(&self) -> Option<Option<tokio::sync::SemaphorePermit<'_>>> {
        if self.0.breaker.as_ref().is_some_and(|breaker| !breaker.is_calm()) {
            return None;
        }
        match &self.0.slots {
            Some(slots) => slots.try_acquire().ok().map(Some),
            None => Some(None),
        }
    }

    async fn slotted<T: Send>(&self, kind: CallKind, request: BoxFuture<'_, Result<T>>) -> Result<T> {
        let _slot = match &self.0.slots {
            Some(slots) => {
                let _waiting = Raised::new(&self.0.instruments.waiting);
                let slot = slots.acquire().await;
                Some(slot.map_err(|_| Error::closed("the guard is closed"))?)
            }
            None => None,
        };
        self.timed(kind, request).await
    }

    async fn timed<T: Send>(&self, kind: CallKind, request: BoxFuture<'_, Result<T>>) -> Result<T> {
        let inner = &*self.0;
        let _running = Raised::new(&inner.instruments.running);
        let start = inner.clock.monotonic();
        let result = match inner.policy.attempt_timeout {
            None => request.await,
            Some(limit) => match inner.clock.timeout(limit.saturating_add(kind.extra), request).await {
                Ok(result) => result,
                Err(error) => {
                    inner.instruments.timeouts.increment();
                    Err(error.with_operation(kind.operation).with_component(inner.component.clone()))
                }
            },
        };
        inner.instruments.durations.record_duration(inner.clock.monotonic().saturating_sub(start));
        result
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("component", &self.0.component)
            .field("policy", &self.0.policy)
            .field("breaker", &self.breaker_state())
            .finish_non_exhaustive()
    }
}

impl MetricsSource for Guard {
    fn component(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0.component)
    }

    fn collect(&self, out: &mut dyn Collector) {
        self.0.instruments.collect(&self.0.component, self.breaker_state(), out);
    }
}
