//! Reading down the stack, and promoting what was found.

use super::Tiers;
use aeth_core::cache::{Entry, LeaseLookup, LeaseToken, Lookup, TierCapability};
use aeth_core::{Error, Key, Namespace};
use futures_util::future::join_all;
use std::slice;
use std::time::Duration;

/// How long the lease for a promotion lasts: as long as reading the tiers below may take.
const PROMOTION: Duration = Duration::from_secs(10);

/// A right to promote into one part.
enum Right {
    Lease(usize, LeaseToken),
    /// The part knows no leases.
    Unleased(usize),
}

/// What is known about one key on the way down.
#[derive(Default)]
struct Search {
    found: Option<Entry>,
    /// A usable entry that is no longer fresh; a lower tier may have a newer one.
    stale: Option<Entry>,
    rights: Vec<Right>,
    outage: Option<Error>,
}

fn age(entry: &Entry) -> (u64, u64) {
    (entry.version, entry.created)
}

impl Search {
    fn offer(&mut self, entry: Entry) {
        if self.stale.as_ref().is_none_or(|old| age(old) <= age(&entry)) {
            self.stale = Some(entry);
        }
    }
}

impl Tiers {
    /// The answers for keys, promoted into the parts above the one that has them.
    pub(super) async fn search(&self, namespace: &Namespace, keys: &[Key]) -> Vec<Lookup> {
        let searches = self.descend(namespace, keys, self.parts.len()).await;
        let concluded = keys.iter().zip(searches).map(|(key, mut search)| async move {
            // The last word on a stale entry is the lowest one, unless the one above is newer.
            if let (Some(found), Some(stale)) = (&search.found, &search.stale)
                && age(found) < age(stale)
            {
                search.found = None;
            }
            self.settle(namespace, key, search.rights, search.found.as_ref()).await;
            match (search.found.or(search.stale), search.outage) {
                (Some(entry), _) => Lookup::Hit(entry),
                (None, Some(error)) => Lookup::Unavailable(error),
                (None, None) => Lookup::Miss,
            }
        });
        join_all(concluded).await
    }

    /// Look-ups with lease: the parts above the anchor, then the anchor's leases, then the parts below it.
    pub(super) async fn search_or_lease(
        &self,
        namespace: &Namespace,
        keys: &[Key],
        ttl: Duration,
        anchor: usize,
    ) -> Vec<LeaseLookup> {
        let mut searches = self.descend(namespace, keys, anchor).await;
        let open = open(&searches);
        let mut leased = Vec::new();
        if !open.is_empty() {
            let wanted: Vec<Key> = open.iter().map(|i| keys[*i].clone()).collect();
            leased = self.parts[anchor].get_or_lease_many(namespace, &wanted, ttl).await;
        }
        let mut answers: Vec<Option<LeaseLookup>> = keys.iter().map(|_| None).collect();
        for (i, answer) in open.into_iter().zip(leased) {
            answers[i] = Some(answer);
        }
        let concluded = keys
            .iter()
            .zip(answers.drain(..).zip(searches.drain(..)))
            .map(|(key, (answer, search))| self.conclude_lease(namespace, key, anchor, answer, search));
        join_all(concluded).await
    }

    async fn conclude_lease(
        &self,
        namespace: &Namespace,
        key: &Key,
        anchor: usize,
        answer: Option<LeaseLookup>,
        search: Search,
    ) -> LeaseLookup {
        let answer = match (answer, search.found, search.stale) {
            (_, Some(entry), _) => LeaseLookup::Hit(entry),
            (Some(LeaseLookup::Granted(token)), None, stale) => {
                match (self.below(namespace, key, token, anchor).await, stale) {
                    (LeaseLookup::Granted(token), Some(stale)) => LeaseLookup::Stale(stale, token),
                    (answer, _) => answer,
                }
            }
            (Some(LeaseLookup::Held), None, Some(stale)) => LeaseLookup::Hit(stale),
            (Some(answer), None, _) => answer,
            (None, None, _) => LeaseLookup::Unavailable(Error::unavailable("a tier gave too few answers")),
        };
        let fresh = match &answer {
            LeaseLookup::Hit(entry) if self.is_fresh(entry) => Some(entry),
            _ => None,
        };
        self.settle(namespace, key, search.rights, fresh).await;
        answer
    }

