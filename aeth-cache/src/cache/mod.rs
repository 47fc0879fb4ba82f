//! The typed handle.

mod batch;
mod load;

use crate::caches::Held;
use crate::call::CallOptions;
use crate::flight::{Arrival, Origin};
use crate::item::Item;
use crate::key::CacheKey;
use crate::l1::{L1Key, Slot, Value};
use crate::space::{Explanation, Found, Space};
use aeth_core::{Error, Key, Namespace, Result, Tag};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A cache of values of type `V`, over the shared first level and the lower tiers of its
/// [`Caches`](crate::Caches).
///
/// What it promises: once [`put`](Self::put), [`remove`](Self::remove),
/// [`invalidate_tag`](Self::invalidate_tag) or [`clear`](Self::clear) has returned, this process serves nothing
/// older, and no load that began before can bring the old value back, in this process or in a tier with leases.
///
/// Values are shared: a hit gives a reference count, decodes nothing, allocates nothing and waits for nothing.
///
/// Cheap to clone; all clones are the same cache.
pub struct Cache<V> {
    space: Arc<Space>,
    held: Arc<Held>,
    call: CallOptions,
    value: PhantomData<fn() -> V>,
}

impl<V: Send + Sync + 'static> Cache<V> {
    pub(crate) fn new(space: Arc<Space>, held: Arc<Held>) -> Self {
        Self { space, held, call: CallOptions::default(), value: PhantomData }
    }

    /// The name that it was opened by.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.space.name
    }

    /// The same cache with these options for the calls made through the handle that this gives.
    ///
    /// ```
    /// # use aeth_cache::{Cache, CallOptions};
    /// # use std::time::Duration;
    /// # fn show(users: &Cache<String>) {
    /// let impatient = users.with(CallOptions::new().soft_timeout(Duration::from_millis(20)));
    /// # }
    /// ```
    #[must_use]
    pub fn with(&self, call: CallOptions) -> Self {
        self.with_call(call)
    }

    /// What L1 has for the key, if it is fresh. Counts as a look-up; never waits and never allocates.
    ///
    /// A key that is empty or too long is not there.
    #[must_use]
    pub fn peek<K: CacheKey + ?Sized>(&self, key: &K) -> Option<Arc<V>> {
        match self.look(key, || self.call.allow_stale) {
            Ok(arrival) => self.typed(arrival).ok()?,
            Err(_) => {
                self.missed(key);
                None
            }
        }
    }

    /// The value of the key, if this process or a lower tier has a fresh one. `None` when there is none, or when
    /// its absence is what is cached.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or too long. `Unavailable` and `Timeout` when a lower tier does not
    /// answer and nothing is here (a stale value is given instead if there is one and
    /// [`fail_safe`](crate::CacheOptions::fail_safe) is on). `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn get<K: CacheKey + ?Sized>(&self, key: &K) -> Result<Option<Arc<V>>> {
        // A stale one is the answer that the tiers' silence would end in, without the way there.
        let stale = || self.serves_stale() && self.space.lower_is_out() && self.space.check_open().is_ok();
        let local = match self.look(key, stale) {
            Ok(arrival) => return self.typed(arrival),
            Err(local) => local,
        };
        let key = self.key(key)?;
        match Box::pin(self.space.read(&key, local, &self.call)).await? {
            Some(arrival) => self.typed(arrival),
            None => Ok(None),
        }
    }

    /// Stores a value here and in the lower tiers.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or too long, and for a value that the codec cannot write.
    /// `Unavailable` and `Timeout` when a lower tier does not answer: whether it has the new value is unknown,
    /// but this process serves nothing older, and the key is removed there as soon as it answers again. `Closed`.
    ///
    /// # Cancel safety
    /// Any part of it may have happened; this process serves the old or the new value.
    pub async fn put<K: CacheKey + ?Sized>(&self, key: &K, value: V) -> Result<()> {
        self.put_item(key, Item::new(value)).await
    }

    /// Stores an item: a value or its absence, with its own tags, times and version.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    ///
    /// # Cancel safety
    /// As [`put`](Self::put).
    pub async fn put_item<K: CacheKey + ?Sized>(&self, key: &K, item: Item<V>) -> Result<()> {
        let key = self.key(key)?;
        self.space.put(vec![(key, erase(item))], &self.call).await
    }

    /// Removes a key here and in the lower tiers. A missing key is success.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or too long. `Unavailable` and `Timeout` when a lower tier does not
    /// answer: this process serves nothing older, and the removal is sent again when it does. `Closed`.
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    pub async fn remove<K: CacheKey + ?Sized>(&self, key: &K) -> Result<()> {
        let key = self.key(key)?;
        self.space.remove(vec![key]).await
    }

    /// Invalidates everything in this cache that has the tag; see [`Item::with_tag`].
    ///
    /// # Errors
    /// `Invalid` for a text that is no [`Tag`]. `Unsupported` when the lower tiers cannot do it. `Unavailable`
    /// and `Timeout` as [`remove`](Self::remove). `Closed`.
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    pub async fn invalidate_tag(&self, tag: impl AsRef<str> + Send) -> Result<()> {
        let tag = Tag::new(tag)?;
        self.space.invalidate_tags(&[tag]).await
    }

    /// Invalidates everything in this cache that has one of the tags.
    ///
    /// # Errors
    /// As [`invalidate_tag`](Self::invalidate_tag).
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    pub async fn invalidate_tags(&self, tags: &[Tag]) -> Result<()> {
        self.space.invalidate_tags(tags).await
    }

    /// Empties this cache, here and in the lower tiers.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` as [`remove`](Self::remove). `Closed`.
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    pub async fn clear(&self) -> Result<()> {
        self.space.clear().await
    }

    /// What is known about a key, and why it is or is not served. Counts as no look-up and changes nothing.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty or too long. `Closed`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn explain<K: CacheKey + ?Sized>(&self, key: &K) -> Result<Explanation> {
        let key = self.key(key)?;
        self.space.explain(&key).await
    }

    /// The path of a hit: what L1 has that is fresh, or may be served stale; counted. Otherwise what it has that is
    /// stale.
    #[inline]
    fn look<K: CacheKey + ?Sized>(
        &self,
        key: &K,
        stale: impl FnOnce() -> bool,
    ) -> Result<Arrival, Option<Slot>> {
        key.with_bytes(|bytes| {
            let key = self.space.key(bytes);
            match self.space.look(&key) {
                Found::Fresh(slot) | Found::Early(slot) => Ok(self.space.hit(&key, slot)),
                Found::Stale(slot) if stale() => {
                    self.space.answered(&key, Origin::Stale);
                    Ok(Arrival::new(slot.value, Origin::Stale))
                }
                Found::Stale(slot) => Err(Some(slot)),
                Found::Nothing => Err(None),
            }
        })
    }

    /// The same for callers that bring a loader: an entry that is due for its early refresh is left to the load.
    #[inline]
    fn look_without_refresh<K: CacheKey + ?Sized>(&self, key: &K) -> Result<Arrival, ()> {
        key.with_bytes(|bytes| {
            let key = self.space.key(bytes);
            match self.space.look(&key) {
                Found::Fresh(slot) => Ok(self.space.hit(&key, slot)),
                _ => Err(()),
            }
        })
    }

    /// Counts a look-up that found nothing.
    #[cold]
    fn missed<K: CacheKey + ?Sized>(&self, key: &K) {
        key.with_bytes(|bytes| self.space.missed(&self.space.key(bytes)));
    }

    fn serves_stale(&self) -> bool {
        self.call.allow_stale || self.space.fail_safe(&self.call)
    }

    /// The stored form of a key.
    fn key<K: CacheKey + ?Sized>(&self, key: &K) -> Result<L1Key> {
        key.with_bytes(|bytes| {
            Key::check(bytes).map_err(|error| Error::from(error).with_key(&self.space.name))?;
            Ok(self.space.key(bytes).owned())
        })
    }

    #[inline]
    fn typed(&self, arrival: Arrival) -> Result<Option<Arc<V>>> {
        let Some(value) = arrival.value else { return Ok(None) };
        match value.downcast() {
            Ok(value) => Ok(Some(value)),
            // Opening checks the type, so that no other can be under this namespace's number.
            Err(_) => {
                Err(Error::other("a cached value has another type than its cache").with_key(&self.space.name))
            }
        }
    }
}

fn erase<V: Send + Sync + 'static>(item: Item<V>) -> Item<Value> {
    item.map(|value| Arc::new(value) as Value)
}

impl<V> Cache<V> {
    fn with_call(&self, call: CallOptions) -> Self {
        Self { space: Arc::clone(&self.space), held: Arc::clone(&self.held), call, value: PhantomData }
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        self.with_call(self.call)
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("space", &self.space).field("call", &self.call).finish()
    }
}
