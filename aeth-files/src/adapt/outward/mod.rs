//! Our stores as object_store's.

mod feed;
mod list;
mod multipart;
mod ranges;
#[cfg(feature = "object-store-0-14-signer")]
mod signer;
mod store;

use aeth_core::Tasks;
use aeth_core::blob::BlobStore;
use std::fmt;
use std::sync::Arc;

/// Any [`BlobStore`] as an [`object_store::ObjectStore`], so that DataFusion, parquet, Lance and the like run over
/// its layers.
///
/// It is also an [`object_store::multipart::MultipartStore`] and an [`object_store::list::PaginatedListStore`], and
/// with the feature `object-store-0-14-signer` an `object_store::signer::Signer`.
///
/// # What it does beyond the letter of the trait
/// - What the store cannot do is `NotSupported` (reads) or `NotImplemented` (writes), never silently left out:
///   attributes and tags are not dropped.
/// - Bodies are streamed both ways; no blob is held in memory as a whole.
/// - `put_multipart` over a store without [`Uploads`](aeth_core::blob::Capability::Uploads) feeds one streamed put:
///   parts are joined in the order of the `put_part` calls, whatever the order in which their futures run. The
///   side trait `MultipartStore`, whose uploads are found again by an id, needs
///   [`ResumeUploads`](aeth_core::blob::Capability::ResumeUploads) or
///   [`PlainUploads`](aeth_core::blob::Capability::PlainUploads).
/// - A conditional multipart upload, which object_store cannot express, is had by an [`object_store::PutMode`] in the
///   `extensions` of `PutMultipartOptions`; the condition is decided at completion.
/// - Listed sizes are exact: where the store lists the length of what is stored (sealed, compressed), each entry
///   costs a head, sixteen at a time.
/// - `get_ranges` joins ranges that are at most 1 MiB apart, reads ten at a time, and fails when the blob changed in
///   between instead of giving a mixture. A range outside of the blob is an error, not a panic.
///
/// Paths of more than 1024 bytes are refused; blobs whose paths object_store cannot express (ASCII control
/// characters) are left out of listings and reported by `tracing`. The `extensions` of other calls are ignored.
///
/// Cheap to clone.
///
/// ```
/// use aeth_files::{AsObjectStore, MemoryStore};
/// use object_store::{ObjectStore, ObjectStoreExt, path::Path};
/// use std::sync::Arc;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store: Arc<dyn ObjectStore> = Arc::new(AsObjectStore::new(Arc::new(MemoryStore::new())));
/// store.put(&Path::from("a/b"), "hello".into()).await?;
/// assert_eq!(store.get_range(&Path::from("a/b"), 1..3).await?, "el");
/// # Ok::<(), object_store::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct AsObjectStore {
    store: Arc<dyn BlobStore>,
    tasks: Tasks,
}

impl AsObjectStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(store: Arc<dyn BlobStore>) -> Self {
        Self { store, tasks: Tasks::new() }
    }

    /// Runs the streamed puts behind `put_multipart` in this group of tasks instead of one of its own, so that its
    /// owner can wait for them.
    #[must_use]
    pub fn with_tasks(mut self, tasks: Tasks) -> Self {
        self.tasks = tasks;
        self
    }

    /// The store behind it.
    #[must_use]
    pub fn inner(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }
}

impl fmt::Debug for AsObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsObjectStore").field(&self.store).finish()
    }
}

impl fmt::Display for AsObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsObjectStore({})", self.store.name())
    }
}
