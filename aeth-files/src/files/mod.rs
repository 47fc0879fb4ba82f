//! The handle that hosts use.

mod builder;
mod content_type;
mod file;
mod health;
mod links;
mod path;
mod sync;
mod transfer;
mod tree;
mod upload;
mod walk;

pub use builder::{FilesBuilder, Probe};
pub use content_type::content_type_of;
pub use file::{OnProgress, Progress};
pub use path::IntoPath;
pub use sync::{Compare, SyncAction, SyncOptions, SyncPlan, Synced};
pub use transfer::TransferOptions;
pub use walk::Survey;

use crate::{LocalDir, Metered};
use aeth_core::blob::{
    Blob, BlobMeta, BlobStore, BlobStoreExt, CopyOptions, GetOptions, GetRange, PutOptions, PutResult,
};
use aeth_core::observe::{Collector, MetricsSource};
use aeth_core::{BlobPath, Body, Clock, Lifecycle, Result, Tasks};
use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The files of an application: a handle over any composed store.
///
/// Paths are given as text or as [`BlobPath`]s. Whatever happens through it is counted ([`MetricsSource`]) and its
/// health can be asked ([`HealthCheck`](aeth_core::observe::HealthCheck)). Cheap to clone.
///
/// ```
/// use aeth_files::{Files, MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let files = Files::new(MemoryStore::new());
/// files.put("avatars/42.png", &b"\x89PNG"[..]).await?;
/// assert_eq!(files.get_range("avatars/42.png", 1..4).await?, "PNG");
/// files.delete("avatars/42.png").await?;
/// assert!(!files.exists("avatars/42.png").await?);
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn BlobStore>,
    metered: Metered,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    volume: Option<LocalDir>,
    probe: Probe,
    probe_timeout: Duration,
    low_space: (f64, f64),
}

impl Files {
    /// The first segment of the paths that the health check writes and deletes again.
    pub const PROBES: &'static str = ".aeth-probe";

    /// The files in a store.
    #[must_use]
    pub fn new(store: impl BlobStore) -> Self {
        Self::builder(store).build()
    }

    /// Puts a handle together.
    pub fn builder(store: impl BlobStore) -> FilesBuilder {
        FilesBuilder::new(Arc::new(store))
    }

    /// The store, as this handle counts it.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.0.store
    }

    /// Stores bytes or a stream, replacing what was there.
    ///
    /// # Errors
    /// `Invalid` for a path that is none; those of [`BlobStore::put_opts`].
    ///
    /// # Cancel safety
    /// The blob is old or new, never partial.
    pub async fn put(&self, path: impl IntoPath, body: impl Into<Body> + Send) -> Result<PutResult> {
        self.put_with(path, body, PutOptions::default()).await
    }

    /// Stores bytes or a stream under a condition, with attributes, tags or a checksum.
    ///
    /// # Errors
    /// As [`put`](Self::put); `AlreadyExists` and `Precondition` per condition.
    ///
    /// # Cancel safety
    /// The blob is old or new, never partial.
    pub async fn put_with(
        &self,
        path: impl IntoPath,
        body: impl Into<Body> + Send,
        options: PutOptions,
    ) -> Result<PutResult> {
        let body = body.into();
        self.store().put_opts(&path.into_path()?, body, options).await
    }

    /// Reads a whole blob into memory.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a path that is none; those of [`BlobStore::get_opts`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn get(&self, path: impl IntoPath) -> Result<Bytes> {
        self.store().get_bytes(&path.into_path()?).await
    }

    /// Reads a part of a blob into memory.
    ///
    /// # Errors
    /// As [`get`](Self::get); `Invalid` for a range that starts past the end.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn get_range(&self, path: impl IntoPath, range: impl Into<GetRange> + Send) -> Result<Bytes> {
        let range = range.into();
        self.store().get_range(&path.into_path()?, range).await
    }

    /// Opens a blob as a stream.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(&self, path: impl IntoPath) -> Result<Blob> {
        self.open_with(path, GetOptions::default()).await
    }

    /// Opens a blob, or a part of it, as a stream, under conditions.
    ///
    /// # Errors
    /// As [`get`](Self::get); `Precondition` when a condition does not hold.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open_with(&self, path: impl IntoPath, options: GetOptions) -> Result<Blob> {
        self.store().get_opts(&path.into_path()?, options).await
    }

    /// What is known about a blob.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn head(&self, path: impl IntoPath) -> Result<BlobMeta> {
        self.store().head(&path.into_path()?).await
    }

    /// True when there is a blob.
    ///
    /// # Errors
    /// As [`get`](Self::get), without `NotFound`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn exists(&self, path: impl IntoPath) -> Result<bool> {
        self.store().exists(&path.into_path()?).await
    }

    /// Deletes a blob; a missing one is success.
    ///
    /// # Errors
    /// Those of [`BlobStore::delete_many`].
    ///
    /// # Cancel safety
    /// The blob is there or not; repeating the call completes it.
    pub async fn delete(&self, path: impl IntoPath) -> Result<()> {
        self.store().delete(&path.into_path()?).await
    }

    /// Deletes blobs, each by itself: one result for each path, in order.
    ///
    /// # Errors
    /// The outer one when nothing was tried; the inner ones per path.
    ///
    /// # Cancel safety
    /// Any subset of the blobs may be gone; repeating the call completes it.
    pub async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        self.store().delete_many(paths).await
    }

    /// Copies a blob, replacing the target.
    ///
    /// # Errors
    /// Those of [`BlobStore::copy_opts`].
    ///
    /// # Cancel safety
    /// The target is old or new, never partial.
    pub async fn copy(&self, from: impl IntoPath, to: impl IntoPath) -> Result<PutResult> {
        self.copy_with(from, to, CopyOptions::default()).await
    }

    /// Copies a blob under a condition, or with other attributes.
    ///
    /// # Errors
    /// Those of [`BlobStore::copy_opts`].
    ///
    /// # Cancel safety
    /// The target is old or new, never partial.
    pub async fn copy_with(
        &self,
        from: impl IntoPath,
        to: impl IntoPath,
        options: CopyOptions,
    ) -> Result<PutResult> {
        let (from, to) = (from.into_path()?, to.into_path()?);
        self.store().copy_opts(&from, &to, options).await
    }

    /// Moves a blob, replacing the target.
    ///
    /// # Errors
    /// Those of [`BlobStore::rename_opts`].
    ///
    /// # Cancel safety
    /// The target is old or new, never partial.
    pub async fn rename(&self, from: impl IntoPath, to: impl IntoPath) -> Result<PutResult> {
        let (from, to) = (from.into_path()?, to.into_path()?);
        self.store().rename(&from, &to).await
    }
}

impl MetricsSource for Files {
    fn component(&self) -> Cow<'_, str> {
        self.0.metered.component()
    }

    fn collect(&self, out: &mut dyn Collector) {
        self.0.metered.collect(out);
    }
}

#[async_trait]
impl Lifecycle for Files {
    async fn close(&self, deadline: Duration) -> Result<()> {
        // Nothing is buffered: what was acknowledged is stored. Only surveys run in the background.
        self.0.tasks.close(deadline).await
    }
}
