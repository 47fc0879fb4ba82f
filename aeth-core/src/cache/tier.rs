//! The trait.

use super::{Entry, FillOutcome, LeaseLookup, LeaseToken};
use crate::{Error, Key, Namespace, Result, Tag};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// One thing that a tier can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum TierCapability {
    /// `get_or_lease_many`, `fill` and `release` work, with the fence.
    Lease,
    /// `invalidate_tags` works.
    Tags,
    /// `get_now` answers.
    Immediate,
    /// Entries survive a restart of the process.
    Persistent,
    /// Other processes see the same entries.
    Shared,
    /// `invalidations` tells every change by others.
    Push,
    /// `invalidations` tells when a lease has ended that a look-up by this handle met as held.
    LeaseEvents,
}

/// A set of tier capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct TierCapabilities(u32);

impl TierCapabilities {
    const ALL: [TierCapability; 7] = [
        TierCapability::Lease,
        TierCapability::Tags,
        TierCapability::Immediate,
        TierCapability::Persistent,
        TierCapability::Shared,
        TierCapability::Push,
        TierCapability::LeaseEvents,
    ];

    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// The set with `capability` in it.
    #[must_use]
    pub const fn with(self, capability: TierCapability) -> Self {
        Self(self.0 | 1 << capability as u8)
    }

    /// The set without `capability`.
    #[must_use]
    pub const fn without(self, capability: TierCapability) -> Self {
        Self(self.0 & !(1 << capability as u8))
    }

    /// True when `capability` is in the set.
    #[must_use]
    pub const fn has(self, capability: TierCapability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// What both sets have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl FromIterator<TierCapability> for TierCapabilities {
    fn from_iter<I: IntoIterator<Item = TierCapability>>(capabilities: I) -> Self {
        capabilities.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl fmt::Debug for TierCapabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Self::ALL.iter().filter(|c| self.has(**c))).finish()
    }
}

/// The answer for one key. An outage is never mistaken for a miss.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Lookup {
    /// The entry, fresh or stale; never one past its `usable_until`.
    Hit(Entry),
    /// Nothing usable is there (a foreign or damaged envelope counts as nothing).
    Miss,
    /// The tier does not answer.
    Unavailable(Error),
}

impl Lookup {
    /// The entry of a hit.
    #[must_use]
    pub fn hit(self) -> Option<Entry> {
        match self {
            Self::Hit(entry) => Some(entry),
            _ => None,
        }
    }

    /// True for a miss; false for an outage.
    #[must_use]
    pub fn is_miss(&self) -> bool {
        matches!(self, Self::Miss)
    }
}

/// What became of one put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PutOutcome {
    /// Stored.
    Stored,
    /// The tier has a greater version of it.
    Superseded,
    /// The tier refused to keep it (larger than its budget); the key is then absent, never old.
    Rejected,
}

/// A change in a tier that holders of copies must know about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// This key changed or went away.
    Key(Namespace, Key),
    /// Everything with this tag went away.
    Tag(Namespace, Tag),
    /// The whole namespace went away.
    Namespace(Namespace),
    /// The lease of this key, which another held, was filled, released or voided, or ran out: who waited for it
    /// looks again.
    LeaseEnded(Namespace, Key),
    /// Messages may have been lost: whatever may have changed is to be treated as stale.
    Gap,
}

/// What a tier has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TierStatistics {
    /// Look-ups that found a usable entry.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Look-ups that the tier could not answer.
    pub unavailable: u64,
    /// Entries stored.
    pub puts: u64,
    /// Keys removed by a caller.
    pub removals: u64,
    /// Entries that were pushed out by others.
    pub evictions: u64,
    /// Entries dropped because their time was over.
    pub expirations: u64,
    /// Envelopes that were foreign or damaged.
    pub damaged: u64,
    /// Entries held; `None` where the engine cannot tell.
    pub entries: Option<u64>,
    /// Bytes held; `None` where the engine cannot tell.
    pub bytes: Option<u64>,
    /// The budget in bytes; `None` where there is none.
    pub capacity: Option<u64>,
}

