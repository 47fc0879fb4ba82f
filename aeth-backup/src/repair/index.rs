//! The index, from the packs.

use super::options::RepairOptions;
use super::report::RepairReport;
use crate::error::cancelled;
use crate::format::BlobEntry;
use crate::prune::pack_size;
use crate::repo::{IdMap, IdSet, LockGuard, Repository, Shared};
use aeth_core::Result;
use std::sync::Arc;

impl Repository {
    /// Makes the index agree with the packs: damaged index files are replaced, packs that no index names are named
    /// again, packs that are gone are no longer. With [`read_packs`](RepairOptions::read_packs) the header of every
    /// pack is read, otherwise only of those whose length or absence says that the index is wrong.
    ///
    /// # Errors
    /// `Busy` when somebody keeps a lock; `Denied` for append-only sinks; `Closed` when it was cancelled; the sinks'
    /// errors when fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: the old index stays until the new one is there.
    pub async fn repair_index(&self, options: RepairOptions) -> Result<RepairReport> {
        let shared = &self.shared;
        let _writing = shared.writer.lock().await;
        shared.revive().await;
        shared.refuse_append_only("repair")?;
        let lock = LockGuard::acquire_within(shared, true, options.wait, &options.cancel).await?;
        let mut report = RepairReport { dry_run: options.dry_run, ..RepairReport::default() };
        let result = shared.rebuild_index(&options, &lock, &mut report).await;
        lock.release().await;
        result.map_err(|error| error.with_operation("repair"))?;
        report.sinks = shared.sinks.status();
        Ok(report)
    }
}

impl Shared {
    async fn rebuild_index(
        self: &Arc<Self>,
        options: &RepairOptions,
        lock: &LockGuard,
        report: &mut RepairReport,
    ) -> Result<()> {
        let indexes = self.read_indexes().await?;
        let stored = self.stored().await?;
        let mut packs: IdMap<Vec<BlobEntry>> = IdMap::default();
        for (id, size) in &stored {
            if options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let indexed = indexes.packs.get(id);
            let fits = indexed.is_some_and(|blobs| pack_size(blobs) == *size);
            if fits && !options.read_packs {
                packs.extend(indexed.map(|blobs| (*id, blobs.clone())));
                continue;
            }
            options.progress.file_done();
            match self.header_of(*id, *size).await {
                Ok(blobs) => {
                    if !indexed.is_some_and(|indexed| sorted(indexed) == sorted(&blobs)) {
                        report.packs_added += 1;
                    }
                    packs.insert(*id, blobs);
                }
                // Its blobs may be whole though its header is not: repairing the packs saves them.
                Err(error) => {
                    if let Some(blobs) = indexed.filter(|_| fits) {
                        packs.insert(*id, blobs.clone());
                    } else {
                        report.packs_dropped += u64::from(indexed.is_some());
                    }
                    report.unrepaired.push(error.with_remedy("repair the packs to save what is whole in it"));
                }
            }
        }
        let lost = indexes.packs.keys().filter(|id| !stored.contains_key(*id)).count();
        report.packs_dropped += u64::try_from(lost).unwrap_or(0);
        report.indexes_replaced = indexes.damaged;
        let changed = [report.packs_added, report.packs_dropped, report.indexes_replaced] != [0; 3];
        if !changed || options.dry_run {
            return Ok(());
        }
        self.replace_index(packs, indexes.files, IdSet::default(), lock).await
    }
}

fn sorted(blobs: &[BlobEntry]) -> Vec<BlobEntry> {
    let mut blobs = blobs.to_vec();
    blobs.sort_by_key(|blob| (blob.offset, blob.id));
    blobs
}
