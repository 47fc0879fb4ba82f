//! The main trait.

use super::feed::FedUpload;
use super::multipart::PartUpload;
use super::{AsObjectStore, list, ranges};
use crate::adapt::convert::{inner_attributes, inner_path, inner_tags, outer_attributes, outer_time};
use crate::adapt::error::{Call, outer};
use aeth_core::blob::{self, BlobMeta, BlobStore, BlobStoreExt, Capability, CopyMode, ETag, ETagMatch};
use aeth_core::{BlobPath, Body, ByteStream, Error, ErrorKind, Reopen, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result as OuterResult, UpdateVersion,
};
use std::ops::Range;

/// How many paths go into one delete of the store.
const DELETE_BATCH: usize = 1_000;
/// How many such deletes are under way at once.
const DELETE_PARALLEL: usize = 4;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for AsObjectStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> OuterResult<PutResult> {
        let failed = |error: Error| outer(error, Call::Write, location);
        let path = inner_path(location).map_err(failed)?;
        let mut options = blob::PutOptions::default().with_mode(mode(opts.mode).map_err(failed)?);
        options.attributes = inner_attributes(&opts.attributes).map_err(failed)?;
        options.tags = inner_tags(&opts.tags);
        let put = self.store.put_opts(&path, body(payload), options).await.map_err(failed)?;
        Ok(put_result(put))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> OuterResult<Box<dyn MultipartUpload>> {
        let failed = |error: Error| outer(error, Call::Write, location);
        let path = inner_path(location).map_err(failed)?;
        let options = multipart_options(&opts).map_err(failed)?;
        let claims = self.store.capabilities();
        if claims.has(Capability::Uploads) {
            let upload = self.store.begin_upload(&path, options).await.map_err(failed)?;
            return Ok(Box::new(PartUpload::new(upload, location.clone())));
        }
        // A put that is refused must be refused now, not after the caller has sent everything.
        refuse(&claims, &options).map_err(failed)?;
        Ok(Box::new(FedUpload::begin(self, path, options)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> OuterResult<GetResult> {
        let path = inner_path(location).map_err(|error| outer(error, Call::Read, location))?;
        let head = options.head;
        let wanted = get_options(options);
        let blob = match self.store.get_opts(&path, wanted.clone()).await {
            Ok(blob) => blob,
            Err(error) => return Err(self.refused(&path, &wanted, error).await),
        };
        let attributes = blob.meta.attributes.as_ref().map(outer_attributes).unwrap_or_default();
        let range = if head { 0..blob.meta.size } else { blob.range };
        let at = location.clone();
        let body = blob.body.map_err(move |error| outer(error, Call::Read, &at));
        Ok(GetResult {
            payload: GetResultPayload::Stream(body.boxed()),
            meta: meta(location.clone(), &blob.meta),
            range,
            attributes,
            extensions: Default::default(),
        })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> OuterResult<Vec<Bytes>> {
        let failed = |error: Error| outer(error, Call::Read, location);
        let path = inner_path(location).map_err(failed)?;
        ranges::get(&*self.store, &path, ranges).await.map_err(failed)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, OuterResult<Path>>,
    ) -> BoxStream<'static, OuterResult<Path>> {
        let store = std::sync::Arc::clone(&self.store);
        locations
            .chunks(DELETE_BATCH)
            .map(move |batch| {
                let store = std::sync::Arc::clone(&store);
                async move { stream::iter(delete(&*store, batch).await) }
            })
            .buffered(DELETE_PARALLEL)
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, OuterResult<ObjectMeta>> {
        list::all(&self.store, prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, OuterResult<ObjectMeta>> {
        list::all(&self.store, prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> OuterResult<ListResult> {
        list::level(&self.store, prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> OuterResult<()> {
        let create = options.mode == object_store::CopyMode::Create;
        self.transfer(from, to, create, false).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> OuterResult<()> {
        let create = options.target_mode == RenameTargetMode::Create;
        self.transfer(from, to, create, true).await
    }
}

impl AsObjectStore {
    async fn transfer(&self, from: &Path, to: &Path, create: bool, rename: bool) -> OuterResult<()> {
        let (source, target) = (inner_path(from), inner_path(to));
        let source = source.map_err(|error| outer(error, Call::Write, from))?;
        let target = target.map_err(|error| outer(error, Call::Write, to))?;
        let mut options = blob::CopyOptions::default();
        options.mode = if create { CopyMode::Create } else { CopyMode::Overwrite };
        let done = match rename {
            true => self.store.rename_opts(&source, &target, options).await,
            false => self.store.copy_opts(&source, &target, options).await,
        };
        done.map(drop).map_err(|error| {
            let about = if error.kind() == ErrorKind::AlreadyExists { to } else { from };
            outer(error, Call::Write, about)
        })
    }

    /// The error of a read that was refused, as object_store tells it: a condition of freshness that does not hold
    /// is `NotModified` there, all others are `Precondition`.
    async fn refused(
        &self,
        path: &BlobPath,
        options: &blob::GetOptions,
        error: Error,
    ) -> object_store::Error {
        let fresh = options.if_none_match.is_some() || options.if_modified_since.is_some();
        if error.kind() != ErrorKind::Precondition || !fresh {
            return outer(error, Call::Read, path);
        }
        let state = options.if_match.is_some() || options.if_unmodified_since.is_some();
        let mut demands = options.clone();
        demands.if_none_match = None;
        demands.if_modified_since = None;
        // With both kinds of conditions the first kind decides first (RFC 9110 §13.2.2): see whether it holds.
        let met = match state {
            true => self
                .store
                .head(path)
                .await
                .is_ok_and(|meta| demands.check(meta.etag.as_ref(), meta.modified).is_ok()),
            false => true,
        };
        match met {
            true => object_store::Error::NotModified { path: path.to_string(), source: error.into() },
            false => outer(error, Call::Read, path),
        }
    }
}

/// The condition of a put.
pub(super) fn mode(mode: PutMode) -> Result<blob::PutMode> {
    match mode {
        PutMode::Overwrite => Ok(blob::PutMode::Overwrite),
        PutMode::Create => Ok(blob::PutMode::Create),
        PutMode::Update(UpdateVersion { e_tag: Some(etag), .. }) => Ok(blob::PutMode::Match(ETag::new(etag))),
        PutMode::Update(_) => Err(Error::invalid("an update needs the etag of the state that it replaces")
            .with_remedy("take both etag and version from the put or get that gave the state")),
    }
}

pub(super) fn multipart_options(opts: &PutMultipartOptions) -> Result<blob::PutOptions> {
    let mut options = blob::PutOptions::default();
    options.attributes = inner_attributes(&opts.attributes)?;
    options.tags = inner_tags(&opts.tags);
    if let Some(wanted) = opts.extensions.get::<PutMode>() {
        options.mode = mode(wanted.clone())?;
    }
    Ok(options)
}

/// Refuses options that the store will refuse.
fn refuse(claims: &blob::Capabilities, options: &blob::PutOptions) -> Result<()> {
    let needs = [
        (!options.attributes.is_empty(), Capability::Attributes),
        (!options.tags.is_empty(), Capability::Tags),
        (options.mode == blob::PutMode::Create, Capability::CreateOnly),
        (matches!(options.mode, blob::PutMode::Match(_)), Capability::CompareAndSwap),
    ];
    needs.into_iter().filter(|(needed, _)| *needed).try_for_each(|(_, capability)| claims.require(capability))
}

/// A payload as a body that can be sent again.
pub(super) fn body(payload: PutPayload) -> Body {
    match payload.as_ref() {
        [] => Body::empty(),
        [chunk] => Body::Bytes(chunk.clone()),
        _ => Body::reopenable(Payload(payload)),
    }
}

#[derive(Debug)]
struct Payload(PutPayload);

impl Reopen for Payload {
    fn open(&self) -> ByteStream {
        stream::iter(self.0.clone().into_iter().map(Ok)).boxed()
    }

    fn len(&self) -> Option<u64> {
        Some(self.0.content_length() as u64)
    }
}

pub(super) fn put_result(put: blob::PutResult) -> PutResult {
    PutResult {
        e_tag: put.etag.map(|etag| etag.as_str().to_owned()),
        version: put.version,
        extensions: Default::default(),
    }
}

pub(super) fn meta(location: Path, meta: &BlobMeta) -> ObjectMeta {
    ObjectMeta {
        location,
        last_modified: outer_time(meta.modified).into(),
        size: meta.size,
        e_tag: meta.etag.as_ref().map(|etag| etag.as_str().to_owned()),
        version: meta.version.clone(),
    }
}

fn get_options(options: GetOptions) -> blob::GetOptions {
    let mut wanted = blob::GetOptions::default();
    wanted.head = options.head;
    wanted.if_match = options.if_match.as_deref().map(etags);
    wanted.if_none_match = options.if_none_match.as_deref().map(etags);
    wanted.if_modified_since = options.if_modified_since.map(Into::into);
    wanted.if_unmodified_since = options.if_unmodified_since.map(Into::into);
    wanted.version = options.version;
    wanted.range = options.range.filter(|_| !options.head).map(|range| match range {
        GetRange::Bounded(range) => blob::GetRange::Bounded(range),
        GetRange::Offset(from) => blob::GetRange::From(from),
        GetRange::Suffix(length) => blob::GetRange::Suffix(length),
    });
    wanted
}

/// The list of marks of an `If-Match` header.
fn etags(text: &str) -> ETagMatch {
    match text.trim() {
        "*" => ETagMatch::Any,
        list => ETagMatch::Of(list.split(',').map(|etag| ETag::new(etag.trim())).collect()),
    }
}

/// Deletes a batch; one result for each location, in order.
async fn delete(store: &dyn BlobStore, batch: Vec<OuterResult<Path>>) -> Vec<OuterResult<Path>> {
    let mut paths = Vec::with_capacity(batch.len());
    let checked: Vec<OuterResult<Path>> = batch
        .into_iter()
        .map(|location| {
            let location = location?;
            paths.push(inner_path(&location).map_err(|error| outer(error, Call::Write, &location))?);
            Ok(location)
        })
        .collect();
    let deleted = store.delete_many(&paths).await;
    let mut results = match deleted {
        Ok(results) => results,
        Err(error) => paths.iter().map(|_| Err(error.clone())).collect(),
    }
    .into_iter();
    checked
        .into_iter()
        .map(|location| {
            let location = location?;
            let missing = || Err(Error::other("the store gave fewer results than it was given paths"));
            match results.next().unwrap_or_else(missing) {
                Ok(()) => Ok(location),
                Err(error) => Err(outer(error, Call::Write, &location)),
            }
        })
        .collect()
}
