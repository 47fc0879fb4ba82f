//! The events.

use aeth_core::policy::BreakerState;
use aeth_core::{Error, Key, Namespace, Tag};
use std::time::Duration;

/// The kinds of events, to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum EventKind {
    /// [`CacheEvent::Hit`].
    Hit,
    /// [`CacheEvent::TierHit`].
    TierHit,
    /// [`CacheEvent::Stale`].
    Stale,
    /// [`CacheEvent::Miss`].
    Miss,
    /// [`CacheEvent::Load`].
    Load,
    /// [`CacheEvent::Put`].
    Put,
    /// [`CacheEvent::Removed`].
    Removed,
    /// [`CacheEvent::Evicted`].
    Evicted,
    /// [`CacheEvent::TagsInvalidated`].
    TagsInvalidated,
    /// [`CacheEvent::Cleared`].
    Cleared,
    /// [`CacheEvent::Breaker`].
    Breaker,
    /// [`CacheEvent::Recovery`].
    Recovery,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Hit,
        Self::TierHit,
        Self::Stale,
        Self::Miss,
        Self::Load,
        Self::Put,
        Self::Removed,
        Self::Evicted,
        Self::TagsInvalidated,
        Self::Cleared,
        Self::Breaker,
        Self::Recovery,
    ];

    pub(super) const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A key of one of the caches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EventKey {
    /// The cache.
    pub namespace: Namespace,
    /// The key.
    pub key: Key,
}

impl EventKey {
    /// `None` for bytes that are no key.
    pub(crate) fn new(namespace: &Namespace, key: &[u8]) -> Option<Self> {
        Some(Self { namespace: namespace.clone(), key: Key::new(key).ok()? })
    }
}

/// Something that happened in one of the caches; see [`Caches::events`](crate::Caches::events).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CacheEvent {
    /// A look-up was answered from memory.
    Hit(EventKey),
    /// A look-up was answered by a lower tier.
    TierHit(EventKey),
    /// A look-up was answered with a stale value.
    Stale(EventKey),
    /// A look-up found nothing usable, or had to wait for a load.
    Miss(EventKey),
    /// A loader has ended.
    Load {
        /// The cache.
        namespace: Namespace,
        /// The key; `None` for a loader of several.
        key: Option<Key>,
        /// How long it took.
        took: Duration,
        /// Why it failed, if it did.
        error: Option<Error>,
    },
    /// The application put a value.
    Put(EventKey),
    /// The application removed a key.
    Removed(EventKey),
    /// Memory pushed an entry out for want of room.
    Evicted(EventKey),
    /// The application invalidated tags.
    TagsInvalidated {
        /// The cache.
        namespace: Namespace,
        /// The tags.
        tags: Vec<Tag>,
    },
    /// The application cleared a cache.
    Cleared(Namespace),
    /// The circuit breaker of a tier opened, lets a probe through, or closed.
    Breaker {
        /// The name of the tier.
        tier: String,
        /// Its state now.
        state: BreakerState,
    },
    /// Removals that had waited for the lower tiers have reached them.
    Recovery {
        /// The cache.
        namespace: Namespace,
        /// How many keys and tags; 1 for the clearing of the whole.
        sent: usize,
        /// How many still wait, in all caches.
        pending: usize,
    },
    /// This subscriber was too slow: so many events, of kinds that it may not have asked for, are lost.
    Missed(u64),
}

impl CacheEvent {
    /// Its kind; `None` for [`Missed`](Self::Missed).
    #[must_use]
    pub fn kind(&self) -> Option<EventKind> {
        Some(match self {
            Self::Hit(_) => EventKind::Hit,
            Self::TierHit(_) => EventKind::TierHit,
            Self::Stale(_) => EventKind::Stale,
            Self::Miss(_) => EventKind::Miss,
            Self::Load { .. } => EventKind::Load,
            Self::Put(_) => EventKind::Put,
            Self::Removed(_) => EventKind::Removed,
            Self::Evicted(_) => EventKind::Evicted,
            Self::TagsInvalidated { .. } => EventKind::TagsInvalidated,
            Self::Cleared(_) => EventKind::Cleared,
            Self::Breaker { .. } => EventKind::Breaker,
            Self::Recovery { .. } => EventKind::Recovery,
            Self::Missed(_) => return None,
        })
    }
}
