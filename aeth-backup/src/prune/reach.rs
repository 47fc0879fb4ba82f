//! Everything that snapshots refer to.

use crate::Id;
use crate::browse::tree;
use crate::error::cancelled;
use crate::format::{BlobKind, NodeKind};
use crate::progress::Progress;
use crate::repo::{IdSet, Shared};
use aeth_core::Result;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Trees that are read at once.
const PARALLEL: usize = 8;

/// The blobs that were reached. A tree's content never changes, so what was reached once need not be walked again.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    pub(crate) data: IdSet,
    pub(crate) trees: IdSet,
}

impl Reach {
    pub(crate) fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        match kind {
            BlobKind::Data => self.data.contains(id),
            BlobKind::Tree => self.trees.contains(id),
        }
    }

    /// Adds everything below `roots`. Stops at the first tree that cannot be read: what it refers to is unknown.
    pub(crate) async fn add(
        &mut self,
        shared: &Arc<Shared>,
        roots: impl IntoIterator<Item = Id>,
        progress: &Progress,
        cancel: &CancellationToken,
    ) -> Result<()> {
        // What is added now counts only when all of it was walked.
        let mut open: Vec<Id> = Vec::new();
        let mut seen = IdSet::default();
        for root in roots {
            if !self.trees.contains(&root) && seen.insert(root) {
                open.push(root);
            }
        }
        let mut reads = FuturesUnordered::new();
        loop {
            while reads.len() < PARALLEL
                && let Some(id) = open.pop()
            {
                reads.push(tree(shared, id));
            }
            let Some(read) = reads.next().await else { break };
            if cancel.is_cancelled() {
                return Err(cancelled());
            }
            progress.directory_done();
            for node in read?.nodes {
                match node.kind {
                    NodeKind::Dir => {
                        if let Some(subtree) = node.subtree
                            && !self.trees.contains(&subtree)
                            && seen.insert(subtree)
                        {
                            open.push(subtree);
                        }
                    }
                    // Other writers may give content to any kind of node: what is named is in use.
                    _ => self.data.extend(node.content.iter().flatten()),
                }
            }
        }
        self.trees.extend(seen);
        Ok(())
    }
}
