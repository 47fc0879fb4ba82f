//! Bodies: kept in memory while they are short, otherwise poured into all locations at once.

use super::Core;
use super::location::Replica;
use super::version::Version;
use super::write::{Answer, Spread, Writing, is_refusal, native_mode, transfer_time};
use crate::checksum::{Verifier, check_length};
use aeth_core::blob::{BlobStore, Checksum, PutMode};
use aeth_core::{Body, ByteStream, ClockExt, Error, Result};
use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{mpsc, oneshot};

/// Bodies up to this length are kept in memory, so that they can be sent again and are summed beforehand.
pub(super) const SHORT: u64 = 8 << 20;
/// How many chunks a location may be behind the others.
const AHEAD: usize = 4;

/// What is written.
pub(super) enum Payload {
    Bytes(Bytes),
    Stream(Streamed),
}

/// A body that is too long to be kept, which checks itself.
pub(super) struct Streamed {
    stream: ByteStream,
    pub(super) length: Option<u64>,
    verifier: Option<Verifier>,
}

/// The CRC-64/NVME of bytes.
pub(super) fn summed(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)
}

/// Reads a body as far as it is short, and checks it if it is.
pub(super) async fn payload(body: Body, checksum: Option<&Checksum>) -> Result<Payload> {
    let length = body.length();
    let mut verifier = Verifier::of(checksum)?;
    let mut short = BytesMut::new();
    let mut stream = match body {
        Body::Bytes(bytes) => {
            if let Some(mut verifier) = verifier.take() {
                verifier.update(&bytes);
                verifier.finish()?;
            }
            return Ok(Payload::Bytes(bytes));
        }
        body => body.into_stream(),
    };
    while length.is_none_or(|length| length <= SHORT) && short.len() as u64 <= SHORT {
        let Some(chunk) = stream.next().await else {
            check_length(length, short.len() as u64)?;
            if let Some(mut verifier) = verifier.take() {
                verifier.update(&short);
                verifier.finish()?;
            }
            return Ok(Payload::Bytes(short.freeze()));
        };
        short.extend_from_slice(&chunk?);
    }
    let begun = stream::iter((!short.is_empty()).then(|| Ok(short.freeze())));
    Ok(Payload::Stream(Streamed { stream: begun.chain(stream).boxed(), length, verifier }))
}

/// How far a stream was read, and what went wrong in it.
#[derive(Debug, Clone, Default)]
pub(super) struct Passed {
    read: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl Passed {
    pub(super) fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// The stream's own failure, unchanged, if it was that; otherwise the store's.
    pub(super) fn failure(&self, error: Error) -> Error {
        self.failure.lock().take().unwrap_or(error)
    }
}

impl Streamed {
    /// The checked stream, which fails in place of ending when its bytes are not those that were announced.
    fn checked(self, passed: Passed) -> ByteStream {
        let state = (Some(self.stream), self.verifier, self.length, passed);
        stream::unfold(state, |(stream, mut verifier, length, passed)| async move {
            let mut stream = stream?;
            let chunk = match stream.next().await {
                Some(Ok(chunk)) => {
                    passed.read.fetch_add(chunk.len() as u64, Relaxed);
                    if let Some(verifier) = &mut verifier {
                        verifier.update(&chunk);
                    }
                    return Some((Ok(chunk), (Some(stream), verifier, length, passed)));
                }
                Some(Err(error)) => Err(error),
                None => check_length(length, passed.read())
                    .and_then(|()| verifier.take().map_or(Ok(()), Verifier::finish)),
            };
            let error = chunk.err()?;
            *passed.failure.lock() = Some(error.clone());
            Some((Err(error), (None, None, None, passed)))
        })
        .boxed()
    }

    /// A body for one location.
    pub(super) fn into_body(self) -> (Body, Passed) {
        let (passed, length) = (Passed::default(), self.length);
        (Body::Once(self.checked(passed.clone()), length), passed)
    }
}

/// A chunk for one location; `None` is the end. A channel that closes without it is no end.
type Chunk = Option<Result<Bytes>>;

struct Consumer {
    chunks: mpsc::Sender<Chunk>,
    /// When this goes, so does the write.
    _alive: oneshot::Sender<()>,
}

/// Pours one stream into the locations.
pub(super) struct Pump {
    consumers: Vec<Consumer>,
    answers: mpsc::UnboundedReceiver<Answer>,
    spread: Spread,
}

impl Pump {
    /// Begins a write at each location.
    pub(super) async fn new(core: &Arc<Core>, writing: &Writing, length: Option<u64>) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        let (mut consumers, mut spread) = (Vec::new(), Spread::default());
        for at in 0..core.locations.len() {
            if core.is_skipped(at) {
                core.behind.add(at, &writing.path);
                spread.take(core, (at, Err(Error::unavailable("the location is left alone"))));
                continue;
            }
            let (chunks, receiver) = mpsc::channel(AHEAD);
            let (alive, mut gone) = oneshot::channel();
            consumers.push(Consumer { chunks, _alive: alive });
            let (owner, writing, sender) = (Arc::clone(core), writing.clone(), sender.clone());
            let shared = core.share(&writing.path).await;
            drop(core.tasks.spawn(async move {
                let _shared = shared;
                let write = std::pin::pin!(owner.pour_at(at, &writing, receiver, length));
                let answer = match futures_util::future::select(write, &mut gone).await {
                    futures_util::future::Either::Left((answer, _)) => answer,
                    futures_util::future::Either::Right(_) => {
                        Err(Error::timeout("the location did not go on"))
                    }
                };
                if answer.is_err() {
                    // Whatever it left there has no checksum by which it could be told.
                    owner.behind.spoil(at, &writing.path);
                }
                drop(sender.send((at, answer)));
            }));
        }
        Self { consumers, answers, spread }
    }

