//! What a reader must see.

use aeth_core::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// A position in a cluster's history: what was committed up to it must be seen by whoever reads with it.
///
/// It says which cluster (system identifier), which timeline and which log position. As text it is 41 characters
/// that are safe in a cookie or a header. Whoever can alter it can make his own reads fail or go to the primary,
/// no more; sign it where that matters.
///
/// ```
/// use aeth_db::Token;
/// let text = "66b2a1f09c3d4e5f-00000002-00000000016b3748";
/// let token: Token = text.parse()?;
/// assert_eq!(token.timeline(), 2);
/// assert_eq!(token.to_string(), text);
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    pub(super) system: u64,
    pub(super) timeline: u32,
    pub(super) lsn: u64,
}

impl Token {
    /// The cluster's system identifier.
    #[must_use]
    pub fn system_identifier(&self) -> u64 {
        self.system
    }

    /// The timeline.
    #[must_use]
    pub fn timeline(&self) -> u32 {
        self.timeline
    }

    /// The log position in bytes.
    #[must_use]
    pub fn lsn(&self) -> u64 {
        self.lsn
    }

    /// The later one of two: a reader that must see both has it. Tokens of other clusters have no order.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if (other.timeline, other.lsn) > (self.timeline, self.lsn) { other } else { self }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:08x}-{:016x}", self.system, self.timeline, self.lsn)
    }
}

impl FromStr for Token {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything that [`Display`](fmt::Display) does not write.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::invalid("is no position token").with_remedy("treat it as absent");
        let mut parts = text.split('-');
        let mut part = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits).ok_or_else(wrong)?;
            let plain = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            u64::from_str_radix(part, 16).ok().filter(|_| plain).ok_or_else(wrong)
        };
        let (system, timeline, lsn) = (part(16)?, part(8)?, part(16)?);
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self { system, timeline: u32::try_from(timeline).map_err(|_| wrong())?, lsn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn text_and_back(system: u64, timeline: u32, lsn: u64) {
            let token = Token { system, timeline, lsn };
            proptest::prop_assert_eq!(token.to_string().parse::<Token>().unwrap(), token);
        }

        #[test]
        fn hostile_text_is_refused_or_is_itself(text in "[0-9a-fA-F+-]{0,50}") {
            if let Ok(token) = text.parse::<Token>() {
                proptest::prop_assert_eq!(token.to_string(), text);
            }
        }
    }
}
