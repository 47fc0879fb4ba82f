//! Blobs with writers of their own, readers beside them, and a history that every read is held against.

use super::{path, unlike};
use aeth_core::blob::{BlobStore, BlobStoreExt, GetOptions, PutOptions};
use aeth_core::{BlobPath, Body, Error, ErrorKind};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::stream;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Writers, each with blobs of its own, so that the order of the writes of a blob is known.
const GROUPS: usize = 2;
const BLOBS: usize = 3;
const READERS: usize = 4;
/// The longest content.
const LONGEST: usize = 20 << 10;

/// A blob's content: a seed and a length, or nothing.
type State = Option<(u64, usize)>;

/// The states of a blob in the order of the writes that were begun.
#[derive(Debug)]
struct History {
    path: BlobPath,
    states: Mutex<Vec<State>>,
    begun: AtomicUsize,
    /// The last write that ended well: a read that begins now sees it or a later one.
    acknowledged: AtomicUsize,
}

impl History {
    fn new(path: BlobPath) -> Self {
        let (begun, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { path, states: Mutex::new(vec![None]), begun, acknowledged }
    }

    fn now(&self) -> State {
        *self.states.lock().unwrap().last().unwrap()
    }

    /// A write of `state` is about to begin; gives its number.
    fn begin(&self, state: State) -> usize {
        let mut states = self.states.lock().unwrap();
        states.push(state);
        let number = states.len() - 1;
        self.begun.store(number, SeqCst);
        number
    }

    fn end(&self, number: usize) {
        self.acknowledged.store(number, SeqCst);
    }

    /// What a read may see that began when `least` was acknowledged.
    fn since(&self, least: usize) -> Vec<State> {
        self.states.lock().unwrap()[least..=self.begun.load(SeqCst)].to_vec()
    }
}

/// What happened in a [`World`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Happened {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    /// Writes whose outcome was unknown.
    pub(crate) unknown: u64,
    /// Streams that said that they cannot go on, because a newer state came.
    pub(crate) broken_off: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    store: Arc<dyn BlobStore>,
    /// Whether parts of blobs are read as well.
    parts: bool,
    blobs: Vec<Arc<History>>,
    done: AtomicBool,
    seeds: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
    unknown: AtomicU64,
    broken_off: AtomicU64,
}

impl World {
    pub(crate) fn new(store: impl BlobStore, parts: bool) -> Arc<Self> {
        let history = |at| Arc::new(History::new(path(&format!("dir/{at}"))));
        Arc::new(Self {
            store: Arc::new(store),
            parts,
            blobs: (0..GROUPS * BLOBS).map(history).collect(),
            done: AtomicBool::new(false),
            seeds: AtomicU64::new(1),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            broken_off: AtomicU64::new(0),
        })
    }

