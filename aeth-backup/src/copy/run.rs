//! A copy from end to end.

use super::report::{CopiedSnapshot, CopyOptions, CopyReport};
use super::transfer::Transfer;
use crate::Id;
use crate::error::cancelled;
use crate::format::Snapshot;
use crate::repo::{LockGuard, Repository, SnapshotEntry};
use aeth_core::{Error, Result};
use std::collections::BTreeMap;

impl Repository {
    /// Copies snapshots into another repository. Everything is opened, verified and sealed again under the other's
    /// keys; what it has already is not copied. A copy names the snapshot that it was made from as its `original`,
    /// and is not made again. This handle only reads.
    ///
    /// # Errors
    /// `Invalid` when both are the same repository; `NotFound` for a snapshot that was named and is not there;
    /// `Corrupt` when something cannot be read in any sink: the snapshots before it are copied; `Busy` when one of the
    /// two is locked exclusively; `Closed` when it was cancelled; the sinks' errors when fewer than the quorum are
    /// left.
    ///
    /// # Cancel safety
    /// Cancel-safe: the snapshots that are there are whole, and the next copy goes on.
    pub async fn copy_to(&self, target: &Self, options: CopyOptions) -> Result<CopyReport> {
        if self.id() == target.id() {
            return Err(Error::invalid("a repository cannot be copied into itself")
                .with_operation("copy")
                .with_key(self.id())
                .with_remedy("its sinks are replicas of one another: a backup run brings them up to date"));
        }
        self.shared.revive_unless_writing().await;
        let reading = LockGuard::for_reading(&self.shared).await?;
        let result = Box::pin(async {
            let _writing = target.shared.writer.lock().await;
            target.shared.revive().await;
            target.shared.sinks.check_quorum()?;
            let lock = LockGuard::acquire(&target.shared, false).await?;
            let result = Box::pin(self.copy_locked(target, &options, &lock)).await;
            lock.release().await;
            result
        })
        .await;
        reading.release().await;
        result.map_err(|error| error.with_operation("copy"))
    }

    async fn copy_locked(
        &self,
        target: &Self,
        options: &CopyOptions,
        lock: &LockGuard,
    ) -> Result<CopyReport> {
        let mut report = CopyReport {
            same_chunker: self.shared.config.chunker_polynomial == target.shared.config.chunker_polynomial,
            ..CopyReport::default()
        };
        let mut chosen = self.snapshots_matching(&options.filter).await?;
        if let Some(id) = options.ids.iter().find(|id| !chosen.iter().any(|entry| entry.id == **id)) {
            return Err(Error::not_found("there is no such snapshot").with_key(id));
        }
        chosen.retain(|entry| options.ids.is_empty() || options.ids.contains(&entry.id));
        target.shared.catch_up().await?;
        let known = by_original(target.shared.snapshots().await?);
        self.shared.reload_index().await?;
        let mut transfer = Transfer::new(self, target, options, lock).await?;
        for entry in chosen {
            if options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let original = entry.snapshot.original.unwrap_or(entry.id);
            let same = known.get(&original).into_iter().flatten();
            let mut same = same.filter(|there| is_copy(&there.snapshot, &entry.snapshot));
            if let Some(there) = same.next() {
                report.present.push(CopiedSnapshot { from: entry.id, to: there.id });
                continue;
            }
            transfer.tree(entry.snapshot.tree).await?;
            let mut snapshot = entry.snapshot;
            snapshot.original = Some(original);
            // It is of no use where it was not copied with it.
            snapshot.parent = None;
            let new = target.shared.store_snapshot(snapshot, lock).await?;
            report.copied.push(CopiedSnapshot { from: entry.id, to: new.id });
        }
        (report.blobs, report.bytes) = transfer.counts();
        Ok(report)
    }
}

/// Snapshots by their own id and by the one that they were made from.
fn by_original(snapshots: Vec<SnapshotEntry>) -> BTreeMap<Id, Vec<SnapshotEntry>> {
    let mut known: BTreeMap<Id, Vec<SnapshotEntry>> = BTreeMap::new();
    for entry in snapshots {
        if let Some(original) = entry.snapshot.original.filter(|original| *original != entry.id) {
            known.entry(original).or_default().push(entry.clone());
        }
        known.entry(entry.id).or_default().push(entry);
    }
    known
}

/// restic's rule: everything but parent and original is the same.
fn is_copy(a: &Snapshot, b: &Snapshot) -> bool {
    let sorted = |list: &[String]| {
        let mut list = list.to_vec();
        list.sort();
        list
    };
    (a.time, a.tree, a.uid, a.gid) == (b.time, b.tree, b.uid, b.gid)
        && a.hostname == b.hostname
        && a.username == b.username
        && a.excludes == b.excludes
        && sorted(&a.paths) == sorted(&b.paths)
        && sorted(&a.tags) == sorted(&b.tags)
}
