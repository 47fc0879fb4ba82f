//! The caller's task: packs to all sinks, indexes behind them.

use super::packer::SealedPack;
use super::saver::Run;
use crate::Id;
use crate::format::{IndexFile, IndexPack, seal_unpacked};
use crate::progress::Event;
use crate::repo::{Shared, object, pack_object};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// An index file is written when so many blobs wait for one, as restic does, so many packs, or so long. What a
/// killed run loses of its index, the next one reads from the packs.
const INDEX_BLOBS: usize = 50_000;
const INDEX_PACKS: usize = 64;
const INDEX_AGE: Duration = Duration::from_secs(60);

/// Packs that are durable and not in a written index.
#[derive(Debug)]
pub(super) struct Unindexed {
    packs: Vec<IndexPack>,
    blobs: usize,
    since: Duration,
}

impl Unindexed {
    pub(super) fn new(packs: Vec<IndexPack>, now: Duration) -> Self {
        let blobs = packs.iter().map(|pack| pack.blobs.len()).sum();
        Self { packs, blobs, since: now }
    }

    fn push(&mut self, pack: IndexPack, now: Duration) {
        if self.packs.is_empty() {
            self.since = now;
        }
        self.blobs += pack.blobs.len();
        self.packs.push(pack);
    }

    fn is_due(&self, now: Duration) -> bool {
        self.blobs >= INDEX_BLOBS
            || self.packs.len() >= INDEX_PACKS
            || (!self.packs.is_empty() && now.saturating_sub(self.since) >= INDEX_AGE)
    }
}

/// Uploads what comes until the threads are through; then writes the rest of the index.
pub(super) async fn upload(
    run: &Arc<Run>,
    mut packs: mpsc::UnboundedReceiver<SealedPack>,
    mut waiting: Unindexed,
) -> Result<()> {
    let mut uploads = FuturesUnordered::new();
    let mut open = true;
    while open || !uploads.is_empty() {
        tokio::select! {
            pack = packs.recv(), if open => match pack {
                Some(pack) => uploads.push(put_pack(run, pack)),
                None => open = false,
            },
            Some(done) = uploads.next(), if !uploads.is_empty() => {
                // A sink that never waits must not keep a cancellation from being seen.
                tokio::task::yield_now().await;
                let now = run.shared.clock.monotonic();
                waiting.push(done?, now);
                if waiting.is_due(now) {
                    flush_index(run, &mut waiting).await?;
                }
            }
        }
    }
    flush_index(run, &mut waiting).await
}

async fn put_pack(run: &Arc<Run>, pack: SealedPack) -> Result<IndexPack> {
    let SealedPack { id, bytes, blobs } = pack;
    let length = u64::try_from(bytes.len()).unwrap_or(0);
    run.shared.sinks.store(&pack_object(id, &blobs), &bytes).await?;
    let entry = IndexPack { id, blobs };
    run.index.write().add(&entry);
    run.settled(&entry.blobs);
    run.progress.stored(length);
    run.watch.event(&Event::PackStored { id, bytes: length });
    // A sink that still holds the bytes keeps them; then the next pack gets a new buffer.
    if let Some(first) = entry.blobs.first() {
        run.gates.of(first.kind).give(bytes.try_into_mut().ok());
    }
    Ok(entry)
}

async fn flush_index(run: &Arc<Run>, waiting: &mut Unindexed) -> Result<()> {
    if waiting.packs.is_empty() {
        return Ok(());
    }
    let packs = std::mem::take(&mut waiting.packs);
    waiting.blobs = 0;
    let id = write_index(&run.shared, packs).await?;
    run.watch.event(&Event::IndexStored { id });
    Ok(())
}

async fn write_index(shared: &Arc<Shared>, packs: Vec<IndexPack>) -> Result<Id> {
    let own = Arc::clone(shared);
    let work = shared.tasks.spawn_blocking(move || -> Result<Bytes> {
        seal_unpacked(&own.key, &IndexFile { packs }.encode()?, own.config.compresses())
    });
    let sealed = work.await.map_err(|error| Error::other("a worker thread failed").with_source(error))??;
    let id = Id::of(&sealed);
    shared.sinks.store(&object(ObjectKind::Index, id), &sealed).await?;
    Ok(id)
}
