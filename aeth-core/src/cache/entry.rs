//! What a tier stores under a key.

use crate::Tag;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Which codec made the bytes of a value; a reader with another codec treats the entry as a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CodecId(u16);

impl CodecId {
    /// Raw bytes.
    pub const RAW: Self = Self(0);
    /// Postcard 1.
    pub const POSTCARD: Self = Self(1);
    /// JSON, RFC 8259.
    pub const JSON: Self = Self(2);

    /// A codec of the host's own: ids from 1024 upwards are free for hosts.
    #[must_use]
    pub const fn new(id: u16) -> Self {
        Self(id)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Properties of an entry, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryFlags(u8);

impl EntryFlags {
    /// None.
    pub const NONE: Self = Self(0);
    /// The loader found nothing: the value is empty, and its absence is what is cached.
    pub const NEGATIVE: Self = Self(1);
    /// The value is compressed with zstd.
    pub const ZSTD: Self = Self(2);
    /// The value is compressed with LZ4.
    pub const LZ4: Self = Self(4);
    /// The value is encrypted.
    pub const SEALED: Self = Self(8);

    /// From the stored bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// True when all of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With all of `other` set.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With none of `other` set.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// A cached value and what is known about it. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The encoded value.
    pub value: Bytes,
    /// When the load that made it *began*.
    pub created: u64,
    /// Until when it is fresh; after it a reader refreshes it.
    pub fresh_until: u64,
    /// Until when it may be used at all, stale but better than nothing; a tier may drop it then.
    pub usable_until: u64,
    /// The state of the source that it shows: a greater one is newer. A tier never replaces a greater version
    /// by a smaller one; 0 means unversioned and always replaces.
    pub version: u64,
    /// The tags by which it is invalidated.
    pub tags: Arc<[Tag]>,
    /// Which codec made the bytes.
    pub codec: CodecId,
    /// The schema of the type, raised by the host when it changes; a reader with another one misses.
    pub schema: u32,
    /// Its properties.
    pub flags: EntryFlags,
}

impl Entry {
    /// An unversioned, untagged entry of raw bytes, created at `created`, fresh and usable until `until`
    /// (milliseconds since the Unix epoch).
    #[must_use]
    pub fn new(value: impl Into<Bytes>, created: u64, until: u64) -> Self {
        Self {
            value: value.into(),
            created,
            fresh_until: until,
            usable_until: until,
            version: 0,
            tags: Arc::default(),
            codec: CodecId::RAW,
            schema: 0,
            flags: EntryFlags::NONE,
        }
    }

    /// Sets until when it may be used after it is no longer fresh.
    #[must_use]
    pub fn with_usable_until(mut self, until: u64) -> Self {
        self.usable_until = until;
        self
    }

    /// Sets the version.
    #[must_use]
    pub fn with_version(mut self, version: u64) -> Self {
        self.version = version;
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn with_tags(mut self, tags: impl Into<Arc<[Tag]>>) -> Self {
        self.tags = tags.into();
        self
    }

    /// Sets codec and schema.
    #[must_use]
    pub fn with_codec(mut self, codec: CodecId, schema: u32) -> Self {
        self.codec = codec;
        self.schema = schema;
        self
    }

    /// Sets the properties.
    #[must_use]
    pub fn with_flags(mut self, flags: EntryFlags) -> Self {
        self.flags = flags;
        self
    }

    /// True when it may still be used at `now` (milliseconds since the Unix epoch).
    #[must_use]
    pub fn is_usable(&self, now: u64) -> bool {
        now < self.usable_until
    }

    /// True when it is fresh at `now` (milliseconds since the Unix epoch).
    #[must_use]
    pub fn is_fresh(&self, now: u64) -> bool {
        now < self.fresh_until
    }
}
