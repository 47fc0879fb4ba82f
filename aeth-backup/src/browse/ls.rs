//! The entries of a snapshot, and the content of its files.

use super::glob::Glob;
use super::walk::{Depth, TreeEntry, Walk, missing, node_at};
use crate::Id;
use crate::format::{BlobKind, Node, NodeKind};
use crate::repo::{Repository, Shared, SnapshotEntry, joined};
use aeth_core::{ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use std::sync::Arc;

/// Blobs of a file that are read ahead.
const AHEAD: usize = 3;

/// What [`Repository::ls`] lists.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LsOptions {
    pub(crate) path: String,
    pub(crate) recursive: bool,
    pub(crate) patterns: Vec<Glob>,
}

impl Default for LsOptions {
    fn default() -> Self {
        Self { path: "/".into(), recursive: true, patterns: Vec::new() }
    }
}

impl LsOptions {
    /// Everything in the snapshot.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only what stands at this absolute path, and below it. Default: `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Whether directories below the first are entered. Default: yes.
    #[must_use]
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.recursive = recursive;
        self
    }

    /// Only entries that fit this pattern, or another that was given.
    #[must_use]
    pub fn matching(mut self, pattern: Glob) -> Self {
        self.patterns.push(pattern);
        self
    }
}

impl Repository {
    /// Lists a snapshot, or a part of it, each directory before what it holds.
    ///
    /// # Errors
    /// The stream gives `NotFound` when the snapshot has nothing at the path, `Corrupt` for a tree that cannot be
    /// read, and ends after its first error.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[must_use]
    pub fn ls(&self, snapshot: &SnapshotEntry, options: LsOptions) -> BoxStream<'static, Result<TreeEntry>> {
        let LsOptions { path, recursive, patterns } = options;
        let depth = if recursive { Depth::All } else { Depth::Children };
        self.walk(snapshot, path, depth)
            .try_filter(move |entry| {
                let fits = patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(&entry.path));
                std::future::ready(fits)
            })
            .boxed()
    }

    /// The entries at and below `path` (`/` for all), in depth, each directory before what it holds.
    ///
    /// # Errors
    /// As [`Repository::ls`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[must_use]
    pub fn entries(&self, snapshot: &SnapshotEntry, path: &str) -> BoxStream<'static, Result<TreeEntry>> {
        self.walk(snapshot, path.to_owned(), Depth::All)
    }

    fn walk(
        &self,
        snapshot: &SnapshotEntry,
        path: String,
        depth: Depth,
    ) -> BoxStream<'static, Result<TreeEntry>> {
        let (shared, root) = (Arc::clone(&self.shared), snapshot.snapshot.tree);
        let begin = async move {
            let walk = Walk::begin(shared, root, &path, depth).await?;
            Ok::<_, Error>(stream::try_unfold(walk, Walk::next))
        };
        stream::once(begin).try_flatten().boxed()
    }

    /// The entry at an absolute path of a snapshot.
    ///
    /// # Errors
    /// `NotFound` when the snapshot has nothing there (and for `/`, which is no entry of its own); `Corrupt` for a
    /// tree that cannot be read.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn entry(&self, snapshot: &SnapshotEntry, path: &str) -> Result<TreeEntry> {
        let node = node_at(&self.shared, snapshot.snapshot.tree, path).await?.ok_or_else(|| missing(path))?;
        let path = crate::source::split(path.as_bytes())?;
        let path = path.iter().flat_map(|name| [b"/".as_slice(), name].concat()).collect();
        Ok(TreeEntry { path, node })
    }

    /// The content of the file at an absolute path of a snapshot, in order, each piece verified.
    ///
    /// # Errors
    /// `NotFound` when the snapshot has nothing there; `Invalid` when it is no regular file. The stream as
    /// [`Repository::content`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn dump(&self, snapshot: &SnapshotEntry, path: &str) -> Result<ByteStream> {
        let node = node_at(&self.shared, snapshot.snapshot.tree, path).await?;
        match node {
            Some(node) if node.kind == NodeKind::File => Ok(self.content(&node)),
            other => {
                let kind = other.map_or("dir", |node| node.kind.as_str());
                Err(Error::invalid(format!("only a file has content, and this is a {kind}"))
                    .with_operation("dump")
                    .with_key(path)
                    .with_remedy("name a file, or restore the directory"))
            }
        }
    }

    /// The content of a file of a snapshot, in order, each piece verified. A few pieces are read ahead.
    ///
    /// # Errors
    /// The stream gives `Corrupt` when a part is missing or damaged in all sinks, and ends then.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[must_use]
    pub fn content(&self, node: &Node) -> ByteStream {
        let shared = Arc::clone(&self.shared);
        let ids = node.content.clone().unwrap_or_default();
        stream::iter(ids).map(move |id| data(Arc::clone(&shared), id)).buffered(AHEAD).boxed()
    }
}

/// Reads and opens a blob on a thread that may be kept busy.
async fn data(shared: Arc<Shared>, id: Id) -> Result<Bytes> {
    let (own, runtime) = (Arc::clone(&shared), tokio::runtime::Handle::current());
    let work = shared.tasks.spawn_blocking(move || runtime.block_on(own.blob(BlobKind::Data, id)));
    joined(work.await).map(Bytes::from)
}