    /// Lets each writer write so often while readers read, and then a few reads when all is quiet.
    pub(crate) async fn run(self: &Arc<Self>, seed: u64, writes: usize) -> Happened {
        let writers: Vec<_> = (0..GROUPS)
            .map(|group| {
                let (world, mut rng) = (Arc::clone(self), Rng::with_seed(seed * 100 + group as u64));
                tokio::spawn(async move {
                    let mine = world.blobs[group * BLOBS..(group + 1) * BLOBS].to_vec();
                    for _ in 0..writes {
                        world.write(&mine, &mut rng).await;
                        if rng.bool() {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (world, mut rng) = (Arc::clone(self), Rng::with_seed(seed * 100 + 50 + reader as u64));
                tokio::spawn(async move {
                    while !world.done.load(SeqCst) {
                        world.read(&mut rng).await;
                        tokio::task::yield_now().await;
                    }
                    // Nobody writes any more: each read is of the last state.
                    for _ in 0..20 {
                        world.read(&mut rng).await;
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        self.done.store(true, SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        Happened {
            reads: self.reads.load(SeqCst),
            writes: self.writes.load(SeqCst),
            unknown: self.unknown.load(SeqCst),
            broken_off: self.broken_off.load(SeqCst),
        }
    }

    /// What each blob is, now that nobody writes.
    pub(crate) fn truth(&self) -> Vec<(BlobPath, Option<Bytes>)> {
        let bytes = |state: State| state.map(|(seed, length)| unlike(length, seed));
        self.blobs.iter().map(|blob| (blob.path.clone(), bytes(blob.now()))).collect()
    }

    fn fresh(&self, rng: &mut Rng) -> (u64, usize) {
        (self.seeds.fetch_add(1, SeqCst), rng.usize(1..LONGEST))
    }

    /// One write of one of the writer's blobs, and puts until the outcome is known when it was not.
    async fn write(&self, mine: &[Arc<History>], rng: &mut Rng) {
        let target = &mine[rng.usize(..mine.len())];
        let source = &mine[rng.usize(..mine.len())];
        let from = source.now().filter(|_| source.path != target.path);
        let (begun, outcome) = match (rng.u32(..6), from) {
            (0, _) => {
                let begun = vec![(target, target.begin(None))];
                (begun, self.store.delete(&target.path).await)
            }
            (1, Some(state)) => {
                let begun = vec![(target, target.begin(Some(state)))];
                (begun, self.store.copy(&source.path, &target.path).await.map(drop))
            }
            (2, Some(state)) => {
                let begun = vec![(target, target.begin(Some(state))), (source, source.begin(None))];
                (begun, self.store.rename(&source.path, &target.path).await.map(drop))
            }
            (3, _) => {
                let state = self.fresh(rng);
                let begun = vec![(target, target.begin(Some(state)))];
                (begun, self.upload(&target.path, state).await)
            }
            _ => {
                let state = self.fresh(rng);
                let begun = vec![(target, target.begin(Some(state)))];
                (begun, self.put(&target.path, state, rng.bool()).await)
            }
        };
        self.writes.fetch_add(1, SeqCst);
        self.unknown.fetch_add(u64::from(outcome.is_err()), SeqCst);
        for (blob, number) in begun {
            if outcome.is_ok() {
                blob.end(number);
                continue;
            }
            loop {
                let state = self.fresh(rng);
                let number = blob.begin(Some(state));
                if self.put(&blob.path, state, false).await.is_ok() {
                    blob.end(number);
                    break;
                }
            }
        }
    }

    async fn put(&self, path: &BlobPath, (seed, length): (u64, usize), streamed: bool) -> Result<(), Error> {
        let bytes = unlike(length, seed);
        let body = if streamed {
            let chunks: Vec<_> = bytes.chunks(3_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            Body::once(stream::iter(chunks), None)
        } else {
            Body::Bytes(bytes)
        };
        self.store.put(path, body).await.map(drop)
    }

    async fn upload(&self, path: &BlobPath, (seed, length): (u64, usize)) -> Result<(), Error> {
        let bytes = unlike(length, seed);
        let upload = self.store.begin_upload(path, PutOptions::default()).await?;
        let half = bytes.len() / 2;
        let mut parts = Vec::new();
        for (number, part) in [(1, bytes.slice(..half)), (2, bytes.slice(half..))] {
            if !part.is_empty() {
                parts.push(upload.put_part(number, part.into()).await?);
            }
        }
        upload.complete(&parts, None).await.map(drop)
    }

    /// One read, held against the history.
    async fn read(&self, rng: &mut Rng) {
        let blob = &self.blobs[rng.usize(..self.blobs.len())];
        let least = blob.acknowledged.load(SeqCst);
        let start = rng.u64(..LONGEST as u64 * 4 / 5);
        let end = start + rng.u64(1..LONGEST as u64 / 2);
        let (what, seen) = match rng.u32(..4) {
            0 => ("head", self.store.head(&blob.path).await.map(|meta| (meta.size, 0..0, Bytes::new()))),
            1 if self.parts => {
                ("range", self.open(&blob.path, GetOptions::default().with_range(start..end)).await)
            }
            _ => ("get", self.open(&blob.path, GetOptions::default()).await),
        };
        self.reads.fetch_add(1, SeqCst);
        let allowed = blob.since(least);
        let fits = |state: &State| match (&seen, state) {
            (Ok((size, range, bytes)), Some((seed, length))) => {
                *size == *length as u64
                    && *bytes == unlike(*length, *seed)[range.start as usize..range.end as usize]
            }
            (Err(error), None) => error.is_not_found(),
            // Past the end of what was there.
            (Err(error), Some((_, length))) => error.kind() == ErrorKind::Invalid && start >= *length as u64,
            (Ok(_), None) => false,
        };
        if allowed.iter().any(fits) {
            return;
        }
        match seen {
            // A stream that cannot go on with its state says so.
            Err(error) if error.kind() == ErrorKind::Busy => drop(self.broken_off.fetch_add(1, SeqCst)),
            Err(error) => panic!("{what} of {}: {error}, where {allowed:?} was allowed", blob.path),
            Ok((size, range, _)) => {
                panic!("stale {what} of {}: {size} bytes, {range:?}, of {allowed:?}", blob.path)
            }
        }
    }

    async fn open(&self, path: &BlobPath, options: GetOptions) -> Result<(u64, Range<u64>, Bytes), Error> {
        let blob = self.store.get_opts(path, options).await?;
        let (size, range) = (blob.meta.size, blob.range.clone());
        let bytes = blob.bytes().await?;
        assert_eq!(bytes.len() as u64, range.end - range.start, "a body of another length");
        Ok((size, range, bytes))
    }
}
