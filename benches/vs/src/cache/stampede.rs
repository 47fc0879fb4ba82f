//! How often a loader runs when a thousand callers miss at once.

use super::{process, workers};
use crate::BoxError;
use crate::row::Row;
use aeth_cache::{Cache, CacheOptions, Caches};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;

const CALLERS: usize = 1000;
const LOAD: Duration = Duration::from_millis(50);

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let runtime = workers(2)?;
    let caches = Caches::builder().memory(1 << 20).build()?;
    let cache: Cache<u64> = caches.open("bench", CacheOptions::new())?;
    let loads = |key, kind| runtime.block_on(rush(&cache, key, kind)) as f64;
    report(Row::absolute("1,000 misses at once: loads", "", loads(1, Kind::Plain)).at_most(1.0));
    report(Row::absolute("the same, the first caller cancelled", "", loads(2, Kind::Cancelled)).at_most(1.0));
    report(Row::absolute("the same, a borrowing caller cancelled", "", loads(3, Kind::Scoped)).at_most(2.0));
    report(Row::absolute("the same, the loader fails", "", loads(4, Kind::Failing)).at_most(1.0));
    report(
        Row::absolute("4 processes × 250 callers, one Redis: loads", "", process::stampede()? as f64)
            .at_most(1.0),
    );
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Cancelled,
    Scoped,
    Failing,
}

async fn rush(cache: &Cache<u64>, key: u64, kind: Kind) -> u64 {
    let loads = Arc::new(AtomicU64::new(0));
    let mut callers = JoinSet::new();
    let failing = kind == Kind::Failing;
    let load = move |loads: Arc<AtomicU64>| async move {
        loads.fetch_add(1, SeqCst);
        tokio::time::sleep(LOAD).await;
        if failing { Err("no") } else { Ok(7) }
    };
    let leader = tokio::spawn({
        let (cache, loads) = (cache.clone(), Arc::clone(&loads));
        async move {
            match kind {
                Kind::Scoped => drop(cache.get_or_load_scoped(&key, || load(loads)).await),
                _ => drop(cache.get_or_load(&key, move || load(loads)).await),
            }
        }
    });
    while loads.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 1..CALLERS {
        let (cache, loads) = (cache.clone(), Arc::clone(&loads));
        callers.spawn(async move { cache.get_or_load(&key, move || load(loads)).await.is_ok() });
    }
    tokio::time::sleep(LOAD / 5).await;
    if matches!(kind, Kind::Cancelled | Kind::Scoped) {
        leader.abort();
    }
    let served = callers.join_all().await.into_iter().filter(|served| *served).count();
    assert_eq!(served, if failing { 0 } else { CALLERS - 1 });
    loads.load(SeqCst)
}
