//! Writing.

use super::source::{Source, part_size};
use super::{ObjectStoreAdapter, mark};
use aeth_core::blob::{BlobStore, Capability, PutMode, PutOptions, PutResult};
use aeth_core::{BlobPath, Body, Error, ErrorKind, Result, Tasks};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload};
use std::sync::Arc;

/// The most parts of an upload.
const MAX_PARTS: usize = 10_000;

impl ObjectStoreAdapter {
    pub(super) async fn put(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.allow_put(&options)?;
        let location = self.outer(path.as_str())?;
        let stated = body.length();
        let mut source = Source::new(body, options.checksum.as_ref())?;
        let whole = options.mode != PutMode::Overwrite || !self.engine.has_parts();
        if !whole {
            let size = part_size(self.options.part_size, stated)?;
            let (first, last) = source.next(size).await?;
            return match last {
                true => self.put_whole(&location, first, &options).await,
                false => self.put_parts(&location, first, size, source, &options).await,
            };
        }
        let limit = self.options.conditional_limit;
        if stated.is_none_or(|stated| stated <= limit) {
            let size = usize::try_from(limit).unwrap_or(usize::MAX);
            let (first, last) = source.next(size).await?;
            return match last {
                true => self.put_whole(&location, first, &options).await,
                false => self.put_staged(&location, first, size, source, &options).await,
            };
        }
        let size = part_size(self.options.part_size, stated)?;
        self.refuse_large(&options)?;
        let (first, _) = source.next(size).await?;
        self.put_staged(&location, first, size, source, &options).await
    }

    fn allow_put(&self, options: &PutOptions) -> Result<()> {
        let needs = [
            (!options.attributes.is_empty(), Capability::Attributes),
            (!options.tags.is_empty(), Capability::Tags),
            (options.checksum.is_some(), Capability::Checksums),
            (options.mode == PutMode::Create, Capability::CreateOnly),
            (matches!(options.mode, PutMode::Match(_)), Capability::CompareAndSwap),
        ];
        let claims = self.capabilities();
        needs.into_iter().filter(|(needed, _)| *needed).try_for_each(|(_, needed)| claims.require(needed))
    }

    /// One request with everything in it.
    async fn put_whole(
        &self,
        location: &Path,
        payload: PutPayload,
        options: &PutOptions,
    ) -> Result<PutResult> {
        let mode = match &options.mode {
            PutMode::Overwrite => object_store::PutMode::Overwrite,
            PutMode::Create => object_store::PutMode::Create,
            PutMode::Match(etag) => {
                let stale = || Error::new(ErrorKind::Precondition, "the blob never had this mark");
                object_store::PutMode::Update(mark::state(self.engine, etag).ok_or_else(stale)?)
            }
            _ => return Err(Error::unsupported("this condition is not known here")),
        };
        let size = payload.content_length() as u64;
        let request = object_store::PutOptions {
            mode,
            attributes: self.outer_attributes(&options.attributes),
            ..Default::default()
        };
        let put = self.call(self.store.put_opts(location, payload, request)).await;
        // Engines answer a condition that does not hold with different statuses.
        let put = put.map_err(|error| match (&options.mode, error.kind()) {
            (PutMode::Match(_), ErrorKind::NotFound | ErrorKind::AlreadyExists) => Error::new(
                ErrorKind::Precondition,
                "the blob has another mark than the one demanded, or is missing",
            )
            .with_source(error),
            (PutMode::Create, ErrorKind::Precondition) => {
                Error::new(ErrorKind::AlreadyExists, "there is a blob already").with_source(error)
            }
            _ => error,
        })?;
        Ok(self.result(&put, size))
    }

    pub(super) fn result(&self, put: &object_store::PutResult, size: u64) -> PutResult {
        let etag = mark::mark(self.engine, put.e_tag.as_deref(), put.version.as_deref());
        let mut result = PutResult::new(etag).with_size(size);
        result.version.clone_from(&put.version);
        result
    }

    /// Sends the body in parts, several at once, and completes only when all of it has arrived and is right.
    async fn put_parts(
        &self,
        location: &Path,
        first: PutPayload,
        size: usize,
        mut source: Source,
        options: &PutOptions,
    ) -> Result<PutResult> {
        let request = PutMultipartOptions {
            attributes: self.outer_attributes(&options.attributes),
            ..Default::default()
        };
        let upload = self.call(self.store.put_multipart_opts(location, request)).await?;
        let mut pending = Pending { upload: Some(upload), tasks: self.tasks.clone() };
        match self.send(&mut pending, first, size, &mut source).await {
            Ok(put) => {
                pending.upload = None;
                Ok(self.result(&put, source.total()))
            }
            Err(error) => {
                // Its own error would hide the one that matters; what stays, the engine's rule for old uploads removes.
                if let Some(mut upload) = pending.upload.take() {
                    drop(self.call(upload.abort()).await);
                }
                Err(error)
            }
        }
    }

