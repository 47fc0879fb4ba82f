//! From plaintext to a blob in a pack.

use super::buffer::Buffer;
use super::gate::Gates;
use super::packer::Packer;
use super::queue::Queue;
use crate::Id;
use crate::error::cancelled;
use crate::format::{BlobKind, Codec, SnapshotSummary};
use crate::progress::{Progress, SkipList, Watch};
use crate::repo::host::Names;
use crate::repo::{Index, Shared};
use crate::scratch::Scratch;
use aeth_core::{ClockExt, Error, Result};
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Buffers that are kept for the next chunks. More are never out: each thread has two, and few wait in the queue.
const SPARES: usize = 64;
/// What the buffers that are kept may take up together: touching fresh memory is slow, but of those that long chunks
/// were in each would become as large as the longest chunk there is.
const SPARE_BYTES: usize = 16 << 20;

/// What is kept for the next compressed chunk: few are longer.
const PACKED: usize = 2 << 20;

/// Everything that the threads of one run share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    pub(super) index: Arc<RwLock<Index>>,
    /// Blobs that lie in packs which are not durable yet.
    pending: Mutex<HashSet<(BlobKind, Id)>>,
    /// Buffers for chunks, to be used again: touching fresh memory is slow.
    spare: Mutex<Vec<Buffer>>,
    pub(super) gates: Gates,
    pub(super) queue: Queue,
    pub(super) packer: Packer,
    pub(super) names: Names,
    pub(super) progress: Progress,
    pub(super) watch: Watch,
    pub(super) skipped: SkipList,
    pub(super) changed: Mutex<Vec<String>>,
    pub(super) sockets: AtomicU64,
    pub(super) counts: Mutex<SnapshotSummary>,
    /// Copies that the sources of this run made.
    pub(super) scratches: Mutex<Vec<Scratch>>,
    /// How long a source may give nothing.
    stall: Duration,
    stopped: AtomicBool,
    stop: CancellationToken,
    failure: Mutex<Option<Error>>,
}

/// What one thread owns.
pub(super) struct Tools {
    codec: Codec,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tools")
    }
}

impl Run {
    pub(super) fn new(
        shared: Arc<Shared>,
        index: Arc<RwLock<Index>>,
        packer: Packer,
        gates: Gates,
        progress: Progress,
        watch: Watch,
        stall: Duration,
    ) -> Self {
        Self {
            shared,
            index,
            pending: Mutex::default(),
            spare: Mutex::default(),
            gates,
            queue: Queue::default(),
            packer,
            names: Names::load(),
            progress,
            watch,
            skipped: SkipList::default(),
            changed: Mutex::default(),
            sockets: AtomicU64::new(0),
            counts: Mutex::default(),
            scratches: Mutex::default(),
            stall,
            stopped: AtomicBool::new(false),
            stop: CancellationToken::new(),
            failure: Mutex::default(),
        }
    }

    pub(super) fn tools(&self) -> Result<Tools> {
        let codec = Codec::new(self.shared.options.compression)?;
        Ok(Tools { codec, packed: Vec::new() })
    }

    /// Ends the run; the first error is the one that counts.
    pub(super) fn fail(&self, error: Error) {
        self.failure.lock().get_or_insert(error);
        self.stopped.store(true, Ordering::Relaxed);
        self.stop.cancel();
        self.queue.abort();
        self.gates.close();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits for a source as long as it may give nothing, and not when the run is over.
    pub(super) async fn patient<T: Send>(&self, work: impl Future<Output = T> + Send) -> Result<T> {
        self.patient_for(self.stall, work).await
    }

    /// The same with a limit of its own.
    pub(super) async fn patient_for<T: Send>(
        &self,
        limit: Duration,
        work: impl Future<Output = T> + Send,
    ) -> Result<T> {
        tokio::select! {
            done = self.shared.clock.timeout(limit, work) => {
                done.map_err(|error| error.with_operation("wait for the source"))
            }
            () = self.stop.cancelled() => Err(cancelled()),
        }
    }

    pub(super) fn failure(&self) -> Option<Error> {
        self.failure.lock().clone()
    }

    pub(super) fn skip(&self, path: &[u8], error: Error) {
        self.skipped.add(path, error, &self.progress, &self.watch);
    }

    /// An empty buffer for a chunk.
    pub(super) fn buffer(&self) -> Result<Buffer> {
        let spare = self.spare.lock().pop();
        spare.map_or_else(Buffer::new, Ok)
    }

    /// Takes a buffer back.
    pub(super) fn reuse(&self, mut buffer: Buffer) {
        if !buffer.is_reusable() {
            return;
        }
        buffer.clear();
        let mut spare = self.spare.lock();
        spare.push(buffer);
        let taken: usize = spare.iter().map(Buffer::takes_up).sum();
        if taken > SPARE_BYTES || spare.len() > SPARES {
            let largest = (0..spare.len()).max_by_key(|at| spare[*at].takes_up());
            let given_back = largest.map(|at| spare.swap_remove(at));
            drop(spare);
            drop(given_back);
        }
    }

    /// True when a blob is durable already.
    pub(super) fn has(&self, kind: BlobKind, id: &Id) -> bool {
        self.index.read().contains(kind, id)
    }

    /// Stores a blob unless it is there or on its way.
    pub(super) fn save(&self, tools: &mut Tools, kind: BlobKind, data: &[u8]) -> Result<Id> {
        let id = self.packer.name(&self.shared.key, data)?;
        // Pending first: a pack that becomes durable enters the index before its blobs leave this set.
        if !self.pending.lock().insert((kind, id)) {
            return Ok(id);
        }
        if self.has(kind, &id) {
            self.pending.lock().remove(&(kind, id));
            return Ok(id);
        }
        let compresses = self.shared.config.compresses();
        let Tools { codec, packed } = tools;
        packed.clear();
        let compressed = compresses && codec.compress(data, packed, kind == BlobKind::Tree)?;
        let content = if compressed { packed.as_slice() } else { data };
        let length = u32::try_from(data.len()).map_err(|_| Error::invalid("a blob has more than 4 GiB"))?;
        let uncompressed = if compressed { length } else { 0 };
        let stored = self.packer.add(&self.gates, &self.shared.key, kind, id, content, uncompressed)?;
        if packed.capacity() > PACKED {
            *packed = Vec::new();
        }
        let mut counts = self.counts.lock();
        match kind {
            BlobKind::Data => counts.data_blobs += 1,
            BlobKind::Tree => counts.tree_blobs += 1,
        }
        counts.data_added += u64::from(length);
        counts.data_added_packed += u64::try_from(stored).unwrap_or(0);
        Ok(id)
    }

    /// Called when a pack is durable and in the index.
    pub(super) fn settled(&self, blobs: &[crate::format::BlobEntry]) {
        let mut pending = self.pending.lock();
        for blob in blobs {
            pending.remove(&(blob.kind, blob.id));
        }
    }
}
