//! Keeping blobs from being destroyed.

use crate::{BlobPath, Result};
use async_trait::async_trait;
use std::fmt;
use std::time::SystemTime;

/// Keeps the blobs of a store from being destroyed before a time, whoever asks: what S3 calls *object lock*, others
/// immutability or write-once storage. It belongs to a store that versions its blobs: a delete hides a blob that is
/// kept, and an overwrite puts another version over it, but its bytes cannot be lost.
///
/// Give it to a [`BlobSink`](super::BlobSink::object_lock) beside the store.
#[async_trait]
pub trait ObjectLock: fmt::Debug + Send + Sync + 'static {
    /// Keeps the blob that is at `path` now until `until`, rounded up to what the store can tell apart. One that is
    /// kept for longer already may stay so.
    ///
    /// # Errors
    /// `NotFound`; `Denied` without the right to it; `Unsupported` when the store was not set up for it; besides,
    /// `Unavailable`, `Timeout` and `Other`.
    ///
    /// # Cancel safety
    /// Whether it took effect is unknown; repeating the call is harmless.
    async fn keep_until(&self, path: &BlobPath, until: SystemTime) -> Result<()>;

    /// Until when the blob at `path` is kept; `None` when it is not, or was.
    ///
    /// # Errors
    /// As [`keep_until`](Self::keep_until).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn kept_until(&self, path: &BlobPath) -> Result<Option<SystemTime>>;
}
