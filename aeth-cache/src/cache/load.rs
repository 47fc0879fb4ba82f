//! Read-through.

use super::{Cache, erase};
use crate::error::{BoxError, load_error};
use crate::item::Item;
use crate::key::CacheKey;
use crate::space::{BoxLoader, Loader};
use aeth_core::{Error, Result};
use std::sync::Arc;

impl<V: Send + Sync + 'static> Cache<V> {
    /// The value of the key; when there is no fresh one anywhere, `loader` makes it.
    ///
    /// However many callers miss the key at once, one loader runs and all get its value, or share its error;
    /// over tiers with leases that holds across processes. It runs in a task of its own: a caller that is
    /// cancelled does not end it for the others. What happens when it is slow or fails while there is a stale
    /// value is decided by the [options](crate::CacheOptions).
    ///
    /// ```
    /// # use aeth_cache::Cache;
    /// # async fn example(users: Cache<String>) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn find_user(id: u64) -> Result<String, std::io::Error> { Ok(id.to_string()) }
    /// let user = users.get_or_load(&42, || find_user(42)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the loader: an [`Error`] as it is, any other as the [source](crate::loader_error) of an `Other`.
    /// `Timeout` when it takes longer than [`hard_timeout`](crate::CacheOptions::hard_timeout), `Other` when it
    /// panics, `NotFound` when the absence of a value is what is cached, `Invalid` for a key that is empty or
    /// too long and outside of a tokio runtime, `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe: a load that has begun goes on.
    pub async fn get_or_load<K, F, T, E>(&self, key: &K, loader: F) -> Result<Arc<V>>
    where
        K: CacheKey + ?Sized,
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = Result<V, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let found = self.find_or_load(key, loader).await?;
        found.ok_or_else(|| self.absent())
    }

    /// As [`get_or_load`](Self::get_or_load), for a value that may not exist, and for loaders that say more
    /// about what they found: `R` is `V`, `Option<V>` or [`Item<V>`].
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load), without `NotFound`.
    ///
    /// # Cancel safety
    /// Cancel-safe: a load that has begun goes on.
    pub async fn find_or_load<K, F, T, R, E>(&self, key: &K, loader: F) -> Result<Option<Arc<V>>>
    where
        K: CacheKey + ?Sized,
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<Item<V>>,
        E: Into<BoxError>,
    {
        if !self.call.reload
            && let Ok(arrival) = self.look_without_refresh(key)
        {
            return self.typed(arrival);
        }
        let key = self.key(key)?;
        let run: BoxLoader<'static> = Box::new(move || {
            let loading = loader();
            Box::pin(async move { finish(loading.await) })
        });
        let arrival = Box::pin(self.space.load(key, self.call, Loader::Detached(run))).await?;
        self.typed(arrival)
    }

    /// As [`get_or_load`](Self::get_or_load), with a loader that may borrow: it runs inside of this call. When
    /// the call is dropped while others wait for it, one of them loads instead.
    ///
    /// A stale value does not shorten this caller's own wait, and is not refreshed in the background.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load); no runtime is needed.
    ///
    /// # Cancel safety
    /// Cancel-safe: the loader is dropped with the call.
    pub async fn get_or_load_scoped<'a, K, F, T, E>(&self, key: &K, loader: F) -> Result<Arc<V>>
    where
        K: CacheKey + ?Sized,
        F: FnOnce() -> T + Send + 'a,
        T: Future<Output = Result<V, E>> + Send + 'a,
        E: Into<BoxError>,
    {
        let found = self.find_or_load_scoped(key, loader).await?;
        found.ok_or_else(|| self.absent())
    }

    /// As [`find_or_load`](Self::find_or_load), with a loader that may borrow, as
    /// [`get_or_load_scoped`](Self::get_or_load_scoped).
    ///
    /// # Errors
    /// As [`find_or_load`](Self::find_or_load).
    ///
    /// # Cancel safety
    /// Cancel-safe: the loader is dropped with the call.
    pub async fn find_or_load_scoped<'a, K, F, T, R, E>(&self, key: &K, loader: F) -> Result<Option<Arc<V>>>
    where
        K: CacheKey + ?Sized,
        F: FnOnce() -> T + Send + 'a,
        T: Future<Output = Result<R, E>> + Send + 'a,
        R: Into<Item<V>>,
        E: Into<BoxError>,
    {
        if !self.call.reload
            && let Ok(arrival) = self.look(key, || false)
        {
            return self.typed(arrival);
        }
        let key = self.key(key)?;
        let run: BoxLoader<'a> = Box::new(move || {
            let loading = loader();
            Box::pin(async move { finish(loading.await) })
        });
        let arrival = Box::pin(self.space.load(key, self.call, Loader::Scoped(run))).await?;
        self.typed(arrival)
    }

    fn absent(&self) -> Error {
        Error::not_found("there is no such value")
            .with_operation("get_or_load")
            .with_component("cache")
            .with_key(&self.space.name)
    }
}

fn finish<V: Send + Sync + 'static, R: Into<Item<V>>, E: Into<BoxError>>(
    loaded: Result<R, E>,
) -> Result<Item<crate::l1::Value>> {
    match loaded {
        Ok(found) => Ok(erase(found.into())),
        Err(error) => Err(load_error(error)),
    }
}
