//! The verdict on trying again.

use std::time::Duration;

/// Whether the same call can succeed if it is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// It fails again for the same reason: do not repeat it.
    Never,
    /// It was transient, and an inner layer has already used up its attempts: do not repeat it here.
    Exhausted,
    /// It is transient: repeat after at least this long (zero: the caller's own back-off decides).
    After(Duration),
}

impl Retry {
    /// True for [`Retry::After`].
    #[must_use]
    pub fn is_worthwhile(self) -> bool {
        matches!(self, Self::After(_))
    }
}
