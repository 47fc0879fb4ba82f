//! What the cache levels in databases share: their figures.

use aeth_core::cache::TierStatistics;
use aeth_core::observe::standard::{cache, labels};
use aeth_core::observe::{Collector, Counter};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) unavailable: Counter,
    pub(crate) puts: Counter,
    pub(crate) removals: Counter,
    pub(crate) evictions: Counter,
    pub(crate) expirations: Counter,
    pub(crate) damaged: Counter,
    pub(crate) entries: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

impl Figures {
    /// All of them; `counted` when the number of entries is known.
    pub(crate) fn statistics(&self, capacity: u64, counted: bool) -> TierStatistics {
        let mut statistics = TierStatistics::default();
        statistics.hits = self.hits.get();
        statistics.misses = self.misses.get();
        statistics.unavailable = self.unavailable.get();
        statistics.puts = self.puts.get();
        statistics.removals = self.removals.get();
        statistics.evictions = self.evictions.get();
        statistics.expirations = self.expirations.get();
        statistics.damaged = self.damaged.get();
        statistics.entries = counted.then(|| self.entries.load(Relaxed));
        statistics.bytes = Some(self.bytes.load(Relaxed));
        statistics.capacity = Some(capacity);
        statistics
    }
}

/// Shows them as the metrics of the tier with this name.
#[allow(clippy::cast_precision_loss, reason = "gauges need no more than 53 bits")]
pub(crate) fn collect(name: &str, statistics: &TierStatistics, out: &mut dyn Collector) {
    let labels = [(labels::TIER, name)];
    for (descriptor, count) in [
        (&cache::TIER_HITS, statistics.hits),
        (&cache::TIER_MISSES, statistics.misses),
        (&cache::TIER_UNAVAILABLE, statistics.unavailable),
        (&cache::TIER_PUTS, statistics.puts),
        (&cache::TIER_REMOVALS, statistics.removals),
        (&cache::TIER_EVICTIONS, statistics.evictions),
        (&cache::TIER_EXPIRATIONS, statistics.expirations),
        (&cache::TIER_DAMAGED, statistics.damaged),
    ] {
        out.counter(descriptor, &labels, count);
    }
    let gauges = [(&cache::TIER_ENTRIES, statistics.entries), (&cache::TIER_SIZE, statistics.bytes)];
    for (descriptor, value) in gauges {
        if let Some(value) = value {
            out.gauge(descriptor, &labels, value as f64);
        }
    }
}
