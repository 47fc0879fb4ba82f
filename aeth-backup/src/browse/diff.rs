//! Comparing two snapshots, as `restic diff` does; equal subtrees are not compared.

use super::changes::{Change, ChangeKind, DiffCounts, DiffOptions, DiffReport};
use super::walk::{TreeEntry, missing, node_at, tree};
use crate::Id;
use crate::format::{BlobKind, Node, NodeKind};
use crate::repo::{IdSet, Index, Repository, Shared, SnapshotEntry};
use aeth_core::Result;
use std::cmp::Ordering;
use std::sync::Arc;

/// The blobs that one side names.
#[derive(Debug, Default)]
struct Blobs {
    data: IdSet,
    trees: IdSet,
}

impl Blobs {
    fn add(&mut self, node: &Node) {
        match node.kind {
            NodeKind::File => self.data.extend(node.content.iter().flatten()),
            NodeKind::Dir => self.trees.extend(node.subtree),
            _ => {}
        }
    }
}

struct Diff<'a> {
    shared: &'a Arc<Shared>,
    options: &'a DiffOptions,
    report: DiffReport,
    before: Blobs,
    after: Blobs,
    common: Blobs,
}

/// A directory pair or one side's directory that is still to be looked at, the next one last.
enum Todo {
    Both {
        path: Vec<u8>,
        before: Id,
        after: Id,
    },
    One {
        path: Vec<u8>,
        tree: Id,
        added: bool,
    },
    Same {
        tree: Id,
    },
    /// A change found in a directory that is worked off: told in its turn.
    Tell(Box<Change>),
}

impl Repository {
    /// Compares two snapshots. The statistics are those of `restic diff`.
    ///
    /// # Errors
    /// `NotFound` when one of them has no directory at the path; `Corrupt` for a tree that cannot be read.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn diff(
        &self,
        before: &SnapshotEntry,
        after: &SnapshotEntry,
        options: &DiffOptions,
    ) -> Result<DiffReport> {
        let index = self.shared.reload_index().await?;
        let other = options.other_path.as_deref().unwrap_or(&options.path);
        let first = directory(&self.shared, before.snapshot.tree, &options.path).await?;
        let second = directory(&self.shared, after.snapshot.tree, other).await?;
        let mut diff = Diff {
            shared: &self.shared,
            options,
            report: DiffReport::default(),
            before: Blobs::default(),
            after: Blobs::default(),
            common: Blobs::default(),
        };
        diff.before.trees.insert(first);
        diff.after.trees.insert(second);
        let path = options.path.trim_end_matches('/').as_bytes().to_vec();
        diff.run(Todo::Both { path, before: first, after: second }).await?;
        let Diff { mut report, before, after, common, .. } = diff;
        let index = index.read();
        count(&index, &before, [&after, &common], &mut report.removed);
        count(&index, &after, [&before, &common], &mut report.added);
        Ok(report)
    }
}

async fn directory(shared: &Arc<Shared>, root: Id, path: &str) -> Result<Id> {
    match node_at(shared, root, path).await? {
        None => Ok(root),
        Some(node) => node.subtree.ok_or_else(|| missing(path)),
    }
}

fn count(index: &Index, own: &Blobs, others: [&Blobs; 2], counts: &mut DiffCounts) {
    let mut bytes = 0;
    let mut only = |kind: BlobKind, own: &IdSet, others: [&IdSet; 2]| {
        let mut blobs = 0;
        for id in own.iter().filter(|id| !others.iter().any(|other| other.contains(*id))) {
            blobs += 1;
            bytes += index.get(kind, id).map_or(0, |location| u64::from(location.entry.plain_length()));
        }
        blobs
    };
    counts.data_blobs = only(BlobKind::Data, &own.data, others.map(|other| &other.data));
    counts.tree_blobs = only(BlobKind::Tree, &own.trees, others.map(|other| &other.trees));
    counts.bytes = bytes;
}