/// One level of a cache: bytes in, bytes out, batch first.
///
/// A tier keeps entries by (namespace, key). It may drop any entry at any time, but it never gives back an
/// entry older than one it has acknowledged, nor one that was removed before the look-up began. The laws are in
/// the conformance suite.
///
/// Users of a tier want [`CacheTierExt`](super::CacheTierExt).
#[async_trait]
pub trait CacheTier: fmt::Debug + Send + Sync + 'static {
    /// A short label for messages and metrics (`"memory"`, `"redis"`); of low cardinality and without secrets.
    fn name(&self) -> Cow<'_, str>;

    /// What this tier can do. Constant over the life of the handle.
    fn capabilities(&self) -> TierCapabilities;

    /// The answer for one key, if it can be given at once without waiting; `None` otherwise. The key is given
    /// by its bytes, so that a look-up need not make a [`Key`]; bytes that are no key are a miss.
    fn get_now(&self, namespace: &Namespace, key: &[u8]) -> Option<Lookup>;

    /// The answers for these keys, one for each, in order.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn get_many(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup>;

    /// The answer for one key: that of [`get_many`](Self::get_many), which is what it asks unless a tier has a
    /// shorter way.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn get_one(&self, namespace: &Namespace, key: &Key) -> Lookup {
        let answers = self.get_many(namespace, std::slice::from_ref(key)).await;
        answers.into_iter().next().unwrap_or_else(|| {
            Lookup::Unavailable(
                Error::unavailable("the tier gave no answer").with_component(self.name().into_owned()),
            )
        })
    }

    /// Stores entries; one outcome for each, in order. Storing voids the leases on the keys. When the same key
    /// is given twice, the later one wins.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`: whether entries were stored is then unknown.
    ///
    /// # Cancel safety
    /// Any subset may be stored.
    async fn put_many(&self, namespace: &Namespace, entries: Vec<(Key, Entry)>) -> Result<Vec<PutOutcome>>;

    /// Removes keys and voids the leases on them. Missing keys are success.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`: whether keys were removed is then unknown.
    ///
    /// # Cancel safety
    /// Any subset may be removed; repeating the call completes it.
    async fn remove_many(&self, namespace: &Namespace, keys: &[Key]) -> Result<()>;

    /// Makes every entry with one of these tags unreadable, and voids the leases in the namespace that could
    /// bring one back: a load that started before and is filled after it is refused.
    ///
    /// # Errors
    /// `Unsupported` without [`TierCapability::Tags`]; `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    async fn invalidate_tags(&self, namespace: &Namespace, tags: &[Tag]) -> Result<()>;

    /// Makes every entry of the namespace unreadable and voids all its leases.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    async fn clear(&self, namespace: &Namespace) -> Result<()>;

    /// Like [`get_many`](Self::get_many), but a miss, and a hit that is no longer fresh, asks for a lease of
    /// `ttl`; at most one caller holds the lease of a key. A lease runs out after `ttl` unless it is filled or
    /// released.
    ///
    /// Without [`TierCapability::Lease`] every miss is answered `Unavailable` with `Unsupported`.
    ///
    /// # Cancel safety
    /// Leases may have been granted to nobody; they run out.
    async fn get_or_lease_many(&self, namespace: &Namespace, keys: &[Key], ttl: Duration)
    -> Vec<LeaseLookup>;

    /// Stores an entry under a lease, unless the lease was voided or has run out.
    ///
    /// # Errors
    /// `Unsupported` without [`TierCapability::Lease`]; `Unavailable`, `Timeout`, `Closed`.
    ///
    /// # Cancel safety
    /// Whether it was stored is unknown.
    async fn fill(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome>;

    /// Gives a lease back without filling, so that somebody else may load at once. A token that is no longer
    /// valid is success.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    async fn release(&self, namespace: &Namespace, key: &Key, token: LeaseToken) -> Result<()>;

    /// What changes in this tier by the hand of others, from now on; `None` without [`TierCapability::Push`] and
    /// [`TierCapability::LeaseEvents`]. Each call gives a stream of its own. Whoever reads slowly may miss ends of
    /// leases, and is told of lost changes by [`Invalidation::Gap`].
    fn invalidations(&self) -> Option<BoxStream<'static, Invalidation>>;

    /// What the tier has done and what it holds. Wait-free.
    fn statistics(&self) -> TierStatistics;
}
