//! Checksums from the writer to the reader.

mod algorithm;
mod read;
mod scrub;
mod write;

pub use algorithm::SumAlgorithm;
pub use scrub::Scrubbed;

use crate::reserved::Reserved;
use aeth_core::blob::{
    Attributes, Blob, BlobMeta, BlobStore, BlobStoreExt, Capabilities, Capability, CopyAttributes,
    CopyOptions, GetOptions, ListOptions, Page, PresignOptions, PutOptions, PutResult, SignedUrl, Upload,
    UploadId,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use algorithm::{from_text, to_text};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The attribute that is this layer's.
const SUM: &str = "aeth-checksum";
const PREFIX: &str = ".aeth-checksums";
/// How often a copy begins anew because its source was replaced meanwhile.
const ATTEMPTS: usize = 32;

/// A layer that keeps a checksum with each blob and checks it on the way back, so that whatever goes wrong below
/// (a bad disk, memory, network or proxy) is an error and not other bytes.
///
/// # What is checked
/// A whole read of a blob that was written through this layer: one up to 1 MiB before any byte of it is given, a
/// longer one at its end, where `Corrupt` stands in place of the last chunk. Ranged reads are not; put the encrypted
/// layer where they must be. [`scrub`](Self::scrub) reads everything. The checksum is in the blob's metadata.
///
/// # What is stored
/// The attribute `aeth-checksum`. Bytes in memory, bodies up to 8 MiB and those that can be read twice are summed
/// before they are sent; a longer one is written below `.aeth-checksums/` first and renamed, where the store can
/// replace attributes on the way. Where it cannot, and for a long compare-and-swap, the blob is stored without a
/// checksum, and counted by the scrub. The attribute is there once, so the layer stands once in a stack.
#[derive(Debug, Clone)]
pub struct Checksummed {
    front: Reserved,
}

/// The layer with nothing hidden.
#[derive(Debug)]
struct Inside {
    inner: Arc<dyn BlobStore>,
    name: String,
    algorithm: SumAlgorithm,
    caps: Capabilities,
    /// Whether a long stream can get its checksum after it was written.
    replaces: bool,
}

impl Checksummed {
    /// A layer over `store`.
    ///
    /// # Errors
    /// `Unsupported` for a store without attributes.
    pub fn new(store: impl BlobStore, algorithm: SumAlgorithm) -> Result<Self> {
        Self::over(Arc::new(store), algorithm)
    }

    /// The same over a store that is shared.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn over(store: Arc<dyn BlobStore>, algorithm: SumAlgorithm) -> Result<Self> {
        let below = store.capabilities();
        below.require(Capability::Attributes).map_err(|error| {
            error
                .with_component("checksummed")
                .with_remedy("use the encrypted layer, which needs no attributes to find damage")
        })?;
        let replaces = below.has(Capability::CopyReplace);
        let inside = Inside {
            name: format!("checksummed({})", store.name()),
            caps: below.with(Capability::Checksums).without(Capability::Presign),
            inner: store,
            algorithm,
            replaces,
        };
        Ok(Self { front: Reserved::new(Arc::new(inside), PREFIX, "checksummed") })
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

/// Names the blob in an error.
fn shown(error: Error, path: &BlobPath) -> Error {
    error.with_component("checksummed").with_key(path)
}

fn check_attributes(attributes: &Attributes) -> Result<()> {
    if attributes.user.contains_key(SUM) {
        return Err(Error::invalid(format!("the attribute `{SUM}` is reserved for checksums"))
            .with_remedy("choose another name"));
    }
    Ok(())
}

/// What the caller sees: the checksum in its own place.
fn plain(mut meta: BlobMeta) -> Result<BlobMeta> {
    let text = meta.attributes.as_mut().and_then(|attributes| attributes.user.remove(SUM));
    if let Some(text) = text {
        meta.checksum = Some(from_text(&text).map_err(|error| shown(error, &meta.path))?);
    }
    Ok(meta)
}

impl Inside {
    /// The options of a copy that keeps the checksum when it replaces the attributes.
    async fn copied(&self, from: &BlobPath, options: &CopyOptions) -> Result<CopyOptions> {
        let CopyAttributes::Replace(attributes) = &options.attributes else { return Ok(options.clone()) };
        self.caps.require(Capability::CopyReplace)?;
        check_attributes(attributes).map_err(|error| shown(error, from))?;
        let meta = self.inner.head(from).await?;
        let mut attributes = attributes.clone();
        if let Some(text) = meta.attributes.as_ref().and_then(|attributes| attributes.user.get(SUM)) {
            attributes.user.insert(SUM.to_owned(), text.clone());
        }
        let mut below = options.clone().with_attributes(CopyAttributes::Replace(attributes));
        if below.if_match.is_none() {
            // The checksum is that of the state just looked at.
            below.if_match = meta.etag;
        }
        Ok(below)
    }
}

/// True when a copy found another state than the one that was looked at, and nobody demanded that one.
fn again(error: &Error, options: &CopyOptions) -> bool {
    error.kind() == ErrorKind::Precondition && options.if_match.is_none()
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
        check_attributes(&options.attributes).map_err(|error| shown(error, path))?;
        self.put(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        self.inner.delete_many(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        for _ in 0..ATTEMPTS {
            let below = self.copied(from, &options).await?;
            match self.inner.copy_opts(from, to, below).await {
                Err(error) if again(&error, &options) => {}
                done => return done,
            }
        }
        Err(shown(Error::new(ErrorKind::Busy, "the blob is replaced again and again"), from))
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        for _ in 0..ATTEMPTS {
            let below = self.copied(from, &options).await?;
            match self.inner.rename_opts(from, to, below).await {
                Err(error) if again(&error, &options) => {}
                done => return done,
            }
        }
        Err(shown(Error::new(ErrorKind::Busy, "the blob is replaced again and again"), from))
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
        Err(shown(Error::unsupported("a URL would lead around the checksums"), path))
    }
}

/// The sum's text among the attributes.
fn with_sum(mut attributes: Attributes, sum: &aeth_core::blob::Checksum) -> Result<Attributes> {
    attributes.user.insert(SUM.to_owned(), to_text(sum)?);
    Ok(attributes)
}

crate::reserved::delegate!(Checksummed, front);
