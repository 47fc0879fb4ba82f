//! Sizes and durations as people write them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, written with a unit: `"64MiB"`, `"1.5 GB"`, `"4096"` (bytes).
///
/// ```
/// use aetherius::Size;
/// assert_eq!("64MiB".parse::<Size>()?.bytes(), 64 << 20);
/// assert_eq!("1 kB".parse::<Size>()?.bytes(), 1_000);
/// assert!("64 parsecs".parse::<Size>().is_err());
/// # Ok::<(), aetherius::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Size(u64);

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many mebibytes (2²⁰ bytes).
    #[must_use]
    pub const fn from_mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = aeth_core::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().parse::<bytesize::ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| {
            aeth_core::Error::invalid(format!("{text:?} is not a size"))
                .with_remedy("write a number with a unit, such as 64MiB or 2GB")
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&bytesize::ByteSize(self.0).display().iec(), f)
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Size({})", self.0)
    }
}

impl From<Size> for String {
    /// The exact number of bytes, which parses back to the same size.
    fn from(size: Size) -> Self {
        format!("{}B", size.0)
    }
}

/// A length of time, written with units: `"250ms"`, `"5m"`, `"1h 30m"`, `"30d"`; a day has 24 hours, a week seven days.
///
/// ```
/// use aetherius::Span;
/// assert_eq!("1h 30m".parse::<Span>()?.duration().as_secs(), 5_400);
/// assert_eq!("2d".parse::<Span>()?.duration().as_secs(), 172_800);
/// assert!("soon".parse::<Span>().is_err());
/// # Ok::<(), aetherius::Error>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Span(Duration);

impl Span {
    /// This duration.
    #[must_use]
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = aeth_core::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim()
            .parse::<jiff::Span>()
            .ok()
            .and_then(|span| span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok())
            .and_then(|duration| Duration::try_from(duration).ok())
            .map(Self)
            .ok_or_else(|| {
                aeth_core::Error::invalid(format!("{text:?} is not a duration"))
                    .with_remedy("write a number with a unit, such as 250ms, 5m, 1h 30m or 30d")
            })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::SignedDuration::try_from(self.0) {
            Ok(duration) => write!(f, "{duration:#}"),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({:?})", self.0)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// What a settings file may hold where text with a unit is meant: a bare number counts as bytes or is refused
/// by the parser of the type.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Text(String),
    Number(u64),
}

impl TryFrom<Text> for Size {
    type Error = aeth_core::Error;
    fn try_from(text: Text) -> Result<Self, Self::Error> {
        match text {
            Text::Text(text) => text.parse(),
            Text::Number(bytes) => Ok(Self(bytes)),
        }
    }
}

impl TryFrom<Text> for Span {
    type Error = aeth_core::Error;
    fn try_from(text: Text) -> Result<Self, Self::Error> {
        match text {
            Text::Text(text) => text.parse(),
            // A bare number has no unit: let the parser say so.
            Text::Number(number) => number.to_string().parse(),
        }
    }
}
