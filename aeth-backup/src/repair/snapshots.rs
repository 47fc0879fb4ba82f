//! Snapshots without what is lost.

use super::options::RepairOptions;
use super::report::{RepairReport, RepairedSnapshot};
use crate::Id;
use crate::browse::tree;
use crate::error::cancelled;
use crate::format::{BlobKind, Codec, Node, NodeKind, TreeWriter};
use crate::progress::{Progress, Watch};
use crate::repo::{IdMap, Index, LockGuard, Refill, Repository, Shared, SnapshotEntry};
use aeth_core::Result;
use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The tag that a repaired snapshot gets, as with restic.
const TAG: &str = "repaired";

impl Repository {
    /// Makes, for each snapshot that something is missing from, one without it: files lose the parts that are in no
    /// index, directories that cannot be read become empty, and both are named in the report. The new snapshot has
    /// the tag `repaired` and names the damaged one as its `original`. Repair the replicas, the index and the packs
    /// before: each of these loses less.
    ///
    /// # Errors
    /// `Busy` when somebody keeps a lock; `Denied` for append-only sinks when snapshots are to be forgotten; `Closed`
    /// when it was cancelled; the sinks' errors when fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: some snapshots may be repaired and others not yet.
    pub async fn repair_snapshots(&self, options: RepairOptions) -> Result<RepairReport> {
        let shared = &self.shared;
        let _writing = shared.writer.lock().await;
        shared.revive().await;
        shared.sinks.check_quorum()?;
        if options.forget {
            shared.refuse_append_only("repair")?;
        }
        let lock = LockGuard::acquire_within(shared, true, options.wait, &options.cancel).await?;
        let mut report = RepairReport { dry_run: options.dry_run, ..RepairReport::default() };
        let result = Box::pin(shared.rewrite_snapshots(&options, &lock, &mut report)).await;
        lock.release().await;
        result.map_err(|error| error.with_operation("repair"))?;
        report.sinks = shared.sinks.status();
        Ok(report)
    }
}

/// What a directory became.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Same,
    Changed(Id),
    Unreadable,
}

struct Rewriter<'a> {
    shared: &'a Arc<Shared>,
    index: Arc<RwLock<Index>>,
    refill: Refill<'a>,
    codec: Codec,
    dry_run: bool,
    progress: Progress,
    cancel: CancellationToken,
    /// Directories that were looked at already. One that changed is looked at again, to name what it lost in each
    /// place where it stands.
    same: IdMap<()>,
    written: IdMap<()>,
    damaged: Vec<String>,
}

impl Shared {
    async fn rewrite_snapshots(
        self: &Arc<Self>,
        options: &RepairOptions,
        lock: &LockGuard,
        report: &mut RepairReport,
    ) -> Result<()> {
        self.trees.clear();
        let index = self.reload_index().await?;
        let mut rewriter = Rewriter {
            shared: self,
            index,
            refill: Refill::new(self, lock, &options.progress, &Watch::default()),
            codec: Codec::new(self.options.compression)?,
            dry_run: options.dry_run,
            progress: options.progress.clone(),
            cancel: options.cancel.clone(),
            same: IdMap::default(),
            written: IdMap::default(),
            damaged: Vec::new(),
        };
        let mut changed = Vec::new();
        for id in self.snapshot_ids().await? {
            if !options.snapshots.is_empty() && !options.snapshots.contains(&id) {
                continue;
            }
            let entry = match self.snapshot(id).await {
                Ok(entry) => entry,
                Err(error) => {
                    report.unrepaired.push(error.with_remedy("forget the snapshot by its id"));
                    continue;
                }
            };
            let outcome = rewriter.directory(entry.snapshot.tree, String::new()).await?;
            let damaged = std::mem::take(&mut rewriter.damaged);
            let new = match outcome {
                Outcome::Same => continue,
                Outcome::Changed(tree) => Some(tree),
                Outcome::Unreadable => None,
            };
            changed.push((entry, new, damaged));
        }
        rewriter.refill.finish().await?;
        for (entry, tree, damaged) in changed {
            let old = entry.id;
            let new = match tree {
                Some(tree) if !options.dry_run => Some(self.put_in_place(entry, tree, options, lock).await?),
                Some(_) => None,
                None => {
                    if options.forget && !options.dry_run {
                        self.remove_snapshots(&[old]).await?;
                    }
                    None
                }
            };
            report.snapshots.push(RepairedSnapshot { old, new, damaged });
        }
        Ok(())
    }

