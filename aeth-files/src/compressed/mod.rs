//! Compression.

mod read;
mod seekable;
mod write;

use crate::reserved::Reserved;
use aeth_core::blob::{
    Attributes, Blob, BlobMeta, BlobStore, BlobStoreExt, Capabilities, Capability, CopyAttributes,
    CopyOptions, GetOptions, ListOptions, ListedSize, Page, PresignOptions, PutOptions, PutResult, SignedUrl,
    Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use async_trait::async_trait;
use quick_cache::sync::Cache;
use seekable::Table;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Attributes of this layer start so; the caller's may not.
const RESERVED: &str = "aeth-zstd";
const MARK: &str = "aeth-zstd";
/// The length of the plain bytes, when it was known before they were sent.
const SIZE: &str = "aeth-zstd-size";
const PREFIX: &str = ".aeth-zstd";
/// Of how many blobs the tables are remembered.
const REMEMBERED: usize = 1_024;
const ATTEMPTS: usize = 32;

/// A layer that compresses with zstd what can be compressed, and reads parts of it without opening the rest.
///
/// # What is stored
/// The *zstd seekable format*: frames of 256 KiB, each with a checksum, and a table of them at the end; stock
/// `zstd -d` opens it. Compressed blobs have the attribute `aeth-zstd`. A blob whose first 64 KiB lose less than an
/// eighth, and one below 512 bytes, is stored as it is.
///
/// # How it behaves
/// A ranged read fetches and opens the frames that it touches; the first one of a blob reads its table as well, which
/// is remembered. Sizes are those of the plain bytes, but in listings, which have the stored ones
/// ([`ListedSize::Stored`]). Memory is a few frames. Compression runs on the runtime's blocking threads, at most
/// four frames of a blob at a time. In a stack it stands above encryption: sealed bytes do not compress.
#[derive(Debug, Clone)]
pub struct Compressed {
    front: Reserved,
}

/// What is known of a blob whose parts were read.
#[derive(Debug)]
struct Known {
    meta: BlobMeta,
    /// `None` for one that is stored as it is.
    table: Option<Table>,
}

/// The layer with nothing hidden.
struct Inside {
    inner: Arc<dyn BlobStore>,
    name: String,
    level: i32,
    parallel: usize,
    caps: Capabilities,
    pins: bool,
    known: Cache<BlobPath, Arc<Known>>,
}

impl Compressed {
    /// The level that is used when none is given.
    pub const LEVEL: i32 = 3;

    /// A layer over `store` at level 3.
    ///
    /// # Errors
    /// `Unsupported` for a store without attributes or ranged reads.
    pub fn new(store: impl BlobStore) -> Result<Self> {
        Self::with_level(store, Self::LEVEL)
    }

    /// The same at another level: -7 (quickest) to 22 (smallest).
    ///
    /// # Errors
    /// As [`new`](Self::new); `Invalid` for a level out of range.
    pub fn with_level(store: impl BlobStore, level: i32) -> Result<Self> {
        if !(-7..=22).contains(&level) {
            return Err(Error::invalid(format!("level {level} is out of range"))
                .with_component("compressed")
                .with_remedy("choose -7 to 22"));
        }
        let below = store.capabilities();
        for needed in [Capability::Attributes, Capability::RangeGet] {
            below.require(needed).map_err(|error| error.with_component("compressed"))?;
        }
        let mut caps = below
            .clone()
            .with(Capability::Checksums)
            .with(Capability::SuffixGet)
            .without(Capability::Presign)
            .without(Capability::Transparent);
        caps.listed_size = ListedSize::Stored;
        let inside = Inside {
            name: format!("compressed({})", store.name()),
            pins: below.has(Capability::ConditionalGet),
            inner: Arc::new(store),
            level,
            parallel: std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 4),
            caps,
            known: Cache::new(REMEMBERED),
        };
        Ok(Self { front: Reserved::new(Arc::new(inside), PREFIX, "compressed") })
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

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressed")
            .field("inner", &self.inner)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// Names the blob in an error.
fn shown(error: Error, path: &BlobPath) -> Error {
    error.with_component("compressed").with_key(path)
}

fn check_attributes(attributes: &Attributes) -> Result<()> {
    match attributes.user.keys().find(|name| name.starts_with(RESERVED)) {
        Some(name) => Err(Error::invalid(format!("the attribute `{name}` is reserved for compression"))
            .with_remedy("choose another name")),
        None => Ok(()),
    }
}

/// The meta of the plain bytes.
fn plain(mut meta: BlobMeta, size: Option<u64>) -> BlobMeta {
    if let Some(attributes) = &mut meta.attributes
        && attributes.user.contains_key(MARK)
    {
        attributes.user.retain(|name, _| !name.starts_with(RESERVED));
        // A checksum below is that of the compressed bytes.
        meta.checksum = None;
    }
    if let Some(size) = size {
        meta.size = size;
    }
    meta
}

impl Inside {
    /// The options of a copy that stays compressed when its attributes are replaced.
    async fn copied(&self, from: &BlobPath, options: &CopyOptions) -> Result<CopyOptions> {
        let CopyAttributes::Replace(attributes) = &options.attributes else { return Ok(options.clone()) };
        self.caps.require(Capability::CopyReplace)?;
        check_attributes(attributes).map_err(|error| shown(error, from))?;
        let meta = self.inner.head(from).await?;
        let mut attributes = attributes.clone();
        for (name, value) in meta.attributes.iter().flat_map(|attributes| &attributes.user) {
            if name.starts_with(RESERVED) {
                attributes.user.insert(name.clone(), value.clone());
            }
        }
        let mut below = options.clone().with_attributes(CopyAttributes::Replace(attributes));
        if below.if_match.is_none() {
            below.if_match = meta.etag;
        }
        Ok(below)
    }

    /// The size of a copy is that of the plain bytes.
    async fn sized(&self, path: &BlobPath, mut result: PutResult) -> PutResult {
        result.size = self.size_of(path).await.ok();
        result
    }
}

fn again(error: &Error, options: &CopyOptions) -> bool {
    error.kind() == ErrorKind::Precondition && options.if_match.is_none()
}

fn busy(path: &BlobPath) -> Error {
    shown(Error::new(ErrorKind::Busy, "the blob is replaced again and again"), path)
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
        self.get(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.put(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        paths.iter().for_each(|path| drop(self.known.remove(path)));
        self.inner.delete_many(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.known.remove(to);
        for _ in 0..ATTEMPTS {
            let below = self.copied(from, &options).await?;
            match self.inner.copy_opts(from, to, below).await {
                Err(error) if again(&error, &options) => {}
                Ok(result) => return Ok(self.sized(to, result).await),
                Err(error) => return Err(error),
            }
        }
        Err(busy(from))
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.known.remove(from);
        self.known.remove(to);
        for _ in 0..ATTEMPTS {
            let below = self.copied(from, &options).await?;
            match self.inner.rename_opts(from, to, below).await {
                Err(error) if again(&error, &options) => {}
                Ok(result) => return Ok(self.sized(to, result).await),
                Err(error) => return Err(error),
            }
        }
        Err(busy(from))
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.inner.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, _options: PutOptions) -> Result<Box<dyn Upload>> {
        Err(shown(Error::unsupported("uploads are staged above"), path))
    }

    async fn resume_upload(&self, path: &BlobPath, _id: &UploadId) -> Result<Box<dyn Upload>> {
        Err(shown(Error::unsupported("uploads are staged above"), path))
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(shown(Error::unsupported("a URL would give the compressed bytes"), path))
    }
}

crate::reserved::delegate!(Compressed, front);
