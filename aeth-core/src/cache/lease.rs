//! Leases: the fence against stale write-back, and single-flight across processes.
//!
//! A reader that misses asks for a lease on the key. Whoever is granted one loads and then
//! [fills](super::CacheTier::fill) with the token; removing or putting the key, invalidating one of its tags or
//! clearing the namespace voids every lease that is out, so that a loader which started before cannot publish
//! what it read then. (Nishtala et al., *Scaling Memcache at Facebook*, NSDI 2013.)

use super::Entry;
use crate::Error;

/// A permission to fill one key, voided by whatever changes the key in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(u128);

impl LeaseToken {
    /// Takes the number as a token.
    #[must_use]
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

/// The answer for one key of a look-up with lease.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LeaseLookup {
    /// The entry: fresh, or stale while nobody may refresh it now (somebody else holds the lease).
    Hit(Entry),
    /// The entry is usable but no longer fresh, and the caller got the lease to refresh it: without it a
    /// refresh could bring back what was removed meanwhile. Until the fill others go on reading the entry.
    Stale(Entry, LeaseToken),
    /// Nothing there, and the caller may load and fill.
    Granted(LeaseToken),
    /// Nothing there, and somebody else is loading.
    Held,
    /// The tier does not answer; that is not a miss.
    Unavailable(Error),
}

/// What became of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FillOutcome {
    /// The entry is stored and the lease is over.
    Stored,
    /// The lease was voided or ran out: nothing was stored.
    Voided,
}
