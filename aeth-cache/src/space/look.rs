//! The look-up in L1: the path of a hit.

use super::Space;
use crate::flight::{Arrival, Origin};
use crate::l1::{KeyRef, Slot};
use std::sync::atomic::Ordering::Relaxed;

/// What L1 has for a key.
#[derive(Debug)]
pub(crate) enum Found {
    Fresh(Slot),
    /// Fresh, and due to be refreshed in the background.
    Early(Slot),
    /// Usable if nothing better can be had.
    Stale(Slot),
    Nothing,
}

impl Space {
    /// Looks into L1. Allocates nothing, waits for nothing, reads no clock but the coarse one.
    #[inline]
    pub(crate) fn look(&self, key: &KeyRef<'_>) -> Found {
        let Some(slot) = self.shared.l1.get(key) else { return self.look_behind(key) };
        let now = self.shared.coarse.now();
        if now < slot.refresh_at && slot.epochs == self.epochs() && self.tags_hold(&slot) {
            return Found::Fresh(slot);
        }
        self.judge(key, slot, now)
    }

    /// The answer that a fresh slot gives, counted. Takes the slot, so that a hit counts one reference only.
    #[inline]
    pub(crate) fn hit(&self, key: &KeyRef<'_>, slot: Slot) -> Arrival {
        let origin = if slot.kept_stale { Origin::Stale } else { Origin::Local };
        self.answered(key, origin);
        Arrival::new(slot.value, origin)
    }

    #[inline]
    pub(super) fn tags_hold(&self, slot: &Slot) -> bool {
        match &slot.tagged {
            None => true,
            Some(tagged) => {
                let valid_at = tagged.valid_at.load(Relaxed);
                if valid_at == self.marks.epoch() {
                    return true;
                }
                let valid = self.marks.valid_since(&tagged.tags, valid_at);
                if let Some(epoch) = valid {
                    tagged.valid_at.fetch_max(epoch, Relaxed);
                }
                valid.is_some()
            }
        }
    }

    /// What memory does not hold may still wait to be written into the lower tiers.
    #[cold]
    fn look_behind(&self, key: &KeyRef<'_>) -> Found {
        match self.shared.behind.find(key) {
            Some(slot) => self.judge(key, slot, self.shared.coarse.now()),
            None => Found::Nothing,
        }
    }

    /// A slot that is not plainly fresh.
    #[cold]
    fn judge(&self, key: &KeyRef<'_>, slot: Slot, now: u64) -> Found {
        let epochs = self.epochs();
        let cleared = slot.epochs.clears() != epochs.clears();
        if cleared || now >= slot.usable_until || !self.tags_hold(&slot) {
            // It would only take room until it is pushed out.
            self.shared.l1.drop_slot(key, &slot);
            self.stats.expired.increment();
            return Found::Nothing;
        }
        if now >= slot.fresh_until || slot.epochs != epochs {
            return Found::Stale(slot);
        }
        if now >= slot.refresh_at { Found::Early(slot) } else { Found::Fresh(slot) }
    }
}
