//! What is known about a blob, and what calls give back.

use super::UploadId;
use crate::body::{ByteStream, collect_sized};
use crate::{BlobPath, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// An opaque mark of one state of one blob: equal marks at the same path mean equal bytes and attributes.
///
/// Its form is the store's own; it is compared, never interpreted.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Takes the text as a mark.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ETag({})", self.0)
    }
}

/// A condition on a blob's ETag.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ETagMatch {
    /// Any existing blob (`*`).
    Any,
    /// One of these.
    Of(Vec<ETag>),
}

impl ETagMatch {
    /// True when `etag` satisfies it.
    #[must_use]
    pub fn matches(&self, etag: &ETag) -> bool {
        match self {
            Self::Any => true,
            Self::Of(list) => list.contains(etag),
        }
    }
}

impl From<ETag> for ETagMatch {
    fn from(etag: ETag) -> Self {
        Self::Of(vec![etag])
    }
}

/// What a blob says about itself, kept with it by the store.
///
/// The named ones are HTTP's; `user` is free: names of ASCII letters, digits and `-`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attributes {
    /// `Content-Type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// The storage class of the engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Metadata of the caller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
}

impl Attributes {
    /// True when nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets `Content-Type`.
    #[must_use]
    pub fn with_content_type(mut self, value: impl Into<String>) -> Self {
        self.content_type = Some(value.into());
        self
    }

    /// Sets one entry of the caller's metadata.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user.insert(name.into(), value.into());
        self
    }
}

/// Tags of a blob, which engines can act upon (lifecycle rules, access policies).
pub type BlobTags = BTreeMap<String, String>;

/// A checksum of the whole blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Checksum {
    /// CRC-32C (Castagnoli), RFC 3720.
    Crc32c(u32),
    /// CRC-64/NVME.
    Crc64Nvme(u64),
    /// SHA-256, FIPS 180-4.
    Sha256([u8; 32]),
}

/// What a store knows about a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlobMeta {
    /// Where it is.
    pub path: BlobPath,
    /// Its length in bytes; in a listing see [`Capabilities::listed_size`](super::Capabilities::listed_size).
    pub size: u64,
    /// When it was last written.
    pub modified: SystemTime,
    /// The mark of its state.
    pub etag: Option<ETag>,
    /// The engine's version id, where it keeps versions.
    pub version: Option<String>,
    /// Its attributes; `None` where the answer (a listing) does not carry them.
    pub attributes: Option<Attributes>,
    /// Its tags; `None` where the answer does not carry them.
    pub tags: Option<BlobTags>,
    /// A checksum of the whole blob, when the store keeps one.
    pub checksum: Option<Checksum>,
}

impl BlobMeta {
    /// What is always known.
    #[must_use]
    pub fn new(path: BlobPath, size: u64, modified: SystemTime) -> Self {
        Self { path, size, modified, etag: None, version: None, attributes: None, tags: None, checksum: None }
    }

    /// Sets the mark of its state.
    #[must_use]
    pub fn with_etag(mut self, etag: ETag) -> Self {
        self.etag = Some(etag);
        self
    }

    /// Sets its attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = Some(attributes);
        self
    }
}

/// An opened blob: what is known about it and its bytes, or those of the range asked for.
#[non_exhaustive]
pub struct Blob {
    /// What is known about it; `size` is that of the whole blob.
    pub meta: BlobMeta,
    /// The part of the blob that `body` gives; empty for a head.
    pub range: Range<u64>,
    /// The bytes, in chunks of the store's choice. Dropping it ends the read.
    pub body: ByteStream,
}

impl Blob {
    /// Puts one together.
    #[must_use]
    pub fn new(meta: BlobMeta, range: Range<u64>, body: ByteStream) -> Self {
        Self { meta, range, body }
    }

    /// All bytes in one buffer.
    ///
    /// # Errors
    /// Those of the store while reading.
    ///
    /// # Cancel safety
    /// Not cancel-safe: what was read is lost.
    pub async fn bytes(self) -> Result<Bytes> {
        let expected = self.range.end.saturating_sub(self.range.start);
        collect_sized(self.body, u64::MAX, expected).await
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("meta", &self.meta).field("range", &self.range).finish_non_exhaustive()
    }
}

/// What a successful write gives back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PutResult {
    /// The mark of the new state.
    pub etag: Option<ETag>,
    /// The engine's version id, where it keeps versions.
    pub version: Option<String>,
    /// The length in bytes of what was written, when the call knows it.
    pub size: Option<u64>,
}

impl PutResult {
    /// A result with the mark of the new state.
    #[must_use]
    pub fn new(etag: Option<ETag>) -> Self {
        Self { etag, ..Self::default() }
    }

    /// Sets the length.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }
}

/// Where the next page of a listing starts; opaque.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageToken(String);

impl PageToken {
    /// Takes the text as a token.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One page of a listing, in ascending order of path bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The blobs.
    pub blobs: Vec<BlobMeta>,
    /// With a delimiter: the common prefixes, each ending in the delimiter.
    pub prefixes: Vec<String>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<PageToken>,
}

impl Page {
    /// Puts a page together.
    #[must_use]
    pub fn new(blobs: Vec<BlobMeta>, prefixes: Vec<String>, next: Option<PageToken>) -> Self {
        Self { blobs, prefixes, next }
    }
}

impl From<&str> for UploadId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
