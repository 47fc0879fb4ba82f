//! From the queue into the lower tiers.

use super::Behind;
use super::queue::{Flight, Landing};
use crate::caches::Shared;
use crate::coherence::News;
use crate::space::Space;
use aeth_core::cache::PutOutcome;
use aeth_core::{ClockExt, Error, ErrorKind, Result};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Writes on their way. Dropped on the way (the caller of a close went away), they are to be made again.
struct Batch<'a> {
    behind: &'a Behind,
    flights: Vec<Flight>,
}

impl Batch<'_> {
    fn land(&mut self, mut landing: impl FnMut(&Flight) -> Landing) {
        {
            let mut queue = self.behind.queue.lock();
            for flight in self.flights.drain(..) {
                let landing = landing(&flight);
                queue.land(&flight, landing);
            }
            self.behind.count.store(queue.len(), Ordering::Release);
        }
        self.behind.changed.notify_waiters();
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if !self.flights.is_empty() {
            self.land(|_| Landing::Again);
        }
    }
}

/// How a round went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    /// Nothing was to be done.
    Idle,
    /// Everything landed.
    Landed,
    /// Some of it must be tried again.
    Failed,
}

impl Shared {
    /// Begins to write, unless that is being done.
    pub(crate) fn start_behind(self: &Arc<Self>) {
        // Every write comes from an asynchronous call; without a runtime the next one that has one starts it.
        if tokio::runtime::Handle::try_current().is_err() || self.behind.running.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let shared = Arc::clone(self);
        drop(self.tasks.spawn_until_closed(async move { shared.run_behind().await }));
    }

    async fn run_behind(&self) {
        let behind = &self.behind;
        let clock = self.coarse.clock();
        let mut pause = FIRST_PAUSE;
        loop {
            clock.sleep(behind.options.delay).await;
            loop {
                match self.round().await {
                    Round::Idle => break,
                    Round::Landed => pause = FIRST_PAUSE,
                    Round::Failed => {
                        clock.sleep(pause).await;
                        pause = (pause * 2).min(behind.options.longest_pause.max(FIRST_PAUSE));
                    }
                }
            }
            behind.running.store(false, Ordering::Release);
            // Something may have come between the look and the store.
            if behind.len() == 0 || behind.running.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }

    /// Writes everything that waits, for at most `limit`.
    pub(crate) async fn drain_behind(&self, limit: Duration) -> Result<()> {
        let clock = self.coarse.clock();
        let drained = clock.timeout(limit, async {
            while self.behind.len() > 0 {
                if self.round().await == Round::Failed {
                    clock.sleep(FIRST_PAUSE).await;
                }
            }
        });
        match drained.await {
            Ok(()) => Ok(()),
            Err(_) if self.behind.len() == 0 => Ok(()),
            Err(error) => {
                let left = self.behind.len();
                Err(Error::timeout(format!("{left} queued writes have not reached the lower tiers"))
                    .with_operation("flush")
                    .with_component("cache")
                    .with_remedy("see why the tiers do not answer, or allow more time")
                    .with_source(error))
            }
        }
    }

    /// One batch.
    async fn round(&self) -> Round {
        let behind = &self.behind;
        let _one = behind.flying.lock().await;
        let flights = behind.queue.lock().take(behind.options.batch);
        if flights.is_empty() {
            return Round::Idle;
        }
        let mut spaces: BTreeMap<u32, Vec<Flight>> = BTreeMap::new();
        for flight in flights {
            spaces.entry(flight.space.id).or_default().push(flight);
        }
        let rounds = spaces.into_values().map(|flights| self.fly(Batch { behind, flights }));
        match join_all(rounds).await.into_iter().all(|landed| landed) {
            true => Round::Landed,
            false => Round::Failed,
        }
    }

    /// Writes a batch of one namespace. True when it needs not be tried again.
    async fn fly(&self, mut batch: Batch<'_>) -> bool {
        let Some(space) = batch.flights.first().map(|flight| Arc::clone(&flight.space)) else { return true };
        let stats = &self.behind.stats;
        let now = self.coarse.clock().unix_millis();
        let mut expired = Batch { behind: batch.behind, flights: Vec::new() };
        let mut alive = Vec::with_capacity(batch.flights.len());
        for flight in batch.flights.drain(..) {
            if flight.entry.is_usable(now) { alive.push(flight) } else { expired.flights.push(flight) }
        }
        batch.flights = alive;
        if !expired.flights.is_empty() {
            // The tiers may still have what these were to replace.
            stats.dropped.add(expired.flights.len() as u64);
            space.forget_below(&expired.flights);
            expired.land(|_| Landing::Dropped);
        }
        if batch.flights.is_empty() {
            return true;
        }
        let written = space.write_below(&batch.flights).await;
        let count = batch.flights.len() as u64;
        match written {
            Ok(outcomes) => {
                stats.written.add(count);
                let keys = batch.flights.iter().map(|flight| Space::tier_key(flight.key.bytes()));
                let told = keys.collect::<Result<Vec<_>>>().unwrap_or_default();
                for (flight, outcome) in batch.flights.iter().zip(&outcomes) {
                    if *outcome == PutOutcome::Superseded {
                        // The tiers have a greater version: the next reader takes it from there.
                        self.l1.drop_slot(&flight.key.as_ref(), &flight.slot);
                    }
                }
                batch.land(|_| Landing::Done);
                if self.coherence.is_some() && !told.is_empty() {
                    space.shared.tell(News::Keys(space.name.clone(), told)).await;
                }
                true
            }
            Err(error) if is_transient(&error) => {
                stats.retried.add(count);
                tracing::debug!(namespace = %space.name, %error, count, "queued writes are tried again");
                batch.land(|_| Landing::Again);
                false
            }
            Err(error) => {
                stats.dropped.add(count);
                tracing::warn!(namespace = %space.name, %error, count, "queued writes were refused and given up");
                space.forget_below(&batch.flights);
                batch.land(|_| Landing::Dropped);
                true
            }
        }
    }
}

fn is_transient(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Busy)
}

impl Space {
    async fn write_below(&self, flights: &[Flight]) -> Result<Vec<PutOutcome>> {
        let Some(tier) = self.lower() else { return Ok(Vec::new()) };
        let mut entries = Vec::with_capacity(flights.len());
        for flight in flights {
            entries.push((Self::tier_key(flight.key.bytes())?, flight.entry.clone()));
        }
        self.tier_call(self.settings.tier_timeout, tier.put_many(&self.name, entries)).await?
    }

    /// What these writes were to replace must go, now that they never will.
    fn forget_below(&self, flights: &[Flight]) {
        for flight in flights {
            self.shared.l1.drop_slot(&flight.key.as_ref(), &flight.slot);
            if let Ok(key) = Self::tier_key(flight.key.bytes()) {
                self.shared.recovery.removal(&self.name, key);
            }
        }
    }
}
