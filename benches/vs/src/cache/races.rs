//! A load that has read the old value when its key is removed or replaced, and ends afterwards: what the cache gives
//! then. (The crate's own suite of races, over seeded schedules, is `cargo xtask torture cache`.)

use crate::row::Row;
use crate::{BoxError, runtime};
use aeth_cache::Caches;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::Notify;

const ROUNDS: u64 = 100;
const OLD: u64 = 1;
const NEW: u64 = 2;

/// A loader that reads the old value at once and gives it when it may.
#[derive(Clone, Default)]
struct Slow {
    begun: Arc<Notify>,
    go: Arc<Notify>,
}

impl Slow {
    async fn load(self) -> u64 {
        self.begun.notify_one();
        self.go.notified().await;
        OLD
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Change {
    Removal,
    Put,
}

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let runtime = runtime()?;
    for (change, name) in [(Change::Removal, "a removal"), (Change::Put, "a put")] {
        let what = format!("old value back after {name} during its load, of {ROUNDS}");
        runtime.block_on(async {
            let mine = ours(change).await? as f64;
            let peer = ("moka::future", moka(change).await as f64);
            report(Row::against(what, "", mine, peer).at_most(0.0));
            Ok::<_, BoxError>(())
        })?;
    }
    Ok(())
}

async fn ours(change: Change) -> Result<u64, BoxError> {
    let caches = Caches::builder().memory(1 << 20).build()?;
    let cache = caches.open::<u64>("races", aeth_cache::CacheOptions::new())?;
    let mut stale = 0;
    for key in 0..ROUNDS {
        let slow = Slow::default();
        let loading = tokio::spawn({
            let (cache, slow) = (cache.clone(), slow.clone());
            let load = move || async move { Ok::<_, Infallible>(slow.load().await) };
            async move { cache.get_or_load(&key, load).await.map(drop) }
        });
        slow.begun.notified().await;
        match change {
            Change::Removal => cache.remove(&key).await?,
            Change::Put => cache.put(&key, NEW).await?,
        }
        slow.go.notify_one();
        loading.await??;
        stale += u64::from(cache.get(&key).await?.as_deref() == Some(&OLD));
    }
    Ok(stale)
}

async fn moka(change: Change) -> u64 {
    let cache = moka::future::Cache::<u64, u64>::new(1000);
    let mut stale = 0;
    for key in 0..ROUNDS {
        let slow = Slow::default();
        let loading = tokio::spawn({
            let (cache, slow) = (cache.clone(), slow.clone());
            async move { cache.get_with(key, slow.load()).await }
        });
        slow.begun.notified().await;
        match change {
            Change::Removal => cache.invalidate(&key).await,
            Change::Put => cache.insert(key, NEW).await,
        }
        slow.go.notify_one();
        drop(loading.await);
        stale += u64::from(cache.get(&key).await == Some(OLD));
    }
    stale
}
