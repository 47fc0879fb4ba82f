//! What is counted for each namespace.

use super::Space;
use crate::events::{CacheEvent, EventKey, EventKind};
use crate::flight::Origin;
use crate::l1::KeyRef;
use crate::striped::StripedCounter;
use aeth_core::observe::{Counter, Histogram};

/// Always on. Only `hits` is counted on the hit path, in stripes.
#[derive(Debug, Default)]
pub(crate) struct SpaceStats {
    /// Fresh answers from L1.
    pub(crate) hits: StripedCounter,
    /// Fresh answers from a lower tier.
    pub(crate) tier_hits: Counter,
    /// Stale answers.
    pub(crate) stale: Counter,
    /// Nothing usable anywhere, or a load had to be waited for.
    pub(crate) misses: Counter,
    /// Loaders that ran.
    pub(crate) loads: Counter,
    /// Loaders that failed, panicked or took too long.
    pub(crate) load_errors: Counter,
    /// Callers that waited for a load of somebody else.
    pub(crate) shared_loads: Counter,
    /// Loaded or promoted values that were not kept because the key had changed meanwhile.
    pub(crate) fenced: Counter,
    /// Values put by the host.
    pub(crate) puts: Counter,
    /// Keys removed by the host.
    pub(crate) removals: Counter,
    /// Entries of L1 that were found to be over: past their time, cleared, or with an invalidated tag.
    pub(crate) expired: Counter,
    /// Values larger than what L1 can hold.
    pub(crate) too_large: Counter,
    /// Entries of lower tiers that could not be decoded, or are of another codec or schema.
    pub(crate) undecodable: Counter,
    /// Calls of lower tiers that failed or took too long.
    pub(crate) tier_errors: Counter,
    /// How long loaders took.
    pub(crate) load_duration: Histogram,
}

impl Space {
    /// Counts an answer, each caller's once, and tells of it.
    #[inline]
    pub(crate) fn answered(&self, key: &KeyRef<'_>, origin: Origin) {
        let kind = match origin {
            Origin::Local => {
                let nth = self.stats.hits.increment();
                self.shared.heat.sample(nth, key.hash);
                EventKind::Hit
            }
            Origin::Tier => {
                self.stats.tier_hits.increment();
                EventKind::TierHit
            }
            Origin::Stale => {
                self.stats.stale.increment();
                EventKind::Stale
            }
            Origin::Loader => {
                self.stats.misses.increment();
                EventKind::Miss
            }
        };
        self.tell_key(kind, key.bytes);
    }

    /// Counts a look-up that found nothing usable, and tells of it.
    pub(crate) fn missed(&self, key: &KeyRef<'_>) {
        self.answered(key, Origin::Loader);
    }

    /// Tells of an event that is only about a key.
    #[inline]
    pub(crate) fn tell_key(&self, kind: EventKind, key: &[u8]) {
        self.shared.events.tell(kind, || {
            let key = EventKey::new(&self.name, key)?;
            Some(match kind {
                EventKind::Hit => CacheEvent::Hit(key),
                EventKind::TierHit => CacheEvent::TierHit(key),
                EventKind::Stale => CacheEvent::Stale(key),
                EventKind::Put => CacheEvent::Put(key),
                EventKind::Removed => CacheEvent::Removed(key),
                EventKind::Evicted => CacheEvent::Evicted(key),
                _ => CacheEvent::Miss(key),
            })
        });
    }
}
