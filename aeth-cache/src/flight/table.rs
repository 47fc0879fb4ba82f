//! The flights that are in the air.

use super::Outcome;
use crate::l1::{L1Key, NoHash, Slot};
use crate::space::Stamp;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

const SHARDS: usize = 64;

/// A load in progress.
#[derive(Debug)]
pub(crate) struct Flight {
    stamp: Stamp,
    outcome: OnceLock<Outcome>,
    stale: OnceLock<Slot>,
    changed: Notify,
}

impl Flight {
    /// Its end, if it has ended.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.outcome.get()
    }

    /// A stale entry that it met in a lower tier.
    pub(crate) fn stale(&self) -> Option<&Slot> {
        self.stale.get()
    }

    /// Wakes whenever one of the two may have changed.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }
}

type Shard = HashMap<L1Key, Arc<Flight>, NoHash>;

/// The table.
pub(crate) struct Flights(Box<[Mutex<Shard>]>);

/// How a caller comes aboard.
pub(crate) enum Boarding {
    /// It loads for all.
    Leader(Leader),
    /// It waits.
    Passenger(Arc<Flight>),
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    fn shard(&self, key: &L1Key) -> &Mutex<Shard> {
        // Bits that neither stripes nor engines use first.
        let index = usize::try_from((key.hash() >> 44) % SHARDS as u64).unwrap_or(0);
        &self.0[index]
    }

    /// Boards the key's flight if it took off in the state `stamp`, otherwise starts one.
    pub(crate) fn board(self: &Arc<Self>, key: &L1Key, stamp: Stamp) -> Boarding {
        let mut shard = self.shard(key).lock();
        if let Some(flight) = shard.get(key)
            && flight.stamp.same_state(&stamp)
            && flight.outcome.get().is_none()
        {
            return Boarding::Passenger(Arc::clone(flight));
        }
        let flight = Arc::new(Flight {
            stamp,
            outcome: OnceLock::new(),
            stale: OnceLock::new(),
            changed: Notify::new(),
        });
        shard.insert(key.clone(), Arc::clone(&flight));
        Boarding::Leader(Leader { flights: Arc::clone(self), key: key.clone(), flight })
    }

    /// True when the key is being loaded.
    pub(crate) fn is_flying(&self, key: &L1Key) -> bool {
        self.shard(key).lock().contains_key(key)
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flying: usize = self.0.iter().map(|shard| shard.lock().len()).sum();
        f.debug_struct("Flights").field("flying", &flying).finish()
    }
}

/// The duty to end a flight. Dropped without having done so, it hands over.
#[derive(Debug)]
pub(crate) struct Leader {
    flights: Arc<Flights>,
    key: L1Key,
    flight: Arc<Flight>,
}

impl Leader {
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }

    pub(crate) fn key(&self) -> &L1Key {
        &self.key
    }

    /// The state in which it took off.
    pub(crate) fn stamp(&self) -> Stamp {
        self.flight.stamp
    }

    /// Offers a stale entry to those who do not want to wait.
    pub(crate) fn offer_stale(&self, slot: Slot) {
        if self.flight.stale.set(slot).is_ok() {
            self.flight.changed.notify_waiters();
        }
    }

    /// Ends the flight.
    pub(crate) fn land(self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&self, outcome: Outcome) {
        if self.flight.outcome.set(outcome).is_err() {
            return;
        }
        {
            let mut shard = self.flights.shard(&self.key).lock();
            if shard.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                shard.remove(&self.key);
            }
        }
        self.flight.changed.notify_waiters();
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.end(Outcome::Abandoned);
    }
}
