//! Where a name, a blob or a tree is.

use super::glob::Glob;
use super::walk::{TreeEntry, tree};
use crate::Id;
use crate::format::{BlobKind, Node, NodeKind, NodeTime};
use crate::repo::{IdSet, Repository, SnapshotEntry};
use crate::select::SnapshotFilter;
use aeth_core::{Error, Result};
use std::time::SystemTime;

/// What [`Repository::find`] looks for, and where.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FindOptions {
    patterns: Vec<Glob>,
    blobs: Vec<String>,
    trees: Vec<String>,
    oldest: Option<SystemTime>,
    newest: Option<SystemTime>,
    snapshots: SnapshotFilter,
    ids: Vec<Id>,
    latest_first: bool,
}

impl FindOptions {
    /// Looks for nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for entries whose name or path fits the pattern (or another that was given).
    #[must_use]
    pub fn matching(mut self, pattern: Glob) -> Self {
        self.patterns.push(pattern);
        self
    }

    /// Looks for the files that hold a data blob, by its id or the beginning of it.
    #[must_use]
    pub fn blob(mut self, id: impl Into<String>) -> Self {
        self.blobs.push(id.into().to_ascii_lowercase());
        self
    }

    /// Looks for the directories that are a tree blob, by its id or the beginning of it.
    #[must_use]
    pub fn tree(mut self, id: impl Into<String>) -> Self {
        self.trees.push(id.into().to_ascii_lowercase());
        self
    }

    /// Only entries whose content was modified at this time or later.
    #[must_use]
    pub fn modified_from(mut self, time: SystemTime) -> Self {
        self.oldest = Some(time);
        self
    }

    /// Only entries whose content was modified at this time or before.
    #[must_use]
    pub fn modified_until(mut self, time: SystemTime) -> Self {
        self.newest = Some(time);
        self
    }

    /// Only in snapshots that pass the filter. Default: in all.
    #[must_use]
    pub fn snapshots(mut self, filter: SnapshotFilter) -> Self {
        self.snapshots = filter;
        self
    }

    /// Only in this snapshot (may be repeated).
    #[must_use]
    pub fn snapshot(mut self, id: Id) -> Self {
        self.ids.push(id);
        self
    }

    /// Looks through the latest snapshot first. Default: the oldest.
    #[must_use]
    pub fn latest_first(mut self, latest: bool) -> Self {
        self.latest_first = latest;
        self
    }

    fn fits(&self, path: &[u8], node: &Node) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(path))
            && self.oldest.is_none_or(|time| node.mtime >= NodeTime::from(time))
            && self.newest.is_none_or(|time| node.mtime <= NodeTime::from(time))
    }

    fn blob_of(&self, node: &Node) -> Option<FoundBlob> {
        let among = |wanted: &[String], id: &Id| {
            let id = id.to_string();
            wanted.iter().any(|beginning| id.starts_with(beginning.as_str()))
        };
        if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree)
            && among(&self.trees, &subtree)
        {
            return Some(FoundBlob::Tree(subtree));
        }
        let content = node.content.iter().flatten();
        content.into_iter().find(|id| among(&self.blobs, id)).map(|id| FoundBlob::Data(*id))
    }

    /// Whether a tree without a match has none wherever it stands.
    fn by_name_only(&self) -> bool {
        self.patterns.iter().all(Glob::is_name)
    }

    fn check(&self) -> Result<()> {
        let ids = self.blobs.iter().chain(&self.trees);
        for id in ids {
            if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(Error::invalid("not the beginning of an id: hexadecimal digits are needed")
                    .with_operation("find")
                    .with_key(id));
            }
        }
        if self.patterns.is_empty() && self.blobs.is_empty() && self.trees.is_empty() {
            return Err(Error::invalid("there is nothing to look for")
                .with_operation("find")
                .with_remedy("give a pattern, or the id of a blob or tree"));
        }
        Ok(())
    }
}

/// A blob that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoundBlob {
    /// A part of the file.
    Data(Id),
    /// The directory's tree.
    Tree(Id),
}

/// Something that was looked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Found {
    /// The snapshot that it is in.
    pub snapshot: Id,
    /// The entry.
    pub entry: TreeEntry,
    /// The blob by which it was found; `None` when it was by its name.
    pub blob: Option<FoundBlob>,
}

impl Repository {
    /// Looks for names, blobs or trees in the snapshots.
    ///
    /// # Errors
    /// `Invalid` when there is nothing to look for or a beginning of an id is none; `NotFound` for a snapshot that
    /// was named and is not there; `Corrupt` for a tree that cannot be read.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn find(&self, options: &FindOptions) -> Result<Vec<Found>> {
        options.check()?;
        let mut all = self.snapshots_matching(&options.snapshots).await?;
        if !options.ids.is_empty() {
            if let Some(id) = options.ids.iter().find(|id| !all.iter().any(|entry| entry.id == **id)) {
                return Err(Error::not_found("there is no such snapshot")
                    .with_operation("find")
                    .with_key(id));
            }
            all.retain(|entry| options.ids.contains(&entry.id));
        }
        if options.latest_first {
            all.reverse();
        }
        self.shared.reload_index().await?;
        let mut found = Vec::new();
        let mut barren = IdSet::default();
        for entry in &all {
            self.find_in(entry, options, &mut barren, &mut found).await?;
        }
        Ok(found)
    }

    async fn find_in(
        &self,
        snapshot: &SnapshotEntry,
        options: &FindOptions,
        barren: &mut IdSet,
        found: &mut Vec<Found>,
    ) -> Result<()> {
        let mut stack = vec![Open::new(snapshot.snapshot.tree, Vec::new())];
        while let Some(open) = stack.last_mut() {
            if open.nodes.is_none() {
                if barren.contains(&open.id) {
                    stack.pop();
                    continue;
                }
                let mut nodes = tree(&self.shared, open.id).await?.nodes;
                nodes.reverse();
                (open.nodes, open.before) = (Some(nodes), found.len());
            }
            let Some(node) = open.nodes.as_mut().and_then(Vec::pop) else {
                if options.by_name_only() && open.before == found.len() {
                    barren.insert(open.id);
                }
                stack.pop();
                continue;
            };
            let path = [open.path.as_slice(), b"/", &node.name].concat();
            let blob = options.blob_of(&node);
            if blob.is_some() || options.fits(&path, &node) {
                let entry = TreeEntry { path: path.clone(), node: node.clone() };
                found.push(Found { snapshot: snapshot.id, entry, blob });
            }
            if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree) {
                stack.push(Open::new(subtree, path));
            }
        }
        Ok(())
    }

    /// The names of the packs that hold a blob, for a look at the repository's files: data and tree blobs, by the
    /// whole id.
    ///
    /// # Errors
    /// The sinks' own errors; an id that no index has gives an empty list.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn pack_of(&self, id: Id) -> Result<Vec<Id>> {
        let index = self.shared.reload_index().await?;
        let index = index.read();
        let kinds = [BlobKind::Data, BlobKind::Tree];
        Ok(kinds.iter().filter_map(|kind| index.get(*kind, &id)).map(|location| location.pack).collect())
    }
}

/// A directory that is being looked through.
struct Open {
    id: Id,
    path: Vec<u8>,
    /// What is left of it; `None` when it was not read yet.
    nodes: Option<Vec<Node>>,
    /// How much had been found before it.
    before: usize,
}

impl Open {
    fn new(id: Id, path: Vec<u8>) -> Self {
        Self { id, path, nodes: None, before: 0 }
    }
}
