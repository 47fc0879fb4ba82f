//! Reading blobs.
//!
//! A read first tries without leaving the calling thread, asking the kernel for what it has in memory and
//! nothing else (`RESOLVE_CACHED`, `RWF_NOWAIT`): a hop to a blocking thread and back costs more than the read
//! of a small cached blob. Only what would wait for the disk hops.

use super::Inner;
use super::chunks;
use super::error::{io, not_a_blob, not_found};
use super::names::{Place, beside, place};
use super::options::Layout;
use super::root::{Wait, kind, retry};
use super::sidecar::Record;
use super::stamp::{Stamp, etag, size};
use crate::blocking::{blocking, join};
use aeth_core::blob::{Attributes, Blob, BlobMeta, BlobTags, GetOptions};
use aeth_core::{BlobPath, ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::fs::Stat;
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// The size of the chunks of a streamed read.
const CHUNK: u64 = chunks::CHUNK as u64;
/// The most that is read in one piece for a caller who gathers it anyway.
const PIECE: u64 = 64 << 20;
/// The most that is copied out of the kernel's memory, or into it, on the calling thread.
pub(super) const INLINE: u64 = 256 << 10;
/// How often a read that others disturb begins anew.
const ATTEMPTS: usize = 1_000;

/// Why a step did not succeed.
#[derive(Debug)]
pub(super) enum Fail {
    /// It would have had to wait for the disk.
    Again,
    Error(Error),
}

/// The result of a step that may be told not to wait.
pub(super) type Step<T> = std::result::Result<T, Fail>;

impl From<Errno> for Fail {
    fn from(error: Errno) -> Self {
        if error == Errno::AGAIN { Self::Again } else { Self::Error(io(error)) }
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Fail> for Error {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Again => io(Errno::AGAIN),
            Fail::Error(error) => error,
        }
    }
}

/// A blob's file, open, and what belongs to it.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: OwnedFd,
    pub(super) stat: Stat,
    pub(super) record: Option<Record>,
}

impl Opened {
    pub(super) fn meta(&self, path: &BlobPath) -> BlobMeta {
        let mut meta = meta(path, &self.stat);
        let record = self.record.as_ref();
        meta.attributes = Some(record.map_or_else(Attributes::default, |record| record.attributes.clone()));
        meta.tags = Some(record.map_or_else(BlobTags::default, |record| record.tags.clone()));
        meta.checksum = record.and_then(Record::checksum);
        meta
    }
}

/// What a file says about a blob.
pub(super) fn meta(path: &BlobPath, stat: &Stat) -> BlobMeta {
    BlobMeta::new(path.clone(), size(stat), Stamp::of(stat).time()).with_etag(etag(stat))
}

/// What the first step of a get found.
enum Begun {
    Whole(Blob),
    Large(BlobMeta, Range<u64>, OwnedFd),
}

impl Inner {
    pub(super) async fn get(self: &Arc<Self>, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        // A read that never waits still gives other tasks their turn now and then.
        tokio::task::coop::consume_budget().await;
        let place = place(path, self.layout);
        let begun = match self.begin(path, &place, &options, Wait::Never) {
            Err(Fail::Again) => {
                let (inner, path) = (Arc::clone(self), path.clone());
                blocking(move || inner.begin(&path, &place, &options, Wait::Disk).map_err(Error::from))
                    .await?
            }
            begun => begun?,
        };
        Ok(match begun {
            Begun::Whole(blob) => blob,
            Begun::Large(meta, range, file) => {
                let body = stream_file(file, range.clone(), meta.path.clone());
                Blob::new(meta, range, body)
            }
        })
    }

    fn begin(&self, path: &BlobPath, place: &Place, options: &GetOptions, wait: Wait) -> Step<Begun> {
        let opened = self.open_blob(path, place, wait)?;
        let meta = opened.meta(path);
        options.check(meta.etag.as_ref(), meta.modified).map_err(|error| error.with_key(path))?;
        let range = match &options.range {
            _ if options.head => 0..0,
            Some(range) => range.resolve(meta.size).map_err(|error| error.with_key(path))?,
            None => 0..meta.size,
        };
        let length = range.end - range.start;
        if length == 0 {
            return Ok(Begun::Whole(Blob::new(meta, range, stream::empty().boxed())));
        }
        let at_once = if options.in_one_piece { PIECE } else { CHUNK };
        if options.in_one_piece && wait == Wait::Never && (INLINE + 1..=PIECE).contains(&length) {
            return Err(Fail::Again);
        }
        if length > if wait == Wait::Never { INLINE } else { at_once } {
            return Ok(Begun::Large(meta, range, opened.file));
        }
        let wait = if self.in_memory { Wait::Disk } else { wait };
        let bytes = read_range(&opened.file, range.clone(), wait).map_err(|fail| named(fail, path))?;
        Ok(Begun::Whole(Blob::new(meta, range, stream::iter([Ok(bytes)]).boxed())))
    }

    /// Opens the present state of a blob with the record that belongs to that very state.
    pub(super) fn open_blob(&self, path: &BlobPath, place: &Place, wait: Wait) -> Step<Opened> {
        for _ in 0..ATTEMPTS {
            let (file, stat) = self.open_file(path, place, wait)?;
            let stamp = Stamp::of(&stat);
            if !stamp.may_have_sidecar(self.granularity) {
                return Ok(Opened { file, stat, record: None });
            }
            // A file system in memory cannot say what it has in memory, and never waits.
            let patience = if self.in_memory { Wait::Disk } else { wait };
            let record = self.sidecars.find(path, stamp, size(&stat), patience)?;
            if record.is_some() {
                return Ok(Opened { file, stat, record });
            }
            // Either another tool wrote the file, or it was replaced after it was opened here, and its record
            // is gone with it: look again.
            let (_, now) = self.open_file(path, place, wait)?;
            if now.st_ino == stat.st_ino && Stamp::of(&now) == stamp {
                return Ok(Opened { file, stat, record: None });
            }
        }
        Err(super::error::contended(path).into())
    }

