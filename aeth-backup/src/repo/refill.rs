//! Filling packs with blobs that are sealed already.

use super::lock::LockGuard;
use super::open::Shared;
use super::{joined, object, pack_object};
use crate::Id;
use crate::format::{
    BlobEntry, BlobKind, Codec, IndexFile, IndexPack, MAX_BLOBS, PackBuilder, seal_unpacked,
};
use crate::progress::{Event, Progress, Watch};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

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
    progress: Progress,
    watch: Watch,
    /// In boxes: what is awaited here should stay small.
    open: [Option<Box<PackBuilder>>; 2],
    unindexed: Vec<IndexPack>,
    pub(crate) written: u64,
}

impl<'a> Refill<'a> {
    pub(crate) fn new(
        shared: &'a Arc<Shared>,
        lock: &'a LockGuard,
        progress: &Progress,
        watch: &Watch,
    ) -> Self {
        let (progress, watch) = (progress.clone(), watch.clone());
        Self { shared, lock, progress, watch, open: [None, None], unindexed: Vec::new(), written: 0 }
    }

    /// Adds a blob; stores the pack when it is full.
    pub(crate) async fn add(&mut self, blob: &SealedBlob) -> Result<()> {
        let slot = usize::from(blob.entry.kind == BlobKind::Tree);
        let Some(open) = self.open.get_mut(slot) else { return Ok(()) };
        let pack = open.get_or_insert_with(|| Box::new(PackBuilder::new(BytesMut::new())));
        let BlobEntry { kind, id, uncompressed, .. } = blob.entry;
        pack.add(kind, id, &blob.sealed, uncompressed)?;
        if pack.len() < self.shared.options.pack_size && pack.blobs().len() < MAX_BLOBS {
            return Ok(());
        }
        match open.take() {
            Some(full) => self.store(full).await,
            None => Ok(()),
        }
    }

    async fn store(&mut self, pack: Box<PackBuilder>) -> Result<()> {
        let shared = Arc::clone(self.shared);
        let work = self.shared.tasks.spawn_blocking(move || {
            let (bytes, blobs) = pack.finish(&shared.key)?;
            let bytes = bytes.freeze();
            Ok((Id::of(&bytes), bytes, blobs))
        });
        let (id, bytes, blobs) = joined(work.await)?;
        self.lock.check()?;
        self.shared.sinks.write(&pack_object(id, &blobs), &bytes).await?;
        let length = u64::try_from(bytes.len()).unwrap_or(0);
        self.progress.stored(length);
        self.watch.event(&Event::PackStored { id, bytes: length });
        self.written += length;
        let entry = IndexPack { id, blobs };
        if let Some(index) = self.shared.index.read().as_ref() {
            index.write().add(&entry);
        }
        self.unindexed.push(entry);
        let waiting: usize = self.unindexed.iter().map(|pack| pack.blobs.len()).sum();
        if waiting >= INDEX_BLOBS { self.index().await } else { Ok(()) }
    }

    async fn index(&mut self) -> Result<()> {
        let packs = std::mem::take(&mut self.unindexed);
        for id in self.shared.store_index(packs).await? {
            self.watch.event(&Event::IndexStored { id });
        }
        Ok(())
    }

    /// Stores what is open.
    pub(crate) async fn finish(mut self) -> Result<u64> {
        for pack in std::mem::take(&mut self.open).into_iter().flatten() {
            self.store(pack).await?;
        }
        self.index().await?;
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

    /// Compresses and seals a blob.
    pub(crate) fn seal_blob(&self, codec: &mut Codec, kind: BlobKind, plain: &[u8]) -> Result<SealedBlob> {
        let length = u32::try_from(plain.len()).map_err(|_| Error::invalid("a blob has more than 4 GiB"))?;
        let mut sealed = vec![0; 16];
        let compressed =
            self.config.compresses() && codec.compress(plain, &mut sealed, kind == BlobKind::Tree)?;
        if !compressed {
            sealed.extend_from_slice(plain);
        }
        self.key.seal_in_place(&mut sealed, 0)?;
        let entry = BlobEntry {
            kind,
            id: Id::of(plain),
            offset: 0,
            length: u32::try_from(sealed.len()).unwrap_or(u32::MAX),
            uncompressed: if compressed { length } else { 0 },
        };
        Ok(SealedBlob { entry, sealed: sealed.into() })
    }
}
