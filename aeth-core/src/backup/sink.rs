//! The trait.

use super::{ObjectId, ObjectKind, ObjectMeta};
use crate::Result;
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::SystemTime;

/// What a sink can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkCapabilities {
    /// Only transient objects (locks, sidecars) can be removed.
    pub append_only: bool,
    /// What is acknowledged survives a loss of power.
    pub durable: bool,
    /// Objects can be [kept from being destroyed](BackupSink::keep_until).
    pub object_lock: bool,
}

impl SinkCapabilities {
    /// Removable, with the durability given.
    #[must_use]
    pub fn new(durable: bool) -> Self {
        Self { append_only: false, durable, object_lock: false }
    }

    /// The same, append-only.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// The same, with objects that can be kept from being destroyed.
    #[must_use]
    pub fn object_lock(mut self) -> Self {
        self.object_lock = true;
        self
    }
}

/// A place for the objects of a backup repository: write-once, already sealed by the engine.
///
/// Besides the kinds that a method names, each may fail with `Unavailable`, `Timeout`, `Denied`, `Closed` and
/// `Other`.
#[async_trait]
pub trait BackupSink: fmt::Debug + Send + Sync + 'static {
    /// A short label for messages and metrics, without secrets.
    fn name(&self) -> Cow<'_, str>;

    /// What this sink can do. Constant over the life of the handle.
    fn capabilities(&self) -> SinkCapabilities;

    /// Stores an object, all or nothing, durable on return where
    /// [`durable`](SinkCapabilities::durable) says so.
    ///
    /// Writing a content-named object that is there already is success and may skip the write only when the
    /// object that is there has the same length. The configuration is created once: a second write with other
    /// bytes fails. A sidecar is replaced.
    ///
    /// # Errors
    /// `AlreadyExists` for a configuration with other bytes; `Full`.
    ///
    /// # Cancel safety
    /// The object is there whole or not at all; whether it took effect is unknown.
    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()>;

    /// Reads an object or a part of it; the result has exactly the bytes asked for.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when the range reaches past the end.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes>;

    /// The length in bytes of an object.
    ///
    /// # Errors
    /// `NotFound`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn size(&self, id: &ObjectId) -> Result<u64>;

    /// All objects of a kind, in no particular order; names that are not of that kind are left out. The stream
    /// ends after its first error.
    ///
    /// An object whose write was acknowledged before the listing began, and that nobody removes, is in it.
    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>>;

    /// Removes objects; missing ones are success. Stops at the first that fails.
    ///
    /// # Errors
    /// `Denied` for an object that is not [transient](ObjectKind::is_transient) in an append-only sink.
    ///
    /// # Cancel safety
    /// Any subset may be gone; repeating the call completes it.
    async fn remove(&self, ids: &[ObjectId]) -> Result<()>;

    /// Keeps objects from being destroyed before `until`, whoever asks, where
    /// [`object_lock`](SinkCapabilities::object_lock) says so: they may be hidden by a removal, and their bytes stay.
    /// What is kept for longer already stays so. Stops at the first that fails.
    ///
    /// # Errors
    /// `Unsupported` for a sink without that capability; `NotFound`.
    ///
    /// # Cancel safety
    /// Any subset may be kept; repeating the call completes it.
    async fn keep_until(&self, ids: &[ObjectId], until: SystemTime) -> Result<()>;
}

/// The answer of a sink whose objects cannot be kept from being destroyed.
///
/// # Errors
/// `Unsupported`, always.
pub fn no_object_lock(sink: &dyn BackupSink) -> Result<()> {
    Err(crate::Error::unsupported("the sink cannot keep objects from being destroyed")
        .with_operation("keep")
        .with_component(sink.name().into_owned())
        .with_remedy("use a store with object lock, such as an S3 bucket that was made with it"))
}
