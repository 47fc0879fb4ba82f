//! Copying what is used out of packs that go. Blobs are verified and stay sealed as they are.

use super::options::PruneOptions;
use super::plan::Plan;
use super::survey::Survey;
use crate::Id;
use crate::error::cancelled;
use crate::format::{BlobEntry, BlobKind, Codec};
use crate::repo::{Location, LockGuard, Refill, SealedBlob, Shared, joined, object, open_blob};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// Packs that are read ahead.
const AHEAD: usize = 2;
impl Shared {
    /// Copies what is used of the packs that the plan writes again; returns the bytes written.
    pub(super) async fn repack(
        self: &Arc<Self>,
        survey: &Survey,
        plan: &Plan,
        options: &PruneOptions,
        lock: &LockGuard,
    ) -> Result<u64> {
        let recompress = self.config.compresses();
        let wanted = |id: &Id| {
            let blobs = survey.packs.get(id).map(Vec::as_slice).unwrap_or_default();
            blobs.iter().filter(|blob| plan.holds(id, blob)).copied().collect::<Vec<_>>()
        };
        let jobs: Vec<_> = plan.repack.iter().map(|id| (*id, wanted(id))).collect();
        let recompress = recompress.then_some(options.recompress);
        let reads = stream::iter(jobs).map(|(id, wanted)| Arc::clone(self).take_out(id, wanted, recompress));
        let mut reads = reads.buffered(AHEAD);
        let mut refill = Refill::new(self, lock, &options.progress, &options.watch);
        while let Some(blobs) = reads.next().await {
            if options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            for blob in &blobs? {
                refill.add(blob).await?;
            }
            options.progress.file_done();
        }
        refill.finish().await
    }

    /// Reads blobs of a pack, verifies them, and compresses what should be and is not: trees always, data when
    /// `recompress` says so, nothing when it is `None`.
    async fn take_out(
        self: Arc<Self>,
        pack: Id,
        wanted: Vec<BlobEntry>,
        recompress: Option<bool>,
    ) -> Result<Vec<SealedBlob>> {
        let mut found = Vec::with_capacity(wanted.len());
        let name = object(ObjectKind::Pack, pack);
        let whole = self.sinks.read(&name, None, Ok).await.ok();
        for entry in wanted {
            let location = Location { pack, entry };
            let in_memory = whole.as_ref().and_then(|bytes| slice(bytes, &entry));
            let shared = Arc::clone(&self);
            let work = self.tasks.spawn_blocking(move || {
                let sealed = in_memory.ok_or_else(|| Error::corrupt("the pack is shorter than its index"))?;
                let plain = open_blob(&shared.key, &location, &sealed)?;
                shared.tighten(SealedBlob { entry, sealed }, &plain, recompress)
            });
            found.push(match joined(work.await) {
                Ok(blob) => blob,
                // One copy of the pack is damaged: another sink may have this blob whole.
                Err(_) => {
                    let start = u64::from(entry.offset);
                    let range = start..start + u64::from(entry.length);
                    let check = |sealed: Bytes| open_blob(&self.key, &location, &sealed).map(|_| sealed);
                    let sealed = self.sinks.read(&name, Some(range), check).await?;
                    SealedBlob { entry, sealed }
                }
            });
        }
        Ok(found)
    }

    /// Seals a blob again when it should be compressed and is not.
    fn tighten(&self, blob: SealedBlob, plain: &[u8], recompress: Option<bool>) -> Result<SealedBlob> {
        let wanted = match (recompress, blob.entry.kind) {
            (None, _) => false,
            (Some(_), BlobKind::Tree) => true,
            (Some(data), BlobKind::Data) => data,
        };
        if !wanted || blob.entry.uncompressed != 0 {
            return Ok(blob);
        }
        let mut codec = Codec::new(self.options.compression)?;
        let mut sealed = vec![0; 16];
        if !codec.compress(plain, &mut sealed, blob.entry.kind == BlobKind::Tree)? {
            return Ok(blob);
        }
        self.key.seal_in_place(&mut sealed, 0)?;
        let uncompressed = u32::try_from(plain.len()).unwrap_or(0);
        Ok(SealedBlob { entry: BlobEntry { uncompressed, ..blob.entry }, sealed: sealed.into() })
    }
}

fn slice(bytes: &Bytes, entry: &BlobEntry) -> Option<Bytes> {
    let from = usize::try_from(entry.offset).ok()?;
    let to = from.checked_add(usize::try_from(entry.length).ok()?)?;
    (to <= bytes.len()).then(|| bytes.slice(from..to))
}
