//! Changes: put, remove, tags, clear.
//!
//! The order that keeps a change safe on this node: announce it (the key's generation moves, so that nothing
//! loaded before can be published any more), change the lower tiers, then change L1 and announce again (so that
//! nothing read from the lower tiers in between stays).

use super::Space;
use crate::behind::{Admission, WhenFull, Withdrawn, WriteMode};
use crate::caches::Changing;
use crate::call::CallOptions;
use crate::coherence::News;
use crate::events::{CacheEvent, EventKind};
use crate::item::Item;
use crate::l1::{L1Key, Published, Slot, Value};
use aeth_core::cache::{Entry, PutOutcome, TierCapability};
use aeth_core::{ClockExt, Error, ErrorKind, Key, Result, Tag};
use std::collections::HashMap;
use std::sync::Arc;

/// A value to be stored: its key, its slot, and its entry where there are lower tiers.
type Change = (L1Key, Slot, Option<Entry>);

impl Space {
    /// Stores items.
    pub(crate) async fn put(
        self: &Arc<Self>,
        items: Vec<(L1Key, Item<Value>)>,
        call: &CallOptions,
    ) -> Result<()> {
        let _change = self.begin_change()?;
        let mut changes: Vec<Change> = Vec::with_capacity(items.len());
        let mut forgotten = Vec::new();
        let moment = self.moment();
        for (key, item) in items {
            self.stats.puts.increment();
            self.tell_key(EventKind::Put, key.bytes());
            let Some(lifetime) = self.lifetime(&item, call) else {
                forgotten.push(key);
                continue;
            };
            let stamp = self.stamp_at(key.hash(), moment);
            let entry = match self.has_lower() {
                true => Some(self.entry(key.bytes(), &item, lifetime, &stamp)?),
                false => None,
            };
            let slot = self.slot(&key.as_ref(), item, lifetime, &stamp);
            changes.push((key, slot, entry));
        }
        let mode = call.write.unwrap_or(self.settings.write);
        if mode == WriteMode::Around && !self.has_lower() {
            forgotten.extend(changes.drain(..).map(|(key, ..)| key));
        }
        if !forgotten.is_empty() {
            self.remove(forgotten).await?;
        }
        match mode {
            _ if changes.is_empty() => Ok(()),
            WriteMode::Behind if self.has_lower() => self.put_behind(changes).await,
            WriteMode::Around => self.put_through(changes, false).await,
            _ => self.put_through(changes, true).await,
        }
    }

    /// Into the lower tiers, then into L1 if it is to keep them.
    async fn put_through(self: &Arc<Self>, changes: Vec<Change>, keep: bool) -> Result<()> {
        let mut kept = Vec::with_capacity(changes.len());
        let mut entries = Vec::new();
        for (key, slot, entry) in changes {
            if let Some(entry) = entry {
                entries.push((Self::tier_key(key.bytes())?, entry));
            }
            kept.push((key, slot));
        }
        let told = if self.shared.coherence.is_some() {
            kept.iter().map(|(key, _)| Self::tier_key(key.bytes())).collect::<Result<_>>()?
        } else {
            Vec::new()
        };
        if entries.is_empty() {
            for (key, slot) in kept {
                if self.shared.l1.put(key, slot) == Published::TooLarge {
                    self.stats.too_large.increment();
                }
            }
            self.tell_keys(told).await;
            return Ok(());
        }
        let generations = self.shared.l1.bump_all(kept.iter().map(|(key, _)| key.hash()));
        let replaced = self.replace_queued(kept.iter().map(|(key, _)| key)).await;
        let outcomes = self.put_lower(entries).await;
        let mut moved = HashMap::new();
        for (index, ((key, slot), generation)) in kept.into_iter().zip(generations).enumerate() {
            let stored =
                outcomes.as_ref().is_ok_and(|outcomes| outcomes.get(index) != Some(&PutOutcome::Superseded));
            // Another writer may have come between: which of the two the lower tiers kept is then unknown here,
            // and the next reader asks them.
            let published = keep && stored && {
                let key = key.clone();
                self.shared.l1.commit(key, slot, generation, &mut moved) == Published::Stored
            };
            if !published {
                self.shared.l1.remove(&key.as_ref());
            }
        }
        replaced.done();
        self.tell_keys(told).await;
        outcomes.map(drop)
    }

