//! Leases of the memory tier.

use crate::l1::{KeyRef, L1Key, NoHash};
use aeth_core::cache::LeaseToken;
use std::collections::HashMap;

/// From this many leases on, those that ran out are swept.
const SWEEP: usize = 256;

/// A lease that is out, and the state of the namespace when it was granted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) token: LeaseToken,
    /// Milliseconds of the monotonic clock.
    pub(super) until: u64,
    pub(super) clears: u64,
    pub(super) tag_epoch: u64,
}

/// The leases of some of the keys.
#[derive(Debug, Default)]
pub(super) struct LeaseShard {
    leases: HashMap<L1Key, Lease, NoHash>,
    sweep_at: usize,
}

impl LeaseShard {
    /// The lease that is out on a key.
    pub(super) fn standing(&self, key: &L1Key, now: u64, clears: u64) -> Option<Lease> {
        self.leases.get(key).copied().filter(|lease| now < lease.until && lease.clears == clears)
    }

    pub(super) fn grant(&mut self, key: &KeyRef<'_>, lease: Lease, now: u64) {
        if self.leases.len() >= self.sweep_at.max(SWEEP) {
            self.leases.retain(|_, lease| now < lease.until);
            self.sweep_at = self.leases.len() * 2;
        }
        self.leases.insert(key.owned(), lease);
    }

    /// Ends whatever lease is out on a key.
    pub(super) fn void(&mut self, key: &L1Key) {
        self.leases.remove(key);
    }

    /// Ends the lease with this token, if it is out.
    pub(super) fn take(&mut self, key: &L1Key, token: LeaseToken) -> Option<Lease> {
        if self.leases.get(key)?.token != token {
            return None;
        }
        self.leases.remove(key)
    }
}
