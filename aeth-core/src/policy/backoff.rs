//! Pauses between attempts.

use super::Retries;
use parking_lot::Mutex;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Backoff {
    settings: Retries,
    random: Mutex<fastrand::Rng>,
}

impl Backoff {
    pub(super) fn new(settings: Retries, seed: Option<u64>) -> Self {
        let random = seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        Self { settings, random: Mutex::new(random) }
    }

    /// The pause after this attempt (from 1), at least as long as the error asks for.
    pub(super) fn pause(&self, attempt: u32, asked: Duration) -> Duration {
        let doubled = 2_u32.checked_pow(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = self.settings.base.saturating_mul(doubled).min(self.settings.cap);
        let share = self.random.lock().f64();
        // Those who were told the same time must not come back all at once.
        asked.saturating_add(bound.mul_f64(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_within_their_bounds_and_fill_them() {
        let settings =
            Retries::default().with_backoff(Duration::from_millis(100), Duration::from_millis(1000));
        let backoff = Backoff::new(settings, Some(7));
        for (attempt, bound) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (60, 1000)] {
            let bound = Duration::from_millis(bound);
            let pauses: Vec<_> = (0..200).map(|_| backoff.pause(attempt, Duration::ZERO)).collect();
            assert!(pauses.iter().all(|pause| *pause <= bound));
            assert!(pauses.iter().any(|pause| *pause < bound / 10), "full jitter reaches down to nothing");
            assert!(pauses.iter().any(|pause| *pause > bound * 9 / 10), "and up to the bound");
        }
        assert!(backoff.pause(1, Duration::from_secs(3)) >= Duration::from_secs(3));
    }
}
