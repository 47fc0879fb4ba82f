//! What each namespace holds in the shared first level.

use aeth_core::observe::{Counter, Gauge};
use parking_lot::RwLock;
use std::sync::Arc;

/// Bytes, entries and evictions of one namespace.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) bytes: Gauge,
    pub(crate) entries: Gauge,
    pub(crate) evictions: Counter,
}

/// The accounts by namespace number.
#[derive(Debug, Default)]
pub(crate) struct Accounts(RwLock<Vec<Arc<Account>>>);

impl Accounts {
    pub(crate) fn register(&self) -> (u32, Arc<Account>) {
        let mut accounts = self.0.write();
        let account = Arc::new(Account::default());
        accounts.push(Arc::clone(&account));
        (u32::try_from(accounts.len() - 1).unwrap_or(u32::MAX), account)
    }

    pub(crate) fn add(&self, space: u32, weight: u64) {
        self.with(space, |account| {
            account.bytes.add(signed(weight));
            account.entries.add(1);
        });
    }

    pub(crate) fn remove(&self, space: u32, weight: u64) {
        self.with(space, |account| {
            account.bytes.add(-signed(weight));
            account.entries.add(-1);
        });
    }

    pub(crate) fn evict(&self, space: u32, weight: u64) {
        self.remove(space, weight);
        self.with(space, |account| account.evictions.increment());
    }

    fn with(&self, space: u32, change: impl FnOnce(&Account)) {
        let accounts = self.0.read();
        if let Some(account) = usize::try_from(space).ok().and_then(|index| accounts.get(index)) {
            change(account);
        }
    }
}

fn signed(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX)
}
