//! From values and entries to slots, and from both into L1.

use super::{Space, Stamp};
use crate::call::CallOptions;
use crate::item::Item;
use crate::l1::{ENTRY_OVERHEAD, KeyRef, Published, Slot, Tagged, Value};
use crate::time::millis;
use aeth_core::Tag;
use aeth_core::cache::{Entry, EntryFlags};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// For how many milliseconds something is fresh and usable, and fresh without asking the lower tiers; how early it is
/// refreshed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lifetime {
    pub(crate) fresh: u64,
    pub(crate) usable: u64,
    local: u64,
    early: f64,
}

impl Space {
    /// How long an item lives: its own word counts first, then the call's, then the cache's. `None` for an
    /// absence that is not to be kept.
    pub(crate) fn lifetime(&self, item: &Item<Value>, call: &CallOptions) -> Option<Lifetime> {
        let settings = &self.settings;
        let (fresh, usable) = if item.value.is_none() {
            let fresh = item.fresh_for.or(call.negative_for).or(settings.negative_for)?;
            (fresh, item.usable_for)
        } else {
            let fresh = item.fresh_for.or(call.fresh_for).unwrap_or(settings.fresh_for);
            (fresh, item.usable_for.or(call.usable_for).or(settings.usable_for))
        };
        let jitter = call.jitter.map_or(settings.jitter, |part| part.clamp(0.0, 0.5));
        let fresh = spread(millis(fresh), jitter);
        let usable = usable.map_or(fresh, millis).max(fresh);
        let local = self.local_limit(fresh, call.local_fresh_for);
        let early = call.early_refresh.map_or(settings.early_refresh, |beta| beta.clamp(0.0, 100.0));
        Some(Lifetime { fresh, usable, local, early })
    }

    fn weight(&self, value: Option<&Value>, key: &[u8], tags: &[Tag]) -> u32 {
        let value = value.map_or(0, |value| self.codec.weigh(&**value));
        let tags: usize = tags.iter().map(|tag| tag.as_str().len() + 32).sum();
        let weight = value.saturating_add(key.len()).saturating_add(tags).saturating_add(ENTRY_OVERHEAD);
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    fn tagged(tags: Arc<[Tag]>, stamp: &Stamp) -> Option<Arc<Tagged>> {
        if tags.is_empty() {
            return None;
        }
        Some(Arc::new(Tagged { tags, valid_at: AtomicU64::new(stamp.tag_epoch) }))
    }

    /// The slot of a value that was just loaded or put.
    pub(crate) fn slot(
        &self,
        key: &KeyRef<'_>,
        item: Item<Value>,
        lifetime: Lifetime,
        stamp: &Stamp,
    ) -> Slot {
        let now = self.shared.coarse.exact_now();
        let fresh_until = now.saturating_add(lifetime.local);
        Slot {
            weight: self.weight(item.value.as_ref(), key.bytes, &item.tags),
            value: item.value,
            tagged: Self::tagged(item.tags.into(), stamp),
            epochs: stamp.epochs,
            created: stamp.started,
            refresh_at: refresh_at(now, fresh_until, now.saturating_sub(stamp.started), lifetime.early),
            fresh_until,
            usable_until: now.saturating_add(lifetime.usable),
            version: item.version,
            kept_stale: false,
        }
    }

    /// The slot of an entry that was read from a lower tier. How long it still lives is taken from the wall
    /// clock once, and capped by what the cache would give a new entry: a clock that steps back then cannot
    /// make it live longer.
    pub(crate) fn slot_of_entry(
        &self,
        key: &KeyRef<'_>,
        value: Option<Value>,
        entry: &Entry,
        stamp: &Stamp,
    ) -> Slot {
        // The two were read together.
        let (now, unix) = (stamp.started, stamp.started_unix);
        let total = entry.usable_until.saturating_sub(entry.created);
        let fresh =
            entry.fresh_until.saturating_sub(unix).min(entry.fresh_until.saturating_sub(entry.created));
        let usable = entry.usable_until.saturating_sub(unix).min(total);
        let fresh_until = now.saturating_add(self.local_limit(fresh, None));
        Slot {
            weight: self.weight(value.as_ref(), key.bytes, &entry.tags),
            value,
            tagged: Self::tagged(Arc::clone(&entry.tags), stamp),
            epochs: stamp.epochs,
            created: now.saturating_sub(unix.saturating_sub(entry.created)),
            refresh_at: fresh_until,
            fresh_until,
            usable_until: now.saturating_add(usable),
            version: entry.version,
            kept_stale: false,
        }
    }

    fn local_limit(&self, fresh: u64, of_call: Option<Duration>) -> u64 {
        match of_call.or(self.settings.local_fresh_for) {
            Some(limit) if self.has_lower() => fresh.min(millis(limit)),
            _ => fresh,
        }
    }

    /// The entry of a value for the lower tiers.
    pub(crate) fn entry(
        &self,
        key: &[u8],
        item: &Item<Value>,
        lifetime: Lifetime,
        stamp: &Stamp,
    ) -> aeth_core::Result<Entry> {
        let now = self.shared.coarse.exact_now().saturating_sub(stamp.started) + stamp.started_unix;
        let (bytes, flags) = match &item.value {
            Some(value) => (self.codec.encode(&**value)?, EntryFlags::NONE),
            None => (bytes::Bytes::new(), EntryFlags::NEGATIVE),
        };
        let entry = Entry::new(bytes, stamp.started_unix, now.saturating_add(lifetime.fresh))
            .with_usable_until(now.saturating_add(lifetime.usable))
            .with_version(item.version)
            .with_tags(item.tags.clone())
            .with_flags(flags);
        self.to_wire(key, entry)
    }

    /// Keeps a loaded slot in L1 unless the key has changed since `stamp`.
    pub(crate) fn publish(&self, key: &KeyRef<'_>, slot: Slot, stamp: &Stamp) -> Published {
        if slot.epochs.clears() != self.epochs().clears() {
            self.stats.fenced.increment();
            return Published::Fenced;
        }
        let published = self.shared.l1.publish(key.owned(), slot, stamp.generation);
        match published {
            Published::Fenced => self.stats.fenced.increment(),
            Published::TooLarge => self.stats.too_large.increment(),
            Published::Stored | Published::Superseded => {}
        }
        published
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a factor between 0.5 and 1.5 on a span of milliseconds"
)]
fn spread(fresh: u64, jitter: f64) -> u64 {
    if jitter == 0.0 {
        return fresh;
    }
    let factor = 1.0 + (fastrand::f64() * 2.0 - 1.0) * jitter;
    ((fresh as f64 * factor) as u64).max(1)
}

/// When an entry that took `cost` milliseconds to load is to be refreshed.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float as an integer saturates, which is what is wanted"
)]
fn refresh_at(now: u64, fresh_until: u64, cost: u64, beta: f64) -> u64 {
    if beta == 0.0 {
        return fresh_until;
    }
    // 1 - f64() lies in (0, 1].
    let ahead = -(1.0 - fastrand::f64()).ln() * beta * cost.max(1) as f64;
    fresh_until.saturating_sub(ahead as u64).max(now)
}
