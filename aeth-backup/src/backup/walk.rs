//! The walker thread: the tree that the sources stand in, then each source.

use super::directory::{Walker, ancestor};
use super::dirs::{Above, PendingDir};
use super::saver::Run;
use super::virtuals::{VirtualWalker, virtual_dir};
use crate::Id;
use crate::format::{BlobKind, Node, Tree};
use crate::source::Source;
use crate::source::path::overlap;
use aeth_core::{Error, Result};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the sources stand: a source, or a directory above sources.
#[derive(Debug)]
pub(super) enum Branch {
    Source(Source),
    Above {
        /// The directory of this machine whose metadata it has, if there is one.
        real: Option<PathBuf>,
        names: BTreeMap<Vec<u8>, Self>,
    },
}

/// Puts the sources into one tree.
pub(super) fn arrange(sources: &[Source]) -> Result<Branch> {
    if sources.is_empty() {
        return Err(Error::invalid("the plan has no source").with_remedy("add what is to be backed up"));
    }
    let places = sources.iter().map(Source::segments).collect::<Result<Vec<_>>>()?;
    for (i, place) in places.iter().enumerate() {
        places.iter().skip(i + 1).try_for_each(|other| overlap(place, other))?;
    }
    let mut root = Branch::Above { real: None, names: BTreeMap::new() };
    for (source, place) in sources.iter().zip(places) {
        let ancestors = match source {
            Source::Path(path) => path.ancestors(),
            Source::Files { .. } | Source::Copy(_) => Vec::new(),
        };
        let Some((last, above)) = place.split_last() else {
            return Err(Error::unsupported("the root of the file system cannot be a source")
                .with_remedy("name the directories below it, or give it a place with `at`"));
        };
        let mut branch = &mut root;
        for (depth, name) in above.iter().enumerate() {
            let Branch::Above { names, .. } = branch else { break };
            branch =
                names.entry(name.clone()).or_insert(Branch::Above { real: None, names: BTreeMap::new() });
            if let (Branch::Above { real, .. }, Some(path)) = (&mut *branch, ancestors.get(depth)) {
                real.get_or_insert_with(|| path.clone());
            }
        }
        if let Branch::Above { names, .. } = branch {
            names.insert(last.clone(), Branch::Source(source.clone()));
        }
    }
    Ok(root)
}

/// Walks everything and returns the root tree's id once the workers are through.
pub(super) fn walk(
    run: &Run,
    tree: Branch,
    parent: Option<Id>,
    runtime: &tokio::runtime::Handle,
) -> Result<Id> {
    let root = Arc::new(Mutex::new(None));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..run.shared.options.threads.max(1))
            .map(|number| {
                std::thread::Builder::new()
                    .name(format!("aeth-backup-{number}"))
                    .spawn_scoped(scope, || super::file::work(run))
            })
            .collect();
        if let Some(Err(error)) = workers.iter().find(|worker| worker.is_err()) {
            run.fail(Error::other(format!("a worker thread cannot be started: {error}")));
        }
        let above = Above::Root(Arc::clone(&root));
        let dir = PendingDir::new(None, false, parent, above);
        let walked = run.tools().and_then(|mut tools| {
            branch(run, tree, &dir, parent, runtime)?;
            dir.seal(run, &mut tools)
        });
        match walked {
            Ok(()) => run.queue.close(),
            Err(error) => run.fail(error),
        }
    });
    if let Some(error) = run.failure() {
        return Err(error);
    }
    run.packer.flush(&run.gates, &run.shared.key)?;
    let id = root.lock().take();
    id.ok_or_else(|| Error::other("a worker thread ended early; the backup was not completed"))
}

fn branch(
    run: &Run,
    tree: Branch,
    dir: &Arc<PendingDir>,
    previous: Option<Id>,
    runtime: &tokio::runtime::Handle,
) -> Result<()> {
    let Branch::Above { names, .. } = tree else { return Ok(()) };
    let before = load(run, previous, runtime);
    for (name, below) in names {
        let node = before.as_ref().and_then(|tree| tree.find(&name)).cloned();
        match below {
            Branch::Source(source) => save_source(run, &source, &name, dir, node.as_ref(), runtime)?,
            Branch::Above { ref real, .. } => {
                let (own, newest) = match real {
                    Some(path) => (ancestor(path, &name, run)?, false),
                    None => (virtual_dir(&name, run), true),
                };
                let subtree = node.and_then(|node| node.subtree);
                let slot = dir.reserve();
                let inner =
                    PendingDir::new(Some(own), newest, subtree, Above::Directory(Arc::clone(dir), slot));
                branch(run, below, &inner, subtree, runtime)?;
                inner.seal(run, &mut run.tools()?)?;
            }
        }
    }
    Ok(())
}

fn load(run: &Run, id: Option<Id>, runtime: &tokio::runtime::Handle) -> Option<Tree> {
    let id = id.filter(|id| run.has(BlobKind::Tree, id))?;
    runtime.block_on(run.shared.tree(id)).ok()
}

fn save_source(
    run: &Run,
    source: &Source,
    name: &[u8],
    dir: &Arc<PendingDir>,
    previous: Option<&Node>,
    runtime: &tokio::runtime::Handle,
) -> Result<()> {
    let tools = run.tools()?;
    match source {
        Source::Path(source) => {
            Walker { run, source, runtime, tools, device: None, above: Vec::new() }.root(name, dir, previous)
        }
        Source::Copy(copy) => {
            let made = runtime.block_on(run.patient_for(copy.limit(), copy.make()))?;
            let (source, scratch) = made?;
            // Workers read it when the walker has gone on; it is removed with the run.
            run.scratches.lock().push(scratch);
            Walker { run, source: &source, runtime, tools, device: None, above: Vec::new() }
                .root(name, dir, previous)
        }
        Source::Files { at, files } => {
            VirtualWalker { run, files, runtime, tools, at: at.clone() }.root(name, dir, previous)
        }
    }
}
