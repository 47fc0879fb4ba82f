//! The walker's part: directories of this machine.

use super::dirs::{Above, PendingDir};
use super::file::no_xattrs;
use super::queue::Queue;
use super::saver::{Run, Tools};
use crate::Id;
use crate::error::cancelled;
use crate::format::{BlobKind, Node, NodeKind, Tree};
use crate::source::{PathSource, Stat, list_xattrs_fd, list_xattrs_path, node_of};
use aeth_core::{Error, Result};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A batch holds this many files or bytes at most; small ones share the cost of the hand-over.
const BATCH_FILES: usize = 32;
const BATCH_BYTES: u64 = 1 << 20;

/// Files of one directory, for a worker.
#[derive(Debug)]
pub(super) struct FileBatch {
    pub(super) dir: Arc<PendingDir>,
    pub(super) fd: Arc<OwnedFd>,
    pub(super) path: Arc<Path>,
    pub(super) items: Vec<FileItem>,
}

impl FileBatch {
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        self.path.join(OsStr::from_bytes(name)).into_os_string().into_encoded_bytes()
    }
}

/// One file that must be read.
#[derive(Debug)]
pub(super) struct FileItem {
    pub(super) name: Vec<u8>,
    /// Its name in the snapshot, where that is another.
    pub(super) shown: Option<Vec<u8>>,
    pub(super) slot: usize,
    /// The parent snapshot has a file here, but another one.
    pub(super) known: bool,
}

/// Walks one source.
pub(super) struct Walker<'a> {
    pub(super) run: &'a Run,
    pub(super) source: &'a PathSource,
    pub(super) runtime: &'a tokio::runtime::Handle,
    pub(super) tools: Tools,
    pub(super) device: Option<u64>,
    /// Device and number of the directories that are open, the outermost first.
    pub(super) above: Vec<(u64, u64)>,
}

/// An open directory and what is made of it.
struct Place<'a> {
    fd: Arc<OwnedFd>,
    path: Arc<Path>,
    dir: &'a Arc<PendingDir>,
    previous: Option<Tree>,
}

