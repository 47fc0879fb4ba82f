//! Uploads in parts, as far as object_store's trait goes.

use super::source::Source;
use super::{Engine, ObjectStoreAdapter};
use crate::upload::{check_number, gone};
use aeth_core::blob::{Capability, Part, PutMode, PutOptions, PutResult, Upload, UploadId};
use aeth_core::{BlobPath, Body, Error, Result};
use async_trait::async_trait;
use object_store::PutMultipartOptions;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The id of the uploads of an engine that has none.
const NO_ID: &str = "-";

impl Engine {
    /// The least size of every part but the last, and how many parts there may be.
    pub(super) fn part_limits(self) -> (u64, u32) {
        match self {
            Self::S3 | Self::Gcs => (5 << 20, 10_000),
            Self::Azure => (1, 50_000),
            _ => (1, 10_000),
        }
    }
}

/// The handle of an upload.
pub(super) struct EngineUpload {
    adapter: ObjectStoreAdapter,
    parts: Arc<dyn MultipartStore>,
    path: BlobPath,
    location: Path,
    id: String,
    /// Some engines do not know an upload that was aborted from one that was not.
    over: AtomicBool,
}

impl fmt::Debug for EngineUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineUpload")
            .field("store", &self.adapter)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl ObjectStoreAdapter {
    pub(super) async fn begin(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        let parts = self.part_store()?;
        refuse_condition(&options.mode)?;
        if options.checksum.is_some() {
            return Err(Error::unsupported("object_store cannot complete an upload under a checksum")
                .with_remedy("put a stream with the checksum: the adapter sends it in parts by itself"));
        }
        if !options.tags.is_empty() {
            self.claims.require(Capability::Tags)?;
        }
        let attributes = self.outer_attributes(&options.attributes);
        if !attributes.is_empty() {
            self.claims.require(Capability::Attributes)?;
        }
        let location = self.outer(path.as_str())?;
        let request = PutMultipartOptions { attributes, ..Default::default() };
        let id = self.call(parts.create_multipart_opts(&location, request)).await?;
        Ok(self.handle(parts, path, location, id))
    }

    pub(super) fn resume(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        let parts = self.part_store()?;
        let id = if id.as_str() == NO_ID { String::new() } else { id.as_str().to_owned() };
        Ok(self.handle(parts, path, self.outer(path.as_str())?, id))
    }

    fn part_store(&self) -> Result<Arc<dyn MultipartStore>> {
        super::BlobStore::capabilities(self).require(Capability::PlainUploads).map_err(|error| {
            error.with_remedy(
                "give the adapter the engine's `MultipartStore`, or put a stream: it is sent in parts by itself",
            )
        })?;
        self.parts.clone().ok_or_else(|| Error::unsupported("no store of parts was given"))
    }

    fn handle(
        &self,
        parts: Arc<dyn MultipartStore>,
        path: &BlobPath,
        location: Path,
        id: String,
    ) -> Box<dyn Upload> {
        let (adapter, path, over) = (self.clone(), path.clone(), AtomicBool::new(false));
        Box::new(EngineUpload { adapter, parts, path, location, id, over })
    }
}

fn refuse_condition(mode: &PutMode) -> Result<()> {
    if *mode == PutMode::Overwrite {
        return Ok(());
    }
    Err(Error::unsupported("object_store cannot complete an upload under a condition")
        .with_remedy("put the blob whole, under the adapter's conditional limit, or without a condition"))
}

impl EngineUpload {
    fn living(&self) -> Result<()> {
        if self.over.load(Ordering::Acquire) { Err(gone("object-store")) } else { Ok(()) }
    }

    fn placed(&self, error: Error, operation: &'static str) -> Error {
        self.adapter.placed(error, operation, &self.path)
    }

    async fn store(&self, number: u32, body: Body) -> Result<Part> {
        self.living()?;
        check_number(number, self.adapter.engine.part_limits().1)?;
        let limit = self.adapter.options.conditional_limit.max(self.adapter.options.part_size as u64);
        let mut source = Source::new(body, None)?;
        let (payload, last) = source.next(usize::try_from(limit).unwrap_or(usize::MAX)).await?;
        if !last {
            return Err(Error::invalid(format!("the part is longer than {limit} bytes")).with_remedy(
                "send smaller parts, or raise the adapter's conditional limit: a part is held in memory",
            ));
        }
        let size = payload.content_length() as u64;
        let index = number as usize - 1;
        let stored = self.adapter.call(self.parts.put_part(&self.location, &self.id, index, payload)).await?;
        let part = Part::new(number, size);
        Ok(if stored.content_id.is_empty() { part } else { part.with_etag(stored.content_id) })
    }

    async fn join(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        self.living()?;
        refuse_condition(&mode.unwrap_or_default())?;
        let (least, _) = self.adapter.engine.part_limits();
        for (i, part) in parts.iter().enumerate() {
            let refused = |what: String| {
                Err(Error::invalid(format!("part {} {what}", part.number))
                    .with_remedy("complete with all parts, numbered from 1 on without gaps, in their order"))
            };
            if part.number as usize != i + 1 {
                return refused(format!("is at place {}", i + 1));
            }
            if i + 1 < parts.len() && part.size < least {
                return refused(format!("is smaller than {least} bytes and not the last"));
            }
        }
        let named = |part: &Part| PartId { content_id: part.etag.clone().unwrap_or_default() };
        let ids = parts.iter().map(named).collect();
        let complete = self.parts.complete_multipart(&self.location, &self.id, ids);
        let put = self.adapter.call(complete).await?;
        self.over.store(true, Ordering::Release);
        Ok(self.adapter.result(&put, parts.iter().map(|part| part.size).sum()))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Upload for EngineUpload {
    fn id(&self) -> UploadId {
        UploadId::new(if self.id.is_empty() { NO_ID } else { &self.id })
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        self.store(number, body).await.map_err(|error| self.placed(error, "put_part"))
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        let error = Error::unsupported("object_store cannot list the parts of an upload")
            .with_remedy("keep what `put_part` gave");
        Err(self.placed(error, "list_parts"))
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        self.join(parts, mode).await.map_err(|error| self.placed(error, "complete"))
    }

    async fn abort(&self) -> Result<()> {
        if self.over.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        match self.adapter.call(self.parts.abort_multipart(&self.location, &self.id)).await {
            Err(error) if !error.is_not_found() => {
                self.over.store(false, Ordering::Release);
                Err(self.placed(error, "abort"))
            }
            _ => Ok(()),
        }
    }
}
