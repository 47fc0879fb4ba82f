//! Several keys at once.

use super::load::Waited;
use super::lower::{Asked, Ticket};
use super::{BoxLoader, Found, Loader, Space, Stamp};
use crate::call::CallOptions;
use crate::flight::{Arrival, Boarding, Flight, Leader, Outcome};
use crate::item::Item;
use crate::l1::{Generation, L1Key, Slot, Value};
use aeth_core::cache::{LeaseLookup, TierCapability};
use aeth_core::{Error, Key, Result};
use futures_util::future::{BoxFuture, join_all};
use std::collections::HashMap;
use std::sync::Arc;

/// Loads the keys with these numbers; what it leaves out is absent.
pub(crate) type BatchLoader =
    Arc<dyn Fn(Vec<usize>) -> BoxFuture<'static, Result<HashMap<usize, Item<Value>>>> + Send + Sync>;

/// A key that this call loads.
struct Led {
    index: usize,
    leader: Leader,
    stale: Option<Slot>,
}

/// A key that this call waits for.
struct Awaited {
    index: usize,
    flight: Arc<Flight>,
    stale: Option<Slot>,
}

/// A key that L1 does not have fresh.
struct Missing {
    index: usize,
    generation: Generation,
    /// In a box: batches are long, and most of their keys have none.
    stale: Option<Box<Slot>>,
}

impl Space {
    /// Answers without a loader, in order. The lower tiers are asked once.
    pub(crate) async fn read_many(&self, keys: &[L1Key], call: &CallOptions) -> Result<Vec<Option<Arrival>>> {
        self.check_open()?;
        let mut answers: Vec<Option<Arrival>> = vec![None; keys.len()];
        let mut missing: Vec<Missing> = Vec::new();
        // But for the generation, which is each key's own.
        let stamp = self.stamp_of_read(0);
        for (index, key) in keys.iter().enumerate() {
            let generation = self.shared.l1.generation(key.hash());
            match self.look(&key.as_ref()) {
                Found::Fresh(slot) | Found::Early(slot) => {
                    answers[index] = Some(self.count_hit(&key.as_ref(), &slot))
                }
                found => {
                    if missing.is_empty() {
                        missing.reserve_exact(keys.len() - index);
                    }
                    let stale = if let Found::Stale(slot) = found { Some(Box::new(slot)) } else { None };
                    missing.push(Missing { index, generation, stale });
                }
            }
        }
        if missing.is_empty() {
            return Ok(answers);
        }
        let Some(tier) = self.lower() else {
            for Missing { index, stale, .. } in missing {
                let key = keys[index].as_ref();
                if call.allow_stale {
                    answers[index] = stale.map(|slot| self.count_stale(&key, &slot));
                }
                if answers[index].is_none() {
                    self.missed(&key);
                }
            }
            return Ok(answers);
        };
        let tier_keys: Vec<Key> = missing
            .iter()
            .map(|missing| Self::tier_key(keys[missing.index].bytes()))
            .collect::<Result<_>>()?;
        let limit = self.tier_limit(missing.iter().all(|missing| missing.stale.is_some()), call);
        let mut lookups = match self.tier_call(limit, tier.get_many(&self.name, &tier_keys)).await {
            Ok(lookups) => Ok(lookups.into_iter()),
            Err(error) => Err(error),
        };
        for Missing { index, generation, stale } in missing {
            let lookup = lookups.as_mut().map(Iterator::next).map_err(|error| error.clone());
            let stamp = Stamp { generation, ..stamp };
            answers[index] = self.judge_read(&keys[index], stale.map(|slot| *slot), lookup, &stamp, call)?;
        }
        Ok(answers)
    }

    /// The values of keys, in order; those that are missing are loaded together.
    pub(crate) async fn load_many(
        self: &Arc<Self>,
        keys: Vec<L1Key>,
        call: CallOptions,
        loader: BatchLoader,
    ) -> Result<Vec<Arrival>> {
        self.check_open()?;
        let mut answers: Vec<Option<Arrival>> = vec![None; keys.len()];
        let mut led = Vec::new();
        let mut awaited = Vec::new();
        let moment = self.moment();
        for (index, key) in keys.iter().enumerate() {
            let stamp = self.stamp_at(key.hash(), moment);
            let stale = match self.look(&key.as_ref()) {
                Found::Fresh(slot) | Found::Early(slot) if !call.reload => {
                    answers[index] = Some(self.count_hit(&key.as_ref(), &slot));
                    continue;
                }
                Found::Fresh(slot) | Found::Early(slot) | Found::Stale(slot) => Some(slot),
                Found::Nothing => None,
            };
            let flight = match self.shared.flights.board(key, stamp) {
                Boarding::Passenger(flight) => {
                    self.stats.shared_loads.increment();
                    flight
                }
                Boarding::Leader(leader) => {
                    let flight = Arc::clone(leader.flight());
                    led.push(Led { index, leader, stale: stale.clone() });
                    flight
                }
            };
            awaited.push(Awaited { index, flight, stale });
        }
        if !led.is_empty() {
            self.depart_many(led, call, Arc::clone(&loader))?;
        }
        let waits = awaited.into_iter().map(|Awaited { index, flight, stale }| {
            let loader = Arc::clone(&loader);
            let key = keys[index].clone();
            async move {
                let arrival = match self.wait(&flight, stale, &call).await? {
                    Waited::Landed(result) => {
                        self.count_landed(&key, &result);
                        result?
                    }
                    Waited::Stale(slot) => self.count_stale(&key.as_ref(), &slot),
                    // Its leader was a scoped load, which was dropped.
                    Waited::Abandoned => {
                        self.load(key, call, Loader::Detached(single(loader, index))).await?
                    }
                };
                Ok::<_, Error>((index, arrival))
            }
        });
        for waited in join_all(waits).await {
            let (index, arrival) = waited?;
            answers[index] = Some(arrival);
        }
        // Every key was answered or awaited.
        Ok(answers.into_iter().flatten().collect())
    }