impl Walker<'_> {
    /// Saves the source's root, a directory or a file, as `name` of `above`.
    pub(super) fn root(
        &mut self,
        name: &[u8],
        above: &Arc<PendingDir>,
        previous: Option<&Node>,
    ) -> Result<()> {
        let path = self.source.path.clone();
        let parent = path.parent().unwrap_or(Path::new("/"));
        let place = Place {
            fd: Arc::new(
                open_dir(rustix::fs::CWD.as_fd(), parent.as_os_str().as_bytes())
                    .map_err(crate::error::errno(parent))?,
            ),
            path: parent.into(),
            dir: above,
            previous: None,
        };
        let own = path.file_name().map_or(b".".as_slice(), OsStr::as_bytes);
        let stat = stat_at(&place.fd, own).map_err(crate::error::errno(&path))?;
        self.device = Some(stat.device_id);
        let slot = above.reserve();
        match stat.kind() {
            NodeKind::Dir => {
                // Below the root, what cannot be read is left out; a root that cannot be read is no backup.
                open_dir(place.fd.as_fd(), own)
                    .and_then(|fd| read_names(&fd))
                    .map_err(crate::error::errno(&path))?;
                self.directory(&place, own, name, &stat, slot, previous)
            }
            // A file that stands at another place keeps its content and metadata under the other name.
            _ => {
                let mut batch = Vec::new();
                self.entry(&place, own, name, &stat, slot, previous, &mut batch)?;
                self.hand_over(&place, &mut batch);
                Ok(())
            }
        }
    }

    fn directory(
        &mut self,
        place: &Place<'_>,
        name: &[u8],
        shown: &[u8],
        stat: &Stat,
        slot: usize,
        previous: Option<&Node>,
    ) -> Result<()> {
        let path: Arc<Path> = place.path.join(OsStr::from_bytes(name)).into();
        // Mounts of a directory below itself, and broken file systems.
        if self.above.contains(&(stat.device_id, stat.inode)) {
            let error = Error::invalid("the directory contains itself: it is one of those above it")
                .with_remedy("unmount it there, exclude it, or stay on one file system");
            self.run.skip(path.as_os_str().as_bytes(), error);
            return place.dir.finish(slot, None, self.run, &mut self.tools);
        }
        let opened = open_dir(place.fd.as_fd(), name).and_then(|fd| {
            let crosses =
                self.source.one_file_system && self.device.is_some_and(|device| device != stat.device_id);
            let mut names = if crosses { Vec::new() } else { read_names(&fd)? };
            self.source.rules.prune(&fd, &mut names);
            Ok((fd, names))
        });
        let (fd, names) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let error = Error::from_io(error.into()).with_operation("read the directory");
                self.run.skip(path.as_os_str().as_bytes(), error);
                return place.dir.finish(slot, None, self.run, &mut self.tools);
            }
        };
        let mut own = node_of(shown, stat, &self.run.names);
        match list_xattrs_fd(fd.as_fd()) {
            Ok(xattrs) => own.xattrs = xattrs,
            Err(error) => self.run.skip(path.as_os_str().as_bytes(), no_xattrs(error)),
        }
        let subtree = previous.and_then(|node| node.subtree);
        let tree = self.load(subtree);
        let dir = PendingDir::new(Some(own), false, subtree, Above::Directory(Arc::clone(place.dir), slot));
        let inner = Place { fd: Arc::new(fd), path, dir: &dir, previous: tree };
        self.above.push((stat.device_id, stat.inode));
        self.entries(&inner, names)?;
        self.above.pop();
        dir.seal(self.run, &mut self.tools)
    }

    /// The parent's tree; one that cannot be read costs time, not the backup.
    fn load(&self, subtree: Option<Id>) -> Option<Tree> {
        let subtree = subtree.filter(|id| self.run.has(BlobKind::Tree, id))?;
        match self.runtime.block_on(self.run.shared.tree(subtree)) {
            Ok(tree) => Some(tree),
            Err(error) => {
                tracing::warn!(%error, "a tree of the parent snapshot cannot be read; its files are read again");
                None
            }
        }
    }

    fn entries(&mut self, place: &Place<'_>, names: Vec<Vec<u8>>) -> Result<()> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for name in names {
            if self.run.is_stopped() {
                return Err(cancelled());
            }
            let stat = match stat_at(&place.fd, &name) {
                Ok(stat) => stat,
                Err(error) => {
                    let gone = error == Errno::NOENT;
                    let error = if gone {
                        Error::not_found("vanished before it was read")
                    } else {
                        Error::from_io(error.into())
                    };
                    self.run.skip(&join(&place.path, &name), error);
                    continue;
                }
            };
            let is_dir = stat.kind() == NodeKind::Dir;
            if self.source.excludes_paths() {
                let path = place.path.join(OsStr::from_bytes(&name));
                let size = if stat.kind() == NodeKind::File { stat.size } else { 0 };
                if self.source.is_excluded(&path, is_dir, size) {
                    continue;
                }
            }
            let previous = place.previous.as_ref().and_then(|tree| tree.find(&name)).cloned();
            if stat.kind() == NodeKind::Socket {
                self.run.sockets.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let slot = place.dir.reserve();
            if is_dir {
                self.directory(place, &name, &name, &stat, slot, previous.as_ref())?;
                continue;
            }
            self.entry(place, &name, &name, &stat, slot, previous.as_ref(), &mut batch)?;
            bytes += stat.size;
            if batch.len() >= BATCH_FILES || bytes >= BATCH_BYTES {
                self.hand_over(place, &mut batch);
                bytes = 0;
            }
        }
        self.hand_over(place, &mut batch);
        Ok(())
    }

    /// Everything but a directory.
    #[allow(clippy::too_many_arguments, reason = "an entry is all of these")]
    fn entry(
        &mut self,
        place: &Place<'_>,
        name: &[u8],
        shown: &[u8],
        stat: &Stat,
        slot: usize,
        previous: Option<&Node>,
        batch: &mut Vec<FileItem>,
    ) -> Result<()> {
        let node = match stat.kind() {
            NodeKind::File => {
                self.run.progress.found(stat.size);
                let Some(node) = self.unchanged(shown, stat, previous) else {
                    let known = previous.is_some_and(|node| node.kind == NodeKind::File);
                    let shown = (name != shown).then(|| shown.to_vec());
                    batch.push(FileItem { name: name.to_vec(), shown, slot, known });
                    return Ok(());
                };
                Some(node)
            }
            _ => match self.special(place, name, stat) {
                Ok(mut node) => {
                    node.name = shown.to_vec();
                    Some(node)
                }
                Err(error) => {
                    self.run.skip(&join(&place.path, name), error);
                    None
                }
            },
        };
        place.dir.finish(slot, node, self.run, &mut self.tools)
    }

    /// A file that the parent snapshot has just so. Its change time is the same, so its extended attributes
    /// are too.
    fn unchanged(&self, name: &[u8], stat: &Stat, previous: Option<&Node>) -> Option<Node> {
        let previous = previous.filter(|node| stat.unchanged_since(node))?;
        let content = previous.content.as_ref()?;
        {
            let index = self.run.index.read();
            if !content.iter().all(|id| index.contains(BlobKind::Data, id)) {
                return None;
            }
        }
        let mut node = node_of(name, stat, &self.run.names);
        node.xattrs.clone_from(&previous.xattrs);
        node.content = Some(content.clone());
        self.run.progress.file_done();
        self.run.progress.bytes_done(stat.size);
        let mut counts = self.run.counts.lock();
        counts.files_unmodified += 1;
        counts.total_files_processed += 1;
        counts.total_bytes_processed += stat.size;
        Some(node)
    }

    fn special(&self, place: &Place<'_>, name: &[u8], stat: &Stat) -> Result<Node> {
        let mut node = node_of(name, stat, &self.run.names);
        let path = place.path.join(OsStr::from_bytes(name));
        if node.kind == NodeKind::Irregular {
            return Err(Error::unsupported("is of a type that cannot be backed up"));
        }
        if node.kind == NodeKind::Symlink {
            let target = rustix::fs::readlinkat(&place.fd, name, Vec::new())
                .map_err(|error| Error::from_io(error.into()).with_operation("read the link"))?;
            node.link_target = target.into_bytes();
        }
        match list_xattrs_path(&path) {
            Ok(xattrs) => node.xattrs = xattrs,
            Err(error) => self.run.skip(path.as_os_str().as_bytes(), no_xattrs(error)),
        }
        Ok(node)
    }

    fn hand_over(&self, place: &Place<'_>, batch: &mut Vec<FileItem>) {
        if batch.is_empty() {
            return;
        }
        let batch = FileBatch {
            dir: Arc::clone(place.dir),
            fd: Arc::clone(&place.fd),
            path: Arc::clone(&place.path),
            items: std::mem::take(batch),
        };
        let queue: &Queue = &self.run.queue;
        queue.push_files(batch);
    }
}

/// A node for a directory above a source.
pub(super) fn ancestor(path: &Path, name: &[u8], run: &Run) -> Result<Node> {
    let described = crate::error::errno(path);
    let stat = Stat::from(&rustix::fs::stat(path).map_err(&described)?);
    let mut node = node_of(name, &stat, &run.names);
    // Reading attributes may be forbidden above the source, where nothing depends on them.
    node.xattrs = list_xattrs_path(path).unwrap_or_default();
    Ok(node)
}

fn join(path: &Path, name: &[u8]) -> Vec<u8> {
    let joined: PathBuf = path.join(OsStr::from_bytes(name));
    joined.into_os_string().into_encoded_bytes()
}

fn open_dir(at: std::os::fd::BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

fn stat_at(dir: &OwnedFd, name: &[u8]) -> Result<Stat, Errno> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| Stat::from(&stat))
}

/// The names in a directory, in the order of their bytes.
fn read_names(fd: &OwnedFd) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(fd)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
