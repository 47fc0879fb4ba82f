//! Which copy is newer: a hybrid clock.
//!
//! A version is the wall clock's time, unless a version at least as new was seen: then it is that one's time and the
//! next number. So versions follow time closely, and never run backwards whatever the clocks do. (Kulkarni et al.,
//! "Logical Physical Clocks", 2014.)

use aeth_core::{Clock, ClockExt};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The version of a copy. That of a blob which was not written through a mirror is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Version {
    millis: u64,
    count: u32,
    node: u32,
}

impl Version {
    pub(super) const LEAST: Self = Self { millis: 0, count: 0, node: 0 };

    /// Reads the form that `Display` gives.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (millis, count, node) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Some(Self {
            millis: u64::from_str_radix(millis, 16).ok()?,
            count: u32::from_str_radix(count, 16).ok()?,
            node: u32::from_str_radix(node, 16).ok()?,
        })
    }

    /// When it was written.
    pub(super) fn time(self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.millis)).filter(|_| self != Self::LEAST)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}-{:x}-{:08x}", self.millis, self.count, self.node)
    }
}

/// Makes versions.
#[derive(Debug)]
pub(super) struct HybridClock {
    clock: Arc<dyn Clock>,
    node: u32,
    last: Mutex<(u64, u32)>,
}

impl HybridClock {
    pub(super) fn new(clock: Arc<dyn Clock>, node: u32) -> Self {
        Self { clock, node, last: Mutex::new((0, 0)) }
    }

    /// A version newer than `after` and than every one given before.
    pub(super) fn next(&self, after: Version) -> Version {
        let now = self.clock.unix_millis();
        let mut last = self.last.lock();
        let floor = (*last).max((after.millis, after.count));
        *last = match floor {
            (millis, _) if now > millis => (now, 0),
            (millis, u32::MAX) => (millis.saturating_add(1), 0),
            (millis, count) => (millis, count + 1),
        };
        Version { millis: last.0, count: last.1, node: self.node }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeth_core::sim::MockClock;

    #[test]
    fn versions_never_run_backwards() {
        let clock = MockClock::new();
        let hybrid = HybridClock::new(clock.shared(), 7);
        let mut last = Version::LEAST;
        for round in 0..100_u64 {
            match round % 4 {
                0 => clock.advance(Duration::from_millis(round)),
                1 => clock.step_back(Duration::from_secs(round)),
                2 => last = Version { millis: last.millis + 5_000, count: 3, node: 9 },
                _ => {}
            }
            let next = hybrid.next(last);
            assert!(next > last, "{next} after {last}");
            assert_eq!(Version::parse(&next.to_string()), Some(next));
            last = next;
        }
        assert!(["", "1-2", "1-2-3-4", "x-1-1", "1--1"].iter().all(|text| Version::parse(text).is_none()));
    }
}
