//! A prefix that a layer keeps for itself, and uploads staged below it.
//!
//! Layers that change bytes, or that send them to several places, cannot hand a part down as it comes. The parts of
//! an upload are then blobs of their own below the layer's prefix, with a note of what it was begun with, and
//! become the whole when it completes, in bounded memory. The prefix is hidden from those who use the layer.

mod upload;

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, Capability, CopyOptions, GetOptions, ListOptions, Page, PresignOptions,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Error, Result};
use async_trait::async_trait;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use upload::StagedUpload;

pub(crate) use upload::MAX_PARTS;

/// A layer of which a prefix is hidden, with uploads staged below it.
#[derive(Debug, Clone)]
pub(crate) struct Reserved {
    inner: Arc<dyn BlobStore>,
    prefix: &'static str,
    component: &'static str,
}

impl Reserved {
    /// Hides what is below `prefix` (without a slash at its end) in `inner`.
    pub(crate) fn new(inner: Arc<dyn BlobStore>, prefix: &'static str, component: &'static str) -> Self {
        Self { inner, prefix, component }
    }

    /// True for what is hidden.
    pub(crate) fn hides(&self, path: &str) -> bool {
        path.strip_prefix(self.prefix).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Removes the parts of uploads that nobody has touched for `age`.
    pub(crate) async fn expire_uploads(&self, now: SystemTime, age: Duration) -> Result<u64> {
        crate::upload::expire(&self.inner, &format!("{}/parts/", self.prefix), now, age).await
    }

    fn check(&self, path: &BlobPath) -> Result<()> {
        if !self.hides(path.as_str()) {
            return Ok(());
        }
        Err(Error::invalid(format!("paths below `{}/` are reserved", self.prefix))
            .with_component(self.component)
            .with_key(path)
            .with_remedy("choose another path"))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Reserved {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut caps = self.inner.capabilities();
        caps =
            caps.without(Capability::PlainUploads).with(Capability::Uploads).with(Capability::ResumeUploads);
        caps.min_part = 1;
        caps.max_parts = MAX_PARTS;
        caps
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if self.hides(path.as_str()) {
            return Err(Error::not_found("there is no such blob")
                .with_component(self.component)
                .with_key(path));
        }
        self.inner.get_opts(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.check(path)?;
        self.inner.put_opts(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        paths.iter().try_for_each(|path| self.check(path))?;
        self.inner.delete_many(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.check(from)?;
        self.check(to)?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.check(from)?;
        self.check(to)?;
        self.inner.rename_opts(from, to, options).await
    }

    async fn list_page(&self, mut options: ListOptions) -> Result<Page> {
        loop {
            let mut page = self.inner.list_page(options.clone()).await?;
            page.blobs.retain(|meta| !self.hides(meta.path.as_str()));
            page.prefixes.retain(|prefix| !self.hides(prefix));
            // A page of nothing but hidden entries is none.
            match page.next.take_if(|_| page.blobs.is_empty() && page.prefixes.is_empty()) {
                Some(token) => options.token = Some(token),
                None => return Ok(page),
            }
        }
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.check(path)?;
        StagedUpload::begin(self, path, options).await
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        StagedUpload::resume(self, path, id).await
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.check(path)?;
        self.inner.presign(path, options).await
    }
}

/// Makes a layer a store by one of its fields.
macro_rules! delegate {
    ($layer:ty, $field:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl BlobStore for $layer {
            fn name(&self) -> Cow<'_, str> {
                self.$field.name()
            }

            fn capabilities(&self) -> Capabilities {
                self.$field.capabilities()
            }

            async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
                self.$field.get_opts(path, options).await
            }

            async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
                self.$field.put_opts(path, body, options).await
            }

            async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
                self.$field.delete_many(paths).await
            }

            async fn copy_opts(
                &self,
                from: &BlobPath,
                to: &BlobPath,
                options: CopyOptions,
            ) -> Result<PutResult> {
                self.$field.copy_opts(from, to, options).await
            }

            async fn rename_opts(
                &self,
                from: &BlobPath,
                to: &BlobPath,
                options: CopyOptions,
            ) -> Result<PutResult> {
                self.$field.rename_opts(from, to, options).await
            }

            async fn list_page(&self, options: ListOptions) -> Result<Page> {
                self.$field.list_page(options).await
            }

            async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
                self.$field.begin_upload(path, options).await
            }

            async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
                self.$field.resume_upload(path, id).await
            }

            async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
                self.$field.presign(path, options).await
            }
        }
    };
}

pub(crate) use delegate;
