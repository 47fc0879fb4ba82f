//! Several keys at once.

use super::{Cache, erase};
use crate::error::{BoxError, load_error};
use crate::item::Item;
use crate::key::CacheKey;
use crate::l1::L1Key;
use crate::space::BatchLoader;
use aeth_core::Result;
use std::collections::HashMap;
use std::sync::Arc;

impl<V: Send + Sync + 'static> Cache<V> {
    fn keys<K: CacheKey>(&self, keys: &[K]) -> Result<Vec<L1Key>> {
        keys.iter().map(|key| self.key(key)).collect()
    }

    /// The values of keys, in order, as [`get`](Self::get) for each; the lower tiers are asked once.
    ///
    /// # Errors
    /// As [`get`](Self::get), when it fails for any of them.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn get_many<K: CacheKey>(&self, keys: &[K]) -> Result<Vec<Option<Arc<V>>>> {
        let keys = self.keys(keys)?;
        let answers = self.space.read_many(&keys, &self.call).await?;
        answers.into_iter().map(|answer| answer.map_or(Ok(None), |arrival| self.typed(arrival))).collect()
    }

    /// The values of keys, in order; those that are missing everywhere are loaded together by one call of
    /// `loader`, which gives the pairs that exist, in any order. What it leaves out is `None`, and is cached as
    /// absent where [`negative_for`](crate::CacheOptions::negative_for) says so.
    ///
    /// Keys that others are loading are waited for, not loaded again. `loader` can be called again for a key
    /// whose other loader was dropped.
    ///
    /// ```
    /// # use aeth_cache::Cache;
    /// # async fn example(users: Cache<String>) -> Result<(), Box<dyn std::error::Error>> {
    /// let found = users
    ///     .get_or_load_many(&[1, 2, 3], |ids| async move {
    ///         Ok::<_, std::io::Error>(ids.into_iter().map(|id| (id, format!("user {id}"))).collect())
    ///     })
    ///     .await?;
    /// assert_eq!(found.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`find_or_load`](Self::find_or_load), when it fails for any of them.
    ///
    /// # Cancel safety
    /// Cancel-safe: a load that has begun goes on.
    pub async fn get_or_load_many<K, F, T, E>(&self, keys: &[K], loader: F) -> Result<Vec<Option<Arc<V>>>>
    where
        K: CacheKey + Clone + Send + 'static,
        F: Fn(Vec<K>) -> T + Send + Sync + 'static,
        T: Future<Output = Result<Vec<(K, V)>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let stored = self.keys(keys)?;
        let (hosts, hashed) = (Arc::new(keys.to_vec()), Arc::new(stored.clone()));
        let space = Arc::clone(&self.space);
        let run: BatchLoader = Arc::new(move |indices| {
            let wanted: Vec<K> = indices.iter().filter_map(|index| hosts.get(*index).cloned()).collect();
            let loading = loader(wanted);
            let (space, hashed) = (Arc::clone(&space), Arc::clone(&hashed));
            Box::pin(async move {
                let found = loading.await.map_err(load_error)?;
                let mut by_key = HashMap::with_capacity(found.len());
                for (key, value) in found {
                    let key = key.with_bytes(|bytes| space.key(bytes).owned());
                    by_key.insert(key, erase(Item::new(value)));
                }
                let items = indices.into_iter().filter_map(|index| {
                    let item = hashed.get(index).and_then(|key| by_key.get(key))?;
                    Some((index, item.clone()))
                });
                Ok(items.collect())
            })
        });
        let answers = Box::pin(self.space.load_many(stored, self.call, run)).await?;
        answers.into_iter().map(|arrival| self.typed(arrival)).collect()
    }

    /// Stores values, as [`put`](Self::put) for each; the lower tiers are called once. Of a key that is given
    /// twice the later value wins.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Cancel safety
    /// Any subset may be stored.
    pub async fn put_many<K: CacheKey>(&self, values: Vec<(K, V)>) -> Result<()> {
        let items = values.into_iter().map(|(key, value)| Ok((self.key(&key)?, erase(Item::new(value)))));
        let items = items.collect::<Result<Vec<_>>>()?;
        self.space.put(items, &self.call).await
    }

    /// Removes keys, as [`remove`](Self::remove) for each; the lower tiers are called once.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    pub async fn remove_many<K: CacheKey>(&self, keys: &[K]) -> Result<()> {
        let keys = self.keys(keys)?;
        self.space.remove(keys).await
    }
}
