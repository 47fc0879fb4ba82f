//! The driver thread: walks the snapshot, makes directories, plans the packs, links and finishes.

use super::delta::Candidate;
use super::options::{Existing, RestoreOptions, RestoreReport};
use super::work::{FileTarget, PackJob, Restore, Use};
use super::{metadata, target};
use crate::Id;
use crate::format::{BlobEntry, BlobKind, Node, NodeKind};
use crate::progress::SkipList;
use crate::repo::{LockGuard, Repository, SnapshotEntry};
use crate::source::split;
use aeth_core::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A batch ends at so many blobs: what is known of its files is what takes memory.
const BATCH_BLOBS: usize = 50_000;
const DRIVER_STACK: usize = 64 << 20;

impl Repository {
    /// Restores a snapshot, or a part of it.
    ///
    /// Contents, permissions, times, owners, extended attributes, links, holes and special files come back as
    /// they were. What cannot be restored is named in the report, and the rest goes on.
    ///
    /// # Errors
    /// `AlreadyExists` when the target is not empty (for a single file: when it exists) and [`Existing::Refuse`] holds;
    /// `NotFound` when the snapshot has nothing at the chosen root, or was forgotten and pruned meanwhile; `Busy` when
    /// the repository is locked exclusively; `Corrupt` for an unreadable tree; `Closed` when it was cancelled.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future stops it, with what was restored so far in place.
    pub async fn restore(&self, snapshot: &SnapshotEntry, options: RestoreOptions) -> Result<RestoreReport> {
        self.shared.revive_unless_writing().await;
        let lock = LockGuard::for_reading(&self.shared).await?;
        let result = self.restore_locked(snapshot, options).await;
        // Before the lock was there, nothing kept another from taking it away.
        let rootless = match &result {
            Err(error) => Some(error),
            Ok(report) => {
                report.skipped.first().filter(|skipped| skipped.path.is_empty()).map(|skipped| &skipped.error)
            }
        };
        let gone = match rootless {
            Some(error) if error.kind() == ErrorKind::Corrupt && self.is_gone(snapshot).await => {
                Some(error.clone())
            }
            _ => None,
        };
        lock.release().await;
        match gone {
            Some(error) => Err(Error::not_found("the snapshot was forgotten and its data removed")
                .with_operation("restore")
                .with_key(snapshot.id)
                .with_remedy("list the snapshots again and choose one that is there")
                .with_source(error)),
            None => result,
        }
    }

    async fn is_gone(&self, snapshot: &SnapshotEntry) -> bool {
        self.shared.snapshot(snapshot.id).await.is_err_and(|error| error.is_not_found())
    }

    /// The same for a caller that keeps a lock meanwhile.
    pub(crate) async fn restore_locked(
        &self,
        snapshot: &SnapshotEntry,
        options: RestoreOptions,
    ) -> Result<RestoreReport> {
        let started = self.shared.clock.monotonic();
        // Dropped with this future: the threads see it and stop.
        let stop = options.cancel.child_token();
        let guard = stop.clone().drop_guard();
        let options = options.cancel_with(stop);
        let index = self.shared.reload_index().await;
        let (shared, root) = (Arc::clone(&self.shared), snapshot.snapshot.tree);
        let runtime = tokio::runtime::Handle::current();
        let result = match index {
            Err(error) => Err(error),
            Ok(_) => {
                let (done, finished) = tokio::sync::oneshot::channel();
                let spawned = std::thread::Builder::new()
                    .name("aeth-restore".into())
                    .stack_size(DRIVER_STACK)
                    .spawn(move || drop(done.send(run(shared, root, options, runtime))));
                match spawned {
                    Ok(_) => finished
                        .await
                        .unwrap_or_else(|_| Err(Error::other("the restore's thread ended early"))),
                    Err(error) => Err(Error::from_io(error).with_operation("start the restore's threads")),
                }
            }
        };
        drop(guard);
        let mut report = result?;
        report.elapsed = self.shared.clock.monotonic().saturating_sub(started);
        Ok(report)
    }
}

