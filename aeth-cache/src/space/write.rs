//! Changes: put, remove, tags, clear.
//!
//! The order that keeps a change safe on this node: announce it (the key's generation moves, so that nothing
//! loaded before can be published any more), change the lower tiers, then change L1 and announce again (so that
//! nothing read from the lower tiers in between stays).

use super::Space;
use crate::coherence::News;
use crate::item::Item;
use crate::l1::{L1Key, Published, Value};
use crate::options::CallOptions;
use aeth_core::cache::{Entry, PutOutcome, TierCapability};
use aeth_core::{Error, Key, Result, Tag};

impl Space {
    /// Stores items.
    pub(crate) async fn put(&self, items: Vec<(L1Key, Item<Value>)>, call: &CallOptions) -> Result<()> {
        self.check_open()?;
        let mut kept = Vec::with_capacity(items.len());
        let mut entries = Vec::new();
        let mut forgotten = Vec::new();
        for (key, item) in items {
            self.stats.puts.increment();
            let Some(lifetime) = self.lifetime(&item, call) else {
                forgotten.push(key);
                continue;
            };
            let stamp = self.stamp(key.hash());
            if self.has_lower() {
                let entry = self.entry(&item, lifetime, &stamp)?;
                entries.push((Self::tier_key(key.bytes())?, entry));
            }
            let slot = self.slot(&key.as_ref(), item, lifetime, &stamp);
            kept.push((key, slot));
        }
        if !forgotten.is_empty() {
            self.remove(forgotten).await?;
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
        let outcomes = self.put_lower(entries).await;
        for (index, ((key, slot), generation)) in kept.into_iter().zip(generations).enumerate() {
            let stored =
                outcomes.as_ref().is_ok_and(|outcomes| outcomes.get(index) != Some(&PutOutcome::Superseded));
            // Another writer may have come between: which of the two the lower tiers kept is then unknown here,
            // and the next reader asks them.
            let published = stored && {
                let key = key.clone();
                self.shared.l1.commit(key, slot, generation) == Published::Stored
            };
            if !published {
                self.shared.l1.remove(&key.as_ref());
            }
        }
        self.tell_keys(told).await;
        outcomes.map(drop)
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

    /// Removes keys.
    pub(crate) async fn remove(&self, keys: Vec<L1Key>) -> Result<()> {
        self.check_open()?;
        let mut tier_keys = Vec::new();
        if self.has_lower() || self.shared.coherence.is_some() {
            for key in &keys {
                tier_keys.push(Self::tier_key(key.bytes())?);
            }
            self.shared.l1.bump_all(keys.iter().map(L1Key::hash));
        }
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
        }
        self.tell_keys(if self.shared.coherence.is_some() { tier_keys.clone() } else { Vec::new() }).await;
        result.map_err(|error| {
            for key in tier_keys {
                self.shared.recovery.removal(&self.name, key);
            }
            self.write_failed("remove", error)
        })
    }

    /// Invalidates everything that has one of the tags.
    pub(crate) async fn invalidate_tags(&self, tags: &[Tag]) -> Result<()> {
        self.check_open()?;
        // Before and after: what was read from the lower tiers in between is older than the change.
        self.marks.invalidate(tags);
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
        self.shared.tell(News::Tags(self.name.clone(), tags.to_vec())).await;
        result.map_err(|error| {
            if error.retry().is_worthwhile() {
                self.shared.recovery.tags(&self.name, tags);
            }
            self.write_failed("invalidate_tags", error)
        })
    }

    /// Empties the namespace.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.check_open()?;
        self.begin_clear();
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
