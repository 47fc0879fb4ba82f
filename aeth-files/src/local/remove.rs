//! Deleting blobs.

use super::Inner;
use super::error::io;
use super::names::place;
use super::options::Durability;
use super::root::retry;
use aeth_core::{BlobPath, Result};
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::collections::BTreeSet;

impl Inner {
    pub(super) fn delete(&self, paths: &[BlobPath]) -> Vec<Result<()>> {
        let mut dirs = BTreeSet::new();
        let mut results: Vec<Result<()>> = paths
            .iter()
            .map(|path| {
                let place = place(path, self.layout);
                let removed =
                    self.unlink(path, &place.dir, &place.name).map_err(|error| error.with_key(path))?;
                if removed {
                    dirs.insert(place.dir);
                }
                Ok(())
            })
            .collect();
        for dir in dirs.iter().rev() {
            if let Err(error) = self.settle(dir) {
                for (path, result) in paths.iter().zip(&mut results) {
                    if result.is_ok() && place(path, self.layout).dir == *dir {
                        *result = Err(error.clone().with_key(path));
                    }
                }
            }
        }
        results
    }

    /// Forces deletions in a directory to the disk, and removes it when it is empty.
    fn settle(&self, name: &str) -> Result<()> {
        if self.durability == Durability::FileAndDirectory {
            match self.root.dir(name) {
                Ok(dir) => retry(|| rustix::fs::fsync(&dir)).map_err(io)?,
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(io(error)),
            }
        }
        self.prune(name);
        Ok(())
    }

    /// Removes a blob's file and then its sidecar; false when there is none.
    fn unlink(&self, path: &BlobPath, dir: &str, name: &str) -> Result<bool> {
        let dir = match self.root.dir(dir) {
            Ok(dir) => dir,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            Err(error) => return Err(io(error)),
        };
        let _held = self.stripes.hold(path)?;
        let spot = self.find(&dir, name)?;
        if spot.stat.is_none() {
            return Ok(false);
        }
        match rustix::fs::unlinkat(&dir, &spot.name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(io(error)),
        }
        self.drop_record(path, &spot)?;
        Ok(true)
    }
}
