//! What each namespace holds in the shared first level.

use super::L1Key;
use crate::events::{CacheEvent, EventKey, EventKind, Events};
use aeth_core::Namespace;
use aeth_core::observe::{Counter, Gauge};
use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};

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
    pages: [OnceLock<Page>; PAGES],
    /// How many namespaces there are.
    count: Mutex<u32>,
    events: Arc<Events>,
}

/// Places that are filled once: every insertion and every eviction looks one up, on all threads, so a lock's own
/// cache line would be where they meet.
type Page = Box<[OnceLock<(Namespace, Arc<Account>)>]>;

/// Each page has twice the places of the one before it, so that these hold every number.
const PAGES: usize = 28;
/// The places of the first page, as a power of two.
const FIRST: u32 = 5;

/// The page of a namespace's number, its size, and the place there.
fn place(space: u32) -> (usize, usize, usize) {
    let number = u64::from(space) + (1 << FIRST);
    let power = number.ilog2();
    let index = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    (index(u64::from(power - FIRST)), 1 << power, index(number - (1 << power)))
}

impl Accounts {
    pub(crate) fn new(events: Arc<Events>) -> Self {
        Self { pages: [const { OnceLock::new() }; PAGES], count: Mutex::new(0), events }
    }

    pub(crate) fn register(&self, name: &Namespace) -> (u32, Arc<Account>) {
        let mut count = self.count.lock();
        let (page, size, index) = place(*count);
        let page = self
            .pages
            .get(page)
            .map(|page| page.get_or_init(|| (0..size).map(|_| OnceLock::new()).collect()));
        let made = || (name.clone(), Arc::default());
        let account = match page.and_then(|page| page.get(index)) {
            Some(place) => Arc::clone(&place.get_or_init(made).1),
            // Unreachable: the pages have places for all numbers.
            None => made().1,
        };
        let space = *count;
        *count = count.saturating_add(1);
        (space, account)
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
            let (name, _) = self.of(key.space())?;
            Some(CacheEvent::Evicted(EventKey::new(name, key.bytes())?))
        });
    }

    fn with(&self, space: u32, change: impl FnOnce(&Account)) {
        if let Some((_, account)) = self.of(space) {
            change(account);
        }
    }

    fn of(&self, space: u32) -> Option<&(Namespace, Arc<Account>)> {
        let (page, _, index) = place(space);
        self.pages.get(page)?.get()?.get(index)?.get()
    }
}

fn signed(weight: u64) -> i64 {
    i64::try_from(weight).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_has_a_place_of_its_own() {
        assert_eq!(place(0), (0, 32, 0));
        assert_eq!(place(31), (0, 32, 31));
        assert_eq!(place(32), (1, 64, 0));
        let (page, size, index) = place(u32::MAX);
        assert!(page < PAGES && index < size);
        let accounts = Accounts::new(Events::new());
        for n in 0..200 {
            let name = Namespace::new(format!("n{n}")).unwrap();
            let (space, account) = accounts.register(&name);
            assert_eq!(space, n);
            accounts.add(space, u64::from(n));
            assert_eq!((account.entries.get(), account.bytes.get()), (1, i64::from(n)));
        }
        assert!(accounts.of(200).is_none());
        assert_eq!(accounts.of(77).map(|(name, _)| name.as_str()), Some("n77"));
    }
}
