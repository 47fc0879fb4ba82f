//! One process of the cluster example: reads a skewed set of keys through the typed cache, and (the first one)
//! changes them.

use crate::skew::Zipf;
use crate::truth::Truth;
use aetherius::cache::redis::{Redis, RedisOptions};
use aetherius::cache::{Cache, CacheOptions, Caches, CallOptions};
use aetherius::core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource};
use aetherius::{Error, Result, SystemClock};
use serde_json::{Value, json};
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Keys that are read and changed.
pub(crate) const KEYS: u64 = 400;
/// Callers of one process that want the missing key at once.
pub(crate) const CALLERS: u64 = 250;
/// How long a caller waits while there is a stale value.
pub(crate) const SOFT: Duration = Duration::from_millis(20);
const READERS: u64 = 8;
/// What the pretended database takes.
const LOAD: Duration = Duration::from_millis(3);
/// Beyond the keys: one that nobody has, and one for each process to write.
const MISSING: u64 = 1 << 32;
const PROBE: u64 = 1 << 33;

struct Node {
    number: u64,
    caches: Caches,
    cache: Cache<u64>,
    truth: Truth,
    /// What this process itself has changed: it never reads less.
    own: Vec<AtomicU64>,
    loads: AtomicU64,
    behind: AtomicU64,
    behind_own: AtomicU64,
    errors: AtomicU64,
    writing: AtomicBool,
}

/// Answers the parent's lines on standard input until there are no more.
#[allow(clippy::print_stdout, reason = "standard output is the way to the parent")]
pub(crate) async fn run(number: u64, url: &str, truth: &Path) -> Result<()> {
    let node = Arc::new(open(number, url, truth)?);
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    println!("{}", json!({ "ready": number }));
    while let Some(line) = lines.recv().await {
        let order: Value = serde_json::from_str(&line).map_err(|e| Error::invalid(format!("{line}: {e}")))?;
        let seconds = Duration::from_secs_f64(order["seconds"].as_f64().unwrap_or(1.0));
        let answer = match order["do"].as_str() {
            Some("stampede") => node.stampede(order["round"].as_u64().unwrap_or(0)).await?,
            Some("work") => node.work(seconds, order["back"].as_bool() == Some(true)).await?,
            Some("agree") => node.agree().await,
            _ => return Err(Error::invalid(format!("no such order: {line}"))),
        };
        println!("{answer}");
    }
    Ok(())
}

fn open(number: u64, url: &str, truth: &Path) -> Result<Node> {
    let options = RedisOptions::new(url).with_command_timeout(Duration::from_millis(300));
    let redis = Redis::open(options, SystemClock::shared())?;
    let caches = Caches::builder()
        .memory(16 << 20)
        .tier(Arc::new(redis.tier()))
        .backplane(Arc::new(redis.backplane()))
        .build()?;
    let options = CacheOptions::new()
        .fresh_for(Duration::from_secs(60))
        .usable_for(Duration::from_secs(3600))
        .local_fresh_for(Duration::from_secs(1))
        .soft_timeout(SOFT)
        .tier_timeout(Duration::from_millis(400));
    let cache = caches.open("numbers", options)?;
    Ok(Node {
        number,
        caches,
        cache,
        truth: Truth::open(truth)?,
        own: (0..KEYS).map(|_| AtomicU64::new(0)).collect(),
        loads: AtomicU64::new(0),
        behind: AtomicU64::new(0),
        behind_own: AtomicU64::new(0),
        errors: AtomicU64::new(0),
        writing: AtomicBool::new(false),
    })
}

impl Node {
    async fn load(self: Arc<Self>, key: u64) -> Result<u64> {
        let value = self.truth.value(key)?;
        self.loads.fetch_add(1, Relaxed);
        tokio::time::sleep(LOAD).await;
        Ok(value)
    }

