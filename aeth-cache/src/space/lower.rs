//! Reading the lower tiers.

use super::{Space, Stamp};
use crate::call::CallOptions;
use crate::flight::{Arrival, Leader, Origin};
use crate::guard::{GuardedTier, timed};
use crate::l1::{KeyRef, L1Key, Slot};
use aeth_core::cache::{CacheTier, Entry, LeaseLookup, LeaseToken, Lookup, TierCapability};
use aeth_core::{ClockExt, Error, Key, Result};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// While another process loads: the first pause before looking again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// The same where the tier tells when the other is done: for words that are lost.
const TOLD_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The right to store what is loaded in the lower tiers.
#[derive(Debug)]
pub(crate) enum Ticket {
    /// There are no tiers.
    NoTier,
    /// Under a lease.
    Lease(Key, LeaseToken),
    /// The tier knows no leases: by comparing generations before and after.
    Unleased(Key),
    /// Not at all: the tier is down, holds an entry of another schema, or somebody else has the lease.
    Withheld,
}

/// What the lower tiers said to a load.
#[derive(Debug)]
pub(crate) enum Asked {
    /// A fresh value.
    Answer(Arrival),
    /// To load.
    Load(Ticket),
}

impl Space {
    /// The lower tiers, if the values can go there.
    pub(crate) fn lower(&self) -> Option<&Arc<dyn CacheTier>> {
        self.shared.lower.as_ref().filter(|_| self.has_lower())
    }

    /// A call of a lower tier, in time and counted.
    pub(crate) async fn tier_call<F>(&self, limit: Duration, call: F) -> Result<F::Output>
    where
        F: Future + Send + Unpin,
    {
        if self.sole_guard(limit).is_some() {
            return Ok(call.await);
        }
        let result = timed(&**self.shared.coarse.clock(), limit, call).await;
        result.map_err(|error| {
            self.stats.tier_errors.increment();
            error.with_component("tier").with_key(&self.name)
        })
    }

    /// True while every lower tier is known to be down: asking would only be refused.
    #[inline]
    pub(crate) fn lower_is_out(&self) -> bool {
        let guards = &self.shared.guards;
        !guards.is_empty() && {
            let now = self.shared.coarse.now();
            guards.iter().all(|guard| guard.gate().is_open(now))
        }
    }

    pub(crate) fn tier_limit(&self, have_stale: bool, call: &CallOptions) -> Duration {
        match call.tier_soft_timeout.or(self.settings.tier_soft_timeout) {
            Some(soft) if have_stale => soft,
            _ => call.tier_timeout.unwrap_or(self.settings.tier_timeout),
        }
    }

    /// How long the leases of these calls last.
    pub(crate) fn lease_for(&self, call: &CallOptions) -> Duration {
        call.lease_for.map_or(self.settings.lease_for, |time| time.max(Duration::from_millis(1)))
    }

    /// Whether these calls are served a stale entry when no newer one can be had.
    pub(crate) fn fail_safe(&self, call: &CallOptions) -> bool {
        call.fail_safe.unwrap_or(self.settings.fail_safe)
    }

    /// The slot of an entry, and whether it is fresh; `None` for one that cannot be used here.
    pub(crate) fn take_entry(&self, key: &KeyRef<'_>, entry: &Entry, stamp: &Stamp) -> Option<(Slot, bool)> {
        if !entry.is_usable(stamp.started_unix)
            || self.shared.recovery.covers(&self.name, key.bytes, &entry.tags)
            // After the other, which is uncovered last.
            || self.shared.recovery.ended() != stamp.replays
        {
            return None;
        }
        let value = self.of_wire(key.bytes, entry)?;
        let slot = self.slot_of_entry(key, value, entry, stamp);
        Some((slot, entry.is_fresh(stamp.started_unix)))
    }

    /// Answers without a loader, from the lower tiers; `local` is what L1 has, which is not fresh.
    pub(crate) async fn read(
        &self,
        key: &L1Key,
        local: Option<Slot>,
        call: &CallOptions,
    ) -> Result<Option<Arrival>> {
        self.check_open()?;
        let stamp = self.stamp_of_read(key.hash());
        let Some(tier) = self.lower() else { return Ok(self.settle_read(key, local, None, call)) };
        let tier_key = Self::tier_key(key.bytes())?;
        let limit = self.tier_limit(local.is_some(), call);
        let lookup = match self.sole_guard(limit) {
            Some(guard) => Ok(guard.ask_one(&self.name, &tier_key).await),
            None => self.tier_call(limit, tier.get_one(&self.name, &tier_key)).await,
        };
        self.judge_read(key, local, lookup.map(Some), &stamp, call)
    }

