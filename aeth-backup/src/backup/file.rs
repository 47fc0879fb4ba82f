//! A worker's part: files into chunks, chunks into blobs.

use super::buffer::{Buffer, READ};
use super::directory::{FileBatch, FileItem};
use super::dirs::PendingDir;
use super::queue::Job;
use super::saver::{Run, Tools};
use crate::Id;
use crate::error::cancelled;
use crate::format::{BlobKind, Node, NodeKind};
use crate::source::{Stat, list_xattrs_fd, node_of};
use aeth_core::{Error, Result};
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A file of several chunks, which several workers make.
#[derive(Debug)]
pub(super) struct SharedFile {
    dir: Arc<PendingDir>,
    slot: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Option<Node>,
    ids: Vec<Option<Id>>,
    /// Chunks that are not saved, and one for the reader.
    open: usize,
}

/// A chunk that any worker can save.
#[derive(Debug)]
pub(super) struct ChunkJob {
    file: Arc<SharedFile>,
    number: usize,
    data: Buffer,
}

impl ChunkJob {
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    fn run(self, run: &Run, tools: &mut Tools) -> Result<()> {
        let id = run.save(tools, BlobKind::Data, &self.data)?;
        run.progress.bytes_done(u64::try_from(self.data.len()).unwrap_or(0));
        run.reuse(self.data);
        self.file.chunk_done(Some((self.number, id)), run, tools)
    }
}

impl SharedFile {
    pub(super) fn new(dir: Arc<PendingDir>, slot: usize) -> Arc<Self> {
        Arc::new(Self { dir, slot, inner: Mutex::new(Inner { node: None, ids: Vec::new(), open: 1 }) })
    }

    /// Hands a chunk to the other workers, or saves it when they have enough to do.
    pub(super) fn chunk(self: &Arc<Self>, data: Buffer, run: &Run, tools: &mut Tools) -> Result<()> {
        let number = {
            let mut inner = self.inner.lock();
            inner.open += 1;
            inner.ids.push(None);
            inner.ids.len() - 1
        };
        let job = ChunkJob { file: Arc::clone(self), number, data };
        match run.queue.offer_chunk(job) {
            Ok(()) => Ok(()),
            Err(job) => job.run(run, tools),
        }
    }

    /// The reader is through; `None` when the file cannot be kept after all.
    pub(super) fn end(&self, node: Option<Node>, run: &Run, tools: &mut Tools) -> Result<()> {
        self.inner.lock().node = node;
        self.chunk_done(None, run, tools)
    }

    fn chunk_done(&self, saved: Option<(usize, Id)>, run: &Run, tools: &mut Tools) -> Result<()> {
        let node = {
            let mut inner = self.inner.lock();
            if let Some((number, id)) = saved
                && let Some(entry) = inner.ids.get_mut(number)
            {
                *entry = Some(id);
            }
            inner.open -= 1;
            if inner.open > 0 {
                return Ok(());
            }
            let ids = std::mem::take(&mut inner.ids);
            inner.node.take().map(|mut node| {
                node.content = Some(ids.into_iter().flatten().collect());
                node
            })
        };
        self.dir.finish(self.slot, node, run, tools)
    }
}

/// A worker that panics must not leave the others waiting for it.
struct FailOnPanic<'a>(&'a Run);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::other("a worker thread panicked"));
        }
    }
}

/// What a worker thread does until there is no more.
pub(super) fn work(run: &Run) {
    let _guard = FailOnPanic(run);
    let work = || -> Result<()> {
        let mut tools = run.tools()?;
        let mut buffer = run.buffer()?;
        let mut busy = false;
        while let Some(job) = run.queue.pop(busy) {
            busy = true;
            match job {
                Job::Files(batch) => save_batch(&batch, &mut buffer, run, &mut tools)?,
                Job::Chunk(chunk) => chunk.run(run, &mut tools)?,
            }
        }
        Ok(())
    };
    if let Err(error) = work() {
        run.fail(error);
    }
}

fn save_batch(batch: &FileBatch, buffer: &mut Buffer, run: &Run, tools: &mut Tools) -> Result<()> {
    for item in &batch.items {
        if run.is_stopped() {
            return Err(cancelled());
        }
        match open_file(&batch.fd, &item.name) {
            Ok((file, stat)) => save_file(batch, item, &file, &stat, buffer, run, tools)?,
            Err(error) => {
                run.skip(&batch.path_of(&item.name), error);
                batch.dir.finish(item.slot, None, run, tools)?;
            }
        }
    }
    Ok(())
}

/// Opens a file without following a link, without waiting for a pipe's other end, and without leaving a trace
/// in its access time where that is allowed.
pub(super) fn open_at(dir: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    match rustix::fs::openat(dir, name, flags | no_atime(), Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir, name, flags, Mode::empty()),
        other => other,
    }
}

#[cfg(target_os = "linux")]
fn no_atime() -> OFlags {
    OFlags::NOATIME
}

#[cfg(not(target_os = "linux"))]
fn no_atime() -> OFlags {
    OFlags::empty()
}

