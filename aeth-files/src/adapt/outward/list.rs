//! Listings.

use super::{AsObjectStore, store::meta};
use crate::adapt::convert::outer_path;
use crate::adapt::error::{Call, outer};
use aeth_core::blob::{
    BlobMeta, BlobStore, BlobStoreExt, Capability, ListOptions, ListedSize, Page, PageToken,
};
use aeth_core::{Error, Result};
use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result as OuterResult};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many heads are under way at once where listed sizes are not exact.
const HEADS: usize = 16;

/// Everything under a directory, after an offset, as a stream that holds one page at a time.
pub(super) fn all(
    store: &Arc<dyn BlobStore>,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> BoxStream<'static, OuterResult<ObjectMeta>> {
    let mut options = ListOptions::default();
    options.prefix = directory(prefix);
    let offset = offset.map(ToString::to_string).unwrap_or_default();
    if store.capabilities().has(Capability::ListStartAfter) && !offset.is_empty() {
        options.start_after = Some(offset.clone());
    }
    let store = Arc::clone(store);
    let start = (store, Some(options), VecDeque::new());
    stream::try_unfold(start, move |(store, mut next, mut ready): (_, _, VecDeque<ObjectMeta>)| async move {
        loop {
            if let Some(meta) = ready.pop_front() {
                return Ok(Some((meta, (store, next, ready))));
            }
            let Some(options): Option<ListOptions> = next.take() else {
                return Ok(None);
            };
            let page = page(&store, options.clone()).await.map_err(failed)?;
            ready.extend(page.objects);
            next = page.next.map(|token| options.with_token(token));
        }
    })
    .try_filter(move |meta| std::future::ready(meta.location.as_ref() > offset.as_str()))
    .boxed()
}

/// One level of a directory.
pub(super) async fn level(store: &Arc<dyn BlobStore>, prefix: Option<&Path>) -> OuterResult<ListResult> {
    let mut options = ListOptions::default().with_delimiter();
    options.prefix = directory(prefix);
    let mut result =
        ListResult { common_prefixes: Vec::new(), objects: Vec::new(), extensions: Default::default() };
    loop {
        let page = page(store, options.clone()).await.map_err(failed)?;
        result.objects.extend(page.objects);
        result.common_prefixes.extend(page.prefixes);
        match page.next {
            Some(token) => options.token = Some(token),
            None => return Ok(result),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl PaginatedListStore for AsObjectStore {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        opts: PaginatedListOptions,
    ) -> OuterResult<PaginatedListResult> {
        let mut options = ListOptions::default();
        options.prefix = prefix.map(Into::into);
        options.start_after = opts.offset.filter(|offset| !offset.is_empty());
        options.limit = opts.max_keys.unwrap_or_default();
        options.token = opts.page_token.map(PageToken::new);
        options.delimiter = match opts.delimiter.as_deref() {
            None | Some("") => false,
            Some("/") => true,
            Some(other) => {
                let error = Error::unsupported(format!("{other:?} is no delimiter here"))
                    .with_remedy("list with the delimiter \"/\" or with none");
                return Err(failed(error));
            }
        };
        let page = page(&self.store, options).await.map_err(failed)?;
        let result = ListResult {
            common_prefixes: page.prefixes,
            objects: page.objects,
            extensions: Default::default(),
        };
        Ok(PaginatedListResult { result, page_token: page.next.map(|token| token.as_str().to_owned()) })
    }
}

struct OuterPage {
    objects: Vec<ObjectMeta>,
    prefixes: Vec<Path>,
    next: Option<PageToken>,
}

/// A page in object_store's language, with exact sizes.
async fn page(store: &Arc<dyn BlobStore>, options: ListOptions) -> Result<OuterPage> {
    let Page { blobs, prefixes, next, .. } = store.list_page(options).await?;
    let objects = match store.capabilities().listed_size {
        ListedSize::Exact => blobs.iter().filter_map(object).collect(),
        _ => {
            stream::iter(blobs)
                .map(|listed| async move {
                    match store.head(&listed.path).await {
                        Ok(exact) => Ok(object(&exact)),
                        // Deleted since the page was made.
                        Err(error) if error.is_not_found() => Ok(None),
                        Err(error) => Err(error),
                    }
                })
                .buffered(HEADS)
                .try_filter_map(|object| std::future::ready(Ok(object)))
                .try_collect()
                .await?
        }
    };
    let prefixes = prefixes.iter().filter_map(|prefix| location(prefix.trim_end_matches('/'))).collect();
    Ok(OuterPage { objects, prefixes, next })
}

fn object(blob: &BlobMeta) -> Option<ObjectMeta> {
    location(blob.path.as_str()).map(|location| meta(location, blob))
}

fn location(path: &str) -> Option<Path> {
    let made = outer_path(path);
    if made.is_err() {
        tracing::warn!(path, "left out of a listing: object_store has no such path");
    }
    made.ok()
}

/// The text of a prefix that means a directory.
fn directory(prefix: Option<&Path>) -> Option<String> {
    prefix.filter(|prefix| !prefix.is_root()).map(|prefix| format!("{prefix}/"))
}

fn failed(error: Error) -> object_store::Error {
    outer(error, Call::Read, "")
}
