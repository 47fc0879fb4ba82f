//! How often keys are hit: a count-min sketch (Cormode and Muthukrishnan, *An Improved Data Stream Summary*, 2005)
//! of a sample of the hits.
//!
//! Of a hit it costs a multiplication, and one in eight times the increment of two counters. It holds no keys: those
//! stand in the first level, and are ranked when they are saved.

use std::fmt;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// Counters for each key that is to be told apart: at this load the estimate is off by little for the hot ones.
const COUNTERS_PER_KEY: usize = 4;
const MOST: usize = 1 << 24;
/// One in 2³ hits is counted.
const SAMPLE_BITS: u32 = 3;
/// 2⁶⁴ divided by the golden ratio: multiples of it, cut to their upper bits, visit all residues evenly and follow
/// no loop of the keys.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The sketch; without counters when nobody asked for it.
#[derive(Default)]
pub(crate) struct Heat(Box<[AtomicU16]>);

impl Heat {
    pub(crate) fn off() -> Self {
        Self::default()
    }

    /// For so many hot keys.
    pub(crate) fn new(keys: usize) -> Self {
        let counters = keys.saturating_mul(COUNTERS_PER_KEY).clamp(1 << 10, MOST).next_power_of_two();
        Self((0..counters).map(|_| AtomicU16::new(0)).collect())
    }

    /// Counts the `nth` hit of a thread, if it is in the sample.
    #[inline]
    pub(crate) fn sample(&self, nth: u64, hash: u64) {
        if !self.0.is_empty() && nth.wrapping_mul(GOLDEN) >> (64 - SAMPLE_BITS) == 0 {
            self.touch(hash);
        }
    }

    fn places(&self, hash: u64) -> [usize; 2] {
        // The length is a power of two below 2³².
        let mask = self.0.len() as u64 - 1;
        [hash, hash.rotate_left(32).wrapping_mul(GOLDEN) >> 24]
            .map(|bits| usize::try_from(bits & mask).unwrap_or(0))
    }

    fn touch(&self, hash: u64) {
        for place in self.places(hash) {
            let counter = &self.0[place];
            let count = counter.load(Relaxed);
            // Two threads may count one hit together, which is no matter.
            counter.store(count.saturating_add(1), Relaxed);
        }
    }

    /// How hot a key is, at least 0.
    pub(crate) fn of(&self, hash: u64) -> u16 {
        if self.0.is_empty() {
            return 0;
        }
        self.places(hash).into_iter().map(|place| self.0[place].load(Relaxed)).min().unwrap_or(0)
    }

    /// Halves everything, so that what was hot long ago cools down.
    pub(crate) fn cool(&self) {
        for counter in &self.0 {
            counter.store(counter.load(Relaxed) / 2, Relaxed);
        }
    }
}

impl fmt::Debug for Heat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heat").field("counters", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hotter_keys_are_told_from_cooler_ones_and_cool_down() {
        let heat = Heat::new(1000);
        let hash = |key: u64| (key + 1).wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ (key << 40);
        for nth in 0..400_000 {
            // Key 0 is hit every other time, the others seldom, in a loop.
            heat.sample(nth, hash(if nth % 2 == 0 { 0 } else { 1 + nth / 2 % 1000 }));
        }
        let hot = u32::from(heat.of(hash(0)));
        let sampled = 200_000 / 8;
        assert!((sampled * 9 / 10..sampled * 11 / 10).contains(&hot), "{hot}");
        for key in 1..=1000 {
            assert!((1..500).contains(&heat.of(hash(key))), "{}", heat.of(hash(key)));
        }
        heat.cool();
        assert_eq!(u32::from(heat.of(hash(0))), hot / 2);
    }
}
