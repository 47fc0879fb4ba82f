//! A blob store that goes wrong.

use super::FaultPlan;
use super::bytes::{cut_stream, flip_body, flip_stream};
use super::plan::{After, lost, torn};
use super::upload::FaultyUpload;
use crate::blob::{
    Blob, BlobStore, Capabilities, CopyOptions, GetOptions, ListOptions, Page, PresignOptions, PutOptions,
    PutResult, SignedUrl, Upload, UploadId,
};
use crate::{BlobPath, Body, Result};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;

/// A [`BlobStore`] over another one which goes wrong by a [`FaultPlan`].
///
/// A torn put leaves the first half of the bytes as the whole blob, as an engine without atomic writes would.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn BlobStore>,
    plan: FaultPlan,
}

impl FaultyStore {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: impl BlobStore, plan: FaultPlan) -> Self {
        Self { inner: Arc::new(inner), plan }
    }

    async fn tear(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        let bytes = body.collect(u64::MAX).await?;
        let half = bytes.slice(..bytes.len() / 2);
        let options = PutOptions { checksum: None, ..options };
        self.inner.put_opts(path, half.into(), options).await?;
        Err(torn("put"))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for FaultyStore {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        let after = self.plan.enter("get").await?;
        let mut blob = self.inner.get_opts(path, options).await?;
        match after {
            After::Nothing => {}
            After::Lost => return Err(lost("get")),
            After::Torn => {
                let half = (blob.range.end - blob.range.start) / 2;
                blob.body = cut_stream(blob.body, half, "get");
            }
            After::Flip => blob.body = flip_stream(&self.plan, blob.body),
        }
        Ok(blob)
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        match self.plan.enter("put").await? {
            After::Nothing => self.inner.put_opts(path, body, options).await,
            After::Lost => {
                self.inner.put_opts(path, body, options).await?;
                Err(lost("put"))
            }
            After::Torn => self.tear(path, body, options).await,
            After::Flip => {
                let options = PutOptions { checksum: None, ..options };
                self.inner.put_opts(path, flip_body(&self.plan, body), options).await
            }
        }
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        match self.plan.enter("delete").await? {
            After::Nothing | After::Flip => self.inner.delete_many(paths).await,
            After::Lost => {
                self.inner.delete_many(paths).await?;
                Err(lost("delete"))
            }
            After::Torn => {
                let (done, left) = paths.split_at(paths.len() / 2);
                let mut results = self.inner.delete_many(done).await?;
                results.extend(left.iter().map(|path| Err(torn("delete").with_key(path))));
                Ok(results)
            }
        }
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.plan.around("copy", self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.plan.around("rename", self.inner.rename_opts(from, to, options)).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.plan.around("list", self.inner.list_page(options)).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        let upload = self.plan.around("begin_upload", self.inner.begin_upload(path, options)).await?;
        Ok(Box::new(FaultyUpload::new(upload, self.plan.clone())))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        let upload = self.plan.around("resume_upload", self.inner.resume_upload(path, id)).await?;
        Ok(Box::new(FaultyUpload::new(upload, self.plan.clone())))
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.plan.around("presign", self.inner.presign(path, options)).await
    }
}