impl Diff<'_> {
    async fn run(&mut self, first: Todo) -> Result<()> {
        let mut stack = vec![first];
        while let Some(todo) = stack.pop() {
            // Found in order, and taken from the end.
            let mut found = match todo {
                Todo::Tell(change) => {
                    self.tell(*change);
                    continue;
                }
                Todo::Same { tree } => self.same(tree).await?,
                Todo::One { path, tree, added } => self.one(&path, tree, added).await?,
                Todo::Both { path, before, after } => self.both(&path, before, after).await?,
            };
            found.reverse();
            stack.append(&mut found);
        }
        Ok(())
    }

    fn tell(&mut self, change: Change) {
        match &self.options.each {
            Some(each) => each(change),
            None => self.report.changes.push(change),
        }
    }

    /// A subtree that both have: its blobs are nobody's own.
    async fn same(&mut self, id: Id) -> Result<Vec<Todo>> {
        let mut below = Vec::new();
        for node in tree(self.shared, id).await?.nodes {
            if let (NodeKind::Dir, Some(subtree)) = (node.kind, node.subtree)
                && !self.common.trees.contains(&subtree)
            {
                below.push(Todo::Same { tree: subtree });
            }
            self.common.add(&node);
        }
        Ok(below)
    }

    /// A directory that only one side has.
    async fn one(&mut self, path: &[u8], id: Id, added: bool) -> Result<Vec<Todo>> {
        let mut found = Vec::new();
        for node in tree(self.shared, id).await?.nodes {
            self.single(path, node, added, &mut found);
        }
        Ok(found)
    }

    fn single(&mut self, path: &[u8], node: Node, added: bool, found: &mut Vec<Todo>) {
        let (blobs, counts, kind) = if added {
            (&mut self.after, &mut self.report.added, ChangeKind::Added)
        } else {
            (&mut self.before, &mut self.report.removed, ChangeKind::Removed)
        };
        blobs.add(&node);
        counts.add(&node);
        let path = [path, b"/", &node.name].concat();
        let below = match (node.kind, node.subtree) {
            (NodeKind::Dir, Some(tree)) => Some(Todo::One { path: path.clone(), tree, added }),
            _ => None,
        };
        found.push(Todo::Tell(Box::new(Change { kind, entry: TreeEntry { path, node } })));
        found.extend(below);
    }

    async fn both(&mut self, path: &[u8], before: Id, after: Id) -> Result<Vec<Todo>> {
        let mut before = tree(self.shared, before).await?.nodes.into_iter().peekable();
        let mut after = tree(self.shared, after).await?.nodes.into_iter().peekable();
        let mut found = Vec::new();
        loop {
            let order = match (before.peek(), after.peek()) {
                (None, None) => return Ok(found),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.name.cmp(&b.name),
            };
            let first = if order.is_le() { before.next() } else { None };
            let second = if order.is_ge() { after.next() } else { None };
            match (first, second) {
                (Some(first), Some(second)) => self.pair(path, &first, second, &mut found),
                (Some(node), None) => self.single(path, node, false, &mut found),
                (None, Some(node)) => self.single(path, node, true, &mut found),
                (None, None) => {}
            }
        }
    }

    fn pair(&mut self, path: &[u8], first: &Node, second: Node, found: &mut Vec<Todo>) {
        self.before.add(first);
        self.after.add(&second);
        let path = [path, b"/", &second.name].concat();
        let content = first.content == second.content;
        let kind = if first.kind != second.kind {
            Some(ChangeKind::Type)
        } else if first.kind == NodeKind::File && !content {
            self.report.changed_files += 1;
            Some(if same_metadata(first, &second) { ChangeKind::Suspicious } else { ChangeKind::Modified })
        } else if self.options.metadata && !same_metadata(first, &second) {
            Some(ChangeKind::Metadata)
        } else {
            None
        };
        let below = match (first.kind, second.kind, first.subtree, second.subtree) {
            (NodeKind::Dir, NodeKind::Dir, Some(before), Some(after)) if before == after => {
                Some(Todo::Same { tree: after })
            }
            (NodeKind::Dir, NodeKind::Dir, Some(before), Some(after)) => {
                Some(Todo::Both { path: path.clone(), before, after })
            }
            _ => None,
        };
        if let Some(kind) = kind {
            found.push(Todo::Tell(Box::new(Change { kind, entry: TreeEntry { path, node: second } })));
        }
        found.extend(below);
    }
}

/// Everything but the content and the tree: what restic compares to tell a change of metadata.
fn same_metadata(a: &Node, b: &Node) -> bool {
    let of = |node: &Node| {
        (
            (node.kind, node.mode, node.mtime, node.atime, node.ctime),
            (node.uid, node.gid, node.inode, node.device_id, node.size, node.links, node.device),
        )
    };
    of(a) == of(b)
        && a.user == b.user
        && a.group == b.group
        && a.link_target == b.link_target
        && a.xattrs == b.xattrs
        && a.generic == b.generic
        && (a.kind != NodeKind::Dir || a.subtree == b.subtree)
}
