//! Prune raced with writers under schedules chosen by seed: everything that processes know of one another goes through
//! the sinks, so whoever decides which operation of a sink comes next decides how they meet.
//!
//! Each actor has a repository handle of its own, as a process has. Every operation waits for its turn; a scheduler
//! gives it to the waiting actor of the highest priority, and draws new priorities at moments chosen by the seed, so
//! that one actor stands still for long while others go far. Time passes twenty times as fast.

use crate::common::*;
use aeth_backup::{
    CheckOptions, Id, MaxUnused, Plan, PruneOptions, Repository, RepositoryOptions, Source, StreamSource,
    VirtualFile,
};
use aeth_core::backup::{BackupSink, BlobSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use aeth_core::blob::BlobStore;
use aeth_core::{Clock, ErrorKind, Result, SystemClock, async_trait};
use aeth_files::MemoryStore;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use tokio::sync::{Notify, oneshot};

const HASTE: u32 = 20;

/// The machine's clock, twenty times as fast.
#[derive(Debug)]
struct Fast(Arc<dyn Clock>, SystemTime);

#[async_trait]
impl Clock for Fast {
    fn now(&self) -> SystemTime {
        self.1 + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic() * HASTE
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration / HASTE).await;
    }
}

/// Who waits, and who is alive.
#[derive(Debug)]
struct Turns {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    waiting: Vec<(usize, oneshot::Sender<()>)>,
    alive: Vec<bool>,
    priorities: Vec<u32>,
    random: fastrand::Rng,
    turns: u64,
}

impl Turns {
    fn new(seed: u64, actors: usize) -> Arc<Self> {
        let mut random = fastrand::Rng::with_seed(seed);
        let priorities = (0..actors).map(|_| random.u32(..)).collect();
        let state = State { waiting: Vec::new(), alive: vec![true; actors], priorities, random, turns: 0 };
        Arc::new(Self { state: Mutex::new(state), arrived: Notify::new() })
    }

    async fn turn(&self, actor: usize) {
        let (give, turn) = oneshot::channel();
        self.state.lock().unwrap().waiting.push((actor, give));
        self.arrived.notify_one();
        // The scheduler ends when all is over: then everybody may go on.
        drop(turn.await);
    }

    fn leave(&self, actor: usize) {
        self.state.lock().unwrap().alive[actor] = false;
        self.arrived.notify_one();
    }

    /// True when everybody who lives waits for a turn.
    fn is_full(&self) -> bool {
        let state = self.state.lock().unwrap();
        let waits = |actor: usize| state.waiting.iter().any(|(waiting, _)| *waiting == actor);
        state.alive.iter().enumerate().all(|(actor, alive)| !alive || waits(actor))
    }

    fn give(&self) {
        let mut state = self.state.lock().unwrap();
        let State { waiting, priorities, random, turns, .. } = &mut *state;
        if waiting.is_empty() {
            return;
        }
        *turns += 1;
        if random.u8(..24) == 0 {
            let actor = random.usize(..priorities.len());
            priorities[actor] = random.u32(..);
        }
        let next = if random.u8(..8) == 0 {
            random.usize(..waiting.len())
        } else {
            let best = waiting
                .iter()
                .enumerate()
                .max_by_key(|(at, (actor, _))| (priorities[*actor], usize::MAX - at));
            best.map_or(0, |(at, _)| at)
        };
        let _ = waiting.remove(next).1.send(());
    }

    async fn schedule(self: Arc<Self>) {
        loop {
            if self.state.lock().unwrap().alive.iter().all(|alive| !alive) {
                self.state.lock().unwrap().waiting.clear();
                return;
            }
            // Whoever computes or sleeps for long is not waited for.
            let mut patience = 3;
            while !self.is_full() && patience > 0 {
                let arrived = self.arrived.notified();
                if tokio::time::timeout(Duration::from_millis(1), arrived).await.is_err() {
                    patience -= 1;
                }
            }
            self.give();
        }
    }
}