    async fn put_in_place(
        self: &Arc<Self>,
        entry: SnapshotEntry,
        tree: Id,
        options: &RepairOptions,
        lock: &LockGuard,
    ) -> Result<Id> {
        let SnapshotEntry { id, mut snapshot } = entry;
        snapshot.tree = tree;
        // Its counts are those of what it was.
        snapshot.summary = None;
        snapshot.parent = None;
        if !snapshot.tags.iter().any(|tag| tag == TAG) {
            snapshot.tags.push(TAG.to_owned());
        }
        if options.forget {
            return Ok(self.replace_snapshot(id, snapshot, lock).await?.id);
        }
        snapshot.original = Some(snapshot.original.unwrap_or(id));
        Ok(self.store_snapshot(snapshot, lock).await?.id)
    }
}

impl Rewriter<'_> {
    fn directory(&mut self, id: Id, path: String) -> BoxFuture<'_, Result<Outcome>> {
        Box::pin(async move {
            if self.same.contains_key(&id) {
                return Ok(Outcome::Same);
            }
            if self.cancel.is_cancelled() {
                return Err(cancelled());
            }
            self.progress.directory_done();
            let Ok(nodes) = tree(self.shared, id).await.map(|tree| tree.nodes) else {
                self.damaged.push(format!("{path}/"));
                return Ok(Outcome::Unreadable);
            };
            let mut changed = false;
            let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
            for mut node in nodes {
                let below = format!("{path}/{}", String::from_utf8_lossy(&node.name));
                // The same name twice cannot be written, and nobody can tell which was meant.
                let twice = kept.last().is_some_and(|last| last.name == node.name);
                if node.kind == NodeKind::Irregular || twice || node.name.is_empty() {
                    self.damaged.push(below);
                    changed = true;
                    continue;
                }
                changed |= match node.kind {
                    NodeKind::Dir => self.subtree(&mut node, below).await?,
                    NodeKind::File => self.file(&mut node, below),
                    _ => false,
                };
                kept.push(node);
            }
            if !changed {
                self.same.insert(id, ());
                return Ok(Outcome::Same);
            }
            self.store(&kept).await.map(Outcome::Changed)
        })
    }

    /// Repairs what is below a directory; true when something changed.
    async fn subtree(&mut self, node: &mut Node, path: String) -> Result<bool> {
        let outcome = match node.subtree {
            Some(subtree) => self.directory(subtree, path).await?,
            None => {
                self.damaged.push(format!("{path}/"));
                Outcome::Unreadable
            }
        };
        node.subtree = match outcome {
            Outcome::Same => return Ok(false),
            Outcome::Changed(tree) => Some(tree),
            Outcome::Unreadable => Some(self.store(&[]).await?),
        };
        Ok(true)
    }

    /// Leaves out the parts of a file that are in no index; true when something changed.
    fn file(&mut self, node: &mut Node, path: String) -> bool {
        let content = node.content.take().unwrap_or_default();
        let (mut kept, mut size) = (Vec::with_capacity(content.len()), 0);
        let was_null = content.is_empty() && node.size > 0;
        {
            let index = self.index.read();
            for id in &content {
                if let Some(location) = index.get(BlobKind::Data, id) {
                    size += u64::from(location.entry.plain_length());
                    kept.push(*id);
                }
            }
        }
        let changed = kept.len() != content.len() || size != node.size || was_null;
        (node.content, node.size) = (Some(kept), size);
        if changed {
            self.damaged.push(path);
        }
        changed
    }

    async fn store(&mut self, nodes: &[Node]) -> Result<Id> {
        let mut writer = TreeWriter::new();
        nodes.iter().try_for_each(|node| writer.add(node))?;
        let bytes = writer.finish();
        let id = Id::of(&bytes);
        let there = self.index.read().contains(BlobKind::Tree, &id) || self.written.insert(id, ()).is_some();
        if !there && !self.dry_run {
            let blob = self.shared.seal_blob(&mut self.codec, BlobKind::Tree, &bytes)?;
            self.refill.add(&blob).await?;
        }
        Ok(id)
    }
}
