//! What went wrong, coarse enough to match on.

use super::Retry;
use std::fmt;

/// The coarse kind of an [`Error`](crate::Error); each says what the caller must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The thing does not exist. Treat it as absent, or create it.
    NotFound,
    /// The thing exists and the call demanded that it does not. Read it, or choose another name.
    AlreadyExists,
    /// A condition on the current state (ETag, version, fencing token) did not hold. Read again, decide
    /// again, and repeat with the new state.
    Precondition,
    /// An argument, name or setting is wrong. Correct the call; repeating it never helps.
    Invalid,
    /// Credentials, permissions or a policy forbid it. Change them; repeating never helps.
    Denied,
    /// This implementation cannot do that. Ask its capabilities first, or choose another one.
    Unsupported,
    /// Somebody else holds what is needed (a lock, a lease, a slot). Wait and repeat.
    Busy,
    /// No room: disk, quota, memory budget. Make room; what was stored before is untouched.
    Full,
    /// The engine does not answer or refuses for now. Repeat later; whether a write took effect is unknown
    /// unless the operation's documentation says so.
    Unavailable,
    /// The time allowed ran out. Whether a write took effect is unknown.
    Timeout,
    /// Stored bytes are not what was written: checksum, authentication or structure fails. Restore them from
    /// another copy; repeating rarely helps.
    Corrupt,
    /// The component was closed. Open a new one.
    Closed,
    /// None of the above; the source tells.
    Other,
}

impl ErrorKind {
    /// The verdict that an error of this kind has unless its maker says otherwise.
    #[must_use]
    pub fn retry(self) -> Retry {
        match self {
            Self::Busy | Self::Unavailable | Self::Timeout => Retry::After(std::time::Duration::ZERO),
            _ => Retry::Never,
        }
    }

    /// The kind in words, as it is shown in messages and metric labels (`not_found`, `denied`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Precondition => "precondition",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Corrupt => "corrupt",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
