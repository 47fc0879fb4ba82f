//! A cache tier in memory.

use aeth_core::cache::{
    CacheTier, Entry, FillOutcome, Invalidation, LeaseLookup, LeaseToken, Lookup, PutOutcome,
    TierCapabilities, TierCapability, TierStatistics,
};
use aeth_core::{Clock, ClockExt, Error, Key, Namespace, Result, Tag, async_trait};
use futures_core::stream::BoxStream;
use futures_util::StreamExt;
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// One way in which a tier can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    FlagsLost,
    LargeIsCut,
    KeysAsText,
    MissIsOutage,
    FirstPutWins,
    RejectedKeepsOld,
    AnswersSorted,
    FirstOfBatchWins,
    RemoveByPrefix,
    NamespaceIgnored,
    ClearTakesAll,
    VersionIgnored,
    UnversionedIsLeast,
    VersionRaces,
    ExpiredServed,
    StaleIsMiss,
    StaleUnleased,
    PastKeepsOld,
    FarTimesWrap,
    LeaseAlwaysGranted,
    FillTwice,
    TokenUnchecked,
    LeaseForEver,
    ReleaseIgnoresToken,
    LeasesSorted,
    LeaseRaces,
    PutKeepsLease,
    RemoveKeepsLease,
    ClearKeepsLeases,
    TagKeepsLeases,
    RemoveVoidsAll,
    FillAlwaysStores,
    FirstTagOnly,
    TagByPrefix,
    TagForEver,
    RemoveLater,
    BatchesShared,
    TagsUnclaimed,
    NowIsOld,
    CountsReset,
    OthersAreApart,
    ChangesSecret,
    LeaseEndsSecret,
}

#[derive(Debug)]
struct Lease {
    token: u128,
    until: Duration,
    began: u64,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<(String, Vec<u8>), Entry>,
    leases: HashMap<(String, Vec<u8>), Lease>,
    tags: HashMap<(String, String), u64>,
    born: HashMap<(String, Vec<u8>), u64>,
    moment: u64,
    before: BTreeMap<(String, Vec<u8>), Entry>,
    scratch: Vec<(Vec<u8>, Entry)>,
    statistics: TierStatistics,
    listeners: Vec<(usize, tokio::sync::mpsc::UnboundedSender<Invalidation>)>,
}

/// A cache tier in memory, correct unless a flaw is switched on.
#[derive(Debug, Clone)]
pub struct RefTier {
    pub flaw: Option<Flaw>,
    pub claims: TierCapabilities,
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    handle: usize,
}

const CAPACITY: usize = 16 << 20;

