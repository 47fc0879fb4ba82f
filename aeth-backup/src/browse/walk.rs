//! Walking the trees of a snapshot.

use crate::Id;
use crate::format::{Node, NodeKind, Tree};
use crate::repo::{Shared, joined};
use crate::source::split;
use aeth_core::{Error, Result};
use std::sync::Arc;

/// An entry of a snapshot.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TreeEntry {
    /// Its path in the snapshot, as bytes: names need not be UTF-8.
    pub path: Vec<u8>,
    /// What it is.
    pub node: Node,
}

impl TreeEntry {
    /// One line as `ls -l` and `restic ls --long` write it: mode, owner, group, size, time (in the offset that the
    /// snapshot has), path, and a link's target. Bytes that are not UTF-8 are shown as U+FFFD.
    #[must_use]
    pub fn long(&self) -> String {
        let node = &self.node;
        let time = node.mtime.to_string();
        let time = time.get(..19).unwrap_or(&time).replace('T', " ");
        let mut line = format!(
            "{} {:5} {:5} {:6} {time} {}",
            node.mode,
            node.uid,
            node.gid,
            node.size,
            String::from_utf8_lossy(&self.path)
        );
        if node.kind == NodeKind::Symlink {
            line.push_str(" -> ");
            line.push_str(&String::from_utf8_lossy(&node.link_target));
        }
        line
    }
}

/// Reads and opens a directory on a thread that may be kept busy.
pub(crate) async fn tree(shared: &Arc<Shared>, id: Id) -> Result<Tree> {
    let (own, runtime) = (Arc::clone(shared), tokio::runtime::Handle::current());
    let work = shared.tasks.spawn_blocking(move || runtime.block_on(own.tree(id)));
    joined(work.await)
}

/// A directory's entries that are not given yet, the last first.
struct Level {
    path: Vec<u8>,
    nodes: Vec<Node>,
}

/// How deep a walk goes below the place where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The entry, and what a directory holds.
    Children,
    /// Everything.
    All,
}

pub(super) struct Walk {
    shared: Arc<Shared>,
    stack: Vec<Level>,
    /// Levels of directories that are still entered.
    below: usize,
}

impl Walk {
    /// A walk over the entry at `path` and what is below it.
    pub(super) async fn begin(shared: Arc<Shared>, root: Id, path: &str, depth: Depth) -> Result<Self> {
        let (start, is_root) = find(&shared, root, path).await?;
        let below = match depth {
            Depth::All => usize::MAX,
            // The root's own entries are what it holds.
            Depth::Children => usize::from(!is_root),
        };
        Ok(Self { shared, stack: vec![start], below })
    }

    /// The next entry, each directory before what it holds.
    pub(super) async fn next(mut self) -> Result<Option<(TreeEntry, Self)>> {
        loop {
            let deep = self.stack.len() > self.below;
            let Some(level) = self.stack.last_mut() else { return Ok(None) };
            let Some(node) = level.nodes.pop() else {
                self.stack.pop();
                continue;
            };
            let path = [level.path.as_slice(), b"/", &node.name].concat();
            if let (NodeKind::Dir, Some(subtree), false) = (node.kind, node.subtree, deep) {
                let nodes = tree(&self.shared, subtree).await?.nodes;
                self.stack.push(Level { path: path.clone(), nodes: nodes.into_iter().rev().collect() });
            }
            return Ok(Some((TreeEntry { path, node }, self)));
        }
    }
}

/// Where a walk begins: the entry at `path`, as the only one of a level; for the root, its entries.
async fn find(shared: &Arc<Shared>, root: Id, path: &str) -> Result<(Level, bool)> {
    let segments = split(path.as_bytes())?;
    let mut nodes = tree(shared, root).await?.nodes;
    let mut above = Vec::new();
    let Some((last, parents)) = segments.split_last() else {
        nodes.reverse();
        return Ok((Level { path: above, nodes }, true));
    };
    for name in parents {
        let node = nodes.into_iter().find(|node| node.name == *name).ok_or_else(|| missing(path))?;
        nodes = tree(shared, node.subtree.ok_or_else(|| missing(path))?).await?.nodes;
        above.push(b'/');
        above.extend_from_slice(name);
    }
    nodes.retain(|node| node.name == *last);
    if nodes.is_empty() { Err(missing(path)) } else { Ok((Level { path: above, nodes }, false)) }
}

/// The node at `path`; `None` for the root, which has none.
pub(super) async fn node_at(shared: &Arc<Shared>, root: Id, path: &str) -> Result<Option<Node>> {
    let (mut level, is_root) = find(shared, root, path).await?;
    Ok(if is_root { None } else { level.nodes.pop() })
}

pub(super) fn missing(path: &str) -> Error {
    Error::not_found("the snapshot has nothing at this path")
        .with_key(path)
        .with_remedy("list the snapshot to see what it holds")
}