fn run(
    shared: Arc<crate::repo::Shared>,
    root: Id,
    options: RestoreOptions,
    runtime: tokio::runtime::Handle,
) -> Result<RestoreReport> {
    let restore = Restore {
        shared,
        options,
        runtime,
        skipped: SkipList::default(),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        verified: AtomicU64::new(0),
        unchanged: AtomicU64::new(0),
        unchanged_bytes: AtomicU64::new(0),
        deleted: AtomicU64::new(0),
        jobs: Mutex::default(),
    };
    let mut driver = Driver::new(&restore)?;
    driver.start(root)?;
    driver.compare()?;
    driver.flush()?;
    let directories = driver.finish();
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(RestoreReport {
        files: load(&restore.files),
        directories,
        bytes: load(&restore.bytes),
        unchanged: load(&restore.unchanged),
        unchanged_bytes: load(&restore.unchanged_bytes),
        deleted: load(&restore.deleted),
        dry_run: restore.options.dry_run,
        verified: load(&restore.verified),
        skipped: restore.skipped.take(),
        skipped_total: restore.skipped.total(),
        elapsed: std::time::Duration::ZERO,
    })
}

pub(super) struct Driver<'a> {
    pub(super) restore: &'a Restore,
    pub(super) existing: Existing,
    pub(super) dry_run: bool,
    include: Vec<Vec<Vec<u8>>>,
    /// Pack → blob → where it goes.
    batch: HashMap<Id, HashMap<Id, (BlobEntry, Vec<Use>)>>,
    batched: usize,
    /// Files that are there, to be compared together.
    pub(super) candidates: Vec<Candidate>,
    /// The first name of each inode that has several.
    inodes: HashMap<(u64, u64), PathBuf>,
    links: Vec<(PathBuf, PathBuf, Vec<u8>)>,
    specials: Vec<(PathBuf, Node, Vec<u8>)>,
    directories: Vec<(PathBuf, Node, Vec<u8>)>,
}

impl<'a> Driver<'a> {
    fn new(restore: &'a Restore) -> Result<Self> {
        let include =
            restore.options.include.iter().map(|path| split(path.as_bytes())).collect::<Result<_>>()?;
        Ok(Self {
            restore,
            existing: restore.options.existing,
            dry_run: restore.options.dry_run,
            include,
            batch: HashMap::new(),
            batched: 0,
            candidates: Vec::new(),
            inodes: HashMap::new(),
            links: Vec::new(),
            specials: Vec::new(),
            directories: Vec::new(),
        })
    }

    fn start(&mut self, root: Id) -> Result<()> {
        let target = self.restore.options.target.clone();
        let Some(place) = self.restore.options.root.clone() else {
            target::prepare(&target, self.existing, self.dry_run)?;
            return self.directory(root, &target, &mut Vec::new());
        };
        let segments = split(place.as_bytes())?;
        let mut tree = root;
        let mut found: Option<Node> = None;
        for name in &segments {
            let nodes = self.restore.runtime.block_on(self.restore.shared.tree(tree))?;
            let node = nodes.find(name).cloned().ok_or_else(|| {
                Error::not_found("the snapshot has nothing at this path")
                    .with_key(&place)
                    .with_remedy("list the snapshot to see what it holds")
            })?;
            tree = node.subtree.unwrap_or(tree);
            found = Some(node);
        }
        let mut at = segments;
        match found {
            Some(node) if node.kind != NodeKind::Dir => {
                target::refuse_existing(&target, self.existing)?;
                if let Some(parent) = target.parent()
                    && !self.dry_run
                {
                    std::fs::create_dir_all(parent).map_err(crate::error::io(parent))?;
                }
                at.pop();
                self.entry(&node, target, &mut at)
            }
            found => {
                target::prepare(&target, self.existing, self.dry_run)?;
                self.directory(tree, &target, &mut at)?;
                if let Some(node) = found {
                    self.directories.push((target, node, shown(&at)));
                }
                Ok(())
            }
        }
    }