    /// Reads the stream to its end and waits until enough locations have it.
    pub(super) async fn run(mut self, core: &Arc<Core>, streamed: Streamed) -> Result<u64> {
        let passed = Passed::default();
        let length = streamed.length;
        let mut stream = streamed.checked(passed.clone());
        while let Some(chunk) = stream.next().await {
            let failed = chunk.is_err();
            self.send(core, Some(chunk)).await;
            if failed || !self.has_quorum(core) {
                break;
            }
        }
        if passed.failure.lock().is_none() && self.has_quorum(core) {
            self.send(core, None).await;
        } else {
            // Nobody gets an end, so that nothing of it is kept.
            self.consumers.clear();
        }
        let limit = core.limit.saturating_add(transfer_time(length));
        let waited = core.clock.timeout(limit, async {
            while !self.spread.is_enough(core) {
                let Some(answer) = self.answers.recv().await else { break };
                self.spread.take(core, answer);
            }
        });
        if waited.await.is_err() {
            return Err(core.away(&Error::timeout("the locations do not answer"), "the write was not taken"));
        }
        if let Some(error) = passed.failure.lock().take() {
            return Err(error);
        }
        self.spread.verdict(core)?;
        // Those that are late have as long again.
        let (consumers, clock) = (self.consumers, Arc::clone(&core.clock));
        let mut answers = self.answers;
        drop(core.tasks.spawn_until_closed(async move {
            let _consumers = consumers;
            drop(clock.timeout(limit, async { while answers.recv().await.is_some() {} }).await);
        }));
        Ok(passed.read())
    }

    /// Whether enough locations have it or still take it.
    fn has_quorum(&mut self, core: &Core) -> bool {
        while let Ok(answer) = self.answers.try_recv() {
            self.spread.take(core, answer);
        }
        self.consumers.len() + self.spread.acknowledged >= core.write_quorum
    }

    /// Gives a chunk to all; who does not take it in time is left behind.
    async fn send(&mut self, core: &Core, chunk: Chunk) {
        let mut kept = Vec::with_capacity(self.consumers.len());
        for consumer in self.consumers.drain(..) {
            let sent = core.clock.timeout(core.limit, consumer.chunks.send(chunk.clone())).await;
            if matches!(sent, Ok(Ok(()))) {
                kept.push(consumer);
            }
        }
        self.consumers = kept;
    }
}

/// What a location has in place of a write: nothing newer when the write itself was brought to it by another way,
/// or a newer version.
fn instead(replica: &Replica, writing: &Writing) -> Option<Option<Version>> {
    match replica.version.cmp(&writing.version) {
        std::cmp::Ordering::Greater => Some(Some(replica.version)),
        std::cmp::Ordering::Equal => Some(None),
        std::cmp::Ordering::Less => None,
    }
}

impl Core {
    /// Writes what a channel brings at one location.
    async fn pour_at(
        &self,
        at: usize,
        writing: &Writing,
        chunks: mpsc::Receiver<Chunk>,
        length: Option<u64>,
    ) -> Result<Option<Version>> {
        let Some(location) = self.locations.get(at) else {
            return Err(Error::other("there is no such location"));
        };
        let mode = if location.swaps {
            let replica = location.look(&writing.path).await?;
            if let Some(there) = instead(&replica, writing) {
                return Ok(there);
            }
            native_mode(&replica)?
        } else {
            PutMode::Overwrite
        };
        let stream = stream::unfold(Some(chunks), |chunks| async move {
            let mut chunks = chunks?;
            match chunks.recv().await {
                Some(Some(Ok(chunk))) => Some((Ok(chunk), Some(chunks))),
                Some(Some(Err(error))) => Some((Err(error), None)),
                Some(None) => None,
                None => Some((Err(Error::closed("the write was given up")), None)),
            }
        });
        let options = writing.options.clone().with_mode(mode);
        let put = location.store.put_opts(&writing.path, Body::once(stream, length), options).await;
        match put {
            Ok(_) => Ok(None),
            Err(error) if is_refusal(&error) => {
                instead(&location.look(&writing.path).await?, writing).ok_or(error)
            }
            Err(error) => Err(error),
        }
    }
}
