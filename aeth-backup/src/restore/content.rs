//! Looking into a snapshot: its entries, and the content of its files as streams.

use crate::Id;
use crate::format::{BlobKind, Node, NodeKind, Tree};
use crate::repo::{Repository, Shared, SnapshotEntry, joined};
use crate::source::split;
use aeth_core::{ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use std::sync::Arc;

/// Blobs of a file that are read ahead.
const AHEAD: usize = 3;

/// An entry of a snapshot.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TreeEntry {
    /// Its path in the snapshot, as bytes: names need not be UTF-8.
    pub path: Vec<u8>,
    /// What it is.
    pub node: Node,
}

impl Repository {
    /// The entries at and below `path` (`/` for all), in depth, each directory before what it holds.
    ///
    /// # Errors
    /// The stream gives `NotFound` when the snapshot has nothing at `path`, `Corrupt` for a tree that cannot be
    /// read, and ends after its first error.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[must_use]
    pub fn entries(&self, snapshot: &SnapshotEntry, path: &str) -> BoxStream<'static, Result<TreeEntry>> {
        let (shared, root, wanted) = (Arc::clone(&self.shared), snapshot.snapshot.tree, path.to_owned());
        let begin = async move {
            let start = find(&shared, root, &wanted).await?;
            let walk = Walk { shared, stack: Vec::from([start]) };
            Ok::<_, Error>(stream::try_unfold(walk, Walk::next))
        };
        stream::once(begin).try_flatten().boxed()
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

async fn tree(shared: &Arc<Shared>, id: Id) -> Result<Tree> {
    let (own, runtime) = (Arc::clone(shared), tokio::runtime::Handle::current());
    let work = shared.tasks.spawn_blocking(move || runtime.block_on(own.tree(id)));
    joined(work.await)
}

/// A directory's entries that are not given yet, the last first.
struct Level {
    path: Vec<u8>,
    nodes: Vec<Node>,
}

struct Walk {
    shared: Arc<Shared>,
    stack: Vec<Level>,
}

impl Walk {
    async fn next(mut self) -> Result<Option<(TreeEntry, Self)>> {
        loop {
            let Some(level) = self.stack.last_mut() else { return Ok(None) };
            let Some(node) = level.nodes.pop() else {
                self.stack.pop();
                continue;
            };
            let path = [level.path.as_slice(), b"/", &node.name].concat();
            if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree) {
                let nodes = tree(&self.shared, subtree).await?.nodes;
                self.stack.push(Level { path: path.clone(), nodes: nodes.into_iter().rev().collect() });
            }
            return Ok(Some((TreeEntry { path, node }, self)));
        }
    }
}

/// Where a walk begins: the entry at `path`, as the only one of a level.
async fn find(shared: &Arc<Shared>, root: Id, path: &str) -> Result<Level> {
    let segments = split(path.as_bytes())?;
    let mut nodes = tree(shared, root).await?.nodes;
    let mut above = Vec::new();
    let Some((last, parents)) = segments.split_last() else {
        nodes.reverse();
        return Ok(Level { path: above, nodes });
    };
    let missing = || Error::not_found("the snapshot has nothing at this path").with_key(path);
    for name in parents {
        let node = nodes.into_iter().find(|node| node.name == *name).ok_or_else(missing)?;
        nodes = tree(shared, node.subtree.ok_or_else(missing)?).await?.nodes;
        above.push(b'/');
        above.extend_from_slice(name);
    }
    nodes.retain(|node| node.name == *last);
    if nodes.is_empty() { Err(missing()) } else { Ok(Level { path: above, nodes }) }
}
