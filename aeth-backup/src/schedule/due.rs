//! Which time comes next.

use super::cron::Cron;
use crate::Id;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A clock that was set back by less than this is a correction: what was done is not done again.
const CORRECTION: u64 = 3_600;

/// What is due next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// The time for which it is due.
    pub(super) at: SystemTime,
    /// Times before that which were missed: the last of them.
    pub(super) missed: Option<SystemTime>,
}

/// What is due after `last`, seen from `now`. Of several missed times the last stands for all when they are caught
/// up; otherwise the next one to come is due.
pub(super) fn next(cron: &Cron, last: Option<u64>, now: SystemTime, catch_up: bool) -> Option<Due> {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let from = match last {
        // Without a past nothing was missed.
        None => now,
        Some(last) if last > seconds.saturating_add(CORRECTION) => now,
        Some(last) => UNIX_EPOCH.checked_add(Duration::from_secs(last)).unwrap_or(now),
    };
    let first = cron.next_after(from)?;
    if first > now {
        return Some(Due { at: first, missed: None });
    }
    let latest = cron.last_until(now).filter(|latest| *latest >= first).unwrap_or(first);
    if catch_up {
        return Some(Due { at: latest, missed: None });
    }
    Some(Due { at: cron.next_after(now)?, missed: Some(latest) })
}

/// How much later than `due` a run begins: the same after a restart, and another for each host and each time.
pub(super) fn jitter(most: Duration, host: &str, name: &str, due: SystemTime) -> Duration {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return Duration::ZERO;
    }
    let due = due.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let hash = Id::of(format!("{host}\n{name}\n{due}").as_bytes());
    let number = u64::from_le_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default());
    Duration::from_millis(number % millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<jiff::Timestamp>().unwrap().try_into().unwrap()
    }

    fn seconds(text: &str) -> u64 {
        at(text).duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn missed_times_count_once() {
        let cron = "0 3 * * *".parse::<Cron>().unwrap().in_zone("UTC").unwrap();
        let now = at("2025-01-10T12:00:00Z");
        let due = |last: Option<&str>, catch_up| next(&cron, last.map(seconds), now, catch_up).unwrap();
        let tomorrow = at("2025-01-11T03:00:00Z");
        assert_eq!(due(None, true), Due { at: tomorrow, missed: None });
        assert_eq!(due(Some("2025-01-10T03:00:00Z"), true), Due { at: tomorrow, missed: None });
        let today = at("2025-01-10T03:00:00Z");
        assert_eq!(due(Some("2025-01-05T03:00:00Z"), true), Due { at: today, missed: None });
        assert_eq!(due(Some("2025-01-05T03:00:00Z"), false), Due { at: tomorrow, missed: Some(today) });
        // A clock that was corrected does nothing twice, one that was a year ahead does not stop the schedule.
        assert_eq!(due(Some("2025-01-10T12:30:00Z"), true).at, tomorrow);
        assert_eq!(due(Some("2026-01-10T12:30:00Z"), true).at, tomorrow);
    }

    #[test]
    fn jitter_is_fixed_and_spread() {
        let most = Duration::from_secs(600);
        let of = |host: &str| jitter(most, host, "nightly", at("2025-01-10T03:00:00Z"));
        assert_eq!(of("a"), of("a"));
        let spread: std::collections::BTreeSet<_> = (0..50).map(|number| of(&number.to_string())).collect();
        assert!(spread.len() > 45 && spread.iter().all(|jitter| *jitter < most));
        assert_eq!(jitter(Duration::ZERO, "a", "b", UNIX_EPOCH), Duration::ZERO);
    }
}
