//! Warming up after a start.

use super::file::read_keys;
use super::{KEYS, RestoreReport, VALUES, VISIT, Warmth};
use crate::caches::Shared;
use crate::error::closed;
use crate::l1::L1Key;
use crate::space::Space;
use aeth_core::{ClockExt, Error, Key, Namespace, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How far a warm-up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WarmProgress {
    /// Values that were restored.
    pub restored: usize,
    /// Keys that were saved, once they are known.
    pub keys: usize,
    /// Keys that were worked through: they are here, were read from the lower tiers, or are missing.
    pub visited: usize,
}

/// What a warm-up has done.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WarmReport {
    /// What became of the saved values.
    pub restore: RestoreReport,
    /// Keys that were saved.
    pub keys: usize,
    /// Keys that were read from the lower tiers.
    pub read: usize,
    /// Keys that are neither here nor in the lower tiers, the hottest first: for the application to load, by
    /// [`get_or_load_many`](crate::Cache::get_or_load_many).
    pub missing: Vec<(Namespace, Key)>,
    /// Keys of caches that are not open.
    pub not_open: usize,
    /// What went wrong, if anything did: the cache is then colder than it could be, and nothing else.
    pub problem: Option<Error>,
    /// How long it took.
    pub took: Duration,
}

#[derive(Debug, Default)]
struct Counters {
    restored: AtomicUsize,
    keys: AtomicUsize,
    visited: AtomicUsize,
}

/// A warm-up in the background. Dropping it lets it go on.
pub struct Warmup {
    counters: Arc<Counters>,
    task: JoinHandle<Option<WarmReport>>,
}

impl Warmup {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> WarmProgress {
        let counters = &self.counters;
        WarmProgress {
            restored: counters.restored.load(Relaxed),
            keys: counters.keys.load(Relaxed),
            visited: counters.visited.load(Relaxed),
        }
    }

    /// True when it has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// `Closed` when the caches were closed meanwhile.
    ///
    /// # Cancel safety
    /// Cancel-safe in that it goes on; its report is lost.
    pub async fn wait(self) -> Result<WarmReport> {
        match self.task.await {
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err(closed().with_operation("warm_up")),
            Err(error) => Err(Error::other("the warm-up ended early").with_source(error)),
        }
    }
}

impl fmt::Debug for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warmup").field("progress", &self.progress()).field("done", &self.is_done()).finish()
    }
}

impl Shared {
    pub(crate) fn warm_up(self: &Arc<Self>) -> Result<Warmup> {
        if self.is_closed() {
            return Err(closed().with_operation("warm_up"));
        }
        if self.warmth.is_none() {
            return Err(Error::invalid("there is no place where warmth is kept")
                .with_operation("warm_up")
                .with_remedy("give the builder a `Warming`"));
        }
        tokio::runtime::Handle::try_current()
            .map_err(|error| Error::invalid("there is no tokio runtime to warm up on").with_source(error))?;
        self.save_often();
        let counters = Arc::new(Counters::default());
        let (shared, counted) = (Arc::clone(self), Arc::clone(&counters));
        let task = self.tasks.spawn_until_closed(async move {
            match &shared.warmth {
                Some(warmth) => shared.run_warm_up(warmth, &counted).await,
                None => WarmReport::default(),
            }
        });
        Ok(Warmup { counters, task })
    }

    async fn run_warm_up(self: &Arc<Self>, warmth: &Warmth, counters: &Counters) -> WarmReport {
        let began = self.coarse.clock().monotonic();
        let mut report = WarmReport::default();
        match self.restore_saved(warmth).await {
            Ok(restored) => report.restore = restored,
            Err(error) => report.problem = Some(error),
        }
        counters.restored.store(report.restore.restored, Relaxed);
        if let Err(error) = self.read_saved(warmth, counters, &mut report).await {
            report.problem.get_or_insert(error);
        }
        report.took = self.coarse.clock().monotonic().saturating_sub(began);
        report
    }

    /// Restores the values, which are deleted first: should this process die, what changes from here on must not
    /// come back.
    async fn restore_saved(self: &Arc<Self>, warmth: &Warmth) -> Result<RestoreReport> {
        if !warmth.options.values {
            return Ok(RestoreReport::default());
        }
        let place = &warmth.options.place;
        let taken = async {
            let bytes = place.load(&self.tasks, VALUES).await?;
            if bytes.is_some() {
                place.remove(&self.tasks, VALUES).await?;
            }
            Ok::<_, Error>(bytes)
        };
        let Some(bytes) = self.coarse.clock().timeout(VISIT, taken).await?? else {
            return Ok(RestoreReport::default());
        };
        let shared = Arc::clone(self);
        self.compute(move || shared.restore(&bytes)).await?
    }

    /// Reads the keys that are still missing from the lower tiers, the hottest first, at the rate allowed.
    async fn read_saved(&self, warmth: &Warmth, counters: &Counters, report: &mut WarmReport) -> Result<()> {
        let options = &warmth.options;
        let clock = self.coarse.clock();
        let loaded = options.place.load(&self.tasks, KEYS);
        let Some(bytes) = clock.timeout(VISIT, loaded).await?? else { return Ok(()) };
        let keys = read_keys(&bytes)?;
        report.keys = keys.len();
        counters.keys.store(keys.len(), Relaxed);
        let began = clock.monotonic();
        let mut asked = 0_u32;
        for part in keys.chunks(options.batch) {
            let mut wanted: BTreeMap<&Namespace, Vec<L1Key>> = BTreeMap::new();
            for (name, key) in part {
                let Some(space) = self.space(name) else {
                    report.not_open += 1;
                    continue;
                };
                let key = space.key(key.as_bytes());
                if !space.is_fresh_here(&key) {
                    wanted.entry(name).or_default().push(key.owned());
                }
            }
            for (name, keys) in wanted {
                let Some(space) = self.space(name) else { continue };
                asked = asked.saturating_add(u32::try_from(keys.len()).unwrap_or(u32::MAX));
                for (key, here) in keys.iter().zip(space.warm(&keys).await?) {
                    if here {
                        report.read += 1;
                    } else {
                        report.missing.push((name.clone(), Space::tier_key(key.bytes())?));
                    }
                }
            }
            counters.visited.fetch_add(part.len(), Relaxed);
            let due = began + Duration::from_secs(1) * asked / options.rate;
            let early = due.saturating_sub(clock.monotonic());
            if early > Duration::from_millis(1) {
                clock.sleep(early).await;
            }
        }
        Ok(())
    }
}
