//! What each namespace holds in the shared first level.

use super::L1Key;
use crate::events::{CacheEvent, EventKey, EventKind, Events};
use aeth_core::Namespace;
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

/// The accounts by namespace number, and whom to tell of evictions.
#[derive(Debug)]
pub(crate) struct Accounts {
    spaces: RwLock<Vec<(Namespace, Arc<Account>)>>,
    events: Arc<Events>,
}

impl Accounts {
    pub(crate) fn new(events: Arc<Events>) -> Self {
        Self { spaces: RwLock::default(), events }
    }

    pub(crate) fn register(&self, name: &Namespace) -> (u32, Arc<Account>) {
        let mut accounts = self.spaces.write();
        let account = Arc::new(Account::default());
        accounts.push((name.clone(), Arc::clone(&account)));
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

    pub(crate) fn evict(&self, key: &L1Key, weight: u64) {
        self.with(key.space(), |account| {
            account.bytes.add(-signed(weight));
            account.entries.add(-1);
            account.evictions.increment();
        });
        self.events.tell(EventKind::Evicted, || {
            let spaces = self.spaces.read();
            let (name, _) = usize::try_from(key.space()).ok().and_then(|index| spaces.get(index))?;
            Some(CacheEvent::Evicted(EventKey::new(name, key.bytes())?))
        });
    }

    fn with(&self, space: u32, change: impl FnOnce(&Account)) {
        let accounts = self.spaces.read();
        if let Some((_, account)) = usize::try_from(space).ok().and_then(|index| accounts.get(index)) {
            change(account);
        }
    }
}

fn signed(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX)
}