    /// Into L1 and the queue.
    async fn put_behind(self: &Arc<Self>, changes: Vec<Change>) -> Result<()> {
        let behind = &self.shared.behind;
        let mut through = Vec::new();
        let mut full = Ok(());
        for (key, slot, entry) in changes {
            let Some(entry) = entry else { continue };
            let publish = || {
                if self.shared.l1.put(key.clone(), slot.clone()) == Published::TooLarge {
                    self.stats.too_large.increment();
                }
            };
            let admission = loop {
                let admission = behind.enqueue(self, &key, &slot, &entry, publish);
                if admission != Admission::Full || behind.options.when_full != WhenFull::Wait {
                    break admission;
                }
                self.shared.start_behind();
                let limit = self.settings.tier_timeout;
                if self.shared.coarse.clock().timeout(limit, behind.room()).await.is_err() {
                    break admission;
                }
            };
            match admission {
                Admission::Full if behind.options.when_full == WhenFull::Through => {
                    through.push((key, slot, Some(entry)));
                }
                Admission::Full => {
                    full = Err(Error::new(ErrorKind::Busy, "the write-behind queue is full")
                        .with_operation("put")
                        .with_component("cache")
                        .with_key(&self.name)
                        .with_remedy("see why the lower tiers are slow, or give the queue more room"));
                    break;
                }
                Admission::TooLarge => through.push((key, slot, Some(entry))),
                Admission::Queued | Admission::Coalesced | Admission::Superseded => {}
            }
        }
        self.shared.start_behind();
        if !through.is_empty() {
            self.put_through(through, true).await?;
        }
        full
    }

