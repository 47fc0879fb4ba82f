//! When a late read is asked a second time.

use super::HedgeSettings;
use crate::observe::Histogram;
use parking_lot::Mutex;
use std::time::Duration;

/// So many reads must have been seen before their quantile counts.
const ENOUGH: u64 = 100;
/// The most extra requests that can be saved up.
const MOST: f64 = 10.0;

#[derive(Debug)]
pub(super) struct Hedge {
    settings: HedgeSettings,
    latencies: Histogram,
    tokens: Mutex<f64>,
}

impl Hedge {
    pub(super) fn new(settings: HedgeSettings) -> Self {
        Self { settings, latencies: Histogram::new(), tokens: Mutex::new(0.0) }
    }

    /// Counts a read, which earns a share of an extra request.
    pub(super) fn earn(&self) {
        let mut tokens = self.tokens.lock();
        *tokens = (*tokens + self.settings.budget).min(MOST);
    }

    /// Takes an extra request out of the budget, if it has one.
    pub(super) fn spend(&self) -> bool {
        let mut tokens = self.tokens.lock();
        // Shares like 0.05 are not exact in binary: twenty of them must make one.
        let affordable = *tokens >= 1.0 - 1e-9;
        if affordable {
            *tokens = (*tokens - 1.0).max(0.0);
        }
        affordable
    }

    /// Records how long a read took.
    pub(super) fn record(&self, latency: Duration) {
        self.latencies.record_duration(latency);
    }

    /// After how long a read is late.
    pub(super) fn delay(&self) -> Duration {
        let seen = self.latencies.snapshot();
        if seen.count() < ENOUGH {
            return self.settings.after;
        }
        self.settings.after.max(Duration::from_nanos(seen.quantile(self.settings.quantile)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_share_of_the_reads() {
        let hedge = Hedge::new(HedgeSettings::default());
        let extra = (0..2000).filter(|_| {
            hedge.earn();
            hedge.spend()
        });
        assert_eq!(extra.count(), 100);
    }

    #[test]
    fn the_delay_follows_the_latencies() {
        let hedge = Hedge::new(HedgeSettings::default());
        assert_eq!(hedge.delay(), Duration::from_millis(50));
        (0..200).for_each(|_| hedge.record(Duration::from_millis(400)));
        assert!(hedge.delay() >= Duration::from_millis(400));
    }
}
