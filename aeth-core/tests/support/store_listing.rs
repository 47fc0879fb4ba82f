//! The listing of the reference store.

use super::store::{Flaw, RefStore};
use aeth_core::blob::{BlobMeta, Capability, ListOptions, Page, PageToken};
use aeth_core::{BlobPath, Error, Result};

impl RefStore {
    pub fn page(&self, options: &ListOptions) -> Result<Page> {
        if options.start_after.is_some() {
            self.claims.require(Capability::ListStartAfter)?;
        }
        let prefix = options.prefix.as_deref().unwrap_or_default();
        let state = self.state.lock();
        let blobs = state.before.as_ref().unwrap_or(&state.blobs);
        let selected = |name: &str| {
            if self.has(Flaw::PrefixBySegments) {
                return name == prefix
                    || prefix.ends_with('/') && name.starts_with(prefix)
                    || name.starts_with(&format!("{prefix}/"));
            }
            name.starts_with(prefix)
        };
        let after = |name: &str| match options.start_after.as_deref() {
            Some(start) if self.has(Flaw::StartAfterIncluded) => name >= start,
            Some(start) => name > start,
            None => true,
        };
        let mut entries: Vec<(String, Option<BlobMeta>)> = Vec::new();
        for (name, stored) in blobs.iter().filter(|(name, _)| selected(name) && after(name)) {
            let group = options.delimiter.then(|| name[prefix.len()..].find('/')).flatten();
            if let Some(at) = group {
                let group = name[..=prefix.len() + at].to_owned();
                let repeats = entries.last().is_some_and(|(last, _)| *last == group);
                if !repeats || self.has(Flaw::GroupsRepeat) {
                    entries.push((group, None));
                }
                continue;
            }
            let path = BlobPath::new(name)?;
            let mut size = stored.bytes.len() as u64;
            if self.has(Flaw::ListedSizeWrong) {
                size += 16;
            }
            let meta = BlobMeta::new(path, size, stored.modified).with_etag(stored.etag.clone());
            entries.push((name.clone(), Some(meta)));
        }
        if entries.is_empty() && self.has(Flaw::ListOfNothingFails) {
            return Err(Error::not_found("nothing under the prefix"));
        }
        if self.has(Flaw::ListBySegments) {
            entries.sort_by_key(|(name, _)| name.split('/').map(str::to_owned).collect::<Vec<_>>());
        }
        if let Some(token) = &options.token {
            self.go_on(&mut entries, token)?;
        }
        let limit = if options.limit == 0 { 1000 } else { options.limit.min(1000) };
        let next = (entries.len() > limit).then(|| {
            let offset = options.token.as_ref().map_or(0, |token| token.as_str()[6..].parse().unwrap_or(0));
            let last = &entries[limit - 1].0;
            match self.flaw {
                Some(Flaw::TokenIsOffset) => PageToken::new(format!("after:{}", offset + limit)),
                Some(Flaw::PagesOverlap) => PageToken::new(format!("after:{}", &last[..last.len() - 1])),
                _ => PageToken::new(format!("after:{last}")),
            }
        });
        entries.truncate(limit);
        let (mut blobs, mut prefixes) = (Vec::new(), Vec::new());
        for (name, meta) in entries {
            match meta {
                Some(meta) => blobs.push(meta),
                None => prefixes.push(name),
            }
        }
        Ok(Page::new(blobs, prefixes, next))
    }

    fn go_on(&self, entries: &mut Vec<(String, Option<BlobMeta>)>, token: &PageToken) -> Result<()> {
        let Some(last) = token.as_str().strip_prefix("after:") else {
            if self.has(Flaw::TokenUnchecked) {
                return Ok(());
            }
            return Err(Error::invalid("not a token of this store"));
        };
        if self.has(Flaw::TokenIsOffset) {
            let offset: usize = last.parse().map_err(|_| Error::invalid("not a token of this store"))?;
            entries.drain(..offset.min(entries.len()));
            return Ok(());
        }
        entries.retain(|(name, _)| name.as_str() > last);
        Ok(())
    }
}
