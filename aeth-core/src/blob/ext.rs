//! What users call.

use super::{
    Blob, BlobMeta, BlobStore, CopyOptions, GetOptions, GetRange, ListOptions, PutOptions, PutResult,
};
use crate::{BlobPath, Body, Result};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::VecDeque;

/// Conveniences over every [`BlobStore`]; implemented for all of them, never by hand.
pub trait BlobStoreExt: BlobStore {
    /// Opens a whole blob. Errors and cancel safety as [`BlobStore::get_opts`].
    fn get(&self, path: &BlobPath) -> impl Future<Output = Result<Blob>> + Send {
        async move { self.get_opts(path, GetOptions::default()).await }
    }

    /// Reads a whole blob into memory. Errors as [`BlobStore::get_opts`]; cancel-safe.
    fn get_bytes(&self, path: &BlobPath) -> impl Future<Output = Result<Bytes>> + Send {
        async move { self.get_opts(path, GetOptions::default().in_one_piece()).await?.bytes().await }
    }

    /// Reads a part of a blob into memory. Errors as [`BlobStore::get_opts`]; cancel-safe.
    fn get_range(
        &self,
        path: &BlobPath,
        range: impl Into<GetRange> + Send,
    ) -> impl Future<Output = Result<Bytes>> + Send {
        let options = GetOptions::default().with_range(range).in_one_piece();
        async move { self.get_opts(path, options).await?.bytes().await }
    }

    /// What is known about a blob. Errors as [`BlobStore::get_opts`]; cancel-safe.
    fn head(&self, path: &BlobPath) -> impl Future<Output = Result<BlobMeta>> + Send {
        async move { Ok(self.get_opts(path, GetOptions::head()).await?.meta) }
    }

    /// True when there is a blob. Errors as [`BlobStore::get_opts`] without `NotFound`; cancel-safe.
    fn exists(&self, path: &BlobPath) -> impl Future<Output = Result<bool>> + Send {
        async move {
            match self.head(path).await {
                Ok(_) => Ok(true),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(error),
            }
        }
    }

    /// Writes a blob, replacing what was there. Errors and cancel safety as [`BlobStore::put_opts`].
    fn put(
        &self,
        path: &BlobPath,
        body: impl Into<Body> + Send,
    ) -> impl Future<Output = Result<PutResult>> + Send {
        let body = body.into();
        async move { self.put_opts(path, body, PutOptions::default()).await }
    }

    /// Deletes a blob; a missing one is success. Errors and cancel safety as [`BlobStore::delete_many`].
    fn delete(&self, path: &BlobPath) -> impl Future<Output = Result<()>> + Send {
        async move {
            let results = self.delete_many(std::slice::from_ref(path)).await?;
            results.into_iter().collect()
        }
    }

    /// Copies a blob, replacing the target. Errors and cancel safety as [`BlobStore::copy_opts`].
    fn copy(&self, from: &BlobPath, to: &BlobPath) -> impl Future<Output = Result<PutResult>> + Send {
        async move { self.copy_opts(from, to, CopyOptions::default()).await }
    }

    /// Moves a blob, replacing the target. Errors and cancel safety as [`BlobStore::rename_opts`].
    fn rename(&self, from: &BlobPath, to: &BlobPath) -> impl Future<Output = Result<PutResult>> + Send {
        async move { self.rename_opts(from, to, CopyOptions::default()).await }
    }

    /// All blobs whose path starts with `prefix` (compared byte by byte), page by page as the stream is read.
    /// The stream ends after its first error.
    fn list<'a>(&'a self, prefix: Option<&str>) -> BoxStream<'a, Result<BlobMeta>> {
        list_stream(self, ListOptions { prefix: prefix.map(Into::into), ..ListOptions::default() })
    }
}

impl<S: BlobStore + ?Sized> BlobStoreExt for S {}

/// All blobs of a listing, page by page as the stream is read; prefixes are left out.
pub(crate) fn list_stream<S: BlobStore + ?Sized>(
    store: &S,
    options: ListOptions,
) -> BoxStream<'_, Result<BlobMeta>> {
    stream::try_unfold((Some(options), VecDeque::new()), move |(mut next, mut ready)| async move {
        loop {
            if let Some(meta) = ready.pop_front() {
                return Ok(Some((meta, (next, ready))));
            }
            let Some(options) = next.take() else {
                return Ok(None);
            };
            let page = store.list_page(options.clone()).await?;
            ready.extend(page.blobs);
            next = page.next.map(|token| options.with_token(token));
        }
    })
    .into_stream()
    .boxed()
}
