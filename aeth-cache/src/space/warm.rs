//! Entries that outlive the process.

use super::{Found, Space, Stamp};
use crate::l1::{Epochs, Generation, KeyRef, L1Key, Published, Slot};
use aeth_core::cache::{Entry, EntryFlags, Lookup};
use aeth_core::{Key, Result};
use bytes::Bytes;
use std::sync::Arc;

/// Whether a restored value may be served as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    None,
    /// Others may have changed it: the lower tiers are asked first.
    Stale,
}

impl Space {
    /// True for what could be served after a restart.
    pub(crate) fn may_return(&self, slot: &Slot) -> bool {
        slot.epochs.clears() == self.epochs().clears()
            && self.shared.coarse.exact_now() < slot.usable_until
            && self.tags_hold(slot)
    }

    /// True when a reader would be answered from L1. Counts nothing.
    pub(crate) fn is_fresh_here(&self, key: &KeyRef<'_>) -> bool {
        matches!(self.look(key), Found::Fresh(_) | Found::Early(_))
    }

    /// A slot as the lower tiers would store it, read when the namespace was in the state `epochs`; `unix` is the wall
    /// clock's time at `now`.
    pub(crate) fn entry_of_slot(
        &self,
        key: &[u8],
        slot: &Slot,
        epochs: Epochs,
        (now, unix): (u64, u64),
    ) -> Result<Entry> {
        let at = |time: u64| match time.checked_sub(now) {
            Some(ahead) => unix.saturating_add(ahead),
            None => unix.saturating_sub(now - time),
        };
        let (bytes, flags) = match &slot.value {
            Some(value) => (self.codec.encode(&**value)?, EntryFlags::NONE),
            None => (Bytes::new(), EntryFlags::NEGATIVE),
        };
        // What is served past its time, or in doubt, is not fresh.
        let doubted = slot.kept_stale || slot.epochs != epochs;
        let fresh_until = if doubted { now.min(slot.fresh_until) } else { slot.fresh_until };
        let tags = slot.tagged.as_ref().map(|tagged| Arc::clone(&tagged.tags)).unwrap_or_default();
        let entry = Entry::new(bytes, at(slot.created), at(fresh_until))
            .with_usable_until(at(slot.usable_until))
            .with_version(slot.version)
            .with_tags(tags)
            .with_flags(flags);
        self.to_wire(key, entry)
    }

    /// Puts a saved entry back where nothing stands and nothing has changed since the state in which it was saved
    /// (generation, clears, tag epoch). `None` when it cannot be used any more.
    pub(crate) fn restore(
        &self,
        key: &Key,
        entry: &Entry,
        (generation, clears, tag_epoch): (u32, u64, u64),
        doubt: Doubt,
    ) -> Option<Published> {
        let key = self.key(key.as_bytes());
        let epochs = self.epochs();
        let stamp = Stamp { generation: Generation::of(generation), tag_epoch, ..self.stamp(key.hash) };
        if clears != epochs.clears() || self.marks.valid_since(&entry.tags, tag_epoch).is_none() {
            return Some(Published::Fenced);
        }
        let (mut slot, _) = self.take_entry(&key, entry, &stamp)?;
        slot.epochs = if doubt == Doubt::Stale { epochs.doubted() } else { epochs };
        Some(self.shared.l1.publish_absent(key.owned(), slot, stamp.generation))
    }

    /// Reads keys from the lower tiers into L1. Gives for each whether it is here now.
    pub(crate) async fn warm(&self, keys: &[L1Key]) -> Result<Vec<bool>> {
        let Some(tier) = self.lower() else { return Ok(vec![false; keys.len()]) };
        let stamps: Vec<Stamp> = keys.iter().map(|key| self.stamp(key.hash())).collect();
        let tier_keys = keys.iter().map(|key| Self::tier_key(key.bytes())).collect::<Result<Vec<_>>>()?;
        let lookups = tier.get_many(&self.name, &tier_keys);
        let lookups = self.tier_call(self.settings.tier_timeout, lookups).await?;
        let mut here = Vec::with_capacity(keys.len());
        for ((key, stamp), lookup) in keys.iter().zip(&stamps).zip(lookups) {
            here.push(match lookup {
                Lookup::Hit(entry) => match self.take_entry(&key.as_ref(), &entry, stamp) {
                    Some((slot, true)) => self.publish(&key.as_ref(), slot, stamp) == Published::Stored,
                    _ => false,
                },
                Lookup::Unavailable(error) => {
                    return Err(error.with_operation("warm_up").with_key(&self.name));
                }
                _ => false,
            });
        }
        here.resize(keys.len(), false);
        Ok(here)
    }
}
