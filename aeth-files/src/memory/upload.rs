//! Uploads in parts.

use super::{MemoryStore, collect};
use aeth_core::blob::{BlobStore, Part, PutMode, PutOptions, PutResult, Upload, UploadId};
use aeth_core::{BlobPath, Body, Result};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// An upload that was begun.
#[derive(Debug)]
pub(super) struct Staged {
    path: BlobPath,
    options: PutOptions,
    parts: BTreeMap<u32, (Bytes, String)>,
}

/// The handle of one.
#[derive(Debug)]
pub(super) struct MemoryUpload {
    store: MemoryStore,
    id: UploadId,
}

impl MemoryUpload {
    pub(super) fn begin(
        store: &MemoryStore,
        path: &BlobPath,
        options: PutOptions,
    ) -> Result<Box<dyn Upload>> {
        let id = UploadId::new(crate::random::hex::<16>()?);
        let staged = Staged { path: path.clone(), options, parts: BTreeMap::new() };
        store.0.state.write().uploads.insert(id.clone(), staged);
        Ok(Box::new(Self { store: store.clone(), id }))
    }

    pub(super) fn resume(store: &MemoryStore, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        match store.0.state.read().uploads.get(id) {
            Some(staged) if staged.path == *path => {
                Ok(Box::new(Self { store: store.clone(), id: id.clone() }))
            }
            _ => Err(crate::upload::gone("memory").with_key(path)),
        }
    }
}

#[async_trait]
impl Upload for MemoryUpload {
    fn id(&self) -> UploadId {
        self.id.clone()
    }

    async fn put_part(&self, number: u32, body: Body) -> Result<Part> {
        crate::upload::check_number(number, self.store.capabilities().max_parts)?;
        let bytes = collect(body, None).await?;
        let mut state = self.store.0.state.write();
        state.mark += 1;
        let etag = format!("{:x}", state.mark);
        let staged = state.uploads.get_mut(&self.id).ok_or_else(|| crate::upload::gone("memory"))?;
        let part = Part::new(number, bytes.len() as u64).with_etag(etag.clone());
        staged.parts.insert(number, (bytes, etag));
        Ok(part)
    }

    async fn list_parts(&self) -> Result<Vec<Part>> {
        let state = self.store.0.state.read();
        let staged = state.uploads.get(&self.id).ok_or_else(|| crate::upload::gone("memory"))?;
        let part = |(number, (bytes, etag)): (&u32, &(Bytes, String))| {
            Part::new(*number, bytes.len() as u64).with_etag(etag.clone())
        };
        Ok(staged.parts.iter().map(part).collect())
    }

    async fn complete(&self, parts: &[Part], mode: Option<PutMode>) -> Result<PutResult> {
        let (path, options, bytes) = {
            let state = self.store.0.state.read();
            let staged = state.uploads.get(&self.id).ok_or_else(|| crate::upload::gone("memory"))?;
            let stored = |number| {
                staged.parts.get(&number).map(|(bytes, etag)| (bytes.len() as u64, Some(etag.clone())))
            };
            crate::upload::check_parts(parts, self.store.capabilities().min_part, stored)?;
            let chunks = parts.iter().filter_map(|part| staged.parts.get(&part.number));
            let mut whole = BytesMut::new();
            chunks.for_each(|(bytes, _)| whole.extend_from_slice(bytes));
            (staged.path.clone(), staged.options.clone(), whole.freeze())
        };
        let bytes = collect(Body::Bytes(bytes), options.checksum.as_ref()).await?;
        let mode = mode.unwrap_or_else(|| options.mode.clone());
        let entry = self.store.entry(bytes, options);
        let mut state = self.store.0.state.write();
        if !state.uploads.contains_key(&self.id) {
            return Err(crate::upload::gone("memory"));
        }
        state.check(&path, &mode)?;
        state.uploads.remove(&self.id);
        Ok(state.insert(&path, entry))
    }

    async fn abort(&self) -> Result<()> {
        self.store.0.state.write().uploads.remove(&self.id);
        Ok(())
    }
}
