//! Which server a session wants.

use aeth_core::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// What a server must be, with libpq's words (`target_session_attrs`,
/// <https://www.postgresql.org/docs/current/libpq-connect.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TargetSession {
    /// Any server that answers.
    #[default]
    Any,
    /// One whose transactions may write: no standby, and not set to be read-only.
    ReadWrite,
    /// One whose transactions may not write.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby, else any.
    PreferStandby,
}

impl TargetSession {
    /// The word that libpq has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }

    /// Whether a server with these properties will do.
    pub(super) fn admits(self, recovering: bool, read_only: bool) -> bool {
        match self {
            Self::Any | Self::PreferStandby => true,
            Self::ReadWrite => !recovering && !read_only,
            Self::ReadOnly => recovering || read_only,
            Self::Primary => !recovering,
            Self::Standby => recovering,
        }
    }
}

impl fmt::Display for TargetSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TargetSession {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Any, Self::ReadWrite, Self::ReadOnly, Self::Primary, Self::Standby, Self::PreferStandby]
            .into_iter()
            .find(|target| target.as_str() == text)
            .ok_or_else(|| {
                Error::invalid("is no value of target_session_attrs")
                    .with_key(text)
                    .with_remedy("give any, read-write, read-only, primary, standby or prefer-standby")
            })
    }
}
