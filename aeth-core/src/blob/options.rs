//! Options of the calls.

use super::{Attributes, BlobTags, Checksum, ETag, ETagMatch, PageToken};
use crate::{Error, Result};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

/// Which bytes a get asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GetRange {
    /// From the first (inclusive) to the second (exclusive) offset; an end past the blob's is cut.
    Bounded(Range<u64>),
    /// From this offset to the end.
    From(u64),
    /// The last so many bytes; more than the blob has means all of it.
    Suffix(u64),
}

impl GetRange {
    /// The offsets that this means in a blob of `size` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it starts past the end, is empty or backwards.
    pub fn resolve(&self, size: u64) -> Result<Range<u64>> {
        let range = match self {
            Self::Bounded(range) if range.start >= range.end => {
                return Err(Error::invalid(format!("the range {}..{} is empty", range.start, range.end)));
            }
            Self::Bounded(range) => range.start..range.end.min(size),
            Self::From(start) => *start..size,
            Self::Suffix(0) => return Err(Error::invalid("the suffix range asks for 0 bytes")),
            Self::Suffix(length) => size.saturating_sub(*length)..size,
        };
        // A suffix of an empty blob is the empty blob; every other range must start inside.
        let inside = range.start < size || matches!(self, Self::Suffix(_));
        if inside {
            return Ok(range);
        }
        Err(Error::invalid(format!("the range starts at {} in a blob of {size} bytes", range.start))
            .with_remedy("ask for a range that starts before the end"))
    }
}

impl From<Range<u64>> for GetRange {
    fn from(range: Range<u64>) -> Self {
        Self::Bounded(range)
    }
}

/// Options of a get.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct GetOptions {
    /// Which bytes; default: all.
    pub range: Option<GetRange>,
    /// Only metadata: the body is empty.
    pub head: bool,
    /// Succeed only when the blob's ETag is one of these.
    pub if_match: Option<ETagMatch>,
    /// Succeed only when the blob's ETag is none of these.
    pub if_none_match: Option<ETagMatch>,
    /// Succeed only when it was written after this time (whole seconds, as in HTTP).
    pub if_modified_since: Option<SystemTime>,
    /// Succeed only when it was not written after this time (whole seconds, as in HTTP).
    pub if_unmodified_since: Option<SystemTime>,
    /// A version of the past, where the store keeps versions.
    pub version: Option<String>,
    /// The caller gathers the whole body in memory: a store that can read it in one piece need not cut it up.
    pub in_one_piece: bool,
}

impl GetOptions {
    /// Only metadata.
    #[must_use]
    pub fn head() -> Self {
        Self { head: true, ..Self::default() }
    }

    /// Only these bytes.
    #[must_use]
    pub fn with_range(mut self, range: impl Into<GetRange>) -> Self {
        self.range = Some(range.into());
        self
    }

    /// Says that the caller gathers the whole body in memory.
    #[must_use]
    pub fn in_one_piece(mut self) -> Self {
        self.in_one_piece = true;
        self
    }

    /// Only when the ETag is this one.
    #[must_use]
    pub fn with_if_match(mut self, etag: impl Into<ETagMatch>) -> Self {
        self.if_match = Some(etag.into());
        self
    }

    /// Only when the ETag is not this one.
    #[must_use]
    pub fn with_if_none_match(mut self, etag: impl Into<ETagMatch>) -> Self {
        self.if_none_match = Some(etag.into());
        self
    }

    /// Checks the conditions against a blob, in the order of RFC 9110 §13.2.2.
    ///
    /// # Errors
    /// [`ErrorKind::Precondition`](crate::ErrorKind::Precondition) when one does not hold.
    pub fn check(&self, etag: Option<&ETag>, modified: SystemTime) -> Result<()> {
        let failed = |message| Err(Error::new(crate::ErrorKind::Precondition, message));
        let matches =
            |wanted: &ETagMatch| etag.map_or(*wanted == ETagMatch::Any, |etag| wanted.matches(etag));
        if let Some(wanted) = &self.if_match {
            if !matches(wanted) {
                return failed("the blob has another etag than the one demanded");
            }
        } else if self.if_unmodified_since.is_some_and(|limit| seconds(modified) > seconds(limit)) {
            return failed("the blob was modified since the time given");
        }
        if let Some(unwanted) = &self.if_none_match {
            if matches(unwanted) {
                return failed("the blob is not modified: it still has the etag given");
            }
        } else if self.if_modified_since.is_some_and(|limit| seconds(modified) <= seconds(limit)) {
            return failed("the blob is not modified since the time given");
        }
        Ok(())
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Under which condition a put takes effect; decided when it completes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PutMode {
    /// Always.
    #[default]
    Overwrite,
    /// Only when the path is free; otherwise [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists).
    Create,
    /// Only when the blob has this mark; otherwise [`ErrorKind::Precondition`](crate::ErrorKind::Precondition),
    /// also when there is none.
    Match(ETag),
}

/// Options of a put or an upload.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PutOptions {
    /// The condition.
    pub mode: PutMode,
    /// What the blob says about itself.
    pub attributes: Attributes,
    /// Its tags.
    pub tags: BlobTags,
    /// The checksum that the bytes must have; otherwise the put fails with
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) and changes nothing.
    pub checksum: Option<Checksum>,
}