/// An actor's view of the place that all share.
#[derive(Debug)]
struct TurnSink {
    inner: BlobSink,
    turns: Arc<Turns>,
    actor: usize,
}

#[async_trait]
impl BackupSink for TurnSink {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> SinkCapabilities {
        self.inner.capabilities()
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        self.turns.turn(self.actor).await;
        self.inner.write(id, sealed).await
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        self.turns.turn(self.actor).await;
        self.inner.read(id, range).await
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        self.turns.turn(self.actor).await;
        self.inner.size(id).await
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        // A listing is one moment: what it gives was there when its turn came.
        let listed = async move {
            self.turns.turn(self.actor).await;
            let all: Vec<_> = self.inner.list(kind).collect().await;
            futures_util::stream::iter(all)
        };
        futures_util::stream::once(listed).flatten().boxed()
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        // One after the other, as most stores do it.
        for id in ids {
            self.turns.turn(self.actor).await;
            self.inner.remove(std::slice::from_ref(id)).await?;
        }
        Ok(())
    }

    async fn keep_until(&self, ids: &[ObjectId], until: SystemTime) -> Result<()> {
        self.inner.keep_until(ids, until).await
    }
}

type Files = BTreeMap<String, Bytes>;
type Expected = Arc<Mutex<BTreeMap<Id, Files>>>;

/// A place for actors.
struct World {
    store: Arc<dyn BlobStore>,
    turns: Arc<Turns>,
    clock: Arc<dyn Clock>,
    expected: Expected,
    seed: u64,
}

fn small() -> RepositoryOptions {
    options().pack_size(1 << 20).threads(1)
}

impl World {
    async fn handle(&self, actor: usize) -> Repository {
        let inner = BlobSink::new(Arc::clone(&self.store), None).unwrap();
        let sink = TurnSink { inner, turns: Arc::clone(&self.turns), actor };
        let clock = Arc::clone(&self.clock);
        let opened = Repository::open_with_clock(vec![Arc::new(sink)], &password(), small(), clock).await;
        opened.unwrap_or_else(|error| panic!("seed {}: {error:?}", self.seed))
    }

    /// Files out of few contents: what one snapshot lets go another takes up again.
    fn files(random: &mut fastrand::Rng) -> Files {
        (0..random.usize(2..6))
            .map(|number| {
                let content = random.u64(..8);
                let bytes = random_bytes(&mut fastrand::Rng::with_seed(content), 2000);
                (format!("file {number}"), bytes.into())
            })
            .collect()
    }