    /// Asks the parts before `end`, each only for what those above it do not have fresh.
    async fn descend(&self, namespace: &Namespace, keys: &[Key], end: usize) -> Vec<Search> {
        let mut searches: Vec<Search> = keys.iter().map(|_| Search::default()).collect();
        for (index, part) in self.parts[..end].iter().enumerate() {
            let open = open(&searches);
            if open.is_empty() {
                break;
            }
            let wanted: Vec<Key> = open.iter().map(|i| keys[*i].clone()).collect();
            let last = index + 1 == self.parts.len();
            if !last && part.capabilities().has(TierCapability::Lease) {
                let answers = part.get_or_lease_many(namespace, &wanted, PROMOTION).await;
                for (i, answer) in open.into_iter().zip(answers) {
                    self.note_lease(&mut searches[i], index, answer);
                }
            } else {
                let answers = part.get_many(namespace, &wanted).await;
                for (i, answer) in open.into_iter().zip(answers) {
                    self.note(&mut searches[i], index, last, answer);
                }
            }
        }
        searches
    }

    fn note_lease(&self, search: &mut Search, index: usize, answer: LeaseLookup) {
        match answer {
            LeaseLookup::Hit(entry) if self.is_fresh(&entry) => search.found = Some(entry),
            LeaseLookup::Hit(entry) => search.offer(entry),
            LeaseLookup::Stale(entry, token) => {
                search.offer(entry);
                search.rights.push(Right::Lease(index, token));
            }
            LeaseLookup::Granted(token) => search.rights.push(Right::Lease(index, token)),
            LeaseLookup::Unavailable(error) => search.outage = Some(error),
            // Somebody else promotes this key.
            LeaseLookup::Held => {}
            _ => {}
        }
    }

    fn note(&self, search: &mut Search, index: usize, last: bool, answer: Lookup) {
        match answer {
            Lookup::Hit(entry) if last || self.is_fresh(&entry) => search.found = Some(entry),
            Lookup::Hit(entry) => {
                search.offer(entry);
                search.rights.push(Right::Unleased(index));
            }
            Lookup::Unavailable(error) => search.outage = Some(error),
            _ => search.rights.push(Right::Unleased(index)),
        }
    }

    /// Uses the rights to promote what was found, or gives them back. A promotion that fails leaves the entry
    /// where it was found, which is no error.
    async fn settle(&self, namespace: &Namespace, key: &Key, rights: Vec<Right>, found: Option<&Entry>) {
        for right in rights {
            match (right, found) {
                (Right::Lease(index, token), Some(entry)) => {
                    drop(self.parts[index].fill(namespace, key, token, entry.clone()).await);
                }
                (Right::Lease(index, token), None) => {
                    drop(self.parts[index].release(namespace, key, token).await);
                }
                (Right::Unleased(index), Some(_)) => self.promote_under_lock(namespace, key, index).await,
                (Right::Unleased(_), None) => {}
            }
        }
    }

    /// Into a part without leases: reads the parts below again while no change of the key can come between.
    async fn promote_under_lock(&self, namespace: &Namespace, key: &Key, index: usize) {
        let _fence = self.fence.read().await;
        let _guard = self.lock(std::iter::once(key)).await;
        for below in &self.parts[index + 1..] {
            let mut answers = below.get_many(namespace, slice::from_ref(key)).await;
            if let Some(Lookup::Hit(entry)) = answers.pop() {
                drop(self.parts[index].put_many(namespace, vec![(key.clone(), entry)]).await);
                return;
            }
        }
    }

    /// A miss in the anchor may be a hit below it, from which the anchor is filled.
    async fn below(&self, namespace: &Namespace, key: &Key, token: LeaseToken, anchor: usize) -> LeaseLookup {
        for part in &self.parts[anchor + 1..] {
            let mut answers = part.get_many(namespace, slice::from_ref(key)).await;
            if let Some(Lookup::Hit(entry)) = answers.pop()
                && self.is_fresh(&entry)
            {
                drop(self.parts[anchor].fill(namespace, key, token, entry.clone()).await);
                return LeaseLookup::Hit(entry);
            }
        }
        LeaseLookup::Granted(token)
    }
}

fn open(searches: &[Search]) -> Vec<usize> {
    searches.iter().enumerate().filter(|(_, search)| search.found.is_none()).map(|(i, _)| i).collect()
}