impl PutOptions {
    /// Only when the path is free.
    #[must_use]
    pub fn create() -> Self {
        Self { mode: PutMode::Create, ..Self::default() }
    }

    /// Only when the blob has this mark.
    #[must_use]
    pub fn if_match(etag: ETag) -> Self {
        Self { mode: PutMode::Match(etag), ..Self::default() }
    }

    /// Sets the condition.
    #[must_use]
    pub fn with_mode(mut self, mode: PutMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the attributes.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Attributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn with_tags(mut self, tags: BlobTags) -> Self {
        self.tags = tags;
        self
    }

    /// Sets the checksum that the bytes must have.
    #[must_use]
    pub fn with_checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }
}

/// Under which condition a copy or rename takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CopyMode {
    /// Always.
    #[default]
    Overwrite,
    /// Only when the target is free; otherwise
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists).
    Create,
}

/// Which attributes the copy has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CopyAttributes {
    /// Those of the source.
    #[default]
    Keep,
    /// These, and no others.
    Replace(Attributes),
}

/// Options of a copy or rename.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CopyOptions {
    /// The condition on the target.
    pub mode: CopyMode,
    /// The attributes of the copy.
    pub attributes: CopyAttributes,
    /// Copy only when the source has this mark.
    pub if_match: Option<ETag>,
}

impl CopyOptions {
    /// Only when the target is free.
    #[must_use]
    pub fn create() -> Self {
        Self { mode: CopyMode::Create, ..Self::default() }
    }

    /// Sets the attributes of the copy.
    #[must_use]
    pub fn with_attributes(mut self, attributes: CopyAttributes) -> Self {
        self.attributes = attributes;
        self
    }

    /// Copy only when the source has this mark.
    #[must_use]
    pub fn with_if_match(mut self, etag: ETag) -> Self {
        self.if_match = Some(etag);
        self
    }
}

/// Options of a listing.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListOptions {
    /// Only paths that start with this text. It is compared byte by byte, as S3 does, not by segments: end it
    /// with `/` to mean a directory.
    pub prefix: Option<String>,
    /// Group what follows the prefix up to the next `/` into one entry of
    /// [`Page::prefixes`](super::Page::prefixes).
    pub delimiter: bool,
    /// Only paths after this one, in byte order.
    pub start_after: Option<String>,
    /// The most entries (blobs and prefixes together) of a page; default and maximum are the store's (1,000 is
    /// usual). 0 means the default.
    pub limit: usize,
    /// Go on where an earlier page ended; the other options must be the same.
    pub token: Option<PageToken>,
}

impl ListOptions {
    /// Everything under a textual prefix.
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: Some(prefix.into()), ..Self::default() }
    }

    /// Groups by directory.
    #[must_use]
    pub fn with_delimiter(mut self) -> Self {
        self.delimiter = true;
        self
    }

    /// Only paths after this one.
    #[must_use]
    pub fn with_start_after(mut self, path: impl Into<String>) -> Self {
        self.start_after = Some(path.into());
        self
    }

    /// The most entries of a page.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Go on where an earlier page ended.
    #[must_use]
    pub fn with_token(mut self, token: PageToken) -> Self {
        self.token = Some(token);
        self
    }
}

/// What a presigned URL allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PresignMethod {
    /// Reading the blob.
    Get,
    /// Writing the blob.
    Put,
    /// Reading its metadata.
    Head,
    /// Deleting it.
    Delete,
}

/// Options of presigning.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PresignOptions {
    /// What the URL allows.
    pub method: PresignMethod,
    /// How long it is valid; S3 allows one second to seven days.
    pub expires: Duration,
}

impl PresignOptions {
    /// A URL that allows `method` for `expires`.
    #[must_use]
    pub fn new(method: PresignMethod, expires: Duration) -> Self {
        Self { method, expires }
    }
}

/// A URL that carries its own permission: treat it as a secret.
#[derive(Clone)]
#[non_exhaustive]
pub struct SignedUrl {
    /// The URL.
    pub url: String,
    /// Headers that the request must send.
    pub headers: Vec<(String, String)>,
}

impl SignedUrl {
    /// Puts one together.
    #[must_use]
    pub fn new(url: String, headers: Vec<(String, String)>) -> Self {
        Self { url, headers }
    }
}

impl fmt::Debug for SignedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedUrl(***)")
    }
}
