//! Listings: what enough locations list, merged.
//!
//! A blob that all of them list with the same length is there. Where they differ, or where an empty one may be the
//! mark of a deleted blob, each is asked.

use super::Core;
use super::gather::newest;
use crate::page::{After, Query};
use aeth_core::blob::{BlobMeta, BlobStore, ListOptions, Page};
use aeth_core::{BlobPath, Result};
use futures_util::{FutureExt, StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How many blobs are asked about at the same time.
const AT_ONCE: usize = 16;

/// An entry as the locations list it.
#[derive(Debug, Default)]
struct Listed {
    metas: Vec<BlobMeta>,
}

impl Listed {
    /// The entry, when nothing has to be asked.
    fn agreed(&self, locations: usize) -> Option<BlobMeta> {
        let first = self.metas.first()?;
        let same = self.metas.len() == locations
            && first.size > 0
            && self.metas.iter().all(|meta| meta.size == first.size);
        same.then(|| self.metas.iter().max_by_key(|meta| meta.modified).cloned()).flatten().map(|mut meta| {
            // The mark is the version, which listings do not have.
            meta.etag = None;
            meta.version = None;
            meta
        })
    }
}

impl Core {
    pub(super) async fn list(self: &Arc<Self>, options: ListOptions) -> Result<Page> {
        let mut query = Query::new(options)?;
        loop {
            let (mut page, after) = self.merged(&query).await?;
            let Some(after) = after else { return Ok(page) };
            if page.blobs.is_empty() && page.prefixes.is_empty() {
                // A page of nothing but dead ones is none.
                query.after = after;
                continue;
            }
            page.next = query.token(&after);
            return Ok(page);
        }
    }

    /// One page, and where the next one begins.
    async fn merged(self: &Arc<Self>, query: &Query) -> Result<(Page, Option<After>)> {
        let mut options = ListOptions::prefix(query.prefix.clone()).with_limit(query.limit);
        options.delimiter = query.delimiter;
        options.start_after = match &query.after {
            After::Start => None,
            After::Path(path) => Some(path.clone()),
            // Past all that starts with it.
            After::Prefix(prefix) => Some(format!("{prefix}{}", char::MAX)),
        };
        let pages = self
            .gather(self.read_quorum, None, |at, _| {
                let options = options.clone();
                async move {
                    match self.locations.get(at) {
                        Some(location) => {
                            location.call(Duration::ZERO, location.store.list_page(options)).await
                        }
                        None => Ok(Page::default()),
                    }
                }
                .boxed()
            })
            .await?;
        let asked = pages.len();
        let mut horizon: Option<String> = None;
        let mut blobs: BTreeMap<BlobPath, Listed> = BTreeMap::new();
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for (_, page) in pages {
            let last_blob = page.blobs.last().map(|meta| meta.path.as_str().to_owned());
            let last = last_blob.max(page.prefixes.last().cloned());
            if let (Some(_), Some(last)) = (&page.next, last) {
                horizon = Some(horizon.map_or(last.clone(), |horizon| horizon.min(last)));
            }
            for meta in page.blobs {
                blobs.entry(meta.path.clone()).or_default().metas.push(meta);
            }
            for group in page.prefixes {
                *groups.entry(group).or_default() += 1;
            }
        }
        let seen = |text: &str| {
            !query.after.passed(text) && horizon.as_deref().is_none_or(|horizon| text <= horizon)
        };
        blobs.retain(|path, _| seen(path.as_str()));
        groups.retain(|group, _| seen(group));
        let (next, cut) = cut(&mut blobs, &mut groups, query.limit);
        let page = self.resolved(blobs, groups, asked).await?;
        let after = match (cut, horizon) {
            (true, _) => next,
            (false, Some(horizon)) if query.delimiter && horizon.ends_with('/') => {
                Some(After::Prefix(horizon))
            }
            (false, Some(horizon)) => Some(After::Path(horizon)),
            (false, None) => None,
        };
        Ok((page, after))
    }

    async fn resolved(
        self: &Arc<Self>,
        blobs: BTreeMap<BlobPath, Listed>,
        groups: BTreeMap<String, usize>,
        asked: usize,
    ) -> Result<Page> {
        let looks = stream::iter(blobs).map(|(path, listed)| async move {
            match listed.agreed(asked) {
                Some(meta) => Ok(Some(meta)),
                None => self.live(&path).await,
            }
        });
        let mut page = Page::default();
        let mut looks = looks.buffered(AT_ONCE);
        while let Some(look) = looks.next().await {
            page.blobs.extend(look?);
        }
        let sound = self.behind.is_empty();
        for (group, listed) in groups {
            if (sound && listed == asked) || Box::pin(self.is_inhabited(&group)).await? {
                page.prefixes.push(group);
            }
        }
        Ok(page)
    }

    /// The entry of a blob, if there is one.
    async fn live(self: &Arc<Self>, path: &BlobPath) -> Result<Option<BlobMeta>> {
        let seen = self.survey(path, None).await?;
        let current = newest(&seen);
        let meta = current.shown().filter(|_| !current.dead);
        Ok(meta.map(|mut meta| {
            meta.attributes = None;
            meta.tags = None;
            meta
        }))
    }

    /// True when there is a blob below a prefix.
    async fn is_inhabited(self: &Arc<Self>, prefix: &str) -> Result<bool> {
        let page = self.list(ListOptions::prefix(prefix).with_limit(16)).await?;
        Ok(!page.blobs.is_empty())
    }
}

/// Takes off what does not fit in a page, and says where the next one begins.
fn cut(
    blobs: &mut BTreeMap<BlobPath, Listed>,
    groups: &mut BTreeMap<String, usize>,
    limit: usize,
) -> (Option<After>, bool) {
    if blobs.len() + groups.len() <= limit {
        return (None, false);
    }
    let names: BTreeSet<(&str, bool)> = blobs
        .keys()
        .map(|path| (path.as_str(), false))
        .chain(groups.keys().map(|group| (group.as_str(), true)))
        .collect();
    let Some((last, grouped)) = names.into_iter().nth(limit.saturating_sub(1)) else { return (None, false) };
    let last = last.to_owned();
    blobs.retain(|path, _| path.as_str() <= last.as_str());
    groups.retain(|group, _| *group <= last);
    (Some(if grouped { After::Prefix(last) } else { After::Path(last) }), true)
}
