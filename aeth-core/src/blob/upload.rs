//! Uploads in parts.

use super::{PutMode, PutResult};
use crate::{Body, Result};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The id of an upload, by which it can be taken up again; opaque.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(Arc<str>);

impl UploadId {
    /// Takes the text as an id.
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

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadId({})", self.0)
    }
}

/// A stored part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// Its number; parts are joined in ascending order of it.
    pub number: u32,
    /// Its length in bytes.
    pub size: u64,
    /// The engine's mark of it.
    pub etag: Option<String>,
}

impl Part {
    /// Puts one together.
    #[must_use]
    pub fn new(number: u32, size: u64) -> Self {
        Self { number, size, etag: None }
    }

    /// Sets the engine's mark.
    #[must_use]
    pub fn with_etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = Some(etag.into());
        self
    }
}

/// An upload in parts: invisible until it is completed, then there all at once.
///
/// Dropping the handle neither completes nor aborts it: it can be taken up again by its id.
#[async_trait]
pub trait Upload: fmt::Debug + Send + Sync {
    /// Its id.
    fn id(&self) -> UploadId;

    /// Stores a part; parts may come in any order and at the same time. The same number again replaces the
    /// part. Numbers start at 1.
    ///
    /// # Errors
    /// `Invalid` for a number out of range; `Full`; `NotFound` when the upload is no more.
    ///
    /// # Cancel safety
    /// The part is stored whole or not at all.
    async fn put_part(&self, number: u32, body: Body) -> Result<Part>;

    /// The parts stored so far, in ascending order of their numbers.
    ///
    /// # Errors
    /// `NotFound` when the upload is no more; `Unsupported` where the store has only
    /// [`PlainUploads`](super::Capability::PlainUploads).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn list_parts(&self) -> Result<Vec<Part>>;

    /// Joins these parts, in this order, into the blob. The condition is checked now, atomically; the mode
    /// given here replaces the one that the upload was begun with, when there is one.
    ///
    /// # Errors
    /// `AlreadyExists` and `Precondition` per mode (the upload stays and can be completed again); `Invalid`
    /// when a part is missing, too small or out of order; `Unsupported` for a condition where the store has only
    /// [`PlainUploads`](super::Capability::PlainUploads).
    ///
    /// # Cancel safety
    /// Whether it took effect is unknown; the blob is old or new.
    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult>;

    /// Removes the upload and its parts. Aborting one that is no more is success.
    ///
    /// # Errors
    /// Those of the engine.
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    async fn abort(&self) -> Result<()>;
}
