//! Listing.

use super::OpendalAdapter;
use crate::page::{After, Query};
use aeth_core::blob::{BlobMeta, ListOptions, Page};
use aeth_core::{BlobPath, ClockExt, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use opendal::Metadata;
use opendal::options::ListOptions as Theirs;
use std::collections::BTreeMap;

/// The least entries of a listing that come after what was listed already; one more than fit on the page.
struct Least {
    query: Query,
    /// A group has no metadata.
    entries: BTreeMap<String, Option<Metadata>>,
}

impl OpendalAdapter {
    pub(super) async fn list(&self, options: ListOptions) -> Result<Page> {
        let query = Query::new(options)?;
        let end = query.prefix.rfind('/').map_or(0, |at| at + 1);
        let directory = query.prefix.get(..end).unwrap_or_default().to_owned();
        if directory.split('/').any(|segment| matches!(segment, "." | ".."))
            || directory.starts_with('/')
            || directory.contains("//")
            || directory.trim_start() != directory
        {
            // No path of the contract, or none that opendal keeps, is in such a directory.
            return Ok(Page::default());
        }
        let ordered = self.theirs.list_with_start_after && self.theirs.list_with_recursive && !self.staged;
        // A service with true directories shows those that are empty: groups are made of files.
        let deep = !query.delimiter || self.staged;
        let mut request = Theirs { recursive: deep, ..Theirs::default() };
        if let (true, true, After::Path(after)) = (ordered, deep, &query.after) {
            request.start_after = Some(after.clone());
        }
        let mut least = Least { query, entries: BTreeMap::new() };
        let place = if directory.is_empty() { "/" } else { &*directory };
        let mut lister = match self.call(self.operator.lister_options(place, request)).await {
            Ok(lister) => lister,
            Err(error) if is_no_directory(&error) => return Ok(Page::default()),
            Err(error) => return Err(error),
        };
        loop {
            let next = self.options.clock.timeout(self.options.timeout, lister.try_next()).await?;
            let entry = match next.map_err(super::error::from_dal) {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) if is_no_directory(&error) => break,
                Err(error) => return Err(error),
            };
            let (path, metadata) = entry.into_parts();
            if self.is_staging(&path) {
                continue;
            }
            least.add(path, metadata, deep);
            // In order, nothing that comes later belongs on this page.
            if ordered && deep && !least.query.delimiter && least.entries.len() > least.query.limit {
                break;
            }
        }
        self.page(least).await
    }

    async fn page(&self, mut least: Least) -> Result<Page> {
        let more = least.entries.len() > least.query.limit;
        if more {
            least.entries.pop_last();
        }
        let after = match least.entries.last_key_value() {
            Some((path, Some(_))) => After::Path(path.clone()),
            Some((group, None)) => After::Prefix(group.clone()),
            None => After::Start,
        };
        let next = if more { least.query.token(&after) } else { None };
        let (mut found, mut groups) = (Vec::new(), Vec::new());
        for (text, metadata) in least.entries {
            match metadata {
                Some(metadata) => found.push((text, metadata)),
                None => groups.push(text),
            }
        }
        let described: Vec<_> =
            found.into_iter().map(|(text, metadata)| self.describe(text, metadata)).collect();
        let blobs: Vec<Option<BlobMeta>> =
            stream::iter(described).buffered(self.options.concurrency).try_collect().await?;
        Ok(Page::new(blobs.into_iter().flatten().collect(), groups, next))
    }

    /// What is known about a listed file: services leave out what costs them.
    async fn describe(&self, text: String, listed: Metadata) -> Result<Option<BlobMeta>> {
        let path = match BlobPath::new(&text) {
            Ok(path) => path,
            Err(error) => {
                tracing::debug!(%error, "a listed name is no path");
                return Ok(None);
            }
        };
        let told = listed.is_file() && listed.last_modified().is_some();
        let listed = match told {
            true => listed,
            false => match self.find(&text).await {
                Ok(found) => found,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let mut meta = self.meta(path, &listed);
        meta.attributes = None;
        Ok(Some(meta))
    }
}

impl Least {
    fn add(&mut self, path: String, metadata: Metadata, deep: bool) {
        if metadata.is_dir() {
            if !deep && path.len() > self.query.prefix.len() {
                self.insert(path, None);
            }
            return;
        }
        match self.query.group(&path).map(str::to_owned) {
            Some(group) => self.insert(group, None),
            None => self.insert(path, Some(metadata)),
        }
    }

    fn insert(&mut self, text: String, metadata: Option<Metadata>) {
        let passed = match metadata {
            Some(_) => self.query.after.passed(&text),
            None => self.query.after.passed_all(&text),
        };
        if passed || !text.starts_with(&self.query.prefix) {
            return;
        }
        self.entries.insert(text, metadata);
        if self.entries.len() > self.query.limit + 1 {
            self.entries.pop_last();
        }
    }
}

/// True when what would be listed is not there, or is a file.
fn is_no_directory(error: &aeth_core::Error) -> bool {
    error.is_not_found() || error.kind() == aeth_core::ErrorKind::Invalid
}
