//! A log-linear histogram.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Each power of two is cut into this many equal parts, so that a bucket's bounds are at most 1/8 (12.5 %)
/// apart.
const SUB_BITS: u32 = 3;
const SUB: u64 = 1 << SUB_BITS;
/// Values from 2⁴⁸ on (78 hours in nanoseconds, 256 TiB in bytes) fall into the last bucket.
const MAX_BITS: u32 = 48;
const BUCKETS: usize = ((MAX_BITS - SUB_BITS + 1) as usize) * SUB as usize;

/// A distribution of whole numbers (nanoseconds, bytes) in log-linear buckets: values below 8 are exact, others
/// are known to within 12.5 %. Recording is three relaxed additions. Histograms with the same (fixed) buckets
/// merge by addition.
///
/// ```
/// use aeth_core::observe::Histogram;
/// let histogram = Histogram::new();
/// (1..=1000).for_each(|n| histogram.record(n));
/// let snapshot = histogram.snapshot();
/// assert_eq!(snapshot.count(), 1000);
/// assert!((450..=570).contains(&snapshot.quantile(0.5)));
/// ```
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    count: AtomicU64,
    sum: AtomicU64,
}

impl Histogram {
    /// An empty histogram; about 3 KiB.
    #[must_use]
    pub fn new() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, count: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Records one value.
    pub fn record(&self, value: u64) {
        if let Some(bucket) = self.buckets.get(index(value)) {
            bucket.fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Records a duration in nanoseconds.
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Its state at one instant. Values recorded meanwhile may or may not be in it.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        // The count is that of the buckets read, so that the snapshot agrees with itself.
        let count = buckets.iter().sum();
        HistogramSnapshot { buckets, count, sum: self.sum.load(Relaxed) }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count.load(Relaxed))
            .field("sum", &self.sum.load(Relaxed))
            .finish_non_exhaustive()
    }
}

/// The state of a [`Histogram`] at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistogramSnapshot {
    buckets: Vec<u64>,
    count: u64,
    sum: u64,
}

impl HistogramSnapshot {
    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The mean; 0 when nothing was recorded.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a mean needs no more than 53 bits")]
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The upper bound of the bucket that holds the quantile `q` (0 to 1, clamped); 0 when nothing was
    /// recorded.
    #[must_use]
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the rank lies between 0 and the count"
    )]
    pub fn quantile(&self, q: f64) -> u64 {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank {
                return upper_bound(bucket);
            }
        }
        0
    }

    /// The values recorded at or below `bound`, counting the bucket that holds it whole.
    #[must_use]
    pub fn count_at_or_below(&self, bound: u64) -> u64 {
        self.buckets.iter().take(index(bound) + 1).sum()
    }

    /// The buckets that hold something, as (greatest value of the bucket, values in it), ascending.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.buckets.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (upper_bound(i), *n))
    }

    /// What was recorded after `earlier`, a snapshot of the same histogram. When `earlier` is not its past (the
    /// component was opened again and counts from 0), the whole of this one.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let past = earlier.buckets.iter().enumerate().all(|(i, n)| self.buckets.get(i).unwrap_or(&0) >= n);
        if !past {
            return self.clone();
        }
        let before = earlier.buckets.iter().chain(std::iter::repeat(&0));
        let buckets: Vec<u64> = self.buckets.iter().zip(before).map(|(now, before)| now - before).collect();
        let count = buckets.iter().sum();
        Self { buckets, count, sum: self.sum.wrapping_sub(earlier.sum) }
    }

    /// Adds the values of another one.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// The bucket of a value.
fn index(value: u64) -> usize {
    let value = value.min((1 << MAX_BITS) - 1);
    if value < SUB {
        return usize::try_from(value).unwrap_or(0);
    }
    let exponent = value.ilog2() - SUB_BITS;
    let within = (value >> exponent) - SUB;
    usize::try_from((u64::from(exponent) + 1) * SUB + within).unwrap_or(BUCKETS - 1)
}

/// The greatest value of a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB {
        return bucket;
    }
    let exponent = bucket / SUB - 1;
    let within = bucket % SUB;
    ((SUB + within + 1) << exponent) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_ends_where_the_next_begins() {
        for bucket in 0..BUCKETS {
            let bound = upper_bound(bucket);
            assert_eq!(index(bound), bucket);
            if bucket + 1 < BUCKETS {
                assert_eq!(index(bound + 1), bucket + 1);
            }
        }
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn the_difference_is_what_was_recorded_in_between() {
        let histogram = Histogram::new();
        histogram.record(5);
        let earlier = histogram.snapshot();
        histogram.record(7_000);
        let later = histogram.snapshot();
        let difference = later.since(&earlier);
        assert_eq!((difference.count(), difference.sum()), (1, 7_000));
        assert_eq!(earlier.since(&later), earlier, "a reset counts from 0");
        assert_eq!(later.since(&HistogramSnapshot::default()), later);
    }
}