impl RefTier {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let claims = [
            TierCapability::Lease,
            TierCapability::Tags,
            TierCapability::Immediate,
            TierCapability::Shared,
            TierCapability::Push,
            TierCapability::LeaseEvents,
        ];
        Self { flaw: None, claims: claims.into_iter().collect(), clock, state: Arc::default(), handle: 0 }
    }

    pub fn flawed(flaw: Flaw, clock: Arc<dyn Clock>) -> Self {
        let tier = Self { flaw: Some(flaw), ..Self::new(clock) };
        if flaw == Flaw::TagsUnclaimed {
            return Self { claims: tier.claims.without(TierCapability::Tags), ..tier };
        }
        tier
    }

    /// Another handle on the same entries.
    pub fn other(&self) -> Self {
        let state = if self.has(Flaw::OthersAreApart) { Arc::default() } else { Arc::clone(&self.state) };
        Self { handle: self.handle + 1, state, ..self.clone() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn place(&self, space: &Namespace, key: &[u8]) -> (String, Vec<u8>) {
        let space = if self.has(Flaw::NamespaceIgnored) { "" } else { space.as_str() };
        let key = if self.has(Flaw::KeysAsText) {
            String::from_utf8_lossy(key).into_owned().into()
        } else {
            key.to_vec()
        };
        (space.to_owned(), key)
    }

    fn usable(&self, state: &State, place: &(String, Vec<u8>)) -> Option<Entry> {
        let entry = state.entries.get(place)?;
        let now = self.clock.unix_millis();
        let until = match self.flaw {
            Some(Flaw::ExpiredServed) => u64::MAX,
            Some(Flaw::StaleIsMiss) => entry.fresh_until,
            Some(Flaw::FarTimesWrap) => entry.usable_until.wrapping_add(1000),
            _ => entry.usable_until,
        };
        if now >= until {
            return None;
        }
        let born = state.born.get(place).copied().unwrap_or(0);
        let tags = if self.has(Flaw::FirstTagOnly) {
            entry.tags.get(..1).unwrap_or_default()
        } else {
            &entry.tags[..]
        };
        let hidden = tags.iter().any(|tag| {
            state.tags.iter().any(|((space, dead), moment)| {
                let same = if self.has(Flaw::TagByPrefix) {
                    dead.starts_with(tag.as_str())
                } else {
                    dead == tag.as_str()
                };
                *space == place.0 && same && (*moment > born || self.has(Flaw::TagForEver))
            })
        });
        (!hidden).then(|| entry.clone())
    }

    fn store(&self, state: &mut State, place: (String, Vec<u8>), mut entry: Entry, born: u64) -> PutOutcome {
        let there = self.usable(state, &place);
        if entry.value.len() > CAPACITY {
            if !self.has(Flaw::RejectedKeepsOld) {
                state.entries.remove(&place);
            }
            return PutOutcome::Rejected;
        }
        if let Some(there) = &there {
            let unversioned = entry.version == 0 && !self.has(Flaw::UnversionedIsLeast);
            let checked = !self.has(Flaw::VersionIgnored) && !self.has(Flaw::VersionRaces);
            if checked && !unversioned && entry.version < there.version {
                return PutOutcome::Superseded;
            }
            if self.has(Flaw::FirstPutWins) {
                return PutOutcome::Stored;
            }
        }
        if self.has(Flaw::PastKeepsOld) && entry.usable_until <= self.clock.unix_millis() {
            return PutOutcome::Rejected;
        }
        if self.has(Flaw::FlagsLost) {
            entry.flags = aeth_core::cache::EntryFlags::NONE;
        }
        if self.has(Flaw::LargeIsCut) {
            entry.value = entry.value.slice(..entry.value.len().min(1 << 20));
        }
        if let Some(old) = state.entries.insert(place.clone(), entry) {
            state.before.insert(place.clone(), old);
        }
        state.born.insert(place, born);
        state.statistics.puts += 1;
        PutOutcome::Stored
    }

    fn tell(&self, state: &mut State, change: &Invalidation) {
        let ended = matches!(change, Invalidation::LeaseEnded(..));
        if !self.has(if ended { Flaw::LeaseEndsSecret } else { Flaw::ChangesSecret }) {
            state
                .listeners
                // Leases are of callers, not of handles.
                .retain(|(handle, listener)| {
                    (*handle == self.handle && !ended) || listener.send(change.clone()).is_ok()
                });
        }
    }

    fn look(&self, state: &mut State, place: &(String, Vec<u8>)) -> Option<Entry> {
        let found = self.usable(state, place);
        if found.is_some() {
            state.statistics.hits += 1;
        } else {
            state.statistics.misses += 1;
        }
        found
    }

    fn lease(&self, state: &mut State, place: (String, Vec<u8>), ttl: Duration) -> LeaseLookup {
        let now = self.clock.monotonic();
        let found = self.look(state, &place);
        let out = |lease: &Lease| now < lease.until || self.has(Flaw::LeaseForEver);
        let held = state.leases.get(&place).is_some_and(out) && !self.has(Flaw::LeaseAlwaysGranted);
        let fresh = found.as_ref().is_some_and(|entry| entry.is_fresh(self.clock.unix_millis()));
        match found {
            Some(entry) if fresh || held || self.has(Flaw::StaleUnleased) => LeaseLookup::Hit(entry),
            None if held => LeaseLookup::Held,
            found => {
                let token = fastrand::u128(2..);
                let lease = Lease { token, until: now + ttl, began: state.moment };
                state.leases.insert(place, lease);
                let token = LeaseToken::new(token);
                found.map_or(LeaseLookup::Granted(token), |entry| LeaseLookup::Stale(entry, token))
            }
        }
    }

    fn valid(&self, state: &State, place: &(String, Vec<u8>), token: LeaseToken) -> bool {
        state.leases.get(place).is_some_and(|lease| {
            (lease.token == token.get() || self.has(Flaw::TokenUnchecked))
                && (self.clock.monotonic() < lease.until || self.has(Flaw::LeaseForEver))
        })
    }
}

#[async_trait]
impl CacheTier for RefTier {
    fn name(&self) -> Cow<'_, str> {
        "reference".into()
    }

    fn capabilities(&self) -> TierCapabilities {
        self.claims
    }

    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup> {
        if !self.claims.has(TierCapability::Immediate) {
            return None;
        }
        let place = self.place(namespace, key);
        let mut state = self.state.lock();
        if self.has(Flaw::NowIsOld)
            && let Some(old) = state.before.get(&place)
        {
            return Some(Lookup::Hit(old.clone()));
        }
        Some(self.look(&mut state, &place).map_or(Lookup::Miss, Lookup::Hit))
    }

    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let mut state = self.state.lock();
        if self.has(Flaw::CountsReset) {
            state.statistics = TierStatistics::default();
        }
        let mut keys: Vec<&Key> = keys.iter().collect();
        if self.has(Flaw::AnswersSorted) {
            keys.sort();
        }
        let mut answers = Vec::new();
        for key in keys {
            let place = self.place(namespace, key.as_bytes());
            answers.push(match self.look(&mut state, &place) {
                Some(entry) => Lookup::Hit(entry),
                None if self.has(Flaw::MissIsOutage) => {
                    Lookup::Unavailable(Error::unavailable("nothing there"))
                }
                None => Lookup::Miss,
            });
        }
        answers
    }

    async fn put_many(
        &self,
        namespace: &Namespace,
        mut entries: Vec<(Key, Entry)>,
    ) -> Result<Vec<PutOutcome>> {
        if self.has(Flaw::VersionRaces) {
            let mut keep = Vec::new();
            {
                let state = self.state.lock();
                for (key, entry) in &entries {
                    let there = self.usable(&state, &self.place(namespace, key.as_bytes()));
                    keep.push(entry.version == 0 || there.is_none_or(|there| there.version <= entry.version));
                }
            }
            tokio::task::yield_now().await;
            let mut keep = keep.into_iter();
            entries.retain(|_| keep.next().unwrap_or(true));
            if entries.is_empty() {
                return Ok(vec![PutOutcome::Superseded]);
            }
        }
        if self.has(Flaw::BatchesShared) {
            self.state.lock().scratch =
                entries.iter().map(|(k, e)| (k.as_bytes().to_vec(), e.clone())).collect();
            tokio::task::yield_now().await;
            let scratch = self.state.lock().scratch.clone();
            entries = entries.into_iter().zip(scratch).map(|((key, _), (_, entry))| (key, entry)).collect();
        }
        let mut state = self.state.lock();
        let mut outcomes = Vec::new();
        let mut seen = Vec::new();
        for (key, entry) in entries {
            let place = self.place(namespace, key.as_bytes());
            if self.has(Flaw::FirstOfBatchWins) && seen.contains(&place) {
                outcomes.push(PutOutcome::Stored);
                continue;
            }
            seen.push(place.clone());
            if !self.has(Flaw::PutKeepsLease) && state.leases.remove(&place).is_some() {
                self.tell(&mut state, &Invalidation::LeaseEnded(namespace.clone(), key.clone()));
            }
            let born = state.moment;
            outcomes.push(self.store(&mut state, place, entry, born));
            self.tell(&mut state, &Invalidation::Key(namespace.clone(), key));
        }
        Ok(outcomes)
    }

    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        if self.has(Flaw::RemoveLater) {
            let (state, places) = (
                Arc::clone(&self.state),
                keys.iter().map(|k| self.place(namespace, k.as_bytes())).collect::<Vec<_>>(),
            );
            drop(tokio::spawn(async move {
                tokio::task::yield_now().await;
                places.iter().for_each(|place| drop(state.lock().entries.remove(place)));
            }));
            return Ok(());
        }
        let mut state = self.state.lock();
        for key in keys {
            let place = self.place(namespace, key.as_bytes());
            let voids = !self.has(Flaw::RemoveKeepsLease) && !self.has(Flaw::FillAlwaysStores);
            if voids && state.leases.remove(&place).is_some() {
                self.tell(&mut state, &Invalidation::LeaseEnded(namespace.clone(), key.clone()));
            }
            if self.has(Flaw::RemoveVoidsAll) {
                state.leases.clear();
            }
            if self.has(Flaw::RemoveByPrefix) {
                state.entries.retain(|other, _| other.0 != place.0 || !other.1.starts_with(&place.1));
            }
            state.entries.remove(&place);
            state.statistics.removals += 1;
            self.tell(&mut state, &Invalidation::Key(namespace.clone(), key.clone()));
        }
        Ok(())
    }

    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()> {
        if !self.claims.has(TierCapability::Tags) && !self.has(Flaw::TagsUnclaimed) {
            return Err(Error::unsupported("no tags"));
        }
        let mut state = self.state.lock();
        state.moment += 1;
        let moment = state.moment;
        for tag in tags {
            state.tags.insert((namespace.as_str().to_owned(), tag.as_str().to_owned()), moment);
            self.tell(&mut state, &Invalidation::Tag(namespace.clone(), tag.clone()));
        }
        Ok(())
    }

    async fn clear(&self, namespace: &Namespace) -> Result<()> {
        let mut state = self.state.lock();
        let space = self.place(namespace, b"").0;
        let all = self.has(Flaw::ClearTakesAll);
        state.entries.retain(|place, _| !all && place.0 != space);
        state.before.clear();
        if !self.has(Flaw::ClearKeepsLeases) {
            state.leases.retain(|place, _| place.0 != space);
        }
        self.tell(&mut state, &Invalidation::Namespace(namespace.clone()));
        Ok(())
    }

    async fn get_or_lease_many(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
    ) -> Vec<LeaseLookup> {
        if !self.claims.has(TierCapability::Lease) {
            return vec![LeaseLookup::Unavailable(Error::unsupported("no leases")); keys.len()];
        }
        let mut keys: Vec<&Key> = keys.iter().collect();
        if self.has(Flaw::LeasesSorted) {
            keys.sort();
        }
        let mut answers = Vec::new();
        for key in keys {
            let place = self.place(namespace, key.as_bytes());
            if self.has(Flaw::LeaseRaces) {
                let held = self.state.lock().leases.contains_key(&place);
                tokio::task::yield_now().await;
                if !held {
                    self.state.lock().leases.remove(&place);
                }
            }
            answers.push(self.lease(&mut self.state.lock(), place, ttl));
        }
        answers
    }

    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        if !self.claims.has(TierCapability::Lease) {
            return Err(Error::unsupported("no leases"));
        }
        let place = self.place(namespace, key.as_bytes());
        let mut state = self.state.lock();
        if !self.valid(&state, &place, token) {
            return Ok(FillOutcome::Voided);
        }
        let mut born = state.leases.get(&place).map_or(0, |lease| lease.began);
        if self.has(Flaw::TagKeepsLeases) {
            born = state.moment;
        }
        if !self.has(Flaw::FillTwice) {
            state.leases.remove(&place);
        }
        self.store(&mut state, place, entry, born);
        self.tell(&mut state, &Invalidation::LeaseEnded(namespace.clone(), key.clone()));
        Ok(FillOutcome::Stored)
    }

    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()> {
        if !self.claims.has(TierCapability::Lease) {
            return Err(Error::unsupported("no leases"));
        }
        let place = self.place(namespace, key.as_bytes());
        let mut state = self.state.lock();
        if self.valid(&state, &place, token) || self.has(Flaw::ReleaseIgnoresToken) {
            state.leases.remove(&place);
            self.tell(&mut state, &Invalidation::LeaseEnded(namespace.clone(), key.clone()));
        }
        Ok(())
    }

    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>> {
        if !self.claims.has(TierCapability::Push) && !self.claims.has(TierCapability::LeaseEvents) {
            return None;
        }
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        self.state.lock().listeners.push((self.handle, sender));
        let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|change| (change, receiver))
        });
        Some(stream.boxed())
    }

    fn statistics(&self) -> TierStatistics {
        let mut statistics = self.state.lock().statistics;
        statistics.capacity = Some(CAPACITY as u64);
        statistics
    }
}
