//! Directories that wait for their files.

use super::saver::{Run, Tools};
use crate::Id;
use crate::format::{BlobKind, Node, TreeWriter};
use aeth_core::{Error, Result};
use parking_lot::Mutex;
use std::sync::Arc;

/// A directory whose entries are being made, in whatever order the workers finish them. The last one to finish
/// writes the tree and reports to the directory above.
#[derive(Debug)]
pub(super) struct PendingDir {
    above: Above,
    /// The tree that the parent snapshot has here.
    previous: Option<Id>,
    inner: Mutex<Inner>,
}

/// Where a finished directory goes.
#[derive(Debug)]
pub(super) enum Above {
    Directory(Arc<PendingDir>, usize),
    /// It is the snapshot's root.
    Root(Arc<Mutex<Option<Id>>>),
}

#[derive(Debug)]
struct Inner {
    own: Option<Node>,
    entries: Vec<Option<Node>>,
    /// Entries that are not finished, and one for the walker as long as it may add more.
    open: usize,
    /// Virtual directories take the time of their newest entry.
    newest: bool,
}

impl PendingDir {
    pub(super) fn new(own: Option<Node>, newest: bool, previous: Option<Id>, above: Above) -> Arc<Self> {
        let inner = Inner { own, entries: Vec::new(), open: 1, newest };
        Arc::new(Self { above, previous, inner: Mutex::new(inner) })
    }

    /// Makes room for an entry that will be finished later.
    pub(super) fn reserve(&self) -> usize {
        let mut inner = self.inner.lock();
        inner.open += 1;
        inner.entries.push(None);
        inner.entries.len() - 1
    }

    /// Finishes an entry; `None` when it was skipped.
    pub(super) fn finish(
        self: &Arc<Self>,
        slot: usize,
        node: Option<Node>,
        run: &Run,
        tools: &mut Tools,
    ) -> Result<()> {
        let (mut dir, mut slot, mut node) = (Arc::clone(self), Some(slot), node);
        while let Some((entries, own)) = dir.close_one(slot, node.take()) {
            let Some((above, its_slot, finished)) = dir.write(entries, own, run, tools)? else {
                return Ok(());
            };
            (dir, slot, node) = (above, Some(its_slot), finished);
        }
        Ok(())
    }

    /// The walker has added everything.
    pub(super) fn seal(self: &Arc<Self>, run: &Run, tools: &mut Tools) -> Result<()> {
        let Some((entries, own)) = self.close_one(None, None) else { return Ok(()) };
        match self.write(entries, own, run, tools)? {
            Some((above, slot, node)) => above.finish(slot, node, run, tools),
            None => Ok(()),
        }
    }

    /// The entries, once the last is there.
    fn close_one(&self, slot: Option<usize>, node: Option<Node>) -> Option<(Vec<Node>, Option<Node>)> {
        let mut inner = self.inner.lock();
        if let Some(entry) = slot.and_then(|slot| inner.entries.get_mut(slot)) {
            *entry = node;
        }
        inner.open -= 1;
        if inner.open > 0 {
            return None;
        }
        let mut entries: Vec<_> = std::mem::take(&mut inner.entries).into_iter().flatten().collect();
        if !entries.is_sorted_by(|a, b| a.name < b.name) {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let mut own = inner.own.take();
        if let (true, Some(own)) = (inner.newest, &mut own)
            && let Some(newest) = entries.iter().map(|node| node.mtime).max()
        {
            (own.mtime, own.atime, own.ctime) = (newest, newest, newest);
        }
        Some((entries, own))
    }

    /// Where an entry of this directory stands in the snapshot. The directories above are open as long as this
    /// one is, so they have their names.
    fn path_of(&self, own: Option<&Node>, name: &[u8]) -> Vec<u8> {
        let mut names: Vec<Vec<u8>> = vec![name.to_vec()];
        names.extend(own.map(|own| own.name.clone()));
        let mut above = &self.above;
        while let Above::Directory(dir, _) = above {
            names.extend(dir.inner.lock().own.as_ref().map(|own| own.name.clone()));
            above = &dir.above;
        }
        names.iter().rev().flat_map(|name| [b"/".as_slice(), name].concat()).collect()
    }

    #[allow(clippy::type_complexity, reason = "what finish needs for its next turn")]
    fn write(
        &self,
        entries: Vec<Node>,
        own: Option<Node>,
        run: &Run,
        tools: &mut Tools,
    ) -> Result<Option<(Arc<Self>, usize, Option<Node>)>> {
        let mut tree = TreeWriter::new();
        let mut last: Option<&[u8]> = None;
        for node in &entries {
            if last == Some(&node.name) {
                // Stores may hold both `a` and `a/b`; a tree cannot.
                let error =
                    Error::invalid("another entry of the directory has this name; only the first is saved")
                        .with_remedy("rename one of the two");
                run.skip(&self.path_of(own.as_ref(), &node.name), error);
                continue;
            }
            last = Some(&node.name);
            tree.add(node)?;
        }
        drop(entries);
        let id = run.save(tools, BlobKind::Tree, &tree.finish())?;
        if own.is_some() {
            run.progress.directory_done();
            let mut counts = run.counts.lock();
            match self.previous {
                Some(previous) if previous == id => counts.dirs_unmodified += 1,
                Some(_) => counts.dirs_changed += 1,
                None => counts.dirs_new += 1,
            }
        }
        match &self.above {
            Above::Root(root) => {
                *root.lock() = Some(id);
                Ok(None)
            }
            Above::Directory(above, slot) => {
                let node = own.map(|mut node| {
                    node.subtree = Some(id);
                    node
                });
                Ok(Some((Arc::clone(above), *slot, node)))
            }
        }
    }
}
