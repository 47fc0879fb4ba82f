//! Reads that the first level cannot answer: Redis through the facade against the bare client, one server, one
//! connection each, 100,000 keys with values of 100 bytes, the facade's first level too small to matter.

use crate::BoxError;
use crate::measure::nanoseconds;
use crate::row::Row;
use aeth_cache::redis::{Redis, RedisOptions};
use aeth_cache::{Cache, CacheOptions, Caches};
use aeth_core::SystemClock;
use bytes::Bytes;
use redis::AsyncCommands;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const KEYS: u64 = 100_000;
const TASKS: u64 = 64;
const BATCH: u64 = 100;
/// How long the values live, all of them: the server looks at that too when it answers.
const FRESH: Duration = Duration::from_secs(3600);
/// The least that the first level can be.
const SMALL: u64 = 64 << 10;

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let server = testkit::Redis::start();
    // On two cores a second worker shares one with the server, and whoever sleeps least wins.
    for workers in [1, 2] {
        with(workers, &server.url(), report)?;
    }
    Ok(())
}

fn with(workers: usize, url: &str, report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let runtime = super::workers(workers)?;
    let (_alone, alone) = open(url, false)?;
    let (_together, together) = open(url, true)?;
    let client = redis::Client::open(url)?;
    let raw = runtime.block_on(client.get_multiplexed_async_connection())?;
    runtime.block_on(fill(&together, raw.clone()))?;

    let thousands = |nanoseconds: f64| 1e6 / nanoseconds;
    let on = if workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
    let bare = Bare::new(raw.clone());
    let times = nanoseconds(&mut [
        &mut |n| singles(&runtime, n, &raw, peer_get),
        &mut |n| singles(&runtime, n, &alone, our_get),
        &mut |n| singles(&runtime, n, &together, our_get),
        &mut |n| singles(&runtime, n, &bare, bare_get),
    ]);
    let peer = ("redis-rs GET", thousands(times[0]));
    let row =
        |what: &str, at: usize| Row::against(format!("{what}, {on}"), "k/s", thousands(times[at]), peer);
    report(row("L2 hit, 64 tasks, one by one", 1).at_least(0.9));
    report(row("L2 hit, 64 tasks, gathered (default)", 2).at_least(2.0));
    report(row("the same keys gathered over redis-rs and nothing else", 3).open());

    let times = nanoseconds(&mut [&mut |n| batches(&runtime, n, &raw, peer_mget), &mut |n| {
        batches(&runtime, n, &together, our_get_many)
    }]);
    let per_key = |nanoseconds: f64| thousands(nanoseconds) * BATCH as f64;
    let peer = ("redis-rs MGET", per_key(times[0]));
    let what = format!("get_many of 100 through L2, {on}");
    report(Row::against(what, "k/s", per_key(times[1]), peer).at_least(0.8));
    Ok(())
}

fn open(url: &str, gather: bool) -> Result<(Caches, Cache<Bytes>), BoxError> {
    let options = RedisOptions::new(url).with_coalesce(gather).with_command_timeout(Duration::from_secs(20));
    let redis = Redis::open(options, SystemClock::shared())?;
    let caches = Caches::builder().memory(SMALL).tier(Arc::new(redis.tier())).build()?;
    let options = CacheOptions::raw().fresh_for(FRESH).tier_timeout(Duration::from_secs(20));
    let cache = caches.open("bench", options)?;
    Ok((caches, cache))
}

/// The same values for both, for the same time: through the facade, and under the peer's own keys.
async fn fill(cache: &Cache<Bytes>, mut raw: redis::aio::MultiplexedConnection) -> Result<(), BoxError> {
    let value = Bytes::from(vec![7; 100]);
    for start in (0..KEYS).step_by(1000) {
        let keys = start..(start + 1000).min(KEYS);
        cache.put_many(keys.clone().map(|key| (key, value.clone())).collect()).await?;
        let mut pipeline = redis::pipe();
        for key in keys {
            pipeline.set_ex(name(key), &*value, FRESH.as_secs()).ignore();
        }
        pipeline.query_async::<()>(&mut raw).await?;
    }
    Ok(())
}

