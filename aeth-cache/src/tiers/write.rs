//! Changes, from the last tier up.

use super::Tiers;
use aeth_core::cache::{CacheTier, Entry, FillOutcome, LeaseLookup, LeaseToken, PutOutcome, TierCapability};
use aeth_core::{Error, Key, Namespace, Result};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

/// How long the lease lasts under which a part above the anchor is filled.
const ABOVE: Duration = Duration::from_secs(10);

impl Tiers {
    /// The last part decides the outcome; the parts above keep what it has stored, and nothing else.
    pub(super) async fn store(
        &self,
        namespace: &Namespace,
        entries: Vec<(Key, Entry)>,
    ) -> Result<Vec<PutOutcome>> {
        let _guards = self.lock(entries.iter().map(|(key, _)| key)).await;
        let keys: Vec<Key> = entries.iter().map(|(key, _)| key.clone()).collect();
        let Some((last, above)) = self.parts.split_last() else { return Ok(Vec::new()) };
        let stored = last.put_many(namespace, entries.clone()).await;
        let outcomes = match stored {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // What the last part has now is unknown: nothing above it may answer for it.
                for part in above.iter().rev() {
                    drop(part.remove_many(namespace, &keys).await);
                }
                return Err(error);
            }
        };
        for part in above.iter().rev() {
            let (kept, gone): (Vec<_>, Vec<_>) =
                entries.iter().zip(&outcomes).partition(|(_, outcome)| **outcome == PutOutcome::Stored);
            let gone: Vec<Key> = gone.into_iter().map(|((key, _), _)| key.clone()).collect();
            let kept: Vec<(Key, Entry)> = kept.into_iter().map(|(entry, _)| entry.clone()).collect();
            if !gone.is_empty() {
                part.remove_many(namespace, &gone).await?;
            }
            if !kept.is_empty() {
                self.keep(&**part, namespace, kept).await?;
            }
        }
        Ok(outcomes)
    }

    /// Puts into a part above the last. One that has a greater version by accident of time forgets it: the last
    /// part has the last word.
    async fn keep(
        &self,
        part: &dyn CacheTier,
        namespace: &Namespace,
        entries: Vec<(Key, Entry)>,
    ) -> Result<()> {
        let keys: Vec<Key> = entries.iter().map(|(key, _)| key.clone()).collect();
        let outcomes = part.put_many(namespace, entries).await?;
        let refused = keys.into_iter().zip(outcomes).filter(|(_, outcome)| *outcome != PutOutcome::Stored);
        let refused: Vec<Key> = refused.map(|(key, _)| key).collect();
        if refused.is_empty() { Ok(()) } else { part.remove_many(namespace, &refused).await }
    }

    /// Removes from every part, whatever happens on the way; the first error is reported.
    pub(super) async fn forget(&self, namespace: &Namespace, keys: &[Key]) -> Result<()> {
        let _guards = self.lock(keys.iter()).await;
        let mut result = Ok(());
        for part in self.parts.iter().rev() {
            let removed = part.remove_many(namespace, keys).await;
            result = result.and(removed);
        }
        result
    }

    /// Fills under the anchor's lease, then the parts above it under leases of their own.
    pub(super) async fn fill_anchor(
        &self,
        namespace: &Namespace,
        key: &Key,
        token: LeaseToken,
        entry: Entry,
    ) -> Result<FillOutcome> {
        let anchor = self.anchor.ok_or_else(no_leases)?;
        let _fence = self.fence.read().await;
        let _guard = self.lock(std::iter::once(key)).await;
        // Before the anchor is filled: a change that comes after it voids these as well.
        let mut rights = Vec::new();
        for part in &self.parts[..anchor] {
            rights.push(Self::right(part, namespace, key).await);
        }
        let outcome = self.parts[anchor].fill(namespace, key, token, entry.clone()).await?;
        if outcome != FillOutcome::Stored {
            for (part, right) in self.parts[..anchor].iter().zip(rights) {
                if let Some(token) = right {
                    drop(part.release(namespace, key, token).await);
                }
            }
            return Ok(outcome);
        }
        for part in &self.parts[anchor + 1..] {
            // The anchor has it; a part below that does not answer must not hold an older one for later.
            let put = part.put_many(namespace, vec![(key.clone(), entry.clone())]).await;
            if put.is_err() {
                drop(part.remove_many(namespace, slice::from_ref(key)).await);
            }
        }
        for (part, right) in self.parts[..anchor].iter().zip(rights).rev() {
            match right {
                Some(token) => drop(part.fill(namespace, key, token, entry.clone()).await),
                // It has no leases, or somebody else holds this one, or it has an entry that is older than this.
                None => drop(part.remove_many(namespace, slice::from_ref(key)).await),
            }
        }
        Ok(outcome)
    }

    async fn right(part: &Arc<dyn CacheTier>, namespace: &Namespace, key: &Key) -> Option<LeaseToken> {
        if !part.capabilities().has(TierCapability::Lease) {
            return None;
        }
        match part.get_or_lease_many(namespace, slice::from_ref(key), ABOVE).await.pop() {
            Some(LeaseLookup::Granted(token) | LeaseLookup::Stale(_, token)) => Some(token),
            _ => None,
        }
    }
}

/// No part has leases.
pub(super) fn no_leases() -> Error {
    Error::unsupported("none of the stacked tiers has leases")
}
