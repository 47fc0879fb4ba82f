//! What is right in the target already.

use super::target;
use super::work::{FileTarget, Restore};
use crate::Id;
use crate::format::BlobKind;
use aeth_core::Result;
use parking_lot::Mutex;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A file of the target that may hold parts of what is to be restored there.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) file: Arc<FileTarget>,
    pub(super) length: u64,
    /// Other names of it may lie outside of the target: it is never written in place.
    pub(super) linked: bool,
}

/// For each candidate the parts that are right, in order.
pub(super) fn compare(
    restore: &Restore,
    candidates: Vec<Candidate>,
    threads: usize,
) -> Result<Vec<(Candidate, Vec<bool>)>> {
    let (waiting, compared) = (Mutex::new(candidates), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let work = || {
            let mut buffer = Vec::new();
            loop {
                restore.check_cancelled()?;
                let Some(candidate) = waiting.lock().pop() else { return Ok(()) };
                // What cannot be read or found is not right: restoring it says what is wrong.
                let same = parts(restore, &candidate.file, &mut buffer).unwrap_or_default();
                compared.lock().push((candidate, same));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| {
            let panicked = || aeth_core::Error::other("a worker thread panicked");
            worker.join().unwrap_or_else(|_| Err(panicked()))
        });
        results.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })?;
    Ok(compared.into_inner())
}

fn parts(restore: &Restore, file: &FileTarget, buffer: &mut Vec<u8>) -> Result<Vec<bool>> {
    let held = target::open(&file.path)?;
    let index = restore.runtime.block_on(restore.shared.index())?;
    let mut offset = 0;
    let mut same = Vec::new();
    for id in file.node.content.iter().flatten() {
        restore.check_cancelled()?;
        let Some(location) = index.read().get(BlobKind::Data, id) else { return Ok(Vec::new()) };
        let length = location.entry.plain_length();
        buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        let right = held.read_exact_at(buffer, offset).is_ok() && Id::of(buffer) == *id;
        same.push(right);
        offset += u64::from(length);
    }
    Ok(same)
}
