//! What the tests share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "each test file uses its part"
)]

pub mod bus;
#[cfg(feature = "integration")]
pub mod fleet;
#[cfg(feature = "integration")]
pub mod storm;
pub mod stub;
pub mod tier;

use aeth_cache::{Cache, CacheOptions, Caches, CachesBuilder};
use aeth_core::Clock;
use aeth_core::observe::{Collector, Descriptor, HistogramSnapshot, Label, MetricsSource};
use aeth_core::sim::MockClock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Test = Result<(), Failure>;

/// Caches without lower tiers on the machine's clock.
pub fn caches() -> Caches {
    Caches::builder().memory(8 << 20).build().unwrap()
}

/// Caches without lower tiers on a clock that the test owns.
pub fn mocked() -> (Caches, MockClock) {
    let clock = MockClock::new();
    (builder(&clock).build().unwrap(), clock)
}

pub fn builder(clock: &MockClock) -> CachesBuilder {
    Caches::builder().memory(8 << 20).clock(Arc::new(clock.clone()) as Arc<dyn Clock>)
}

pub fn numbers(caches: &Caches) -> Cache<u64> {
    caches.open("numbers", CacheOptions::new()).unwrap()
}

pub fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A source whose loads wait until they are let go, and are counted.
#[derive(Clone)]
pub struct Source {
    value: Arc<AtomicU64>,
    loads: Arc<AtomicU64>,
    gate: Arc<Semaphore>,
}

impl Source {
    /// Its loads need to be let go.
    pub fn gated(value: u64) -> Self {
        Self {
            value: Arc::new(AtomicU64::new(value)),
            loads: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        }
    }

    /// Its loads end at once.
    pub fn open(value: u64) -> Self {
        let source = Self::gated(value);
        source.gate.add_permits(Semaphore::MAX_PERMITS >> 1);
        source
    }

    pub fn set(&self, value: u64) {
        self.value.store(value, Ordering::SeqCst);
    }

    pub fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    /// Lets `n` loads end.
    pub fn let_go(&self, n: usize) {
        self.gate.add_permits(n);
    }

    /// Reads the value *now*, and gives it when let go: the slow loader.
    pub async fn load(self) -> Result<u64, std::io::Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let value = self.value.load(Ordering::SeqCst);
        self.gate.acquire().await.unwrap().forget();
        Ok(value)
    }
}

/// Lets every task that can run do so.
pub async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[derive(Default)]
struct Figures(BTreeMap<String, f64>);

impl Figures {
    fn note(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: f64) {
        let label = labels.first().map_or("", |label| label.1);
        self.0.insert(format!("{} {label}", descriptor.name), value);
    }
}

impl Collector for Figures {
    fn counter(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: u64) {
        self.note(descriptor, labels, value as f64);
    }
    fn gauge(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: f64) {
        self.note(descriptor, labels, value);
    }
    fn histogram(&mut self, descriptor: &Descriptor, labels: &[Label<'_>], value: &HistogramSnapshot) {
        self.note(descriptor, labels, value.count() as f64);
    }
}

/// What it reports, by metric and first label.
pub fn figures(caches: &Caches) -> BTreeMap<String, f64> {
    let mut figures = Figures::default();
    caches.collect(&mut figures);
    figures.0
}

/// Repeats until it holds; how long that took.
pub async fn until<F: AsyncFnMut() -> bool>(mut holds: F) -> Duration {
    let start = std::time::Instant::now();
    while !holds().await {
        assert!(start.elapsed() < Duration::from_secs(60), "it never came");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}
