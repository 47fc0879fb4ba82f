//! A layer that lets nothing be written.

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;

/// A layer through which a store can be read and not written: every write fails with `Denied`, and changes
/// nothing. Presigned URLs are refused, because they would lead around it.
#[derive(Debug, Clone)]
pub struct ReadOnly {
    inner: Arc<dyn BlobStore>,
}

impl ReadOnly {
    /// Lets `store` be read.
    #[must_use]
    pub fn new(store: impl BlobStore) -> Self {
        Self { inner: Arc::new(store) }
    }
}

/// What a reader can rely on.
const READING: [Capability; 8] = [
    Capability::RangeGet,
    Capability::SuffixGet,
    Capability::ConditionalGet,
    Capability::ListStartAfter,
    Capability::Durable,
    Capability::Transparent,
    Capability::MultiProcess,
    Capability::Versions,
];

fn denied(operation: &'static str, path: &BlobPath) -> Error {
    Error::new(ErrorKind::Denied, "the store is read-only here")
        .with_operation(operation)
        .with_component("read-only")
        .with_key(path)
        .with_remedy("write through a handle that may")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for ReadOnly {
    fn name(&self) -> Cow<'_, str> {
        format!("read-only({})", self.inner.name()).into()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.set = capabilities.set.and(READING.into_iter().collect());
        capabilities
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.inner.get_opts(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, _body: Body, _options: PutOptions) -> Result<PutResult> {
        Err(denied("put", path))
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        Ok(paths.iter().map(|path| Err(denied("delete", path))).collect())
    }

    async fn copy_opts(&self, _from: &BlobPath, to: &BlobPath, _options: CopyOptions) -> Result<PutResult> {
        Err(denied("copy", to))
    }

    async fn rename_opts(&self, from: &BlobPath, _to: &BlobPath, _options: CopyOptions) -> Result<PutResult> {
        Err(denied("rename", from))
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.inner.list_page(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, _options: PutOptions) -> Result<Box<dyn Upload>> {
        Err(denied("begin_upload", path))
    }

    async fn resume_upload(&self, path: &BlobPath, _id: &UploadId) -> Result<Box<dyn Upload>> {
        Err(denied("resume_upload", path))
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(Error::unsupported("a URL would lead around the read-only layer")
            .with_operation("presign")
            .with_component("read-only")
            .with_key(path))
    }
}
