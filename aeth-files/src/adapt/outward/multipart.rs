//! Uploads in parts over a store that has them.

use super::AsObjectStore;
use super::store::{body, multipart_options, put_result};
use crate::adapt::convert::inner_path;
use crate::adapt::error::{Call, outer};
use aeth_core::blob::{BlobStore, Capability, Part, Upload, UploadId};
use aeth_core::{Error, Result};
use async_trait::async_trait;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    MultipartId, MultipartUpload, PutMultipartOptions, PutPayload, PutResult, Result as OuterResult,
    UploadPart,
};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// An upload whose parts are numbered in the order of the calls.
pub(super) struct PartUpload {
    upload: Arc<dyn Upload>,
    location: Path,
    /// One slot for each call of `put_part`, filled when the part is stored.
    parts: Arc<Mutex<Vec<Option<Part>>>>,
}

impl PartUpload {
    pub(super) fn new(upload: Box<dyn Upload>, location: Path) -> Self {
        Self { upload: upload.into(), location, parts: Arc::default() }
    }
}

impl fmt::Debug for PartUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartUpload").field("upload", &self.upload).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for PartUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let index = {
            let mut parts = self.parts.lock();
            parts.push(None);
            parts.len() - 1
        };
        let (upload, parts, location) =
            (Arc::clone(&self.upload), Arc::clone(&self.parts), self.location.clone());
        Box::pin(async move {
            let stored = match number(index) {
                Ok(number) => upload.put_part(number, body(data)).await,
                Err(error) => Err(error),
            };
            let part = stored.map_err(|error| outer(error, Call::Write, &location))?;
            if let Some(slot) = parts.lock().get_mut(index) {
                *slot = Some(part);
            }
            Ok(())
        })
    }

    async fn complete(&mut self) -> OuterResult<PutResult> {
        let parts: Option<Vec<Part>> = self.parts.lock().iter().cloned().collect();
        let failed = |error: Error| outer(error, Call::Write, &self.location);
        let unfinished = || {
            Error::invalid("a part of the upload failed or was not awaited")
                .with_remedy("await every future that `put_part` gave before completing, or abort")
        };
        let parts = parts.ok_or_else(unfinished).map_err(failed)?;
        self.upload.complete(&parts, None).await.map(put_result).map_err(failed)
    }

    async fn abort(&mut self) -> OuterResult<()> {
        self.upload.abort().await.map_err(|error| outer(error, Call::Write, &self.location))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartStore for AsObjectStore {
    async fn create_multipart(&self, path: &Path) -> OuterResult<MultipartId> {
        self.create_multipart_opts(path, PutMultipartOptions::default()).await
    }

    async fn create_multipart_opts(
        &self,
        path: &Path,
        opts: PutMultipartOptions,
    ) -> OuterResult<MultipartId> {
        let failed = |error: Error| outer(error, Call::Write, path);
        // An id by which nothing can be found again is of no use here.
        let claims = self.store.capabilities();
        if !claims.has(Capability::PlainUploads) {
            claims.require(Capability::ResumeUploads).map_err(failed)?;
        }
        let options = multipart_options(&opts).map_err(failed)?;
        let upload = self.store.begin_upload(&inner_path(path).map_err(failed)?, options).await;
        Ok(upload.map_err(failed)?.id().as_str().to_owned())
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> OuterResult<PartId> {
        let stored = async {
            let upload = self.resume(path, id).await?;
            upload.put_part(number(part_idx)?, body(data)).await
        };
        let part = stored.await.map_err(|error| outer(error, Call::Write, path))?;
        Ok(PartId { content_id: write_id(&part) })
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> OuterResult<PutResult> {
        let completed = async {
            let parts: Result<Vec<Part>> = parts.iter().enumerate().map(|(i, id)| read_id(i, id)).collect();
            self.resume(path, id).await?.complete(&parts?, None).await
        };
        completed.await.map(put_result).map_err(|error| outer(error, Call::Write, path))
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> OuterResult<()> {
        let aborted = async { self.resume(path, id).await?.abort().await };
        match aborted.await {
            // Aborting an upload that is no more is success, as with the store's own handle.
            Err(error) if !error.is_not_found() => Err(outer(error, Call::Write, path)),
            _ => Ok(()),
        }
    }
}

impl AsObjectStore {
    async fn resume(&self, path: &Path, id: &MultipartId) -> Result<Box<dyn Upload>> {
        self.store.resume_upload(&inner_path(path)?, &UploadId::new(id)).await
    }
}

/// The number of the part at an index: object_store counts from 0, we count from 1.
fn number(index: usize) -> Result<u32> {
    let number = u32::try_from(index).ok().and_then(|index| index.checked_add(1));
    number.ok_or_else(|| Error::invalid(format!("part index {index} is out of range")))
}

/// What has to be known about a part at completion, as text.
fn write_id(part: &Part) -> String {
    format!("{}:{}:{}", part.number, part.size, part.etag.as_deref().unwrap_or_default())
}

fn read_id(index: usize, id: &PartId) -> Result<Part> {
    let refused = || {
        Error::invalid(format!("the id given for part {index} is not one that this store gave for it"))
            .with_remedy("complete with the ids that `put_part` gave, each at its part's index")
    };
    let mut fields = id.content_id.splitn(3, ':');
    let mut field = || fields.next().ok_or_else(refused);
    let given: u32 = field()?.parse().map_err(|_| refused())?;
    let size = field()?.parse().map_err(|_| refused())?;
    let etag = field()?;
    if given != number(index)? {
        return Err(refused());
    }
    let part = Part::new(given, size);
    Ok(if etag.is_empty() { part } else { part.with_etag(etag) })
}