    /// Everybody wants a key that nobody has.
    async fn stampede(self: &Arc<Self>, round: u64) -> Result<Value> {
        let loads = Arc::new(AtomicU64::new(0));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (cache, loads) = (self.cache.clone(), Arc::clone(&loads));
            callers.spawn(async move {
                let load = move || async move {
                    loads.fetch_add(1, Relaxed);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok::<_, Error>(7)
                };
                cache.get_or_load(&(MISSING + round), load).await.is_ok()
            });
        }
        let served = callers.join_all().await.into_iter().filter(|served| *served).count();
        Ok(json!({ "loads": loads.load(Relaxed), "served": served }))
    }

    /// Reads, and changes if it is the writer's process, for so long; then says what it saw.
    async fn work(self: &Arc<Self>, time: Duration, back: bool) -> Result<Value> {
        let begun = Instant::now();
        let before = self.figures();
        let recovered = tokio::spawn(Arc::clone(self).recover(begun, back));
        let mut readers = JoinSet::new();
        for reader in 0..READERS {
            readers.spawn(Arc::clone(self).read(reader, begun + time));
        }
        self.writing.store(true, Relaxed);
        let writer = (self.number == 0).then(|| tokio::spawn(Arc::clone(self).write()));
        let mut took: Vec<u64> = readers.join_all().await.into_iter().flatten().collect();
        self.writing.store(false, Relaxed);
        if let Some(writer) = writer {
            writer.await.map_err(|error| Error::other("the writer ended").with_source(error))??;
        }
        let recovered = recovered.await.map_err(|error| Error::other("no probe").with_source(error))?;
        took.sort_unstable();
        let at =
            |part: f64| took.get((took.len() as f64 * part) as usize).or(took.last()).copied().unwrap_or(0);
        let after = self.figures();
        let grown = |at: usize| after[at] - before[at];
        Ok(json!({
            "reads": took.len(), "loads": grown(0), "stale": grown(1), "behind": grown(2), "behind_own": grown(3),
            "errors": grown(4), "p50": at(0.5), "p99": at(0.99), "max": took.last(), "recovered": recovered,
        }))
    }

    async fn read(self: Arc<Self>, reader: u64, until: Instant) -> Vec<u64> {
        let mut skew = Zipf::new(KEYS as usize, 0.99, self.number * READERS + reader);
        let mut took = Vec::new();
        while Instant::now() < until {
            let key = skew.draw() as u64;
            let own = self.own.get(key as usize).map_or(0, |own| own.load(Relaxed));
            let floor = self.truth.floor(key).unwrap_or(0);
            let (begun, loader) = (Instant::now(), Arc::clone(&self));
            match self.cache.get_or_load(&key, move || loader.load(key)).await {
                Ok(seen) => {
                    self.behind_own.fetch_add(u64::from(*seen < own), Relaxed);
                    self.behind.fetch_add(u64::from(*seen < floor), Relaxed);
                }
                Err(_) => drop(self.errors.fetch_add(1, Relaxed)),
            }
            took.push(begun.elapsed().as_micros() as u64);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        took
    }

    /// Changes the source, then tells the cache, as an application does.
    async fn write(self: Arc<Self>) -> Result<()> {
        let mut skew = Zipf::new(KEYS as usize, 0.5, 99);
        while self.writing.load(Relaxed) {
            let key = skew.draw() as u64;
            let value = self.truth.raise(key)?;
            let removed = self.cache.remove(&key).await;
            if let Some(own) = self.own.get(key as usize) {
                own.store(value, Relaxed);
            }
            // An outage is no reason to stop: the removal is sent when Redis answers again.
            if removed.is_ok() {
                self.truth.acknowledge(key, value)?;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// How long after `begun` Redis took this process's changes, what waited had been sent, and others were heard.
    async fn recover(self: Arc<Self>, begun: Instant, back: bool) -> Option<u64> {
        if !back {
            return None;
        }
        loop {
            let stored = self.cache.put(&(PROBE + self.number), 1).await.is_ok();
            if stored && self.caches.pending_removals() == 0 && self.caches.hears_others() == Some(true) {
                return Some(begun.elapsed().as_millis() as u64);
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How many keys this process reads otherwise than they are.
    async fn agree(self: &Arc<Self>) -> Value {
        // A stale copy may be served while a load is slow; who wants the truth waits.
        let patient = self.cache.with(CallOptions::new().soft_timeout(Duration::from_secs(60)));
        let mut wrong = 0;
        for key in 0..KEYS {
            let loader = Arc::clone(self);
            let seen = patient.get_or_load(&key, move || loader.load(key)).await;
            wrong += u64::from(seen.ok().as_deref() != self.truth.value(key).ok().as_ref());
        }
        json!({ "wrong": wrong })
    }

    fn figures(&self) -> [u64; 5] {
        let mut stale = Stale(0);
        self.caches.collect(&mut stale);
        let counted =
            [&self.loads, &self.behind, &self.behind_own, &self.errors].map(|count| count.load(Relaxed));
        [counted[0], stale.0, counted[1], counted[2], counted[3]]
    }
}

/// The stale answers, out of the metrics of the caches.
struct Stale(u64);

impl Collector for Stale {
    fn counter(&mut self, descriptor: &Descriptor, _: &[Label<'_>], value: u64) {
        if descriptor.name == "aeth_cache_stale" {
            self.0 += value;
        }
    }
    fn gauge(&mut self, _: &Descriptor, _: &[Label<'_>], _: f64) {}
    fn histogram(&mut self, _: &Descriptor, _: &[Label<'_>], _: &HistogramSnapshot) {}
}