    /// Opens the file of a blob: under its own name, or beside the directory that has it.
    fn open_file(&self, path: &BlobPath, place: &Place, wait: Wait) -> Step<(OwnedFd, Stat)> {
        let name = place.file();
        let found = self.open_regular(path, &name, wait)?;
        match found {
            Some(found) => Ok(found),
            // A writer that makes room for a directory moves the file from the first name to the second, never
            // back, so that looking in this order finds it.
            None if self.layout == Layout::Plain => {
                self.open_regular(path, &beside(&name), wait)?.ok_or_else(|| not_found(path).into())
            }
            None => Err(not_found(path).into()),
        }
    }

    fn open_regular(&self, path: &BlobPath, name: &str, wait: Wait) -> Step<Option<(OwnedFd, Stat)>> {
        let fd = match self.root.file(name, wait) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            // A socket, or a device without a driver.
            Err(Errno::NXIO) => return Err(not_a_blob(path).into()),
            Err(error) => return Err(named(error.into(), path)),
        };
        let stat = rustix::fs::fstat(&fd)?;
        let kind = kind(&stat);
        if kind.is_dir() {
            return Ok(None);
        }
        if !kind.is_file() {
            return Err(not_a_blob(path).into());
        }
        Ok(Some((fd, stat)))
    }
}

fn named(fail: Fail, path: &BlobPath) -> Fail {
    match fail {
        Fail::Again => Fail::Again,
        Fail::Error(error) => Fail::Error(error.with_key(path)),
    }
}

/// Reads a part of a file.
pub(super) fn read_range(file: &OwnedFd, range: Range<u64>, wait: Wait) -> Step<Bytes> {
    let length = usize::try_from(range.end - range.start)
        .map_err(|_| Error::invalid("the range is longer than the memory of this machine"))?;
    if wait == Wait::Never {
        return read_cached(file, length, range.start);
    }
    let mut bytes = Vec::with_capacity(length);
    fill(file, range.start, length, &mut bytes)?;
    Ok(bytes.into())
}

/// Reads `length` bytes from `start` on into an empty buffer that has room for them.
fn fill(file: &OwnedFd, start: u64, length: usize, bytes: &mut Vec<u8>) -> Step<()> {
    while bytes.len() < length {
        let at = start + bytes.len() as u64;
        let read = retry(|| rustix::io::pread(file, rustix::buffer::spare_capacity(bytes), at))?;
        if read == 0 {
            return Err(shortened().into());
        }
    }
    bytes.truncate(length);
    Ok(())
}

/// Reads a chunk of a stream. A short one has memory of its own: whoever keeps it would keep the room of a whole one.
fn read_chunk(file: &OwnedFd, range: Range<u64>) -> Result<Bytes> {
    if range.end - range.start < CHUNK {
        return Ok(read_range(file, range, Wait::Disk)?);
    }
    let mut chunk = chunks::room();
    fill(file, range.start, chunks::CHUNK, &mut chunk)?;
    Ok(chunks::lend(chunk))
}

/// Reads what the kernel has in memory, all of it or nothing.
#[cfg(target_os = "linux")]
fn read_cached(file: &OwnedFd, length: usize, at: u64) -> Step<Bytes> {
    use rustix::io::ReadWriteFlags;
    let mut bytes = vec![0; length];
    let mut slices = [std::io::IoSliceMut::new(&mut bytes)];
    match rustix::io::preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == length => Ok(bytes.into()),
        // A part of it is not in memory, or the file system cannot tell.
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Err(Fail::Again),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_cached(_: &OwnedFd, _: usize, _: u64) -> Step<Bytes> {
    Err(Fail::Again)
}

/// Reads all of a small file of the store's own.
pub(super) fn read_all(file: &OwnedFd, wait: Wait) -> Step<Bytes> {
    let stat = rustix::fs::fstat(file.as_fd())?;
    if size(&stat) == 0 {
        return Ok(Bytes::new());
    }
    read_range(file, 0..size(&stat), wait)
}

fn shortened() -> Error {
    Error::corrupt("the file became shorter while it was read")
        .with_remedy("let nothing but the store write into its directory")
}

/// A part of a file as a stream; the next chunk is read while the caller has the last one.
fn stream_file(file: OwnedFd, range: Range<u64>, path: BlobPath) -> ByteStream {
    let file = Arc::new(file);
    let start = move |at: u64, end: u64| {
        let file = Arc::clone(&file);
        tokio::task::spawn_blocking(move || read_chunk(&file, at..end.min(at + CHUNK)))
    };
    let Range { start: first, end } = range;
    stream::try_unfold((first, None), move |(at, pending)| {
        let start = start.clone();
        async move {
            if at == end {
                return Ok(None);
            }
            let chunk = join(pending.unwrap_or_else(|| start(at, end)).await)?;
            let next = at + chunk.len() as u64;
            let ahead = (next < end).then(|| start(next, end));
            Ok(Some((chunk, (next, ahead))))
        }
    })
    .map_err(move |error: Error| error.with_key(&path))
    .boxed()
}