    /// The guard of the one tier, where there is one whose limit is not above `limit`: it sets a timer, and a second
    /// one would never go off.
    fn sole_guard(&self, limit: Duration) -> Option<&Arc<GuardedTier>> {
        match &*self.shared.guards {
            [guard] if guard.limit() <= limit => Some(guard),
            _ => None,
        }
    }

    /// Puts together what L1 and the lower tiers said about one key.
    pub(crate) fn judge_read(
        &self,
        key: &L1Key,
        local: Option<Slot>,
        lookup: Result<Option<Lookup>>,
        stamp: &Stamp,
        call: &CallOptions,
    ) -> Result<Option<Arrival>> {
        let error = match lookup {
            Ok(Some(Lookup::Hit(entry))) => {
                let found = self.take_entry(&key.as_ref(), &entry, stamp);
                if let Some((slot, fresh)) = found {
                    if fresh {
                        self.answered(&key.as_ref(), Origin::Tier);
                        let arrival = Arrival::new(slot.value.clone(), Origin::Tier);
                        self.publish(&key.as_ref(), slot, stamp);
                        return Ok(Some(arrival));
                    }
                    return Ok(self.settle_read(key, local, Some(slot), call));
                }
                return Ok(self.settle_read(key, local, None, call));
            }
            Ok(Some(Lookup::Unavailable(error))) => {
                self.stats.tier_errors.increment();
                error
            }
            Ok(_) => return Ok(self.settle_read(key, local, None, call)),
            Err(error) => error,
        };
        // The tier is down, which is no miss.
        match local {
            Some(slot) if self.fail_safe(call) || call.allow_stale => {
                Ok(Some(self.count_stale(&key.as_ref(), &slot)))
            }
            _ => Err(error.with_operation("get").with_key(&self.name)),
        }
    }

    fn settle_read(
        &self,
        key: &L1Key,
        local: Option<Slot>,
        lower: Option<Slot>,
        call: &CallOptions,
    ) -> Option<Arrival> {
        match lower.or(local) {
            Some(slot) if call.allow_stale => Some(self.count_stale(&key.as_ref(), &slot)),
            _ => {
                self.missed(&key.as_ref());
                None
            }
        }
    }

    /// An answer from L1 that counts as fresh, or is an old value kept for want of a newer one.
    pub(crate) fn count_hit(&self, key: &KeyRef<'_>, slot: &Slot) -> Arrival {
        let arrival = local(slot);
        self.answered(key, arrival.origin);
        arrival
    }

    pub(crate) fn count_stale(&self, key: &KeyRef<'_>, slot: &Slot) -> Arrival {
        self.answered(key, Origin::Stale);
        Arrival::new(slot.value.clone(), Origin::Stale)
    }

    /// Asks the lower tiers on behalf of a load, and for the right to store its result.
    pub(crate) async fn ask_lower(
        &self,
        leader: &Leader,
        have_stale: bool,
        call: &CallOptions,
    ) -> Result<Asked> {
        let Some(tier) = self.lower() else { return Ok(Asked::Load(Ticket::NoTier)) };
        let key = Self::tier_key(leader.key().bytes())?;
        let limit = self.tier_limit(have_stale, call);
        if call.reload {
            // A fresh entry grants no lease, so it must go.
            let removed = self.tier_call(limit, tier.remove_many(&self.name, slice::from_ref(&key))).await;
            if !matches!(removed, Ok(Ok(()))) {
                return Ok(Asked::Load(Ticket::Withheld));
            }
        }
        if !tier.capabilities().has(TierCapability::Lease) {
            let lookups = self.tier_call(limit, tier.get_many(&self.name, slice::from_ref(&key))).await;
            let Ok(mut lookups) = lookups else { return Ok(Asked::Load(Ticket::Withheld)) };
            return Ok(match lookups.pop() {
                Some(Lookup::Hit(entry)) => match self.meet(leader, &entry) {
                    Some(arrival) => Asked::Answer(arrival),
                    None => Asked::Load(Ticket::Unleased(key)),
                },
                Some(Lookup::Unavailable(error)) => self.withheld(&error),
                _ => Asked::Load(Ticket::Unleased(key)),
            });
        }
        self.ask_lease(leader, tier, key, (limit, self.lease_for(call))).await
    }

