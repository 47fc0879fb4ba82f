//! When a late read is asked a second time.

use super::HedgeSettings;
use crate::observe::{Histogram, HistogramSnapshot};
use parking_lot::Mutex;
use std::time::Duration;

/// So many reads must have been seen before their quantile counts.
const ENOUGH: u64 = 100;
/// The most extra requests that can be saved up.
const MOST: f64 = 10.0;
/// The quantile is taken anew after so many reads, out of the last one or two windows.
const REFRESH: u64 = 64;
const WINDOW: u64 = 1_024;
/// How much one read changes the share of late ones, and from which share on it is a brown-out: of reads that are late
/// one by one, no more than one in twenty should be.
const WEIGHT: f64 = 1.0 / 32.0;
const BROWN_OUT: f64 = 0.2;

/// Decides when a late request is joined by a second one: after which time, within which budget, and not in a
/// brown-out, when many are late and more requests would only add to it.
///
/// A [`Guard`](super::Guard) has its own; this is for components that send the second request themselves, to another
/// place. For each request call [`earn`](Self::earn), wait for [`delay`](Self::delay), ask [`spend`](Self::spend)
/// whether a second one may be sent, and [`record`](Self::record) how long the answer took.
///
/// ```
/// use aeth_core::policy::{Hedge, HedgeSettings};
/// use std::time::Duration;
///
/// let hedge = Hedge::new(HedgeSettings::default().with_after(Duration::from_millis(20)));
/// hedge.earn();
/// assert_eq!(hedge.delay(), Duration::from_millis(20));
/// assert!(!hedge.spend(), "nothing is saved up yet");
/// ```
#[derive(Debug)]
pub struct Hedge {
    settings: HedgeSettings,
    latencies: Histogram,
    recent: Mutex<Recent>,
}

#[derive(Debug)]
struct Recent {
    /// Extra requests that are saved up.
    tokens: f64,
    /// The share of late reads, smoothed.
    late: f64,
    delay: Duration,
    seen: u64,
    /// All latencies up to the beginnings of the last window and of this one.
    marks: [HistogramSnapshot; 2],
}

impl Hedge {
    /// With nothing seen yet.
    #[must_use]
    pub fn new(settings: HedgeSettings) -> Self {
        let marks = Default::default();
        let recent = Recent { tokens: 0.0, late: 0.0, delay: settings.after, seen: 0, marks };
        Self { settings, latencies: Histogram::new(), recent: Mutex::new(recent) }
    }

    /// Counts a request, which earns a share of an extra one.
    pub fn earn(&self) {
        let mut recent = self.recent.lock();
        recent.tokens = (recent.tokens + self.settings.budget).min(MOST);
    }

    /// Takes an extra request out of the budget; false when there is none left, and in a brown-out.
    #[must_use]
    pub fn spend(&self) -> bool {
        let mut recent = self.recent.lock();
        // Shares like 0.05 are not exact in binary: twenty of them must make one.
        let affordable = recent.late < BROWN_OUT && recent.tokens >= 1.0 - 1e-9;
        if affordable {
            recent.tokens = (recent.tokens - 1.0).max(0.0);
        }
        affordable
    }

    /// Records how long an answer took.
    pub fn record(&self, latency: Duration) {
        self.latencies.record_duration(latency);
        let mut recent = self.recent.lock();
        let late = if latency > recent.delay { 1.0 } else { 0.0 };
        recent.late += (late - recent.late) * WEIGHT;
        recent.seen += 1;
        if !recent.seen.is_multiple_of(REFRESH) {
            return;
        }
        let now = self.latencies.snapshot();
        let window = now.since(&recent.marks[0]);
        if window.count() >= ENOUGH {
            let quantile = Duration::from_nanos(window.quantile(self.settings.quantile));
            recent.delay = self.settings.after.max(quantile);
        }
        if recent.seen.is_multiple_of(WINDOW) {
            recent.marks.swap(0, 1);
            recent.marks[1] = now;
        }
    }

    /// After how long a request is late.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.recent.lock().delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

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
    fn the_delay_follows_the_latencies_and_forgets_old_ones() {
        let hedge = Hedge::new(HedgeSettings::default());
        assert_eq!(hedge.delay(), ms(50));
        (0..100_000).for_each(|_| hedge.record(ms(400)));
        assert!(hedge.delay() >= ms(400) && hedge.delay() <= ms(450));
        (0..2 * WINDOW + REFRESH).for_each(|_| hedge.record(ms(100)));
        assert!(hedge.delay() <= ms(115), "{:?}", hedge.delay());
    }

    #[test]
    fn many_late_reads_are_a_brown_out_until_they_are_the_usual_ones() {
        let hedge = Hedge::new(HedgeSettings::default());
        let reads = |count: u32, latency: &dyn Fn(u32) -> Duration| {
            let extra = (0..count).filter(|n| {
                hedge.earn();
                let latency = latency(*n);
                let extra = latency > hedge.delay() && hedge.spend();
                hedge.record(latency);
                extra
            });
            extra.count()
        };
        let tail = |n: u32| if n % 100 == 99 { ms(1_000) } else { ms(60) };
        assert!(reads(2_000, &tail) >= 18, "a tail is cut");
        assert!(reads(1_000, &|_| ms(1_000)) <= 10, "a brown-out is left alone");
        assert!(reads(4_000, &tail) >= 10, "and over some time later");
    }
}
