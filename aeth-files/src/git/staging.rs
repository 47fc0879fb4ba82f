//! Objects that are written but not yet part of the repository.
//!
//! They are written into a directory of their own, forced to the disk all at once, and only then moved to where
//! git looks for objects: what is there is always whole, whatever happened to the machine. The directory has the
//! name of those that stock git makes for the same reason and removes when they are old.

use super::error::{COMPONENT, from_gix, io};
use crate::random;
use aeth_core::{Error, ErrorKind, Result};
use gix::objs::{Kind, Write as _, WriteTo};
use gix::{ObjectId, hash, odb::loose};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

const PREFIX: &str = "tmp_objdir-aeth-";
/// How often a directory is made that others remove before it is locked.
const TRIES: u32 = 10;

/// A batch of objects on the way into a repository; removed on drop.
pub(super) struct Staging {
    dir: PathBuf,
    objects: PathBuf,
    store: loose::Store,
    /// Locked for as long as this lives: tells it from the directory of a process that died.
    _lock: File,
}

impl Staging {
    /// Begins one in a repository, and removes those of processes that died.
    pub(super) fn begin(repository: &Path) -> Result<Self> {
        let objects = repository.join("objects");
        sweep(&objects);
        for _ in 0..TRIES {
            let dir = objects.join(format!("{PREFIX}{}", random::hex::<8>()?));
            fs::create_dir(&dir).map_err(io)?;
            let lock = match File::open(&dir) {
                Ok(lock) => lock,
                // One that sweeps has seen it before it was locked.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io(error)),
            };
            lock.lock().map_err(io)?;
            // The same, while this waited for the lock.
            if dir.exists() {
                let store = loose::Store::at(&dir, hash::Kind::Sha1);
                return Ok(Self { dir, objects, store, _lock: lock });
            }
        }
        Err(Error::new(ErrorKind::Busy, "others remove what this process makes").with_component(COMPONENT))
    }

    /// Writes an object that the repository does not have yet, and gives its name.
    pub(super) fn write(&self, repository: &gix::Repository, kind: Kind, bytes: &[u8]) -> Result<ObjectId> {
        let id = gix::objs::compute_hash(hash::Kind::Sha1, kind, bytes).map_err(from_gix)?;
        // Not `has_object`, which has the empty tree in every repository; `git fsck` does not.
        if !gix::objs::Exists::exists(&repository.objects, &id) && !self.store.contains(&id) {
            self.store.write_buf_with_known_id(kind, bytes, id).map_err(from_gix)?;
        }
        Ok(id)
    }

    /// Writes a tree, commit or tag.
    pub(super) fn write_object(
        &self,
        repository: &gix::Repository,
        object: &dyn WriteTo,
    ) -> Result<ObjectId> {
        let mut bytes = Vec::new();
        object.write_to(&mut bytes).map_err(io)?;
        self.write(repository, object.kind(), &bytes)
    }

    /// Makes all that was written part of the repository, durably. More can be written afterwards.
    pub(super) fn publish(&self) -> Result<()> {
        sync(&self.dir)?;
        let mut moved = false;
        for shard in fs::read_dir(&self.dir).map_err(io)? {
            let shard = shard.map_err(io)?;
            if !shard.file_type().map_err(io)?.is_dir() {
                continue;
            }
            let target = self.objects.join(shard.file_name());
            match fs::create_dir(&target) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(error)),
                _ => {}
            }
            for object in fs::read_dir(shard.path()).map_err(io)? {
                let object = object.map_err(io)?;
                // One of the same name has the same content.
                fs::rename(object.path(), target.join(object.file_name())).map_err(io)?;
                moved = true;
            }
        }
        if moved { sync(&self.objects) } else { Ok(()) }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// Removes the directories that no living process holds.
fn sweep(objects: &Path) {
    for entry in fs::read_dir(objects).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(dir) = File::open(entry.path()) else { continue };
        // Held until it is gone: whoever waits for the lock of one that is being removed must not get it before.
        if !matches!(dir.try_lock(), Err(TryLockError::WouldBlock)) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Forces the file system that has `dir` to the disk: one call, however many objects there are.
#[cfg(target_os = "linux")]
pub(super) fn sync(dir: &Path) -> Result<()> {
    let dir = File::open(dir).map_err(io)?;
    rustix::fs::syncfs(&dir).map_err(|error| io(error.into()))
}

/// Forces all file systems to the disk.
#[cfg(not(target_os = "linux"))]
pub(super) fn sync(_dir: &Path) -> Result<()> {
    rustix::fs::sync();
    Ok(())
}
