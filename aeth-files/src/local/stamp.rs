//! Marks of blobs, made of inode, size and modification time.
//!
//! A file system's own time stamps are too coarse for that: two writes within one tick that happen to get the
//! same inode would share a mark. So the store sets the modification time of every file that it writes, to a
//! number of nanoseconds that no earlier write of the same stripe of paths had (see `lock`), and keeps in its
//! lowest bit whether the blob has a sidecar, so that the others cost no look-up.

use aeth_core::blob::ETag;
use rustix::fs::{Stat, Timespec, Timestamps};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECOND: u64 = 1_000_000_000;

/// A modification time in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Stamp(pub(super) u64);

impl Stamp {
    #[allow(clippy::useless_conversion, reason = "the types differ between systems")]
    pub(super) fn of(stat: &Stat) -> Self {
        // Times before 1970 are foreign; they need only be told apart.
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        let nanos = u64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Self(seconds.saturating_mul(SECOND).saturating_add(nanos))
    }

    pub(super) fn now(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2))
    }

    pub(super) fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }

    /// For `futimens`.
    pub(super) fn times(self) -> Timestamps {
        let seconds = i64::try_from(self.0 / SECOND).unwrap_or(i64::MAX);
        // Less than a second's nanoseconds fit into every integer that a system uses for them.
        let time = Timespec { tv_sec: seconds, tv_nsec: (self.0 % SECOND) as _ };
        Timestamps { last_access: time, last_modification: time }
    }

    /// Whether a blob of this stamp may have a sidecar. A tool that keeps only whole seconds may have copied
    /// it, so those are looked up too.
    pub(super) fn may_have_sidecar(self, granularity: u64) -> bool {
        (self.0 / granularity) & 1 == 1 || self.0.is_multiple_of(SECOND)
    }

    /// Whether a record made for `recorded` belongs to a file of this stamp.
    pub(super) fn matches(self, recorded: Self) -> bool {
        self == recorded || (self.0.is_multiple_of(SECOND) && self.0 / SECOND == recorded.0 / SECOND)
    }

    /// The least stamp for a new file that comes neither before `now` nor at or before `last`.
    pub(super) fn next(now: Self, last: Self, granularity: u64, sidecar: bool) -> Self {
        let unit = granularity.saturating_mul(2);
        let base = now.0.max(last.0.saturating_add(1)).div_ceil(unit).saturating_mul(unit);
        Self(base.saturating_add(if sidecar { granularity } else { 0 }))
    }
}

/// The mark of a file.
pub(super) fn etag(stat: &Stat) -> ETag {
    ETag::new(format!("{:x}-{:x}-{:x}", stat.st_ino, stat.st_size, Stamp::of(stat).0))
}

/// The length of a file.
pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_and_tell_of_sidecars() {
        for granularity in [1, 100, 1_000_000, SECOND, 2 * SECOND] {
            let mut last = Stamp(0);
            for i in 0..100_u64 {
                let next = Stamp::next(Stamp(5 * SECOND + i % 3), last, granularity, i % 2 == 0);
                assert!(next > last && next.0 >= 5 * SECOND);
                assert_eq!(next.0 % granularity, 0);
                assert!(i % 2 == 1 || next.may_have_sidecar(granularity));
                last = next;
            }
        }
        assert!(Stamp(7 * SECOND).matches(Stamp(7 * SECOND + 5)));
        assert!(!Stamp(7 * SECOND + 4).matches(Stamp(7 * SECOND + 5)));
    }
}