    fn depart_many(self: &Arc<Self>, led: Vec<Led>, call: CallOptions, loader: BatchLoader) -> Result<()> {
        super::load::needs_runtime()?;
        let space = Arc::clone(self);
        drop(self.shared.tasks.spawn(async move { space.fly_many(led, call, loader).await }));
        Ok(())
    }

    async fn fly_many(self: Arc<Self>, led: Vec<Led>, call: CallOptions, loader: BatchLoader) {
        let (ready, held) = self.ask_lower_many(led, &call).await;
        if !ready.is_empty() {
            self.load_batch(ready, &call, &loader).await;
        }
        // Other processes load these; each is waited for on its own.
        let held = held.into_iter().map(|Led { index, leader, stale }| {
            let run = single(Arc::clone(&loader), index);
            self.lead(leader, stale, call, run)
        });
        join_all(held).await;
    }

    /// Asks the lower tiers in one call. Lands what they know; gives what is to be loaded, and what other
    /// processes are loading.
    async fn ask_lower_many(&self, led: Vec<Led>, call: &CallOptions) -> (Vec<(Led, Ticket)>, Vec<Led>) {
        let Some(tier) = self.lower() else {
            return (led.into_iter().map(|led| (led, Ticket::NoTier)).collect(), Vec::new());
        };
        if call.reload || !tier.capabilities().has(TierCapability::Lease) {
            return self.ask_lower_each(led, call).await;
        }
        let keys = led.iter().map(|led| Self::tier_key(led.leader.key().bytes())).collect::<Result<Vec<_>>>();
        let keys = keys.unwrap_or_default();
        let ttl = self.lease_for(call);
        let limit = self.tier_limit(led.iter().all(|led| led.stale.is_some()), call);
        let asked = self.tier_call(limit, tier.get_or_lease_many(&self.name, &keys, ttl)).await;
        let mut answers = asked.unwrap_or_default().into_iter();
        let mut ready = Vec::new();
        let mut held = Vec::new();
        for (led, key) in led.into_iter().zip(keys) {
            match answers.next() {
                Some(LeaseLookup::Granted(token)) => ready.push((led, Ticket::Lease(key, token))),
                Some(LeaseLookup::Stale(entry, token)) => match self.meet(&led.leader, &entry) {
                    Some(arrival) => {
                        self.release(Ticket::Lease(key, token)).await;
                        led.leader.land(Outcome::Landed(Ok(arrival)));
                    }
                    None => ready.push((led, Ticket::Lease(key, token))),
                },
                Some(LeaseLookup::Hit(entry)) => match self.meet(&led.leader, &entry) {
                    Some(arrival) => led.leader.land(Outcome::Landed(Ok(arrival))),
                    None if led.leader.flight().stale().is_some() => held.push(led),
                    None => ready.push((led, Ticket::Withheld)),
                },
                Some(LeaseLookup::Held) => held.push(led),
                Some(LeaseLookup::Unavailable(_)) => {
                    self.stats.tier_errors.increment();
                    ready.push((led, Ticket::Withheld));
                }
                _ => ready.push((led, Ticket::Withheld)),
            }
        }
        (ready, held)
    }

    async fn ask_lower_each(&self, led: Vec<Led>, call: &CallOptions) -> (Vec<(Led, Ticket)>, Vec<Led>) {
        let asked = led.into_iter().map(|led| async move {
            let asked = self.ask_lower(&led.leader, led.stale.is_some(), call).await;
            (led, asked)
        });
        let mut ready = Vec::new();
        for (led, asked) in join_all(asked).await {
            match asked {
                Ok(Asked::Answer(arrival)) => led.leader.land(Outcome::Landed(Ok(arrival))),
                Ok(Asked::Load(ticket)) => ready.push((led, ticket)),
                Err(error) => led.leader.land(Outcome::Landed(Err(error))),
            }
        }
        (ready, Vec::new())
    }

    /// Loads in one call and lands every flight.
    async fn load_batch(&self, ready: Vec<(Led, Ticket)>, call: &CallOptions, loader: &BatchLoader) {
        let indices: Vec<usize> = ready.iter().map(|(led, _)| led.index).collect();
        let load = Arc::clone(loader);
        let result = self.run(None, Box::new(move || load(indices)), call.hard_timeout).await;
        match result {
            Ok(mut items) => {
                let settled = ready.into_iter().map(|(led, ticket)| {
                    let item = items.remove(&led.index).unwrap_or_else(Item::absent);
                    async move {
                        let arrival = self.settle(&led.leader, ticket, item, call).await;
                        led.leader.land(Outcome::Landed(Ok(arrival)));
                    }
                });
                join_all(settled).await;
            }
            Err(error) => {
                let failed = ready.into_iter().map(|(led, ticket)| {
                    let error = error.clone();
                    async move {
                        self.release(ticket).await;
                        let stale = led.stale.or_else(|| led.leader.flight().stale().cloned());
                        let result = self.fall_back(&led.leader, stale, call, error);
                        led.leader.land(Outcome::Landed(result));
                    }
                });
                join_all(failed).await;
            }
        }
    }
}

/// The batch loader for one key.
fn single(loader: BatchLoader, index: usize) -> BoxLoader<'static> {
    Box::new(move || {
        Box::pin(async move {
            let mut items = loader(vec![index]).await?;
            Ok(items.remove(&index).unwrap_or_else(Item::absent))
        })
    })
}
