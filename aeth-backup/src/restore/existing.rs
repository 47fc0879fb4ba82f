//! The driver's part where something is in the target already.

use super::delta::{Candidate, compare};
use super::driver::{Driver, shown};
use super::options::Existing;
use super::target;
use super::work::FileTarget;
use crate::format::{Node, NodeTime};
use aeth_core::Result;
use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// So many files, or bytes of them, are compared together.
const BATCH_FILES: usize = 1024;
const BATCH_BYTES: u64 = 256 << 20;

impl Driver<'_> {
    /// Whether strangers in the target are removed.
    pub(super) fn deletes(&self) -> bool {
        self.restore.options.delete && !matches!(self.existing, Existing::Refuse | Existing::Keep)
    }

    /// Sees to a file whose place may be taken; false when it is to be restored as if nothing were there.
    pub(super) fn stays(&mut self, file: &Arc<FileTarget>) -> Result<bool> {
        let Some(found) = target::there(&file.path) else { return Ok(false) };
        let restore = self.restore;
        let kept = || {
            restore.unchanged.fetch_add(1, Ordering::Relaxed);
            restore.options.progress.file_done();
            restore.options.progress.bytes_done(file.node.size);
        };
        if self.existing == Existing::Keep {
            kept();
            return Ok(true);
        }
        if !found.is_file() {
            if let Err(error) = self.clear(&file.path) {
                restore.skip(&file.shown, error);
                return Ok(true);
            }
            return Ok(false);
        }
        if !self.existing.compares() {
            return Ok(false);
        }
        let modified = NodeTime::new(found.mtime(), u32::try_from(found.mtime_nsec()).unwrap_or(0));
        let order =
            (modified.seconds(), modified.nanos()).cmp(&(file.node.mtime.seconds(), file.node.mtime.nanos()));
        if self.existing == Existing::IfNewer && order.is_gt() {
            kept();
            return Ok(true);
        }
        let alike = order.is_eq() && found.len() == file.node.size;
        if self.existing == Existing::IfChanged && alike && !restore.options.verify {
            restore.unchanged_bytes.fetch_add(file.node.size, Ordering::Relaxed);
            restore.leave(file);
            return Ok(true);
        }
        let (length, linked) = (found.len(), found.nlink() > 1);
        self.candidates.push(Candidate { file: Arc::clone(file), length, linked });
        let bytes: u64 = self.candidates.iter().map(|candidate| candidate.length).sum();
        if self.candidates.len() >= BATCH_FILES || bytes >= BATCH_BYTES {
            self.compare()?;
        }
        Ok(true)
    }

    /// Removes a directory that is in the place of something else, where that is allowed.
    pub(super) fn clear(&self, path: &Path) -> Result<()> {
        if !self.deletes() || !target::there(path).is_some_and(|found| found.is_dir()) {
            return Ok(());
        }
        self.restore.deleted.fetch_add(1, Ordering::Relaxed);
        if self.dry_run { Ok(()) } else { target::remove(path) }
    }

    /// Compares the files that wait for it, and plans what differs.
    pub(super) fn compare(&mut self) -> Result<()> {
        let candidates = std::mem::take(&mut self.candidates);
        if candidates.is_empty() {
            return Ok(());
        }
        let restore = self.restore;
        let threads = restore.shared.options.threads.max(2).min(candidates.len());
        for (candidate, same) in compare(restore, candidates, threads)? {
            let Candidate { file, length, linked } = candidate;
            let parts = file.node.content.as_ref().map_or(0, Vec::len);
            let right = same.iter().filter(|same| **same).count();
            if right == parts && same.len() == parts && length == file.node.size {
                restore.unchanged_bytes.fetch_add(length, Ordering::Relaxed);
                if restore.options.verify {
                    restore.verified.fetch_add(1, Ordering::Relaxed);
                }
                restore.leave(&file);
            } else if right == 0 || parts == 1 || linked || target::reopen(&file.path).is_err() {
                self.planned(&file, &[])?;
            } else {
                restore.unchanged_bytes.fetch_add(self.bytes_of(&file, &same)?, Ordering::Relaxed);
                self.planned(&file, &same)?;
            }
        }
        Ok(())
    }

    /// The bytes of the parts that are right.
    fn bytes_of(&self, file: &FileTarget, same: &[bool]) -> Result<u64> {
        let index = self.restore.runtime.block_on(self.restore.shared.index())?;
        let index = index.read();
        let parts = file.node.content.iter().flatten().zip(same);
        let lengths = parts.filter(|(_, same)| **same).filter_map(|(id, _)| {
            let location = index.get(crate::format::BlobKind::Data, id)?;
            Some(u64::from(location.entry.plain_length()))
        });
        Ok(lengths.sum())
    }

    /// Removes what the snapshot's directory does not have.
    pub(super) fn remove_strangers(&self, nodes: &[Node], into: &Path, at: &mut Vec<Vec<u8>>) -> Result<()> {
        let known: HashSet<&[u8]> = nodes.iter().map(|node| node.name.as_slice()).collect();
        // Nothing is removed through a link that is in a directory's place; the target itself may be one.
        let real = at.is_empty() || target::there(into).is_some_and(|found| found.is_dir());
        if !real && into != self.restore.options.target {
            return Ok(());
        }
        // A directory that is not there yet has none; one that cannot be read is named when it is written into.
        let Ok(entries) = std::fs::read_dir(into) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if known.contains(name.as_bytes()) {
                continue;
            }
            self.restore.check_cancelled()?;
            at.push(name.as_bytes().to_vec());
            if self.chosen(at) == 2 {
                let removed = if self.dry_run { Ok(()) } else { target::remove(&entry.path()) };
                match removed {
                    Ok(()) => drop(self.restore.deleted.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => self.restore.skip(&shown(at), error),
                }
            }
            at.pop();
        }
        Ok(())
    }
}
