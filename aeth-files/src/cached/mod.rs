//! Pages of blobs, kept nearer.

mod builder;
mod fetch;
mod known;
mod pages;
mod peers;
mod read;
mod statistics;
mod write;

pub use builder::CachedBuilder;
pub use statistics::CachedStatistics;

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::observe::{Collector, MetricsSource};
use aeth_core::{BlobPath, Body, Clock, Lifecycle, Result, Tasks};
use async_trait::async_trait;
use fetch::Fetcher;
use known::Index;
use parking_lot::Mutex;
use peers::Peers;
use read::Gate;
use statistics::Counters;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use write::{CachedUpload, Change};

/// A layer that keeps the pages of blobs that were read, in memory, on a local disk or in a cache tier.
///
/// # What is kept
/// Blobs are cut in pages of one size. A page is named by path, mark (ETag) and number, and carries a checksum: an
/// older state's page is never found under a newer one, and a damaged page is fetched again. A read fetches the
/// pages that are missing, neighbours in one request, and each only once however many readers want it: a thousand
/// readers of one cold page are one read below. A reader that is dropped leaves what it began to the others.
///
/// # How old a read may be
/// After a put, copy, rename, delete or completed upload through this handle returned, its reads show it. For
/// writers elsewhere, what is known of a blob is at most
/// [`revalidate_after`](CachedBuilder::revalidate_after) old: 0, the default, asks below with every read (one
/// request without a body, which concurrent readers share). [`Peers`](CachedBuilder::peers) on a backplane tell
/// each other at once. When a write ends without a verdict (it timed out, or its caller went), nothing about its
/// blob is remembered for a minute, because it may still take effect.
///
/// # Where it does nothing
/// Over a store without ranged reads, for blobs without a mark, for old versions and for listings every call goes
/// through.
///
/// Cheap to clone; clones are one cache. It is a [`MetricsSource`].
///
/// ```
/// use aeth_core::blob::{BlobStore, BlobStoreExt};
/// use aeth_core::BlobPath;
/// use aeth_files::{Cached, MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = Cached::builder(MemoryStore::new()).memory(16 << 20).open().await?;
/// let path = BlobPath::new("a")?;
/// store.put(&path, "hello").await?;
/// assert_eq!(store.get_bytes(&path).await?, "hello");
/// assert_eq!(store.get_range(&path, 1..3).await?, "el");
/// assert_eq!(store.statistics().requests, 1);
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Cached(Arc<Shared>);

struct Shared {
    inner: Arc<dyn BlobStore>,
    name: String,
    caps: Capabilities,
    /// Whether the store below can give parts of blobs.
    active: bool,
    window: u64,
    revalidate_after: Duration,
    fetcher: Fetcher,
    index: Arc<Index>,
    gates: Mutex<HashMap<BlobPath, Arc<Gate>>>,
    counters: Arc<Counters>,
    peers: Option<Peers>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    listening: Tasks,
}

impl Cached {
    /// Puts a cache over a store together.
    pub fn builder(store: impl BlobStore) -> CachedBuilder {
        CachedBuilder::new(Arc::new(store))
    }

    /// What the cache has done and what it holds.
    #[must_use]
    pub fn statistics(&self) -> CachedStatistics {
        let counters = &self.0.counters;
        CachedStatistics {
            hits: counters.hits.get(),
            misses: counters.misses.get(),
            heads: counters.heads.get(),
            requests: counters.requests.get(),
            fetched_bytes: counters.fetched.get(),
            damaged: counters.damaged.get(),
            forgotten: self.0.index.forgotten(),
            kept_bytes: self.0.fetcher.pages.size(),
        }
    }

    /// Forgets which states blobs have, so that the next reads ask below. Pages stay, and are used again for the
    /// states that they are of.
    pub fn forget(&self) {
        self.0.index.forget_all();
    }

    fn change(&self, paths: &[BlobPath]) -> Change {
        Change::begin(&self.0, paths)
    }

    fn upload(&self, inner: Box<dyn Upload>, path: &BlobPath) -> Box<dyn Upload> {
        Box::new(CachedUpload { inner, shared: Arc::clone(&self.0), path: path.clone() })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("inner", &self.inner)
            .field("pages", &self.fetcher.pages)
            .field("revalidate_after", &self.revalidate_after)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Streams that were opened go on; what peers say concerns nobody any more.
        self.listening.cancel();
    }
}

impl MetricsSource for Cached {
    fn component(&self) -> Cow<'_, str> {
        "storage".into()
    }

    fn collect(&self, out: &mut dyn Collector) {
        self.statistics().collect(&self.0.name, out);
    }
}

#[async_trait]
impl Lifecycle for Cached {
    async fn close(&self, deadline: Duration) -> Result<()> {
        self.0.tasks.close(deadline).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Cached {
    fn name(&self) -> Cow<'_, str> {
        self.0.name.as_str().into()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.caps.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if !self.0.active || options.version.is_some() {
            return self.0.inner.get_opts(path, options).await;
        }
        self.0.get(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        let change = self.change(std::slice::from_ref(path));
        change.around(self.0.inner.put_opts(path, body, options)).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        self.change(paths).around_all(self.0.inner.delete_many(paths)).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let change = self.change(std::slice::from_ref(to));
        change.around(self.0.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let change = self.change(&[from.clone(), to.clone()]);
        change.around(self.0.inner.rename_opts(from, to, options)).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.0.inner.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        Ok(self.upload(self.0.inner.begin_upload(path, options).await?, path))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        Ok(self.upload(self.0.inner.resume_upload(path, id).await?, path))
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.0.caps.require(Capability::Presign)?;
        self.0.inner.presign(path, options).await
    }
}
