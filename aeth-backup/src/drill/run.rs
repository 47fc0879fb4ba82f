//! A drill from end to end.

use super::sample::Sample;
use super::{DrillOptions, DrillReport};
use crate::format::NodeKind;
use crate::repo::{LockGuard, Repository, SnapshotEntry};
use crate::restore::RestoreOptions;
use crate::scratch::Scratch;
use aeth_core::{ClockExt, Error, ErrorKind, Result};
use futures_util::TryStreamExt;
use std::path::Path;

/// Room that a restore leaves on the disk.
const SPARE: u64 = 64 << 20;

/// What of a snapshot is to be restored.
struct Wanted {
    files: u64,
    bytes: u64,
    total_bytes: u64,
    /// The files of a sample; `None` for everything.
    paths: Option<Vec<String>>,
}

impl Repository {
    /// Restores a snapshot, or a sample of it, into a directory of its own, reads every restored file again and
    /// compares it with the snapshot, and removes what it restored. A backup that was never restored is a hope.
    ///
    /// Owners are restored as far as this user may.
    ///
    /// # Errors
    /// `NotFound` when there is no such snapshot; `Busy` when the repository is locked exclusively; `Full` when the disk
    /// has not enough room, before anything is restored; `Corrupt` when a tree cannot be read; `Closed` when it was
    /// cancelled; those of the sinks and of the file system. Files that do not come back right are no error: the report
    /// names them.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was restored so far is removed.
    pub async fn drill(&self, options: DrillOptions) -> Result<DrillReport> {
        self.shared.revive_unless_writing().await;
        // From before the choice: what is chosen may be forgotten meanwhile, but not pruned.
        let lock = LockGuard::for_reading(&self.shared).await?;
        let result = self.drill_locked(options).await;
        lock.release().await;
        result
    }

    async fn drill_locked(&self, options: DrillOptions) -> Result<DrillReport> {
        let clock = &self.shared.clock;
        let started = clock.monotonic();
        let snapshot = self.snapshot_matching(&options.snapshot, &options.filter).await?;
        let seed = options.seed.unwrap_or_else(|| clock.unix_millis());
        let wanted = self.survey(&snapshot, options.sample, seed).await?;
        let directory = options.scratch.clone();
        let made = self.shared.tasks.spawn_blocking(move || {
            let scratch = Scratch::new(&directory, "drill")?;
            enough_room(scratch.path(), wanted.bytes).map(|()| scratch)
        });
        let scratch = crate::repo::joined(made.await)?;
        let mut restore = RestoreOptions::new(scratch.path())
            .verify(true)
            .progress(options.progress)
            .cancel_with(options.cancel);
        for path in wanted.paths.into_iter().flatten() {
            restore = restore.include(path);
        }
        let restored = self.restore_locked(&snapshot, restore).await;
        // Removing a large tree takes a while.
        drop(self.shared.tasks.spawn_blocking(move || drop(scratch)).await);
        let restored = restored?;
        Ok(DrillReport {
            snapshot: snapshot.id,
            wanted: wanted.files,
            files: restored.files,
            verified: restored.verified,
            bytes: restored.bytes,
            total_bytes: wanted.total_bytes,
            problems: restored.skipped,
            problems_total: restored.skipped_total,
            elapsed: clock.monotonic().saturating_sub(started),
        })
    }

    async fn survey(&self, snapshot: &SnapshotEntry, budget: Option<u64>, seed: u64) -> Result<Wanted> {
        let mut wanted = Wanted { files: 0, bytes: 0, total_bytes: 0, paths: None };
        let mut sample = budget.map(|budget| Sample::new(seed, budget));
        let mut entries = self.entries(snapshot, "/");
        while let Some(entry) = entries.try_next().await? {
            if entry.node.kind != NodeKind::File {
                continue;
            }
            wanted.files += 1;
            wanted.total_bytes += entry.node.size;
            // A name that is not UTF-8 cannot be asked for alone.
            if let (Some(sample), Ok(path)) = (&mut sample, std::str::from_utf8(&entry.path)) {
                sample.offer(path, entry.node.size);
            }
        }
        wanted.bytes = wanted.total_bytes;
        if let Some(sample) = sample {
            wanted.bytes = sample.bytes();
            let paths = sample.into_paths();
            wanted.files = u64::try_from(paths.len()).unwrap_or(u64::MAX);
            wanted.paths = (!paths.is_empty()).then_some(paths);
        }
        Ok(wanted)
    }
}

fn enough_room(directory: &Path, bytes: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(directory).map_err(crate::error::errno(directory))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= bytes.saturating_add(SPARE) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Full, format!("the drill restores {bytes} bytes, and {free} are free"))
        .with_operation("drill")
        .with_key(directory.display())
        .with_remedy("choose a directory on another disk, or restore a sample"))
}
