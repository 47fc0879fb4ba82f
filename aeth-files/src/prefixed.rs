//! A layer that shows a part of a store as a whole one.

use aeth_core::blob::{
    Blob, BlobMeta, BlobStore, Capabilities, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, Result};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;

/// A layer under which every path gets a prefix, so that a part of a store is a store of its own. Nothing outside
/// of the prefix can be named through it.
///
/// Paths have [`BlobPath::MAX_LEN`] bytes with the prefix in front; longer ones fail with `Invalid`. Errors from
/// below name the whole path.
#[derive(Debug, Clone)]
pub struct Prefixed {
    inner: Arc<dyn BlobStore>,
    prefix: BlobPath,
}

impl Prefixed {
    /// Shows what is below `prefix` in `store`.
    #[must_use]
    pub fn new(store: impl BlobStore, prefix: BlobPath) -> Self {
        Self { inner: Arc::new(store), prefix }
    }

    fn below(&self, path: &BlobPath) -> Result<BlobPath> {
        self.prefix.join(path).map_err(|error| Error::from(error).with_component("prefixed").with_key(path))
    }

    fn text(&self, rest: &str) -> String {
        format!("{}/{rest}", self.prefix)
    }

    /// The path without the prefix.
    fn above<'a>(&self, path: &'a str) -> Result<&'a str> {
        path.strip_prefix(self.prefix.as_str()).and_then(|rest| rest.strip_prefix('/')).ok_or_else(|| {
            Error::corrupt("the store answers with a path that is outside of the prefix")
                .with_component("prefixed")
        })
    }

    fn meta(&self, mut meta: BlobMeta) -> Result<BlobMeta> {
        meta.path = BlobPath::new(self.above(meta.path.as_str())?)?;
        Ok(meta)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Prefixed {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let mut blob = self.inner.get_opts(&self.below(path)?, options).await?;
        blob.meta = self.meta(blob.meta)?;
        Ok(blob)
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(&self.below(path)?, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let whole: Vec<Result<BlobPath>> = paths.iter().map(|path| self.below(path)).collect();
        let good: Vec<BlobPath> = whole.iter().filter_map(|path| path.as_ref().ok().cloned()).collect();
        let mut results = self.inner.delete_many(&good).await?.into_iter();
        let missing = || Err(Error::other("the store gave too few answers").with_component("prefixed"));
        Ok(whole.into_iter().map(|path| path.and_then(|_| results.next().unwrap_or_else(missing))).collect())
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.inner.copy_opts(&self.below(from)?, &self.below(to)?, options).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.inner.rename_opts(&self.below(from)?, &self.below(to)?, options).await
    }

    async fn list_page(&self, mut options: ListOptions) -> Result<Page> {
        options.prefix = Some(self.text(options.prefix.as_deref().unwrap_or_default()));
        options.start_after =
            options.start_after.filter(|text| !text.is_empty()).map(|text| self.text(&text));
        let mut page = self.inner.list_page(options).await?;
        page.blobs = page.blobs.into_iter().map(|meta| self.meta(meta)).collect::<Result<_>>()?;
        for prefix in &mut page.prefixes {
            *prefix = self.above(prefix)?.to_owned();
        }
        Ok(page)
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.inner.begin_upload(&self.below(path)?, options).await
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.inner.resume_upload(&self.below(path)?, id).await
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.inner.presign(&self.below(path)?, options).await
    }
}
