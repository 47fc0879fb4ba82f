//! What users of a tier call.

use super::{CacheTier, Entry, Lookup, PutOutcome};
use crate::{Key, Namespace, Result};
use std::slice;

/// Conveniences over every [`CacheTier`]; implemented for all of them, never by hand.
pub trait CacheTierExt: CacheTier {
    /// The answer for one key. Cancel-safe.
    fn get<'a>(&'a self, namespace: &'a Namespace, key: &'a Key) -> impl Future<Output = Lookup> + Send + 'a {
        self.get_one(namespace, key)
    }

    /// Stores one entry. Errors and cancel safety as [`CacheTier::put_many`].
    fn put<'a>(
        &'a self,
        namespace: &'a Namespace,
        key: Key,
        entry: Entry,
    ) -> impl Future<Output = Result<PutOutcome>> + Send + 'a {
        async move {
            let outcomes = self.put_many(namespace, vec![(key, entry)]).await?;
            Ok(outcomes.into_iter().next().unwrap_or(PutOutcome::Rejected))
        }
    }

    /// Removes one key. Errors and cancel safety as [`CacheTier::remove_many`].
    fn remove<'a>(
        &'a self,
        namespace: &'a Namespace,
        key: &'a Key,
    ) -> impl Future<Output = Result<()>> + Send + 'a {
        async move { self.remove_many(namespace, slice::from_ref(key)).await }
    }
}

impl<T: CacheTier + ?Sized> CacheTierExt for T {}
