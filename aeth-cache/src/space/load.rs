//! Loads: of many callers one loads, the others wait.

use super::lower::{Asked, Ticket, local};
use super::{Found, Space};
use crate::call::CallOptions;
use crate::error::{closed, panic_error};
use crate::events::{CacheEvent, EventKind};
use crate::flight::{Arrival, Boarding, Flight, Leader, Origin, Outcome};
use crate::item::Item;
use crate::l1::{L1Key, Slot, Value};
use crate::time::millis;
use aeth_core::cache::FillOutcome;
use aeth_core::{ClockExt, Error, Result};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// A loader without the type of its value.
pub(crate) type BoxLoader<'a> = Box<dyn FnOnce() -> BoxFuture<'a, Result<Item<Value>>> + Send + 'a>;

/// Who runs a loader.
pub(crate) enum Loader<'a> {
    /// A task: a cancelled caller does not end it.
    Detached(BoxLoader<'static>),
    /// The caller: it may borrow, and ends with the caller.
    Scoped(BoxLoader<'a>),
}

/// How a wait ended.
pub(super) enum Waited {
    Landed(Result<Arrival>),
    /// The soft timeout passed, and there is this.
    Stale(Slot),
    Abandoned,
}

impl Space {
    /// The value of a key, loaded if need be.
    pub(crate) async fn load(
        self: &Arc<Self>,
        key: L1Key,
        call: CallOptions,
        loader: Loader<'_>,
    ) -> Result<Arrival> {
        let mut loader = Some(loader);
        loop {
            self.check_open()?;
            let stamp = self.stamp(key.hash());
            let stale = match self.look(&key.as_ref()) {
                Found::Fresh(slot) if !call.reload => return Ok(self.count_hit(&key.as_ref(), &slot)),
                Found::Early(slot) if !call.reload => {
                    if let Some(Loader::Detached(run)) = loader.take() {
                        self.refresh(&key, &slot, call, run)?;
                    }
                    return Ok(self.count_hit(&key.as_ref(), &slot));
                }
                Found::Fresh(slot) | Found::Early(slot) | Found::Stale(slot) => Some(slot),
                Found::Nothing => None,
            };
            let flight = match self.shared.flights.board(&key, stamp) {
                Boarding::Passenger(flight) => {
                    self.stats.shared_loads.increment();
                    flight
                }
                Boarding::Leader(leader) => match loader.take() {
                    Some(Loader::Scoped(run)) => {
                        let result = self.lead(leader, stale, call, run).await;
                        self.count_landed(&key, &result);
                        return result;
                    }
                    Some(Loader::Detached(run)) => self.depart(leader, stale.clone(), call, run)?,
                    // Our own load was dropped together with the runtime it ran on.
                    None => return Err(closed().with_operation("load")),
                },
            };
            match self.wait(&flight, stale, &call).await? {
                Waited::Landed(result) => {
                    self.count_landed(&key, &result);
                    return result;
                }
                Waited::Stale(slot) => return Ok(self.count_stale(&key.as_ref(), &slot)),
                Waited::Abandoned => {}
            }
        }
    }

    /// Counts the answer of a load for one of its callers; a failed one found nothing.
    pub(super) fn count_landed(&self, key: &L1Key, result: &Result<Arrival>) {
        self.answered(&key.as_ref(), result.as_ref().map_or(Origin::Loader, |arrival| arrival.origin));
    }

    /// Refreshes a key in the background, unless that is being done already.
    fn refresh(
        self: &Arc<Self>,
        key: &L1Key,
        slot: &Slot,
        call: CallOptions,
        run: BoxLoader<'static>,
    ) -> Result<()> {
        let stamp = self.stamp(key.hash());
        if let Boarding::Leader(leader) = self.shared.flights.board(key, stamp) {
            self.depart(leader, Some(slot.clone()), call, run)?;
        }
        Ok(())
    }

    /// Hands a load to a task.
    pub(super) fn depart(
        self: &Arc<Self>,
        leader: Leader,
        stale: Option<Slot>,
        call: CallOptions,
        run: BoxLoader<'static>,
    ) -> Result<Arc<Flight>> {
        needs_runtime()?;
        let flight = Arc::clone(leader.flight());
        let space = Arc::clone(self);
        // Nobody joins it: those who wait look at the flight.
        drop(self.shared.tasks.spawn(async move { drop(space.lead(leader, stale, call, run).await) }));
        Ok(flight)
    }

    /// Loads for all and lands the flight.
    pub(super) async fn lead(
        &self,
        leader: Leader,
        stale: Option<Slot>,
        call: CallOptions,
        run: BoxLoader<'_>,
    ) -> Result<Arrival> {
        let result = self.fly(&leader, stale, call, run).await;
        leader.land(Outcome::Landed(result.clone()));
        result
    }

    async fn fly(
        &self,
        leader: &Leader,
        stale: Option<Slot>,
        call: CallOptions,
        run: BoxLoader<'_>,
    ) -> Result<Arrival> {
        // Another load may have landed between this caller's look-up and its boarding.
        if !call.reload
            && let Found::Fresh(slot) = self.look(&leader.key().as_ref())
        {
            return Ok(local(&slot));
        }
        let ticket = match self.ask_lower(leader, stale.is_some(), &call).await? {
            Asked::Answer(arrival) => return Ok(arrival),
            Asked::Load(ticket) => ticket,
        };
        match self.run(Some(leader.key()), run, call.hard_timeout).await {
            Ok(item) => Ok(self.settle(leader, ticket, item, &call).await),
            Err(error) => {
                self.release(ticket).await;
                let stale = stale.or_else(|| leader.flight().stale().cloned());
                self.fall_back(leader, stale, &call, error)
            }
        }
    }

    /// Runs a loader, in time and counted.
    pub(super) async fn run<'a, T: Send>(
        &self,
        key: Option<&L1Key>,
        run: Box<dyn FnOnce() -> BoxFuture<'a, Result<T>> + Send + 'a>,
        limit: Option<Duration>,
    ) -> Result<T> {
        let limit = limit.unwrap_or(self.settings.hard_timeout);
        let clock = self.shared.coarse.clock();
        let began = clock.monotonic();
        self.stats.loads.increment();
        // The call itself is inside: a loader may panic before it gives its future.
        let guarded = AssertUnwindSafe(async { run().await }).catch_unwind();
        let result = match clock.timeout(limit, guarded).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(panic_error(&*panic)),
            Err(_) => Err(Error::timeout(format!("the loader took longer than {limit:?}"))
                .with_remedy("make it faster or raise hard_timeout")),
        };
        let took = clock.monotonic().saturating_sub(began);
        self.stats.load_duration.record_duration(took);
        self.shared.events.tell(EventKind::Load, || {
            let key = key.and_then(|key| Self::tier_key(key.bytes()).ok());
            let error = result.as_ref().err().cloned();
            Some(CacheEvent::Load { namespace: self.name.clone(), key, took, error })
        });
        result.map_err(|error| {
            self.stats.load_errors.increment();
            error.with_operation("load").with_component("cache").with_key(&self.name)
        })
    }

    /// Stores what was loaded, as far as the ticket allows, and makes it the answer.
    pub(super) async fn settle(
        &self,
        leader: &Leader,
        ticket: Ticket,
        item: Item<Value>,
        call: &CallOptions,
    ) -> Arrival {
        let arrival = Arrival::new(item.value.clone(), Origin::Loader);
        let Some(lifetime) = self.lifetime(&item, call) else {
            self.release(ticket).await;
            return arrival;
        };
        let stamp = leader.stamp();
        let key = leader.key().as_ref();
        let keep = match self.entry(key.bytes, &item, lifetime, &stamp) {
            _ if matches!(ticket, Ticket::NoTier | Ticket::Withheld) => true,
            Ok(entry) => self.fill_lower(leader, ticket, entry).await,
            Err(error) => {
                tracing::warn!(namespace = %self.name, %error, "a loaded value has no bytes for the lower tiers");
                self.release(ticket).await;
                true
            }
        };
        if keep {
            let slot = self.slot(&key, item, lifetime, &stamp);
            self.publish(&key, slot, &stamp);
        }
        arrival
    }

    /// Fills the lower tiers. Gives whether the value may be kept here.
    async fn fill_lower(&self, leader: &Leader, ticket: Ticket, entry: aeth_core::cache::Entry) -> bool {
        let Some(tier) = self.lower() else { return true };
        let limit = self.settings.tier_timeout;
        match ticket {
            Ticket::Lease(key, token) => {
                let filled = self.tier_call(limit, tier.fill(&self.name, &key, token, entry)).await;
                match filled {
                    Ok(Ok(FillOutcome::Voided)) => {
                        self.stats.fenced.increment();
                        return false;
                    }
                    Ok(Ok(_)) => self.shared.behind.outdated(leader.key()),
                    Ok(Err(_)) => self.stats.tier_errors.increment(),
                    Err(_) => {}
                }
            }
            Ticket::Unleased(key) => {
                let hash = leader.key().hash();
                let unchanged = || self.shared.l1.generation(hash) == leader.stamp().generation;
                if !unchanged() {
                    return false;
                }
                let put = tier.put_many(&self.name, vec![(key.clone(), entry)]);
                if !matches!(self.tier_call(limit, put).await, Ok(Ok(_))) {
                    self.stats.tier_errors.increment();
                }
                if !unchanged() {
                    // The removal may have come between; at worst this removes a newer value.
                    let removed = tier.remove_many(&self.name, std::slice::from_ref(&key));
                    if !matches!(self.tier_call(limit, removed).await, Ok(Ok(()))) {
                        self.shared.recovery.removal(&self.name, key);
                    }
                    return false;
                }
            }
            Ticket::NoTier | Ticket::Withheld => {}
        }
        true
    }

    /// After a failed load: the stale value, if there is one and the options allow it.
    pub(super) fn fall_back(
        &self,
        leader: &Leader,
        stale: Option<Slot>,
        call: &CallOptions,
        error: Error,
    ) -> Result<Arrival> {
        let now = self.shared.coarse.exact_now();
        let Some(mut slot) = stale.filter(|slot| self.fail_safe(call) && now < slot.usable_until) else {
            return Err(error);
        };
        tracing::debug!(namespace = %self.name, %error, "a load failed, the stale value stays");
        let value = slot.value.clone();
        slot.kept_stale = true;
        let pause = call.retry_after.unwrap_or(self.settings.retry_after);
        slot.fresh_until = now.saturating_add(millis(pause)).min(slot.usable_until);
        slot.refresh_at = slot.fresh_until;
        let stamp = leader.stamp();
        slot.epochs = stamp.epochs;
        self.publish(&leader.key().as_ref(), slot, &stamp);
        Ok(Arrival::new(value, Origin::Stale))
    }

    /// Waits for a flight: until it has landed, or until the soft timeout if there is a stale value.
    pub(super) async fn wait(
        &self,
        flight: &Arc<Flight>,
        stale: Option<Slot>,
        call: &CallOptions,
    ) -> Result<Waited> {
        let clock = self.shared.coarse.clock();
        let soft = call.soft_timeout.or(self.settings.soft_timeout);
        // A scoped leader may be alive and not polled; nobody waits for it forever.
        let hard = call.hard_timeout.unwrap_or(self.settings.hard_timeout);
        let limit = hard + self.lease_for(call) + self.settings.tier_timeout * 4;
        let soft_sleep = async {
            match soft {
                Some(time) if time.is_zero() => {}
                Some(time) => clock.sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let hard_sleep = clock.sleep(limit);
        tokio::pin!(soft_sleep, hard_sleep);
        let mut impatient = false;
        loop {
            let changed = flight.changed().notified();
            tokio::pin!(changed);
            // Before looking, so that no change is missed in between.
            changed.as_mut().enable();
            match flight.outcome() {
                Some(Outcome::Landed(result)) => return Ok(Waited::Landed(result.clone())),
                Some(Outcome::Abandoned) => return Ok(Waited::Abandoned),
                None => {}
            }
            if impatient && let Some(slot) = stale.as_ref().or_else(|| flight.stale()) {
                return Ok(Waited::Stale(slot.clone()));
            }
            tokio::select! {
                biased;
                () = &mut changed => {}
                () = &mut soft_sleep, if !impatient => impatient = true,
                () = &mut hard_sleep => {
                    return Err(Error::timeout(format!("no answer from the load in progress within {limit:?}"))
                        .with_operation("load").with_component("cache").with_key(&self.name));
                }
            }
        }
    }
}

/// Detached loads need a runtime to run on.
pub(super) fn needs_runtime() -> Result<()> {
    tokio::runtime::Handle::try_current().map(drop).map_err(|error| {
        Error::invalid("there is no tokio runtime to load on")
            .with_remedy("call this from within a tokio runtime, or use get_or_load_scoped")
            .with_source(error)
    })
}
