//! Lengths of time as calendars have them.

use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A length of time in years, months, days and hours, as restic writes it: `1y6m14d12h`. A month is as long as the
/// calendar's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub struct Span {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Span {
    /// So many years, months, days and hours.
    #[must_use]
    pub fn new(years: u32, months: u32, days: u32, hours: u32) -> Self {
        Self { years, months, days, hours }
    }

    /// So many days.
    #[must_use]
    pub fn days(days: u32) -> Self {
        Self { days, ..Self::default() }
    }

    /// So many hours.
    #[must_use]
    pub fn hours(hours: u32) -> Self {
        Self { hours, ..Self::default() }
    }

    /// True when it has no length.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Span {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything but numbers with the units `y`, `m`, `d` and `h`.
    fn from_str(text: &str) -> Result<Self> {
        let invalid =
            || Error::invalid("not a length of time").with_key(text).with_remedy("write it like 1y6m14d12h");
        let mut span = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, unit) = rest.split_at(digits);
            let number = number.parse().map_err(|_| invalid())?;
            match unit.bytes().next() {
                Some(b'y') => span.years = number,
                Some(b'm') => span.months = number,
                Some(b'd') => span.days = number,
                Some(b'h') => span.hours = number,
                _ => return Err(invalid()),
            }
            rest = unit.get(1..).unwrap_or_default();
        }
        Ok(span)
    }
}

impl TryFrom<String> for Span {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Span;

    #[test]
    fn as_restic_writes_it() {
        for text in ["1y2m3d4h", "7d", ""] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!(" 4h1y ".parse::<Span>().unwrap(), Span::new(1, 0, 0, 4));
        for text in ["1", "y", "1w", "-1d", "1d-2h", "99999999999d", "1d é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