/// As long as the names of the facade's keys.
fn name(key: u64) -> String {
    format!("{{raw:bench:{key}}}")
}

/// `n` look-ups of keys at random by tasks at the same time.
fn singles<C, F>(runtime: &Runtime, n: u64, contestant: &C, get: fn(C, u64) -> F)
where
    C: Clone + Send + Sync + 'static,
    F: Future<Output = usize> + Send + 'static,
{
    runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let contestant = contestant.clone();
            tasks.spawn(async move {
                let mut random = fastrand::Rng::with_seed(n ^ task);
                for _ in 0..n.div_ceil(TASKS) {
                    assert_eq!(get(contestant.clone(), random.u64(..KEYS)).await, 100);
                }
            });
        }
        tasks.join_all().await;
    });
}

/// `n` batches, one after the other.
fn batches<C: Clone, F>(runtime: &Runtime, n: u64, contestant: &C, get: fn(C, Vec<u64>) -> F)
where
    F: Future<Output = usize>,
{
    let mut random = fastrand::Rng::with_seed(n);
    runtime.block_on(async {
        for _ in 0..n {
            let start = random.u64(..KEYS - BATCH);
            assert_eq!(get(contestant.clone(), (start..start + BATCH).collect()).await, 100 * BATCH as usize);
        }
    });
}

async fn peer_get(mut raw: redis::aio::MultiplexedConnection, key: u64) -> usize {
    let value: Vec<u8> = raw.get(name(key)).await.expect("the server answers");
    value.len()
}

/// What gathering alone gives, which no cache can exceed: callers put their keys into a queue, tasks take what is in it
/// and send one `MGET` for it. Nothing is decoded, checked, kept or limited in time.
#[derive(Clone)]
struct Bare {
    queue: Arc<Mutex<Queue>>,
    raw: redis::aio::MultiplexedConnection,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(u64, oneshot::Sender<usize>)>,
    flying: usize,
}

impl Bare {
    /// As many as ours has on their way.
    const FLIGHTS: usize = 4;

    fn new(raw: redis::aio::MultiplexedConnection) -> Self {
        Self { queue: Arc::default(), raw }
    }

    async fn fly(mut self) {
        loop {
            tokio::task::yield_now().await;
            let batch = {
                let mut queue = self.queue.lock().expect("nobody panics");
                if queue.waiting.is_empty() {
                    queue.flying -= 1;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            let names: Vec<String> = batch.iter().map(|(key, _)| name(*key)).collect();
            let command = redis::cmd("MGET").arg(names).to_owned();
            let values: Vec<Vec<u8>> = command.query_async(&mut self.raw).await.expect("the server answers");
            for ((_, answer), value) in batch.into_iter().zip(values) {
                // Whoever asked waits for it.
                let _ = answer.send(value.len());
            }
        }
    }
}

async fn bare_get(bare: Bare, key: u64) -> usize {
    let (answer, answered) = oneshot::channel();
    let more = {
        let mut queue = bare.queue.lock().expect("nobody panics");
        queue.waiting.push((key, answer));
        let more = queue.flying < Bare::FLIGHTS;
        queue.flying += usize::from(more);
        more
    };
    if more {
        tokio::spawn(bare.fly());
    }
    answered.await.expect("every batch is answered")
}

async fn our_get(cache: Cache<Bytes>, key: u64) -> usize {
    cache.get(&key).await.ok().flatten().map_or(0, |value| value.len())
}

async fn peer_mget(mut raw: redis::aio::MultiplexedConnection, keys: Vec<u64>) -> usize {
    let names: Vec<String> = keys.into_iter().map(name).collect();
    let values: Vec<Vec<u8>> = raw.mget(names).await.expect("the server answers");
    values.iter().map(Vec::len).sum()
}

async fn our_get_many(cache: Cache<Bytes>, keys: Vec<u64>) -> usize {
    let values = cache.get_many(&keys).await.expect("the server answers");
    values.iter().flatten().map(|value| value.len()).sum()
}
