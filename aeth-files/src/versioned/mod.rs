//! Old versions.

mod history;
mod place;
mod write;

pub use history::{RestoredAt, Retention};
pub use place::OldVersion;

use crate::reserved::Reserved;
use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Clock, Error, Result, SystemClock};
use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, OwnedMutexGuard};

const STRIPES: usize = 256;

/// A layer that keeps what is overwritten, deleted or renamed away, so that it can be read and restored.
///
/// # What is kept
/// Before a write replaces a blob, the blob is copied to a place of its own below `.aeth-versions/`, which is hidden
/// from users of the layer: a copy by the store itself where it can. The write is then tied to the very state that was
/// kept, where the store has compare-and-swap, so that no state between is lost; a stream of more than 8 MiB that
/// finds another one fails with `Busy`. A delete cannot be tied: what a writer elsewhere puts between the keeping and
/// the deleting is lost. Writers that do not use this layer keep nothing.
///
/// # How it is read
/// [`versions`](Self::versions) lists a blob's old versions; their ids are what `version` of
/// [`GetOptions`] takes. [`get_at`](Self::get_at) opens a blob as it was at a time, and
/// [`restore_at`](Self::restore_at) brings a whole prefix back to it. [`prune`](Self::prune) removes what the
/// [`Retention`] does not keep. Times are those of the store below and of this layer's clock, in milliseconds.
///
/// Paths are up to 971 bytes long here.
#[derive(Debug, Clone)]
pub struct Versioned {
    inside: Arc<Inside>,
    front: Reserved,
}

/// The layer with nothing hidden.
struct Inside {
    inner: Arc<dyn BlobStore>,
    name: String,
    caps: Capabilities,
    swaps: bool,
    clock: Arc<dyn Clock>,
    turns: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

impl Versioned {
    /// A layer over `store`.
    #[must_use]
    pub fn new(store: impl BlobStore) -> Self {
        Self::with_clock(store, SystemClock::shared())
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(store: impl BlobStore, clock: Arc<dyn Clock>) -> Self {
        let below = store.capabilities();
        let swaps = below.has(Capability::CompareAndSwap) && below.has(Capability::CreateOnly);
        let inside = Arc::new(Inside {
            name: format!("versioned({})", store.name()),
            caps: below
                .with(Capability::Versions)
                .without(Capability::Presign)
                .without(Capability::AtomicRename),
            inner: Arc::new(store),
            swaps,
            clock,
            turns: (0..STRIPES).map(|_| Arc::new(Mutex::new(()))).collect(),
            hasher: RandomState::new(),
        });
        let front = Reserved::new(Arc::clone(&inside) as Arc<dyn BlobStore>, place::PREFIX, "versioned");
        Self { inside, front }
    }

    /// Removes the parts of uploads that nobody has touched for `age` by the store's own times, and says how many
    /// uploads they were. Such an upload is then no more.
    ///
    /// # Errors
    /// Those of the listing and of the deletes.
    ///
    /// # Cancel safety
    /// Cancel-safe; repeating the call completes it.
    pub async fn expire_uploads(&self, now: SystemTime, age: Duration) -> Result<u64> {
        self.front.expire_uploads(now, age).await
    }
}

impl Inside {
    fn stripe(&self, path: &BlobPath) -> usize {
        usize::try_from(self.hasher.hash_one(path) % STRIPES as u64).unwrap_or(0)
    }

    /// Writers of one path through this handle, one after the other.
    async fn turn(&self, path: &BlobPath) -> Option<OwnedMutexGuard<()>> {
        let turn = self.turns.get(self.stripe(path)).map(Arc::clone)?;
        Some(turn.lock_owned().await)
    }

    fn same_turn(&self, a: &BlobPath, b: &BlobPath) -> bool {
        self.stripe(a) == self.stripe(b)
    }
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versioned").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Inside {
    fn name(&self) -> Cow<'_, str> {
        self.name.as_str().into()
    }

    fn capabilities(&self) -> Capabilities {
        self.caps.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        match options.version.clone() {
            Some(id) => self.get_version(path, &id, options).await,
            None => self.inner.get_opts(path, options).await,
        }
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        if is_own(path) {
            return self.inner.put_opts(path, body, options).await;
        }
        self.put(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        if paths.iter().all(is_own) {
            return self.inner.delete_many(paths).await;
        }
        let deletes = stream::iter(paths.to_vec()).map(|path| async move { self.delete(&path).await });
        Ok(deletes.buffered(16).collect().await)
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.copy(from, to, options).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.rename(from, to, options).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.inner.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, _options: PutOptions) -> Result<Box<dyn Upload>> {
        Err(Error::unsupported("uploads are staged above").with_component("versioned").with_key(path))
    }

    async fn resume_upload(&self, path: &BlobPath, _id: &UploadId) -> Result<Box<dyn Upload>> {
        Err(Error::unsupported("uploads are staged above").with_component("versioned").with_key(path))
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(Error::unsupported("a URL would lead around the keeping of versions")
            .with_component("versioned")
            .with_key(path))
    }
}

/// True for what this layer keeps for itself, of which no versions are kept.
fn is_own(path: &BlobPath) -> bool {
    path.as_str().strip_prefix(place::PREFIX).is_some_and(|rest| rest.starts_with('/'))
}

crate::reserved::delegate!(Versioned, front);