    /// Restores the entries of a tree into a directory that exists.
    fn directory(&mut self, tree: Id, into: &Path, at: &mut Vec<Vec<u8>>) -> Result<()> {
        let tree = match self.restore.runtime.block_on(self.restore.shared.tree(tree)) {
            Ok(tree) => tree,
            Err(error) => {
                self.restore.skip(&shown(at), error);
                return Ok(());
            }
        };
        if self.deletes() {
            self.remove_strangers(&tree.nodes, into, at)?;
        }
        let mut last: Option<Vec<u8>> = None;
        for node in tree.nodes {
            self.restore.check_cancelled()?;
            let checked = target::check_name(&node.name).map(|name| into.join(name));
            let path = match checked {
                Ok(_) if last.as_ref() == Some(&node.name) => {
                    let error = Error::corrupt("the tree has this name twice; the second is not restored");
                    Err(error.with_key(String::from_utf8_lossy(&node.name)))
                }
                other => other,
            };
            last = Some(node.name.clone());
            match path {
                Ok(path) => self.entry(&node, path, at)?,
                Err(error) => self.restore.skip(&shown(at), error),
            }
        }
        Ok(())
    }

    /// 2: chosen, 1: above something chosen, 0: neither.
    pub(super) fn chosen(&self, at: &[Vec<u8>]) -> u8 {
        let exclude = &self.restore.options.exclude;
        // What is below something excluded is not walked into.
        if !exclude.is_empty() {
            let path = shown(at);
            if exclude.iter().any(|pattern| pattern.matches(&path)) {
                return 0;
            }
        }
        if self.include.is_empty() || self.include.iter().any(|wanted| at.starts_with(wanted)) {
            return 2;
        }
        u8::from(self.include.iter().any(|wanted| wanted.starts_with(at)))
    }

    fn entry(&mut self, node: &Node, path: PathBuf, at: &mut Vec<Vec<u8>>) -> Result<()> {
        at.push(node.name.clone());
        let result = match (self.chosen(at), node.kind) {
            (0, _) => Ok(()),
            (_, NodeKind::Dir) => self.enter(node, path, at),
            (1, _) => Ok(()),
            (_, NodeKind::File) => self.file(node, path, at),
            _ => {
                self.specials.push((path, node.clone(), shown(at)));
                Ok(())
            }
        };
        at.pop();
        result
    }

    fn enter(&mut self, node: &Node, path: PathBuf, at: &mut Vec<Vec<u8>>) -> Result<()> {
        let subtree = node.subtree.ok_or_else(|| Error::corrupt("the directory has no tree"));
        let make = || if self.dry_run { Ok(()) } else { target::directory(&path, self.existing) };
        match subtree.and_then(|tree| make().map(|()| tree)) {
            Ok(tree) => {
                self.directory(tree, &path, at)?;
                self.restore.options.progress.directory_done();
                let mut own = node.clone();
                own.content = None;
                self.directories.push((path, own, shown(at)));
            }
            Err(error) => self.restore.skip(&shown(at), error),
        }
        Ok(())
    }

    fn file(&mut self, node: &Node, path: PathBuf, at: &[Vec<u8>]) -> Result<()> {
        self.restore.options.progress.found(node.size);
        if node.links > 1 {
            let key = (node.device_id, node.inode);
            if let Some(first) = self.inodes.get(&key) {
                self.links.push((first.clone(), path, shown(at)));
                return Ok(());
            }
            self.inodes.insert(key, path.clone());
        }
        let content = node.content.clone().unwrap_or_default();
        let file = Arc::new(FileTarget {
            path,
            shown: shown(at),
            node: node.clone(),
            open: AtomicUsize::new(content.len()),
            failed: AtomicBool::new(false),
            created: AtomicBool::new(false),
            in_place: AtomicBool::new(false),
        });
        if self.existing != Existing::Refuse && self.stays(&file)? {
            return Ok(());
        }
        self.planned(&file, &[])
    }

    /// Plans the parts of a file that are not the same already.
    pub(super) fn planned(&mut self, file: &Arc<FileTarget>, same: &[bool]) -> Result<()> {
        let content = file.node.content.clone().unwrap_or_default();
        if let Err(error) = self.plan(file, &content, same) {
            file.remove_if_created();
            self.restore.skip(&file.shown, error);
            return Ok(());
        }
        if self.batched >= BATCH_BLOBS { self.flush() } else { Ok(()) }
    }