fn open_file(dir: &OwnedFd, name: &[u8]) -> Result<(OwnedFd, Stat)> {
    let described = |error: Errno| match error {
        Errno::NOENT => Error::not_found("vanished before it was read"),
        Errno::LOOP => Error::invalid("is no longer a regular file"),
        error => Error::from_io(error.into()).with_operation("open"),
    };
    let file = open_at(dir, name).map_err(described)?;
    let stat = Stat::from(&rustix::fs::fstat(&file).map_err(described)?);
    if stat.kind() != NodeKind::File {
        return Err(Error::invalid("is no longer a regular file"));
    }
    Ok((file, stat))
}

fn save_file(
    batch: &FileBatch,
    item: &FileItem,
    file: &OwnedFd,
    stat: &Stat,
    buffer: &mut Buffer,
    run: &Run,
    tools: &mut Tools,
) -> Result<()> {
    let mut node = node_of(item.shown.as_ref().unwrap_or(&item.name), stat, &run.names);
    match list_xattrs_fd(file.as_fd()) {
        Ok(xattrs) => node.xattrs = xattrs,
        Err(error) => run.skip(&batch.path_of(&item.name), no_xattrs(error)),
    }
    let read = read_chunks(batch, item, file, stat, buffer, run, tools)?;
    let outcome = match read {
        Ok(outcome) => outcome,
        Err((error, shared)) => {
            run.skip(&batch.path_of(&item.name), error);
            return match shared {
                Some(shared) => shared.end(None, run, tools),
                None => batch.dir.finish(item.slot, None, run, tools),
            };
        }
    };
    node.size = outcome.size;
    let after = rustix::fs::fstat(file).map(|stat| Stat::from(&stat));
    if after
        .is_ok_and(|after| after.mtime != stat.mtime || after.size != stat.size || after.size != outcome.size)
    {
        run.changed.lock().push(String::from_utf8_lossy(&batch.path_of(&item.name)).into_owned());
    }
    run.progress.file_done();
    count_file(item.known, outcome.size, run);
    match outcome.shared {
        Some(shared) => shared.end(Some(node), run, tools),
        None => {
            node.content = Some(outcome.only.into_iter().collect());
            batch.dir.finish(item.slot, Some(node), run, tools)
        }
    }
}

pub(super) fn no_xattrs(error: Errno) -> Error {
    Error::from_io(error.into()).with_operation("read the extended attributes")
}

pub(super) fn count_file(known: bool, size: u64, run: &Run) {
    let mut counts = run.counts.lock();
    if known {
        counts.files_changed += 1;
    } else {
        counts.files_new += 1;
    }
    counts.total_files_processed += 1;
    counts.total_bytes_processed += size;
}

struct Outcome {
    size: u64,
    /// The blob of a file of one chunk.
    only: Option<Id>,
    /// The chunks of a longer one.
    shared: Option<Arc<SharedFile>>,
}

type ReadFailure = (Error, Option<Arc<SharedFile>>);

/// Reads to the end of the file. The outer error ends the run, the inner one only skips the file.
fn read_chunks(
    batch: &FileBatch,
    item: &FileItem,
    file: &OwnedFd,
    stat: &Stat,
    buffer: &mut Buffer,
    run: &Run,
    tools: &mut Tools,
) -> Result<Result<Outcome, ReadFailure>> {
    let chunker = &run.shared.chunker;
    let mut shared: Option<Arc<SharedFile>> = None;
    let (mut size, mut scanned) = (0_u64, 0);
    buffer.clear();
    // One byte more than it should have, so that the first read of a small file sees its end.
    let mut want = usize::try_from(stat.size).unwrap_or(READ).saturating_add(1).min(READ);
    loop {
        let read = match rustix::io::read(file, buffer.room(want)) {
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(error) => {
                return Ok(Err((Error::from_io(error.into()).with_operation("read"), shared)));
            }
        };
        if read == 0 {
            break;
        }
        buffer.filled(read);
        if run.is_stopped() {
            return Err(cancelled());
        }
        size += u64::try_from(read).unwrap_or(0);
        want = READ;
        while let Some(end) = chunker.cut(buffer, &mut scanned) {
            let mut rest = run.buffer()?;
            buffer.split(end, &mut rest);
            let data = std::mem::replace(buffer, rest);
            scanned = 0;
            let target = shared.get_or_insert_with(|| SharedFile::new(Arc::clone(&batch.dir), item.slot));
            Arc::clone(target).chunk(data, run, tools)?;
        }
    }
    let mut only = None;
    if !buffer.is_empty() {
        match &shared {
            Some(shared) => shared.chunk(std::mem::replace(buffer, run.buffer()?), run, tools)?,
            None => {
                only = Some(run.save(tools, BlobKind::Data, buffer)?);
                run.progress.bytes_done(u64::try_from(buffer.len()).unwrap_or(0));
                if !buffer.is_reusable() {
                    *buffer = run.buffer()?;
                }
            }
        }
    }
    Ok(Ok(Outcome { size, only, shared }))
}
