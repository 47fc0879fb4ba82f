//! What is whole in damaged packs.

use super::options::RepairOptions;
use super::report::RepairReport;
use crate::Id;
use crate::error::cancelled;
use crate::format::BlobEntry;
use crate::repo::{
    IdSet, Location, LockGuard, Refill, Repository, SealedBlob, Shared, joined, object, open_blob,
};
use aeth_core::Result;
use aeth_core::backup::ObjectKind;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Repository {
    /// Writes what is whole in damaged packs into new ones and removes the damaged ones. A blob counts as whole when
    /// any sink's copy of the pack has it undamaged. Without `packs`, all packs are read to find those that are
    /// damaged in every sink; run [`Repository::repair_replicas`] before, which loses nothing.
    ///
    /// What is lost is then in no index: [`Repository::repair_snapshots`] makes snapshots without it, and a backup
    /// run stores again what still exists.
    ///
    /// # Errors
    /// `Busy` when somebody keeps a lock; `Denied` for append-only sinks; `Closed` when it was cancelled; the sinks'
    /// errors when fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: the damaged packs stay until the new index is there.
    pub async fn repair_packs(&self, packs: &[Id], options: RepairOptions) -> Result<RepairReport> {
        let shared = &self.shared;
        let _writing = shared.writer.lock().await;
        shared.revive().await;
        shared.refuse_append_only("repair")?;
        let lock = LockGuard::acquire_within(shared, true, options.wait, &options.cancel).await?;
        let mut report = RepairReport { dry_run: options.dry_run, ..RepairReport::default() };
        let result = shared.salvage(packs, &options, &lock, &mut report).await;
        lock.release().await;
        result.map_err(|error| error.with_operation("repair"))?;
        report.sinks = shared.sinks.status();
        Ok(report)
    }
}

impl Shared {
    async fn salvage(
        self: &Arc<Self>,
        named: &[Id],
        options: &RepairOptions,
        lock: &LockGuard,
        report: &mut RepairReport,
    ) -> Result<()> {
        let mut indexes = self.read_indexes().await?;
        let stored = self.stored().await?;
        let mut damaged: BTreeMap<Id, u64> = BTreeMap::new();
        for (id, size) in &stored {
            if options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            let chosen = match named {
                [] => !self.is_whole_somewhere(*id).await,
                named => named.contains(id),
            };
            if chosen {
                damaged.insert(*id, *size);
            }
            options.progress.file_done();
        }
        report.packs_salvaged = u64::try_from(damaged.len()).unwrap_or(0);
        if damaged.is_empty() {
            return Ok(());
        }
        let mut refill = Refill::new(self, lock, &options.progress, &options.watch);
        for (id, size) in &damaged {
            let mut blobs = indexes.packs.remove(id).unwrap_or_default();
            // The header may know of blobs that the index does not.
            for blob in self.pack_header(*id, *size).await.unwrap_or_default() {
                if !blobs.contains(&blob) {
                    blobs.push(blob);
                }
            }
            for entry in blobs {
                match self.whole_blob(Location { pack: *id, entry }).await {
                    Some(sealed) => {
                        report.blobs_saved += 1;
                        if !options.dry_run {
                            refill.add(&SealedBlob { entry, sealed }).await?;
                        }
                    }
                    None => report.blobs_lost += 1,
                }
            }
        }
        if options.dry_run {
            return Ok(());
        }
        refill.finish().await?;
        // What was just written is in index files of its own, which stay.
        let gone: IdSet = damaged.into_keys().collect();
        self.replace_index(indexes.packs, indexes.files, gone, lock).await
    }

    async fn is_whole_somewhere(self: &Arc<Self>, id: Id) -> bool {
        let name = object(ObjectKind::Pack, id);
        for sink in self.sinks.live() {
            let Ok(bytes) = sink.read(&name, None).await else { continue };
            let work = self.tasks.spawn_blocking(move || Ok(Id::of(&bytes) == id));
            if joined(work.await).unwrap_or(false) {
                return true;
            }
        }
        false
    }

    /// The sealed bytes of a blob, from whichever sink's copy of the pack has them whole.
    async fn whole_blob(self: &Arc<Self>, location: Location) -> Option<Bytes> {
        let BlobEntry { offset, length, .. } = location.entry;
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        let name = object(ObjectKind::Pack, location.pack);
        let check = |sealed: Bytes| open_blob(&self.key, &location, &sealed).map(|_| sealed);
        self.sinks.read(&name, Some(range), check).await.ok()
    }
}
