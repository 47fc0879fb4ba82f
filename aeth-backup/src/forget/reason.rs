//! Why a snapshot is kept.

use super::span::Span;
use std::fmt;

/// A stretch of the calendar for which one snapshot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Period {
    /// Each snapshot for itself.
    Last,
    /// An hour.
    Hourly,
    /// A day.
    Daily,
    /// A week, by ISO 8601.
    Weekly,
    /// A month.
    Monthly,
    /// A quarter of a year.
    Quarterly,
    /// A year.
    Yearly,
}

impl Period {
    /// In words: `daily`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Quarterly => "quarterly",
            Self::Yearly => "yearly",
        }
    }
}

/// Why a snapshot is kept. Shown in restic's words.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepReason {
    /// It has all these tags.
    Tags(Vec<String>),
    /// It is of this time before the latest.
    Within(Span),
    /// It is among the latest of its period.
    Period {
        /// The period.
        period: Period,
        /// It is kept only because it is the oldest of all, and the rule had room.
        oldest: bool,
    },
    /// It stands for its period, of this time before the latest.
    PeriodWithin {
        /// The period.
        period: Period,
        /// The time.
        span: Span,
        /// It is kept only because it is the oldest of all.
        oldest: bool,
    },
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |oldest: &bool| if *oldest { "oldest " } else { "" };
        match self {
            Self::Tags(tags) => write!(f, "has tags [{}]", tags.join(", ")),
            Self::Within(span) => write!(f, "within {span}"),
            Self::Period { period, oldest } => write!(f, "{}{} snapshot", first(oldest), period.as_str()),
            Self::PeriodWithin { period, span, oldest } => {
                write!(f, "{}{} within {span}", first(oldest), period.as_str())
            }
        }
    }
}