    async fn ask_lease(
        &self,
        leader: &Leader,
        tier: &Arc<dyn CacheTier>,
        key: Key,
        (limit, ttl): (Duration, Duration),
    ) -> Result<Asked> {
        let clock = self.shared.coarse.clock();
        let deadline = clock.monotonic() + ttl;
        let leases = &self.shared.leases;
        let (mut pause, longest) = if leases.are_told() { TOLD_PAUSES } else { PAUSES };
        let hash = leader.key().hash();
        loop {
            let seen = leases.seen(hash);
            let asked = tier.get_or_lease_many(&self.name, slice::from_ref(&key), ttl);
            let Ok(mut answers) = self.tier_call(limit, asked).await else {
                return Ok(Asked::Load(Ticket::Withheld));
            };
            match answers.pop() {
                Some(LeaseLookup::Granted(token)) => return Ok(Asked::Load(Ticket::Lease(key, token))),
                Some(LeaseLookup::Stale(entry, token)) => {
                    // A clock ahead of the tier's may find it fresh all the same.
                    return Ok(match self.meet(leader, &entry) {
                        Some(arrival) => {
                            self.release(Ticket::Lease(key, token)).await;
                            Asked::Answer(arrival)
                        }
                        None => Asked::Load(Ticket::Lease(key, token)),
                    });
                }
                Some(LeaseLookup::Hit(entry)) => {
                    if let Some(arrival) = self.meet(leader, &entry) {
                        return Ok(Asked::Answer(arrival));
                    }
                    if leader.flight().stale().is_none() {
                        // An entry of another codec or schema: left to those who write it.
                        return Ok(Asked::Load(Ticket::Withheld));
                    }
                }
                Some(LeaseLookup::Held) => {}
                Some(LeaseLookup::Unavailable(error)) => return Ok(self.withheld(&error)),
                _ => return Ok(Asked::Load(Ticket::Withheld)),
            }
            if clock.monotonic() >= deadline {
                return Ok(Asked::Load(Ticket::Withheld));
            }
            // In time it does not matter which of the two it was.
            drop(clock.timeout(pause, leases.ended(hash, seen)).await);
            pause = (pause * 2).min(longest);
        }
    }

    fn withheld(&self, error: &Error) -> Asked {
        self.stats.tier_errors.increment();
        tracing::debug!(namespace = %self.name, %error, "a lower tier is unavailable");
        Asked::Load(Ticket::Withheld)
    }

    /// Meets an entry during a load: a fresh one is the answer, a stale one is offered to the waiters.
    pub(crate) fn meet(&self, leader: &Leader, entry: &Entry) -> Option<Arrival> {
        // Not the leader's own stamp for the time: it may have waited.
        let mut stamp = leader.stamp();
        (stamp.started, stamp.started_unix) = self.moment();
        let (slot, fresh) = self.take_entry(&leader.key().as_ref(), entry, &stamp)?;
        if fresh {
            let arrival = Arrival::new(slot.value.clone(), Origin::Tier);
            self.publish(&leader.key().as_ref(), slot, &stamp);
            return Some(arrival);
        }
        leader.offer_stale(slot);
        None
    }

    /// Gives a lease back that will not be used.
    pub(crate) async fn release(&self, ticket: Ticket) {
        if let (Ticket::Lease(key, token), Some(tier)) = (ticket, self.lower()) {
            let released =
                self.tier_call(self.settings.tier_timeout, tier.release(&self.name, &key, token)).await;
            if let Ok(Err(error)) | Err(error) = released {
                tracing::debug!(namespace = %self.name, %error, "a lease was not given back and runs out");
            }
        }
    }
}

/// The answer that a fresh slot of L1 gives.
pub(super) fn local(slot: &Slot) -> Arrival {
    let origin = if slot.kept_stale { Origin::Stale } else { Origin::Local };
    Arrival::new(slot.value.clone(), origin)
}
