//! The guard, as a tier around a tier.

use super::Gate;
use super::timed::{alarmed, timed};
use crate::time::{Alarms, CoarseClock};
use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierStatistics,
};
use aeth_core::observe::{Counter, Histogram};
use aeth_core::policy::BreakerSettings;
use aeth_core::{Clock, Error, ErrorKind, Key, Namespace, Result, Tag, async_trait};
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// How long a call may take, and when a tier counts as down.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) call: Duration,
    pub(crate) breaker: Option<BreakerSettings>,
}

impl Default for Limits {
    fn default() -> Self {
        // A tier that has come back is asked again within 5 seconds: a probe costs one caller its soft timeout.
        let breaker =
            BreakerSettings::default().with_open(Duration::from_millis(500), Duration::from_secs(5));
        Self { call: Duration::from_secs(1), breaker: Some(breaker) }
    }
}

/// What calls of a tier took and how they ended.
#[derive(Debug, Default)]
pub(crate) struct GuardStats {
    pub(crate) look_ups: Histogram,
    pub(crate) changes: Histogram,
    pub(crate) timeouts: Counter,
    pub(crate) refused: Counter,
}

/// A tier whose calls end in time and are refused while it is down. An answer that is ready at once costs no timer.
#[derive(Debug)]
pub(crate) struct GuardedTier {
    inner: Arc<dyn CacheTier>,
    clock: Arc<dyn Clock>,
    limit: Duration,
    /// In place of timers.
    alarms: Option<Alarms>,
    gate: Arc<Gate>,
    stats: Arc<GuardStats>,
}

impl GuardedTier {
    pub(crate) fn new(inner: Arc<dyn CacheTier>, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        let gate = Arc::new(Gate::new(limits.breaker, Arc::clone(&clock)));
        Self { inner, clock, limit: limits.call, alarms: None, gate, stats: Arc::default() }
    }

    /// The same, with alarms of this clock in place of timers.
    pub(crate) fn by_coarse(inner: Arc<dyn CacheTier>, limits: Limits, coarse: &CoarseClock) -> Self {
        let alarms = coarse.alarms(limits.call);
        Self { alarms, ..Self::new(inner, limits, Arc::clone(coarse.clock())) }
    }

    /// The answer for one key, in no box of its own.
    pub(crate) async fn ask_one(&self, namespace: &Namespace, key: &Key) -> Lookup {
        let asked = self.inner.get_one(namespace, key);
        match self.call(&self.stats.look_ups, asked, outage_of).await {
            Ok(answer) => answer,
            Err(error) => Lookup::Unavailable(error),
        }
    }

    /// How long a call may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    pub(crate) fn stats(&self) -> &Arc<GuardStats> {
        &self.stats
    }

    /// Makes a call; `failure` finds an outage in its answer.
    async fn call<T: Send>(
        &self,
        durations: &Histogram,
        call: impl Future<Output = T> + Send + Unpin,
        failure: fn(&T) -> Option<&Error>,
    ) -> Result<T> {
        let pass = self.gate.enter().map_err(|error| {
            self.stats.refused.increment();
            error.with_component(self.inner.name().into_owned())
        })?;
        let began = self.clock.monotonic();
        let result = match &self.alarms {
            Some(alarms) => alarmed(alarms, began, self.limit, call).await,
            None => timed(&*self.clock, self.limit, call).await,
        };
        durations.record_duration(self.clock.monotonic().saturating_sub(began));
        match result {
            Ok(answer) => {
                pass.settle(failure(&answer).is_some_and(is_outage));
                Ok(answer)
            }
            Err(error) => {
                self.stats.timeouts.increment();
                pass.settle(true);
                Err(error.with_component(self.inner.name().into_owned()))
            }
        }
    }

    async fn change<T: Send>(&self, call: impl Future<Output = Result<T>> + Send + Unpin) -> Result<T> {
        self.call(&self.stats.changes, call, |result| result.as_ref().err()).await?
    }
}

/// An answer of any other kind shows that the tier lives.
fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CacheTier for GuardedTier {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> TierCapabilities {
        self.inner.capabilities()
    }

    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup> {
        self.inner.get_now(namespace, key)
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let asked = self.inner.get_many(namespace, keys);
        match self.call(&self.stats.look_ups, asked, unanswered).await {
            Ok(answers) => answers,
            Err(error) => vec![Lookup::Unavailable(error); keys.len()],
        }
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key) -> Lookup {
        self.ask_one(namespace, key).await
    }

    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        self.change(self.inner.put_many(namespace, entries)).await
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        self.change(self.inner.remove_many(namespace, keys)).await
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        self.change(self.inner.invalidate_tags(namespace, tags)).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        self.change(self.inner.clear(namespace)).await
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        let asked = self.inner.get_or_lease_many(namespace, keys, ttl);
        match self.call(&self.stats.look_ups, asked, unanswered_lease).await {
            Ok(answers) => answers,
            Err(error) => vec![LeaseLookup::Unavailable(error); keys.len()],
        }
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        self.change(self.inner.fill(namespace, key, token, entry)).await
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        self.change(self.inner.release(namespace, key, token)).await
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        self.inner.invalidations()
    }

    fn statistics(&self) -> TierStatistics {
        self.inner.statistics()
    }
}

/// The outage that an answer tells of.
fn outage_of(answer: &Lookup) -> Option<&Error> {
    match answer {
        Lookup::Unavailable(error) => Some(error),
        _ => None,
    }
}

/// The outage that the first answer tells of: a batch goes to one server, or to few.
#[allow(clippy::ptr_arg, reason = "what a look-up gives, whole")]
fn unanswered(answers: &Vec<Lookup>) -> Option<&Error> {
    answers.first().and_then(outage_of)
}

#[allow(clippy::ptr_arg, reason = "what a look-up gives, whole")]
fn unanswered_lease(answers: &Vec<LeaseLookup>) -> Option<&Error> {
    match answers.first() {
        Some(LeaseLookup::Unavailable(error)) => Some(error),
        _ => None,
    }
}