    fn plan(&mut self, file: &Arc<FileTarget>, content: &[Id], same: &[bool]) -> Result<()> {
        let index = self.restore.runtime.block_on(self.restore.shared.index())?;
        let mut places = Vec::with_capacity(content.len());
        let mut offset = 0;
        {
            let index = index.read();
            for (number, id) in content.iter().enumerate() {
                let location = index.get(BlobKind::Data, id).ok_or_else(|| {
                    Error::corrupt("a part of the file is in no index; the file is not restored").with_key(id)
                })?;
                if same.get(number) != Some(&true) {
                    places.push((location, offset));
                }
                offset += u64::from(location.entry.plain_length());
            }
        }
        if self.dry_run {
            self.restore.would_restore(file, offset);
            return Ok(());
        }
        if !same.is_empty() {
            let out = file.write_over()?;
            out.set_len(offset).map_err(crate::error::io(&file.path))?;
            file.open.store(places.len(), Ordering::Release);
            if places.is_empty() {
                return self.restore.finish(file, &out);
            }
        } else if content.len() != 1 {
            let out = file.create(self.existing)?;
            out.set_len(offset).map_err(crate::error::io(&file.path))?;
            if content.is_empty() {
                return self.restore.finish(file, &out);
            }
        }
        self.batched += places.len();
        for (location, offset) in places {
            let pack = self.batch.entry(location.pack).or_default();
            let (_, uses) = pack.entry(location.entry.id).or_insert_with(|| (location.entry, Vec::new()));
            uses.push(Use { file: Arc::clone(file), offset });
        }
        Ok(())
    }

    /// Restores the contents of the files planned so far.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.batched = 0;
        let packs = std::mem::take(&mut self.batch).into_iter();
        let jobs = packs.map(|(pack, blobs)| PackJob { pack, blobs: blobs.into_values().collect() });
        self.restore.jobs.lock().extend(jobs);
        let threads = self.restore.shared.options.threads.max(2);
        let restore = self.restore;
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| restore.work())).collect();
            let results = workers.into_iter().map(|worker| {
                worker.join().unwrap_or_else(|_| Err(Error::other("a worker thread panicked")))
            });
            results.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// Links, special files, then the directories' metadata from the inside out; returns how many directories.
    fn finish(self) -> u64 {
        let restore = self.restore;
        for (first, path, at) in &self.links {
            let kept = self.existing == Existing::Keep && target::there(path).is_some();
            if kept || target::is_same(first, path) {
                restore.unchanged.fetch_add(1, Ordering::Relaxed);
                restore.options.progress.file_done();
                continue;
            }
            if self.dry_run {
                restore.files.fetch_add(1, Ordering::Relaxed);
                restore.options.progress.file_done();
                continue;
            }
            match target::hard_link(first, path, self.existing) {
                Ok(()) => {
                    restore.files.fetch_add(1, Ordering::Relaxed);
                    restore.options.progress.file_done();
                }
                Err(error) => restore.skip(at, error),
            }
        }
        for (path, node, at) in &self.specials {
            let kept = self.existing == Existing::Keep && target::there(path).is_some();
            if kept || self.dry_run {
                continue;
            }
            if let Err(error) = self.clear(path) {
                restore.skip(at, error);
                continue;
            }
            let made = target::special(path, node, self.existing)
                .and_then(|()| metadata::of_path(path, node, restore.options.owners));
            if let Err(error) = made {
                restore.skip(at, error);
            }
        }
        // Children were pushed before their parents.
        for (path, node, at) in &self.directories {
            if self.dry_run {
                continue;
            }
            if self.existing != Existing::Refuse {
                metadata::strip(path, node);
            }
            if let Err(error) = metadata::of_path(path, node, restore.options.owners) {
                restore.skip(at, error);
            }
        }
        u64::try_from(self.directories.len()).unwrap_or(0)
    }
}

pub(super) fn shown(at: &[Vec<u8>]) -> Vec<u8> {
    at.iter().flat_map(|name| [b"/".as_slice(), name].concat()).collect()
}
