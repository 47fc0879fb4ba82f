//! Copying what is used out of packs that go. Blobs are verified and stay sealed as they are.

use super::options::PruneOptions;
use super::plan::Plan;
use super::survey::Survey;
use crate::Id;
use crate::error::cancelled;
use crate::format::{
    BlobEntry, BlobKind, Codec, IndexFile, IndexPack, MAX_BLOBS, PackBuilder, seal_unpacked,
};
use crate::progress::Event;
use crate::repo::{Location, LockGuard, Shared, joined, object, open_blob};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use std::sync::Arc;

/// Packs that are read ahead.
const AHEAD: usize = 2;
/// As many blobs as restic puts into an index file.
const INDEX_BLOBS: usize = 50_000;

/// A blob as it lies in a pack.
#[derive(Debug)]
pub(crate) struct SealedBlob {
    pub(crate) entry: BlobEntry,
    pub(crate) sealed: Bytes,
}

/// Fills packs and stores them with their indexes.
pub(crate) struct Refill<'a> {
    shared: &'a Arc<Shared>,
    lock: &'a LockGuard,
    open: [Option<PackBuilder>; 2],
    unindexed: Vec<IndexPack>,
    pub(crate) written: u64,
}

impl<'a> Refill<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>, lock: &'a LockGuard) -> Self {
        Self { shared, lock, open: [None, None], unindexed: Vec::new(), written: 0 }
    }

    /// Adds a blob; stores the pack when it is full.
    pub(crate) async fn add(&mut self, blob: &SealedBlob, options: &PruneOptions) -> Result<()> {
        let slot = usize::from(blob.entry.kind == BlobKind::Tree);
        let Some(open) = self.open.get_mut(slot) else { return Ok(()) };
        let pack = open.get_or_insert_with(|| PackBuilder::new(BytesMut::new()));
        let BlobEntry { kind, id, uncompressed, .. } = blob.entry;
        pack.add(kind, id, &blob.sealed, uncompressed)?;
        if pack.len() < self.shared.options.pack_size && pack.blobs().len() < MAX_BLOBS {
            return Ok(());
        }
        match open.take() {
            Some(full) => self.store(full, options).await,
            None => Ok(()),
        }
    }

    async fn store(&mut self, pack: PackBuilder, options: &PruneOptions) -> Result<()> {
        let shared = Arc::clone(self.shared);
        let work = self.shared.tasks.spawn_blocking(move || {
            let (bytes, blobs) = pack.finish(&shared.key)?;
            let bytes = bytes.freeze();
            Ok((Id::of(&bytes), bytes, blobs))
        });
        let (id, bytes, blobs) = joined(work.await)?;
        self.lock.check()?;
        self.shared.sinks.write(&object(ObjectKind::Pack, id), &bytes).await?;
        let length = u64::try_from(bytes.len()).unwrap_or(0);
        options.progress.stored(length);
        options.watch.event(&Event::PackStored { id, bytes: length });
        self.written += length;
        self.unindexed.push(IndexPack { id, blobs });
        let waiting: usize = self.unindexed.iter().map(|pack| pack.blobs.len()).sum();
        if waiting >= INDEX_BLOBS { self.index(options).await } else { Ok(()) }
    }

    async fn index(&mut self, options: &PruneOptions) -> Result<()> {
        let packs = std::mem::take(&mut self.unindexed);
        for id in self.shared.store_index(packs).await? {
            options.watch.event(&Event::IndexStored { id });
        }
        Ok(())
    }

    /// Stores what is open.
    pub(crate) async fn finish(mut self, options: &PruneOptions) -> Result<u64> {
        for pack in std::mem::take(&mut self.open).into_iter().flatten() {
            self.store(pack, options).await?;
        }
        self.index(options).await?;
        Ok(self.written)
    }
}

impl Shared {
    /// Writes index files that name `packs`, as many as it takes.
    pub(crate) async fn store_index(self: &Arc<Self>, packs: Vec<IndexPack>) -> Result<Vec<Id>> {
        let mut files: Vec<IndexFile> = Vec::new();
        let mut blobs = usize::MAX;
        for pack in packs {
            let count = pack.blobs.len();
            match files.last_mut() {
                Some(file) if blobs.saturating_add(count) <= INDEX_BLOBS => {
                    blobs += count;
                    file.packs.push(pack);
                }
                _ => {
                    blobs = count;
                    files.push(IndexFile { packs: vec![pack] });
                }
            }
        }
        let mut ids = Vec::with_capacity(files.len());
        for file in files {
            let shared = Arc::clone(self);
            let work = self.tasks.spawn_blocking(move || {
                seal_unpacked(&shared.key, &file.encode()?, shared.config.compresses())
            });
            let sealed = joined(work.await)?;
            let id = Id::of(&sealed);
            self.sinks.write(&object(ObjectKind::Index, id), &sealed).await?;
            ids.push(id);
        }
        Ok(ids)
    }

    /// Copies what is used of the packs that the plan writes again; returns the bytes written.
    pub(super) async fn repack(
        self: &Arc<Self>,
        survey: &Survey,
        plan: &Plan,
        options: &PruneOptions,
        lock: &LockGuard,
    ) -> Result<u64> {
        let recompress = self.config.compresses();
        let jobs = plan.repack.iter().map(|id| {
            let blobs = survey.packs.get(id).map(Vec::as_slice).unwrap_or_default();
            let wanted: Vec<_> = blobs.iter().filter(|blob| plan.holds(id, blob)).copied().collect();
            self.take_out(*id, wanted, recompress.then_some(options.recompress))
        });
        let mut reads = stream::iter(jobs).buffered(AHEAD);
        let mut refill = Refill::new(self, lock);
        while let Some(blobs) = reads.next().await {
            if options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            for blob in &blobs? {
                refill.add(blob, options).await?;
            }
            options.progress.file_done();
        }
        refill.finish(options).await
    }

    /// Reads blobs of a pack, verifies them, and compresses what should be and is not: trees always, data when
    /// `recompress` says so, nothing when it is `None`.
    async fn take_out(
        self: &Arc<Self>,
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
            let shared = Arc::clone(self);
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
