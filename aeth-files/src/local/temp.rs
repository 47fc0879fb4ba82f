//! Temporary files, and who owns them.
//!
//! Every handle owns a directory under `.aeth/tmp/` and keeps a lock file in it locked as long as it lives. What
//! lies in a directory whose lock is free was left by a dead owner, on whatever host or in whatever container,
//! and is removed by the next open.

use super::error::io;
use super::root::{open_dir, retry};
use super::stamp::Stamp;
use aeth_core::Result;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const LOCK: &str = "lock";
/// Slices that the system takes at once.
const SLICES: usize = 1024;
/// Bytes handed to the system at once. A larger write makes the page cache ask for larger blocks of memory, which
/// it has to clear or to fetch from the host first: measured at up to eight times the processor time.
const PIECE: usize = 1 << 20;

/// The directory of one owner.
#[derive(Debug)]
pub(super) struct Temps {
    all: OwnedFd,
    dir: OwnedFd,
    id: String,
    next: AtomicU64,
    /// Its lock tells the others that this owner lives.
    _lock: OwnedFd,
}

impl Temps {
    /// Removes what dead owners left and makes a directory for a new one. The caller sees to it that nobody
    /// else does the same at the same time.
    pub(super) fn open(all: OwnedFd) -> Result<Arc<Self>> {
        for name in entries(&all).map_err(io)? {
            // What cannot be removed is left to the next open.
            if let Err(error) = remove_dead(&all, &name) {
                tracing::debug!(%error, "leftovers of a dead writer stay");
            }
        }
        let id = crate::random::hex::<16>()?;
        rustix::fs::mkdirat(&all, &id, Mode::from(0o777)).map_err(io)?;
        let dir = open_dir(&all, &id).map_err(io)?;
        let lock = create(&dir, LOCK).map_err(io)?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(io)?;
        Ok(Arc::new(Self { all, dir, id, next: AtomicU64::new(0), _lock: lock }))
    }

    /// Makes an empty temporary file.
    pub(super) fn create(self: &Arc<Self>) -> Result<Temp> {
        let name = self.next.fetch_add(1, Relaxed).to_string();
        let file = File::from(create(&self.dir, &name).map_err(io)?);
        Ok(Temp { temps: Arc::clone(self), name, file, armed: true })
    }
}

impl Drop for Temps {
    fn drop(&mut self) {
        // Should any of this fail, the next open does it.
        let _ = rustix::fs::unlinkat(&self.dir, LOCK, AtFlags::empty());
        let _ = rustix::fs::unlinkat(&self.all, &self.id, AtFlags::REMOVEDIR);
    }
}

/// Creates a file that must not exist.
pub(super) fn create(dir: impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    retry(|| rustix::fs::openat(&dir, name, flags, Mode::from(0o666)))
}

/// The names in a directory, those that are UTF-8.
pub(super) fn entries(dir: impl AsFd) -> rustix::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        if let Ok(name) = entry?.file_name().to_str()
            && !matches!(name, "." | "..")
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes a directory that holds only files.
pub(super) fn remove_dir(parent: impl AsFd, name: &str) -> rustix::io::Result<()> {
    let dir = match open_dir(&parent, name) {
        Err(Errno::NOENT) => return Ok(()),
        dir => dir?,
    };
    for file in entries(&dir)? {
        match rustix::fs::unlinkat(&dir, &file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => result,
    }
}

fn remove_dead(all: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    let dir = open_dir(all, name)?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(&dir, LOCK, flags, Mode::empty()) {
        Ok(lock) => match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(()),
            result => result?,
        },
        // It died before it had a lock, or while it gave its directory up.
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    remove_dir(all, name)
}

/// A temporary file; removed on drop unless it was given its name.
#[derive(Debug)]
pub(super) struct Temp {
    temps: Arc<Temps>,
    name: String,
    pub(super) file: File,
    armed: bool,
}

impl Temp {
    /// Writes all of `chunks` at the end.
    pub(super) fn write(&mut self, chunks: &[bytes::Bytes]) -> Result<()> {
        let mut pieces: Vec<IoSlice<'_>> =
            chunks.iter().flat_map(|chunk| chunk.chunks(PIECE)).map(IoSlice::new).collect();
        let mut rest = pieces.as_mut_slice();
        while !rest.is_empty() {
            let mut length = 0;
            let fits = |piece: &&IoSlice<'_>| {
                length += piece.len();
                length <= PIECE
            };
            let count = rest.iter().take(SLICES).take_while(fits).count();
            let (mut left, later) = rest.split_at_mut(count.max(1));
            rest = later;
            while !left.is_empty() {
                match self.file.write_vectored(left) {
                    Ok(0) => return Err(io(Errno::IO)),
                    Ok(written) => IoSlice::advance_slices(&mut left, written),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(aeth_core::Error::from_io(error)),
                }
            }
        }
        Ok(())
    }

    /// Sets the modification time.
    pub(super) fn set_stamp(&self, stamp: Stamp) -> Result<()> {
        rustix::fs::futimens(&self.file, &stamp.times()).map_err(io)
    }

    pub(super) fn stat(&self) -> Result<Stat> {
        rustix::fs::fstat(&self.file).map_err(io)
    }

    /// Forces the bytes and the modification time to the disk.
    pub(super) fn sync(&self) -> Result<()> {
        retry(|| rustix::fs::fsync(&self.file)).map_err(io)
    }

    /// Gives the file a name in `dir`, replacing what has it, or only when it is free.
    pub(super) fn persist(&mut self, dir: impl AsFd, name: &str, replace: bool) -> rustix::io::Result<()> {
        rename(&self.temps.dir, &self.name, &dir, name, replace)?;
        self.armed = false;
        Ok(())
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        if self.armed {
            // Should this fail, the next open after this process does it.
            let _ = rustix::fs::unlinkat(&self.temps.dir, &self.name, AtFlags::empty());
        }
    }
}

/// Renames a file, replacing what has the name, or only when it is free.
pub(super) fn rename(
    from_dir: impl AsFd,
    from: &str,
    to_dir: impl AsFd,
    to: &str,
    replace: bool,
) -> rustix::io::Result<()> {
    if replace {
        return rustix::fs::renameat(from_dir, from, to_dir, to);
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::RenameFlags;
        match rustix::fs::renameat_with(&from_dir, from, &to_dir, to, RenameFlags::NOREPLACE) {
            // Not every file system can.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return result,
        }
    }
    match rustix::fs::linkat(&from_dir, from, &to_dir, to, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(&from_dir, from, AtFlags::empty()),
        // No hard links either: our own writers are excluded by the stripe that the caller holds.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK) => {
            if super::root::stat(&to_dir, to)?.is_some() {
                return Err(Errno::EXIST);
            }
            rustix::fs::renameat(from_dir, from, to_dir, to)
        }
        Err(error) => Err(error),
    }
}
