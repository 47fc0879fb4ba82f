//! Directories: made when a blob needs them, removed when their last blob is gone.

use super::Inner;
use super::error::{contended, io};
use super::names::{Place, beside, is_shard};
use super::options::{Durability, Layout};
use super::root::{kind, open_dir, retry, stat};
use super::temp::rename;
use aeth_core::{BlobPath, Result};
use rustix::fs::{AtFlags, Mode, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// How often a writer that others disturb begins anew.
pub(super) const ATTEMPTS: usize = 1_000;
/// How many directories are remembered as being on the disk.
const REMEMBERED: usize = 1 << 16;

/// Where in its directory a blob is, or would be.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) name: String,
    pub(super) stat: Option<Stat>,
}

impl Inner {
    /// Looks for a blob's file. Decisive only while the stripe of its path is held.
    pub(super) fn find(&self, dir: &OwnedFd, name: &str) -> Result<Spot> {
        let first = stat(dir, name).map_err(io)?;
        let first_kind = first.as_ref().map(kind);
        match first_kind {
            Some(kind) if kind.is_file() => return Ok(Spot { name: name.to_owned(), stat: first }),
            Some(kind) if kind.is_symlink() => return Err(io(Errno::LOOP)),
            Some(kind) if !kind.is_dir() => return Err(io(Errno::NOTDIR)),
            _ => {}
        }
        if self.layout == Layout::Sharded {
            return Ok(Spot { name: name.to_owned(), stat: None });
        }
        let name_beside = beside(name);
        match stat(dir, &name_beside).map_err(io)? {
            Some(second) if kind(&second).is_file() => Ok(Spot { name: name_beside, stat: Some(second) }),
            Some(_) => Err(io(Errno::NOTDIR)),
            None if first_kind.is_some() => Ok(Spot { name: name_beside, stat: None }),
            None => Ok(Spot { name: name.to_owned(), stat: None }),
        }
    }

    /// Opens the directory of a blob, making it and those above it where they are missing.
    pub(super) fn ensure_dir(&self, path: &BlobPath, place: &Place) -> Result<OwnedFd> {
        for _ in 0..ATTEMPTS {
            match self.root.dir(&place.dir) {
                Ok(dir) => return Ok(dir),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => return Err(io(error).with_key(path)),
            }
            match self.make_dirs(path, &place.dir) {
                Ok(Some(dir)) => return Ok(dir),
                // Removed again by somebody who deleted the last blob in it.
                Ok(None) => {}
                Err(error) => return Err(error.with_key(path)),
            }
        }
        Err(contended(path))
    }

    fn make_dirs(&self, path: &BlobPath, dirs: &str) -> Result<Option<OwnedFd>> {
        let mut held = self.root.dir("").map_err(io)?;
        for (depth, name) in dirs.split('/').enumerate() {
            match rustix::fs::mkdirat(&held, name, Mode::from(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(io(error)),
            }
            held = match open_dir(&held, name) {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::NOTDIR) if self.layout == Layout::Plain => {
                    self.make_room(path, depth, &held, name)?;
                    return Ok(None);
                }
                Err(error) => return Err(io(error)),
            };
        }
        Ok(Some(held))
    }

    /// Moves the blob that has the name of a directory beside it.
    fn make_room(&self, path: &BlobPath, depth: usize, dir: &OwnedFd, name: &str) -> Result<()> {
        let blob: Vec<&str> = path.segments().take(depth + 1).collect();
        let blob = BlobPath::new(blob.join("/"))?;
        let _held = self.stripes.hold(&blob)?;
        match stat(dir, name).map_err(io)? {
            Some(found) if kind(&found).is_file() => {
                rename(dir, name, dir, &beside(name), true).map_err(io)?;
                if self.durability == Durability::FileAndDirectory {
                    retry(|| rustix::fs::fsync(dir)).map_err(io)?;
                }
                Ok(())
            }
            Some(found) if kind(&found).is_dir() => Ok(()),
            Some(_) => Err(io(Errno::NOTDIR)),
            None => Ok(()),
        }
    }

    /// Forces a directory to the disk, and those above it unless they are known to be there.
    pub(super) fn sync_dir(&self, dir: &OwnedFd, name: &str) -> Result<()> {
        if self.durability != Durability::FileAndDirectory {
            return Ok(());
        }
        retry(|| rustix::fs::fsync(dir)).map_err(io)?;
        let Some(identity) = identity(dir) else {
            return self.sync_above(name);
        };
        if self.durable.lock().contains(&identity) {
            return Ok(());
        }
        self.sync_above(name)?;
        let mut durable = self.durable.lock();
        if durable.len() >= REMEMBERED {
            durable.clear();
        }
        durable.insert(identity);
        Ok(())
    }

    fn sync_above(&self, name: &str) -> Result<()> {
        let mut name = name;
        while !name.is_empty() {
            name = name.rsplit_once('/').map_or("", |(above, _)| above);
            match self.root.dir(name) {
                Ok(dir) => retry(|| rustix::fs::fsync(&dir)).map_err(io)?,
                // Gone again, and with it what was to be kept.
                Err(Errno::NOENT) => {}
                Err(error) => return Err(io(error)),
            }
        }
        Ok(())
    }

    /// Removes a directory and those above it as far as they are empty. Whoever is about to create something
    /// in one of them finds it gone and makes it again.
    pub(super) fn prune(&self, name: &str) {
        let mut name = name;
        while !name.is_empty() {
            let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
            let Ok(dir) = self.root.dir(above) else { return };
            if rustix::fs::unlinkat(&dir, last, AtFlags::REMOVEDIR).is_err() {
                return;
            }
            name = above;
        }
    }
}

/// What tells a directory from a later one with the same inode: its time of birth. `None` where there is none.
#[cfg(target_os = "linux")]
fn identity(dir: impl AsFd) -> Option<(u64, i64, u32)> {
    use rustix::fs::StatxFlags;
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    let found = rustix::fs::statx(dir, "", AtFlags::EMPTY_PATH, wanted).ok()?;
    let has = StatxFlags::from_bits_retain(found.stx_mask).contains(wanted);
    has.then_some((found.stx_ino, found.stx_btime.tv_sec, found.stx_btime.tv_nsec))
}

#[cfg(not(target_os = "linux"))]
fn identity(_: impl AsFd) -> Option<(u64, i64, u32)> {
    None
}

/// True for a directory of files, not one of the tree.
pub(super) fn is_files_dir(layout: Layout, name: &str) -> bool {
    layout == Layout::Sharded && is_shard(name)
}
