//! A layer that lets only so much be stored.

mod usage;

pub use usage::{QuotaLimits, QuotaUsage};

use aeth_core::blob::{
    Blob, BlobStore, BlobStoreExt, Capabilities, Capability, CopyOptions, GetOptions, ListOptions,
    ListedSize, Page, Part, PresignOptions, PutMode, PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, Result};
use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::sync::Arc;
use usage::{Ledger, Reservation};

/// How many blobs are asked about at the same time.
const AT_ONCE: usize = 16;

/// A layer that lets only so many bytes and blobs be stored; what would be more fails with `Full` and changes nothing.
///
/// What is stored is counted by a listing when the layer is opened, and reckoned from then on: a write costs a look at
/// the blob that it replaces. Writes under way count with what they have sent. The reckoning is of this handle and its
/// clones; writers elsewhere, and writes of the same blob at the same moment, make it an estimate until
/// [`recount`](Self::recount). Presigned URLs are refused, because they would lead around it.
#[derive(Debug, Clone)]
pub struct Quota {
    inner: Arc<dyn BlobStore>,
    name: Arc<str>,
    ledger: Arc<Ledger>,
}

impl Quota {
    /// Counts what is in `store` and limits what may be.
    ///
    /// # Errors
    /// Those of the listing.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(store: impl BlobStore, limits: QuotaLimits) -> Result<Self> {
        let inner: Arc<dyn BlobStore> = Arc::new(store);
        let used = count(&inner).await?;
        let name = format!("quota({})", inner.name()).into();
        Ok(Self { inner, name, ledger: Arc::new(Ledger::new(limits, used)) })
    }

    /// What is stored, as far as it is known.
    #[must_use]
    pub fn usage(&self) -> QuotaUsage {
        self.ledger.used()
    }

    /// Counts anew.
    ///
    /// # Errors
    /// Those of the listing.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn recount(&self) -> Result<QuotaUsage> {
        let used = count(&self.inner).await?;
        self.ledger.recounted(used);
        Ok(used)
    }

    /// The size of what is at a path, if there is something.
    async fn size_of(&self, path: &BlobPath) -> Result<Option<u64>> {
        match self.inner.head(path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A place for a write to a path.
    async fn reserve(&self, path: &BlobPath) -> Result<Reservation> {
        let replaced = self.size_of(path).await?;
        self.ledger.reserve(replaced).map_err(|error| error.with_key(path))
    }

    /// What a write of known length needs, and the commitment when it succeeds.
    async fn around(
        &self,
        to: &BlobPath,
        length: u64,
        write: impl Future<Output = Result<PutResult>> + Send,
    ) -> Result<PutResult> {
        let mut reservation = self.reserve(to).await?;
        reservation.grow(length).map_err(|error| error.with_key(to))?;
        let result = write.await?;
        reservation.commit(length);
        Ok(result)
    }
}

async fn count(store: &Arc<dyn BlobStore>) -> Result<QuotaUsage> {
    let exact = store.capabilities().listed_size == ListedSize::Exact;
    let sizes = store.list(None).map_ok(|meta| async move {
        // A listing that cannot tell the length is asked to look.
        Ok(if exact { meta.size } else { store.head(&meta.path).await.map_or(0, |meta| meta.size) })
    });
    let add = |mut used: QuotaUsage, size: u64| async move {
        used.bytes = used.bytes.saturating_add(size);
        used.objects += 1;
        Ok(used)
    };
    sizes.try_buffer_unordered(AT_ONCE).try_fold(QuotaUsage::default(), add).await
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Quota {
    fn name(&self) -> Cow<'_, str> {
        (*self.name).into()
    }

    fn capabilities(&self) -> Capabilities {
        let mut caps = self.inner.capabilities().without(Capability::Presign);
        caps.max_size = [caps.max_size, self.ledger.limits.blob_bytes].into_iter().flatten().min();
        caps
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.inner.get_opts(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        let mut reservation = self.reserve(path).await?;
        let stated = body.length();
        if let Some(length) = stated {
            reservation.grow(length).map_err(|error| error.with_key(path))?;
            let result = self.inner.put_opts(path, body, options).await?;
            reservation.commit(length);
            return Ok(result);
        }
        let shared = Arc::new(Mutex::new(Some(reservation)));
        let growing = Arc::clone(&shared);
        let named = path.clone();
        let body = body.into_stream().map(move |chunk| {
            let chunk = chunk?;
            if let Some(reservation) = &mut *growing.lock() {
                reservation.grow(chunk.len() as u64).map_err(|error| error.with_key(&named))?;
            }
            Ok(chunk)
        });
        let result = self.inner.put_opts(path, Body::once(body, None), options).await?;
        if let Some(reservation) = shared.lock().take() {
            let length = reservation.length();
            reservation.commit(length);
        }
        Ok(result)
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let looks = stream::iter(paths.to_vec()).map(|path| async move { self.size_of(&path).await });
        let mut sizes: Vec<Option<u64>> = looks.buffered(AT_ONCE).try_collect().await?;
        let results = self.inner.delete_many(paths).await?;
        // The same path twice is one blob.
        let mut seen = std::collections::HashSet::new();
        for ((path, result), size) in paths.iter().zip(&results).zip(&mut sizes) {
            if let (Ok(()), Some(size), true) = (result, size.take(), seen.insert(path)) {
                self.ledger.removed(size);
            }
        }
        Ok(results)
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        let Some(length) = self.size_of(from).await? else {
            return self.inner.copy_opts(from, to, options).await;
        };
        self.around(to, length, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        if from == to {
            return self.inner.rename_opts(from, to, options).await;
        }
        let replaced = self.size_of(to).await?;
        let result = self.inner.rename_opts(from, to, options).await?;
        if let Some(size) = replaced {
            self.ledger.removed(size);
        }
        Ok(result)
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.inner.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        let upload = self.inner.begin_upload(path, options).await?;
        Ok(Box::new(QuotaUpload { upload, quota: self.clone(), path: path.clone() }))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        let upload = self.inner.resume_upload(path, id).await?;
        Ok(Box::new(QuotaUpload { upload, quota: self.clone(), path: path.clone() }))
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(Error::unsupported("a URL would lead around the quota").with_component("quota").with_key(path))
    }
}

/// An upload, which counts when it completes.
#[derive(Debug)]
struct QuotaUpload {
    upload: Box<dyn Upload>,
    quota: Quota,
    path: BlobPath,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for QuotaUpload {
    fn id(&self) -> UploadId {
        self.upload.id()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        self.upload.put_part(number, body).await
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.upload.list_parts().await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        let length = parts.iter().map(|part| part.size).sum();
        self.quota.around(&self.path, length, self.upload.complete(parts, mode)).await
    }

    async fn abort(&self) -> Result<()> {
        self.upload.abort().await
    }
}
