//! The trees of all snapshots, each once.

use super::options::CheckOptions;
use super::report::CheckReport;
use super::run::Packs;
use crate::Id;
use crate::error::cancelled;
use crate::format::{BlobKind, Node, NodeKind, Snapshot, Tree};
use crate::repo::{IdSet, Index, Shared, joined};
use aeth_core::{Error, Result};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Shared {
    /// Walks every tree that a snapshot reaches: it must parse, and all that it names must be in an index.
    pub(super) async fn check_trees(
        self: &Arc<Self>,
        roots: &BTreeMap<Id, Snapshot>,
        packs: &Packs,
        options: &CheckOptions,
        report: &mut CheckReport,
    ) -> Result<()> {
        let mut index = Index::default();
        packs.values().for_each(|pack| index.add(pack));
        // The undamaged indexes, so that one damaged file does not end the check.
        let index = Arc::new(RwLock::new(index));
        *self.index.write() = Some(Arc::clone(&index));
        let mut seen = IdSet::default();
        for (id, snapshot) in roots {
            report.snapshots += 1;
            let mut open = vec![(snapshot.tree, format!("snapshot {}", id.short()))];
            while let Some((tree, path)) = open.pop() {
                if options.cancel.is_cancelled() {
                    return Err(cancelled());
                }
                if !seen.insert(tree) {
                    continue;
                }
                match self.offloaded_tree(tree).await {
                    Ok(nodes) => {
                        report.trees += 1;
                        options.progress.directory_done();
                        check_nodes(&nodes, &path, &index, &mut open, report);
                    }
                    Err(error) => report.error(None, error.with_component(path)),
                }
            }
        }
        Ok(())
    }

    /// Reads and opens a tree on a thread that may be kept busy.
    async fn offloaded_tree(self: &Arc<Self>, id: Id) -> Result<Tree> {
        let (shared, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        joined(self.tasks.spawn_blocking(move || runtime.block_on(shared.tree(id))).await)
    }
}

fn check_nodes(
    tree: &Tree,
    path: &str,
    index: &RwLock<Index>,
    open: &mut Vec<(Id, String)>,
    report: &mut CheckReport,
) {
    let index = index.read();
    for (i, node) in tree.nodes.iter().enumerate() {
        let below = format!("{path}/{}", String::from_utf8_lossy(&node.name));
        if node.name.is_empty() || node.name.contains(&b'/') || node.name.contains(&0) {
            report.error(None, Error::corrupt("a tree holds a name that no file can have").with_key(&below));
        }
        if i > 0 && tree.nodes.get(i - 1).is_some_and(|before| before.name == node.name) {
            report.error(None, Error::corrupt("a tree holds a name twice").with_key(&below));
        }
        match node.kind {
            NodeKind::Dir => match node.subtree {
                Some(subtree) => open.push((subtree, below)),
                None => report.error(None, Error::corrupt("a directory has no tree").with_key(&below)),
            },
            NodeKind::File => check_content(node, &below, &index, report),
            _ => {}
        }
    }
}

fn check_content(node: &Node, path: &str, index: &Index, report: &mut CheckReport) {
    let Some(content) = &node.content else {
        return report.error(None, Error::corrupt("a file has no content").with_key(path));
    };
    let mut size = 0;
    for id in content {
        match index.get(BlobKind::Data, id) {
            Some(location) => size += u64::from(location.entry.plain_length()),
            None => {
                let message = format!("no index names the data blob {}", id.short());
                return report.error(None, Error::corrupt(message).with_key(path));
            }
        }
    }
    if size != node.size {
        let message =
            format!("the file's parts have {size} bytes together, and it should have {}", node.size);
        report.error(None, Error::corrupt(message).with_key(path));
    }
}