    async fn write(&self, actor: usize) {
        let mut random = fastrand::Rng::with_seed(self.seed * 10 + actor as u64);
        let repository = self.handle(actor).await;
        let mut own = Vec::new();
        for round in 0..3 {
            let files = Self::files(&mut random);
            let report = loop {
                let mut streams = StreamSource::new();
                for (name, bytes) in &files {
                    // Of an ever new time, so that every file is read.
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(random.u64(..1 << 30));
                    streams = streams.bytes(VirtualFile::new(name.clone(), time), bytes.clone());
                }
                let plan = Plan::new().source(Source::files(format!("/writer {actor}"), streams));
                match repository.backup(plan).await {
                    Ok(report) => break report,
                    // It stood still for so long that others might have taken its lock for dead, and noticed.
                    Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unavailable) => {
                        self.clock.sleep(Duration::from_secs(1)).await;
                    }
                    Err(error) => panic!("seed {}, writer {actor}, round {round}: {error:?}", self.seed),
                }
            };
            assert!(report.is_complete(), "seed {}: {report:?}", self.seed);
            let id = report.snapshot.id;
            own.push(id);
            self.expected.lock().unwrap().insert(id, files);
            if own.len() > 1 && random.u8(..3) > 0 {
                let gone = own.swap_remove(random.usize(..own.len()));
                self.expected.lock().unwrap().remove(&gone);
                loop {
                    match repository.forget_snapshots(&[gone]).await {
                        Ok(_) => break,
                        Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unavailable) => {
                            self.clock.sleep(Duration::from_secs(1)).await;
                        }
                        Err(error) => panic!("seed {}: {error:?}", self.seed),
                    }
                }
            }
        }
        self.turns.leave(actor);
    }

    async fn prune(&self, actor: usize) -> u64 {
        let mut random = fastrand::Rng::with_seed(self.seed * 10 + actor as u64);
        let repository = self.handle(actor).await;
        let mut removed = 0;
        for _ in 0..3 {
            let options = PruneOptions::new()
                .max_unused(if random.bool() { MaxUnused::Bytes(0) } else { MaxUnused::Unlimited })
                .exclusive(random.u8(..4) == 0)
                .grace(Duration::from_millis(if random.bool() { 0 } else { 500 }))
                .wait(Duration::from_secs(random.u64(..30)));
            match repository.prune(options).await {
                Ok(report) => removed += report.removed_packs,
                Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unavailable) => {}
                Err(error) => panic!("seed {}, pruner {actor}: {error:?}", self.seed),
            }
        }
        self.turns.leave(actor);
        removed
    }

    /// Every snapshot that should be there gives every byte.
    async fn judge(&self) {
        let inner = BlobSink::new(Arc::clone(&self.store), None).unwrap();
        let repository = Repository::open(vec![Arc::new(inner)], &password(), small()).await.unwrap();
        let seed = self.seed;
        let check = repository.check(CheckOptions::all_data()).await.unwrap();
        assert!(check.is_ok(), "seed {seed}: {check:?}");
        let expected = self.expected.lock().unwrap().clone();
        for (id, files) in expected {
            let entry = repository.snapshot(&id.to_string()).await;
            let entry = entry.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
            let mut found = Files::new();
            let mut entries = repository.entries(&entry, "/");
            while let Some(entry) = entries.try_next().await.unwrap() {
                if entry.node.kind == aeth_backup::NodeKind::File {
                    let content: Vec<Bytes> = repository.content(&entry.node).try_collect().await.unwrap();
                    let name = String::from_utf8(entry.path).unwrap();
                    found.insert(name.rsplit('/').next().unwrap().to_owned(), content.concat().into());
                }
            }
            assert!(found == files, "seed {seed}: snapshot {id} is not what was backed up");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn torture_prune_races_writers_by_schedule() {
    let (mut snapshots, mut removed, mut turns) = (0, 0, 0);
    for case in testkit::campaign("prune_races_writers_by_schedule", 12) {
        let seed = case.seed();
        let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::new());
        let sink: Arc<dyn BackupSink> = Arc::new(BlobSink::new(Arc::clone(&store), None).unwrap());
        drop(Repository::init(vec![sink], &password(), small()).await.unwrap());
        let clock = SystemClock::shared();
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let world = Arc::new(World {
            store,
            turns: Turns::new(seed, 5),
            clock: Arc::new(Fast(clock, begun)),
            expected: Expected::default(),
            seed,
        });
        let scheduler = tokio::spawn(Arc::clone(&world.turns).schedule());
        let writers: Vec<_> = (0..3)
            .map(|actor| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.write(actor).await })
            })
            .collect();
        let pruners: Vec<_> = (3..5)
            .map(|actor| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.prune(actor).await })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        for pruner in pruners {
            removed += pruner.await.unwrap();
        }
        scheduler.await.unwrap();
        world.judge().await;
        // And again when all that nobody needs is gone.
        let inner = BlobSink::new(Arc::clone(&world.store), None).unwrap();
        let alone = Repository::open(vec![Arc::new(inner)], &password(), small()).await.unwrap();
        let options = PruneOptions::new().max_unused(MaxUnused::Bytes(0)).exclusive(true);
        removed += alone.prune(options).await.unwrap().removed_packs;
        world.judge().await;
        snapshots += world.expected.lock().unwrap().len();
        turns += world.turns.state.lock().unwrap().turns;
    }
    eprintln!("{snapshots} snapshots whole, {removed} packs removed, in {turns} turns");
    assert!(snapshots > 0 && removed > 0, "nothing was put to the test");
}
