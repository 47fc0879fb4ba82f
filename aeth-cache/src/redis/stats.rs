//! What the tier has done.

use super::lookup::Found;
use aeth_core::cache::TierStatistics;
use aeth_core::observe::Counter;

#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) unavailable: Counter,
    pub(super) puts: Counter,
    pub(super) removals: Counter,
    pub(super) expirations: Counter,
    pub(super) damaged: Counter,
}

impl Stats {
    pub(super) fn looked_up(&self, found: &[Found]) {
        let (mut hits, mut outages) = (0, 0);
        for found in found {
            match found {
                Found::Hit(_) | Found::Stale(..) => hits += 1,
                Found::Unavailable(_) => outages += 1,
                Found::Miss | Found::Granted(_) | Found::Held => {}
            }
        }
        let total = u64::try_from(found.len()).unwrap_or(u64::MAX);
        self.hits.add(hits);
        self.unavailable.add(outages);
        self.misses.add(total - hits - outages);
    }

    /// What the server holds and evicts is not this tier's alone; the server's own figures tell it.
    pub(super) fn snapshot(&self) -> TierStatistics {
        let mut out = TierStatistics::default();
        out.hits = self.hits.get();
        out.misses = self.misses.get();
        out.unavailable = self.unavailable.get();
        out.puts = self.puts.get();
        out.removals = self.removals.get();
        out.expirations = self.expirations.get();
        out.damaged = self.damaged.get();
        out
    }
}