    /// Takes out of the queue what a change of these keys replaces, and waits for what is on its way.
    async fn replace_queued<'a>(self: &Arc<Self>, keys: impl Iterator<Item = &'a L1Key>) -> Replaced {
        let behind = &self.shared.behind;
        if behind.len() == 0 {
            return Replaced::nothing(self);
        }
        let keys: Vec<L1Key> = keys.cloned().collect();
        self.replaced(behind.withdraw(&keys)).await
    }

    async fn replaced(self: &Arc<Self>, withdrawn: Withdrawn) -> Replaced {
        // Before waiting: whoever calls may go away meanwhile.
        let replaced = Replaced { space: Arc::clone(self), withdrawn };
        self.shared.behind.landed(&replaced.withdrawn).await;
        replaced
    }

    fn begin_change(&self) -> Result<Changing> {
        let changing = self.shared.change().map_err(|error| error.with_key(&self.name))?;
        self.check_open()?;
        Ok(changing)
    }

    async fn tell_keys(&self, keys: Vec<Key>) {
        if !keys.is_empty() {
            self.shared.tell(News::Keys(self.name.clone(), keys)).await;
        }
    }

    async fn put_lower(&self, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>> {
        let Some(tier) = self.lower() else { return Ok(Vec::new()) };
        let keys: Vec<Key> = entries.iter().map(|(key, _)| key.clone()).collect();
        let result = self.tier_call(self.settings.tier_timeout, tier.put_many(&self.name, entries)).await;
        result.and_then(|outcomes| outcomes).map_err(|error| {
            // Whether the new values arrived is unknown. The old ones must not outlive the outage.
            for key in keys {
                self.shared.recovery.removal(&self.name, key);
            }
            self.write_failed("put", error)
        })
    }

    async fn remove_lower(&self, keys: &[L1Key]) -> Result<()> {
        let Some(tier) = self.lower().filter(|_| !keys.is_empty()) else { return Ok(()) };
        let keys = keys.iter().map(|key| Self::tier_key(key.bytes())).collect::<Result<Vec<_>>>()?;
        self.tier_call(self.settings.tier_timeout, tier.remove_many(&self.name, &keys)).await?
    }

    /// Removes keys.
    pub(crate) async fn remove(self: &Arc<Self>, keys: Vec<L1Key>) -> Result<()> {
        let _change = self.begin_change()?;
        let mut tier_keys = Vec::new();
        if self.has_lower() || self.shared.coherence.is_some() {
            for key in &keys {
                tier_keys.push(Self::tier_key(key.bytes())?);
            }
            self.shared.l1.bump_all(keys.iter().map(L1Key::hash));
        }
        let replaced = self.replace_queued(keys.iter()).await;
        let result = match self.lower() {
            Some(tier) => {
                let removed = tier.remove_many(&self.name, &tier_keys);
                self.tier_call(self.settings.tier_timeout, removed).await.and_then(|removed| removed)
            }
            None => Ok(()),
        };
        for key in &keys {
            self.shared.l1.remove(&key.as_ref());
            self.stats.removals.increment();
            self.tell_key(EventKind::Removed, key.bytes());
        }
        replaced.done();
        self.tell_keys(if self.shared.coherence.is_some() { tier_keys.clone() } else { Vec::new() }).await;
        result.map_err(|error| {
            for key in tier_keys {
                self.shared.recovery.removal(&self.name, key);
            }
            self.write_failed("remove", error)
        })
    }

    /// Invalidates everything that has one of the tags.
    pub(crate) async fn invalidate_tags(self: &Arc<Self>, tags: &[Tag]) -> Result<()> {
        let _change = self.begin_change()?;
        // Before and after: what was read from the lower tiers in between is older than the change.
        self.marks.invalidate(tags);
        let affected = |key: &L1Key, entry: &Entry| {
            key.space() == self.id && entry.tags.iter().any(|tag| tags.contains(tag))
        };
        let replaced = self.replaced(self.shared.behind.withdraw_where(affected)).await;
        // The tiers still have what these were to replace, whose tags may be others.
        let forgotten = self.remove_lower(&replaced.withdrawn.keys).await;
        let result = match self.lower() {
            Some(tier) if tier.capabilities().has(TierCapability::Tags) => {
                let invalidated = tier.invalidate_tags(&self.name, tags);
                self.tier_call(self.settings.tier_timeout, invalidated).await.and_then(|done| done)
            }
            Some(tier) => Err(Error::unsupported("the lower tiers cannot invalidate by tag")
                .with_component(tier.name().into_owned())
                .with_remedy("use tiers with the Tags capability, or remove the keys")),
            None => Ok(()),
        };
        self.marks.invalidate(tags);
        if forgotten.is_ok() {
            replaced.done();
        }
        self.shared.events.tell(EventKind::TagsInvalidated, || {
            Some(CacheEvent::TagsInvalidated { namespace: self.name.clone(), tags: tags.to_vec() })
        });
        self.shared.tell(News::Tags(self.name.clone(), tags.to_vec())).await;
        result.map_err(|error| {
            // Whatever the reason, a breaker that is open included: only tiers that know no tags never follow.
            if error.kind() != ErrorKind::Unsupported {
                self.shared.recovery.tags(&self.name, tags);
            }
            self.write_failed("invalidate_tags", error)
        })
    }

    /// Empties the namespace.
    pub(crate) async fn clear(self: &Arc<Self>) -> Result<()> {
        let _change = self.begin_change()?;
        self.begin_clear();
        let affected = |key: &L1Key, _: &Entry| key.space() == self.id;
        let replaced = self.replaced(self.shared.behind.withdraw_where(affected)).await;
        let result = match self.lower() {
            Some(tier) => {
                let cleared = tier.clear(&self.name);
                self.tier_call(self.settings.tier_timeout, cleared).await.and_then(|done| done)
            }
            None => Ok(()),
        };
        self.begin_clear();
        let epochs = self.epochs();
        self.shared.l1.sweep(self.id, |slot| slot.epochs.clears() == epochs.clears());
        replaced.done();
        self.shared.events.tell(EventKind::Cleared, || Some(CacheEvent::Cleared(self.name.clone())));
        self.shared.tell(News::All(self.name.clone())).await;
        result.map_err(|error| {
            self.shared.recovery.clear(&self.name);
            self.write_failed("clear", error)
        })
    }

    fn write_failed(&self, operation: &'static str, error: Error) -> Error {
        self.stats.tier_errors.increment();
        error
            .with_operation(operation)
            .with_key(&self.name)
            .with_remedy("this process serves nothing older; the lower tiers follow when they answer again")
    }
}

/// Queued writes that a change replaces. When the change is dropped half-way, the tiers have neither: what they
/// have is older than what was acknowledged, and must go.
struct Replaced {
    space: Arc<Space>,
    withdrawn: Withdrawn,
}

impl Replaced {
    fn nothing(space: &Arc<Space>) -> Self {
        Self { space: Arc::clone(space), withdrawn: Withdrawn::default() }
    }

    /// The change has reached the tiers, or is known to recovery.
    fn done(mut self) {
        self.withdrawn = Withdrawn::default();
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        for key in self.withdrawn.keys.drain(..) {
            self.space.shared.l1.remove(&key.as_ref());
            if let Ok(key) = Space::tier_key(key.bytes()) {
                self.space.shared.recovery.removal(&self.space.name, key);
            }
        }
    }
}
