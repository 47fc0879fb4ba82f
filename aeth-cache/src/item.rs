//! A value with what is known about it.

use aeth_core::{Error, Result, Tag};
use std::time::Duration;

/// What a loader found, or what is to be put: a value or its absence, with tags, times and version where they
/// differ from the cache's own.
///
/// ```
/// use aeth_cache::Item;
/// use std::time::Duration;
///
/// let item = Item::new("text").with_tag("tenant:7")?.with_fresh_for(Duration::from_secs(5));
/// assert_eq!(item.value(), Some(&"text"));
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<V> {
    pub(crate) value: Option<V>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) fresh_for: Option<Duration>,
    pub(crate) usable_for: Option<Duration>,
    pub(crate) version: u64,
}

impl<V> Item<V> {
    /// The most tags that an item may have.
    pub const MAX_TAGS: usize = 64;

    /// A value.
    #[must_use]
    pub fn new(value: V) -> Self {
        Self { value: Some(value), tags: Vec::new(), fresh_for: None, usable_for: None, version: 0 }
    }

    /// The absence of a value. It is cached for
    /// [`negative_for`](crate::CacheOptions::negative_for), or for this item's own times.
    #[must_use]
    pub fn absent() -> Self {
        Self { value: None, tags: Vec::new(), fresh_for: None, usable_for: None, version: 0 }
    }

    /// Adds a tag, by which it can be invalidated together with others.
    ///
    /// # Errors
    /// `Invalid` for a text that is no [`Tag`], and from the [65th](Self::MAX_TAGS) tag on.
    pub fn with_tag(mut self, tag: impl AsRef<str>) -> Result<Self> {
        if self.tags.len() >= Self::MAX_TAGS {
            return Err(Error::invalid(format!("an item has at most {} tags", Self::MAX_TAGS)));
        }
        let tag = Tag::new(tag)?;
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        Ok(self)
    }

    /// Sets how long it is fresh.
    #[must_use]
    pub fn with_fresh_for(mut self, time: Duration) -> Self {
        self.fresh_for = Some(time);
        self
    }

    /// Sets how long it may be used at all; at least as long as it is fresh.
    #[must_use]
    pub fn with_usable_for(mut self, time: Duration) -> Self {
        self.usable_for = Some(time);
        self
    }

    /// Sets the version of the source that it shows (a row version, a log position). A cache never replaces a
    /// greater version by a smaller one; 0, the default, is unversioned.
    #[must_use]
    pub fn with_version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// The value, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        self.value.as_ref()
    }

    pub(crate) fn map<T>(self, make: impl FnOnce(V) -> T) -> Item<T> {
        Item {
            value: self.value.map(make),
            tags: self.tags,
            fresh_for: self.fresh_for,
            usable_for: self.usable_for,
            version: self.version,
        }
    }
}

impl<V> From<V> for Item<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}

impl<V> From<Option<V>> for Item<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or_else(Self::absent, Self::new)
    }
}
