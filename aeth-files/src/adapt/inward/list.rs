//! Listing.

use super::{Engine, ObjectStoreAdapter};
use crate::adapt::convert::outer_path;
use crate::page::{After, Query};
use aeth_core::blob::{BlobMeta, BlobStore, Capability, ListOptions, Page, PageToken};
use aeth_core::{BlobPath, ClockExt, Error, Result};
use futures_util::StreamExt;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use std::collections::BTreeMap;

/// The most entries of a page.
const PAGE: usize = 1_000;

impl ObjectStoreAdapter {
    pub(super) async fn list(&self, options: ListOptions) -> Result<Page> {
        if options.start_after.is_some() {
            self.capabilities().require(Capability::ListStartAfter)?;
        }
        match &self.pages {
            Some(pages) => self.engine_page(&**pages, options).await,
            None => self.selected_page(options).await,
        }
    }

    /// A page of the engine's own.
    async fn engine_page(&self, pages: &dyn PaginatedListStore, options: ListOptions) -> Result<Page> {
        let prefix = options.prefix.unwrap_or_default();
        let after = options.start_after.filter(|after| !after.is_empty());
        let listing = format!("{prefix}\0{}\0{}", options.delimiter, after.as_deref().unwrap_or_default());
        let limit = if options.limit == 0 { PAGE } else { options.limit.min(PAGE) };
        let first = options.token.is_none() && after.as_ref().is_none_or(|after| *after < prefix);
        let request = PaginatedListOptions {
            page_token: options.token.map(|token| read_token(&token, &listing)).transpose()?,
            offset: after,
            delimiter: options.delimiter.then_some("/".into()),
            max_keys: Some(limit),
            ..Default::default()
        };
        let wanted = (!prefix.is_empty()).then_some(prefix.as_str());
        let found = self.call(pages.list_paginated(wanted, request)).await?;
        let mut blobs: Vec<_> =
            found.result.objects.iter().filter_map(|object| self.object(object)).collect();
        let groups: Vec<_> = found.result.common_prefixes.iter().map(|group| format!("{group}/")).collect();
        if first && blobs.len() + groups.len() < limit {
            blobs.splice(0..0, self.exactly(&prefix).await?);
        }
        Ok(Page::new(blobs, groups, found.page_token.map(|token| write_token(&token, &listing))))
    }

    /// The blob whose path is the prefix itself, where object_store's client takes it out of the engine's first page;
    /// the engine has counted it, so that there is room for it. A prefix that ends in a slash is no path and costs
    /// nothing.
    async fn exactly(&self, prefix: &str) -> Result<Option<BlobMeta>> {
        if self.engine != Engine::Azure {
            return Ok(None);
        }
        let Some(path) = BlobPath::new(prefix).ok().filter(|path| self.outer(path.as_str()).is_ok()) else {
            return Ok(None);
        };
        match self.head_of(&path).await {
            Ok(mut meta) => {
                // As for the others of the listing.
                meta.attributes = None;
                Ok(Some(meta))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The least entries of the whole directory.
    async fn selected_page(&self, options: ListOptions) -> Result<Page> {
        let query = Query::new(options)?;
        let directory = match query.prefix.rsplit_once('/') {
            None => Path::ROOT,
            Some((directory, _)) => match outer_path(directory) {
                Ok(path) if path.as_ref() == directory => path,
                // No object has such a path.
                _ => return Ok(Page::default()),
            },
        };
        let mut least = Least { query: &query, entries: BTreeMap::new() };
        if query.delimiter {
            let level = self.call(self.store.list_with_delimiter(Some(&directory))).await?;
            level.common_prefixes.iter().for_each(|group| least.add(format!("{group}/"), None));
            for meta in level.objects.iter().filter_map(|object| self.object(object)) {
                least.add(meta.path.as_str().into(), Some(meta));
            }
        } else {
            let offset = match &query.after {
                After::Path(text) => outer_path(text).ok().filter(|path| path.as_ref() == text),
                _ => None,
            };
            let mut objects = match offset {
                Some(offset) => self.store.list_with_offset(Some(&directory), &offset),
                None => self.store.list(Some(&directory)),
            };
            while let Some(object) = self.options.clock.timeout(self.options.timeout, objects.next()).await? {
                if let Some(meta) = self.object(&object.map_err(crate::adapt::error::inner)?) {
                    least.add(meta.path.as_str().into(), Some(meta));
                }
            }
        }
        Ok(least.page())
    }
}

/// The least entries of a listing that come after what was listed already; one more than fit on the page.
struct Least<'a> {
    query: &'a Query,
    /// A prefix has no metadata.
    entries: BTreeMap<String, Option<BlobMeta>>,
}

impl Least<'_> {
    fn add(&mut self, text: String, meta: Option<BlobMeta>) {
        let passed = match meta {
            Some(_) => self.query.after.passed(&text),
            None => self.query.after.passed_all(&text),
        };
        // A path that is the prefix without its slash is beside the directory, not in it.
        if passed || !text.starts_with(&self.query.prefix) {
            return;
        }
        self.entries.insert(text, meta);
        if self.entries.len() > self.query.limit + 1 {
            self.entries.pop_last();
        }
    }

    fn page(mut self) -> Page {
        let more = self.entries.len() > self.query.limit;
        if more {
            self.entries.pop_last();
        }
        let after = match self.entries.last_key_value() {
            Some((path, Some(_))) => After::Path(path.clone()),
            Some((group, None)) => After::Prefix(group.clone()),
            None => After::Start,
        };
        let next = if more { self.query.token(&after) } else { None };
        let (mut blobs, mut groups) = (Vec::new(), Vec::new());
        for (text, meta) in self.entries {
            match meta {
                Some(meta) => blobs.push(meta),
                None => groups.push(text),
            }
        }
        Page::new(blobs, groups, next)
    }
}

/// Ties the engine's token to its listing, so that a foreign one is found here.
fn write_token(token: &str, listing: &str) -> PageToken {
    PageToken::new(format!("2{:08x}{token}", check(token, listing)))
}

fn read_token(token: &PageToken, listing: &str) -> Result<String> {
    let refused = || {
        Error::invalid("the page token is not one that this store gave for this listing")
            .with_remedy("repeat the options of the page that gave the token, or start without one")
    };
    let rest = token.as_str().strip_prefix('2').ok_or_else(refused)?;
    let (given, engine) = rest.get(..8).zip(rest.get(8..)).ok_or_else(refused)?;
    if u32::from_str_radix(given, 16) != Ok(check(engine, listing)) {
        return Err(refused());
    }
    Ok(engine.to_owned())
}

fn check(token: &str, listing: &str) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(listing.as_bytes()), token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_belong_to_their_listing() {
        let token = write_token("engine/ü", "a");
        assert_eq!(read_token(&token, "a").unwrap(), "engine/ü");
        assert!(read_token(&token, "b").is_err());
        for bad in ["", "2", "2zzzzzzzz", "200000000x", "2é0000000"] {
            assert!(read_token(&PageToken::new(bad), "a").is_err(), "{bad:?}");
        }
    }
}
