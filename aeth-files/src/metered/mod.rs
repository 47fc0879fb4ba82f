//! A layer that counts.

mod body;
mod instruments;

pub(crate) use instruments::Instruments;

use aeth_core::blob::{
    Blob, BlobStore, Capabilities, CopyOptions, GetOptions, ListOptions, Page, Part, PresignOptions, PutMode,
    PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::observe::{Collector, MetricsSource};
use aeth_core::{BlobPath, Body, Clock, Result, SystemClock};
use async_trait::async_trait;
use body::Counting;
use instruments::Operation;
use std::borrow::Cow;
use std::sync::Arc;

/// A layer that counts operations, errors, bytes and time, and changes nothing.
///
/// It is a [`MetricsSource`]: its families are those of [`aeth_core::observe::standard::files`] (with
/// `store="…"`), and `aeth_files_operation_duration_seconds` and `aeth_files_streams` besides. Bytes are counted as
/// they pass, so that an upload under way shows; the time of a download is that to its last byte.
///
/// Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metered {
    inner: Arc<dyn BlobStore>,
    instruments: Arc<Instruments>,
    clock: Arc<dyn Clock>,
}

impl Metered {
    /// Counts what happens to `store`, labelled with the store's name.
    #[must_use]
    pub fn new(store: impl BlobStore) -> Self {
        let label = store.name().into_owned();
        Self::labelled(Arc::new(store), label, SystemClock::shared())
    }

    /// The same with a label of the host's and its clock. Labels are of low cardinality and without secrets.
    #[must_use]
    pub fn labelled(store: Arc<dyn BlobStore>, label: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { inner: store, instruments: Arc::new(Instruments::new(label.into())), clock }
    }

    pub(crate) fn instruments(&self) -> &Arc<Instruments> {
        &self.instruments
    }

    /// Times a call.
    async fn call<T>(&self, operation: Operation, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let began = self.clock.monotonic();
        let result = work.await;
        let took = self.clock.monotonic().saturating_sub(began);
        self.instruments.ended(operation, took, result.as_ref().err());
        result
    }

    fn upload(&self, upload: Box<dyn Upload>) -> Box<dyn Upload> {
        Box::new(MeteredUpload { upload, store: self.clone() })
    }
}

impl MetricsSource for Metered {
    fn component(&self) -> Cow<'_, str> {
        self.instruments.component()
    }

    fn collect(&self, out: &mut dyn Collector) {
        self.instruments.collect(out);
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Metered {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if options.head {
            return self.call(Operation::Head, self.inner.get_opts(path, options)).await;
        }
        let began = self.clock.monotonic();
        let mut blob = self.call(Operation::Get, self.inner.get_opts(path, options)).await?;
        let counting = Counting::Down { began, clock: Arc::clone(&self.clock) };
        blob.body = body::down(blob.body, &self.instruments, counting);
        Ok(blob)
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        let body = body::up(body, &self.instruments);
        self.call(Operation::Put, self.inner.put_opts(path, body, options)).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let results = self.call(Operation::Delete, self.inner.delete_many(paths)).await?;
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            self.instruments.failed(Operation::Delete, error);
        }
        Ok(results)
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.call(Operation::Copy, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.call(Operation::Rename, self.inner.rename_opts(from, to, options)).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.call(Operation::List, self.inner.list_page(options)).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        let upload = self.call(Operation::Upload, self.inner.begin_upload(path, options)).await?;
        Ok(self.upload(upload))
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        let upload = self.call(Operation::Upload, self.inner.resume_upload(path, id)).await?;
        Ok(self.upload(upload))
    }

    async fn presign(&self, path: &BlobPath, options: PresignOptions) -> Result<SignedUrl> {
        self.call(Operation::Presign, self.inner.presign(path, options)).await
    }
}

/// An upload that is counted.
#[derive(Debug)]
struct MeteredUpload {
    upload: Box<dyn Upload>,
    store: Metered,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for MeteredUpload {
    fn id(&self) -> UploadId {
        self.upload.id()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        let body = body::up(body, &self.store.instruments);
        self.store.call(Operation::Upload, self.upload.put_part(number, body)).await
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        self.store.call(Operation::Upload, self.upload.list_parts()).await
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        self.store.call(Operation::Upload, self.upload.complete(parts, mode)).await
    }

    async fn abort(&self) -> Result<()> {
        self.store.call(Operation::Upload, self.upload.abort()).await
    }
}