    async fn send(
        &self,
        pending: &mut Pending,
        first: PutPayload,
        size: usize,
        source: &mut Source,
    ) -> Result<object_store::PutResult> {
        let Some(upload) = pending.upload.as_mut() else {
            return Err(Error::other("the upload was taken back"));
        };
        let mut under_way = FuturesUnordered::new();
        under_way.push(self.call(upload.put_part(first)));
        let (mut sent, mut ended) = (1, false);
        while !ended || !under_way.is_empty() {
            tokio::select! {
                Some(stored) = under_way.next(), if !under_way.is_empty() => stored?,
                read = source.next(size), if !ended && under_way.len() < self.options.part_concurrency => {
                    let (part, last) = read?;
                    ended = last;
                    if sent == MAX_PARTS {
                        return Err(Error::invalid(format!("the body needs more than {MAX_PARTS} parts"))
                            .with_remedy("state the length of the body, or raise the size of parts"));
                    }
                    sent += 1;
                    under_way.push(self.call(upload.put_part(part)));
                }
            }
        }
        drop(under_way);
        self.call(upload.complete()).await
    }

    fn refuse_large(&self, options: &PutOptions) -> Result<()> {
        let possible = options.mode == PutMode::Create
            && self.engine.has_parts()
            && self.engine.copies_if_absent()
            && self.options.staging.is_some()
            && self.capabilities().has(Capability::CopyCreateOnly);
        if possible {
            return Ok(());
        }
        let limit = self.options.conditional_limit;
        Err(Error::unsupported(format!(
            "object_store puts more than {limit} bytes only in parts, without a condition"
        ))
        .with_remedy("raise the adapter's conditional limit, or name a staging path for puts that create"))
    }

    /// Puts a large body to a place of its own and copies it to its path if that is free.
    async fn put_staged(
        &self,
        location: &Path,
        first: PutPayload,
        size: usize,
        source: Source,
        options: &PutOptions,
    ) -> Result<PutResult> {
        self.refuse_large(options)?;
        let Some(staging) = &self.options.staging else {
            return Err(Error::unsupported("no staging path was given"));
        };
        let place = self.outer(staging.join(crate::random::hex::<16>()?)?.as_str())?;
        // Whatever happens from here on, the staged blob goes.
        let staged =
            Staged { store: Arc::clone(&self.store), place: Some(place.clone()), tasks: self.tasks.clone() };
        let put = self.put_parts(&place, first, size, source, options).await?;
        let copy = object_store::CopyOptions::new().with_mode(object_store::CopyMode::Create);
        self.call(self.store.copy_opts(&place, location, copy)).await?;
        staged.remove(self).await;
        // The mark of a copy is its own and not told.
        let mut result = PutResult::default();
        result.size = put.size;
        Ok(result)
    }
}

/// An upload that is aborted in the background when the put is dropped.
struct Pending {
    upload: Option<Box<dyn MultipartUpload>>,
    tasks: Tasks,
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Without a runtime there is nothing left to abort with.
        if let (Some(mut upload), Ok(_)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            self.tasks.spawn(async move { drop(upload.abort().await) });
        }
    }
}

/// A blob at the staging path, which is deleted in the background when the put is dropped or fails.
struct Staged {
    store: Arc<dyn ObjectStore>,
    place: Option<Path>,
    tasks: Tasks,
}

impl Staged {
    async fn remove(mut self, adapter: &ObjectStoreAdapter) {
        if let Some(place) = self.place.clone() {
            let deleted = adapter.call(delete(&*self.store, place)).await;
            if deleted.is_ok() {
                self.place = None;
            }
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let (Some(place), Ok(_)) = (self.place.take(), tokio::runtime::Handle::try_current()) {
            let store = Arc::clone(&self.store);
            self.tasks.spawn(async move { drop(delete(&*store, place).await) });
        }
    }
}

pub(super) async fn delete(store: &dyn ObjectStore, place: Path) -> object_store::Result<()> {
    let mut deleted = store.delete_stream(futures_util::stream::iter([Ok(place)]).boxed());
    while let Some(result) = deleted.next().await {
        match result {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
