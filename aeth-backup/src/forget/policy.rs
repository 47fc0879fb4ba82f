//! What is kept.

use super::span::Span;
use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// How many snapshots of a kind are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "KeepText", into = "KeepText")]
#[non_exhaustive]
pub enum Keep {
    /// The rule keeps none.
    #[default]
    None,
    /// The latest so many.
    Count(u32),
    /// All of them: `unlimited` in text.
    All,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeepText {
    Number(u32),
    Text(String),
}

impl From<u32> for Keep {
    fn from(count: u32) -> Self {
        if count == 0 { Self::None } else { Self::Count(count) }
    }
}

impl std::str::FromStr for Keep {
    type Err = Error;

    /// # Errors
    /// `Invalid` for anything but a number or `unlimited`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "unlimited" => Ok(Self::All),
            number => number.parse::<u32>().map(Self::from).map_err(|_| {
                Error::invalid("not a number of snapshots")
                    .with_key(text)
                    .with_remedy("write a number, or `unlimited`")
            }),
        }
    }
}

impl TryFrom<KeepText> for Keep {
    type Error = Error;
    fn try_from(text: KeepText) -> Result<Self> {
        match text {
            KeepText::Number(number) => Ok(number.into()),
            KeepText::Text(text) => text.parse(),
        }
    }
}

impl From<Keep> for KeepText {
    fn from(keep: Keep) -> Self {
        match keep {
            Keep::None => Self::Number(0),
            Keep::Count(count) => Self::Number(count),
            Keep::All => Self::Text("unlimited".into()),
        }
    }
}

/// Which snapshots of a group are kept: all that one rule keeps at least.
///
/// The latest snapshot of an hour, day, week (ISO 8601), month, quarter or year stands for it, by the clock on the
/// wall where the snapshot was made. A rule with a count keeps so many of them, whatever gaps lie between; a rule
/// with a span (`within_…`) those of that time before the latest snapshot (which does not count when it lies in
/// the future). As with restic since 0.16, a rule whose count is not used up keeps the oldest snapshot as well:
/// [`keep_oldest`](Self::keep_oldest).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct RetentionPolicy {
    /// The latest.
    pub last: Keep,
    /// The latest of each hour.
    pub hourly: Keep,
    /// The latest of each day.
    pub daily: Keep,
    /// The latest of each week.
    pub weekly: Keep,
    /// The latest of each month.
    pub monthly: Keep,
    /// The latest of each quarter (restic does not have this rule).
    pub quarterly: Keep,
    /// The latest of each year.
    pub yearly: Keep,
    /// All of this time.
    pub within: Span,
    /// Hourly ones of this time.
    pub within_hourly: Span,
    /// Daily ones of this time.
    pub within_daily: Span,
    /// Weekly ones of this time.
    pub within_weekly: Span,
    /// Monthly ones of this time.
    pub within_monthly: Span,
    /// Quarterly ones of this time.
    pub within_quarterly: Span,
    /// Yearly ones of this time.
    pub within_yearly: Span,
    /// Those that have all tags of one of these lists.
    pub tags: Vec<Vec<String>>,
    /// Whether a rule that could keep more keeps the oldest, too. Default: yes.
    pub keep_oldest: bool,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        Self {
            last: Keep::None,
            hourly: Keep::None,
            daily: Keep::None,
            weekly: Keep::None,
            monthly: Keep::None,
            quarterly: Keep::None,
            yearly: Keep::None,
            within: Span::default(),
            within_hourly: Span::default(),
            within_daily: Span::default(),
            within_weekly: Span::default(),
            within_monthly: Span::default(),
            within_quarterly: Span::default(),
            within_yearly: Span::default(),
            tags: Vec::new(),
            keep_oldest: true,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $kind:ty, $doc:literal;)*) => {$(
        #[doc = $doc]
        #[must_use]
        pub fn $name(mut self, value: impl Into<$kind>) -> Self {
            self.$name = value.into();
            self
        }
    )*};
}

impl RetentionPolicy {
    /// Keeps nothing yet; [`Repository::forget`](crate::Repository::forget) refuses such a policy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        last: Keep, "Keeps the latest.";
        hourly: Keep, "Keeps the latest of each hour.";
        daily: Keep, "Keeps the latest of each day.";
        weekly: Keep, "Keeps the latest of each week.";
        monthly: Keep, "Keeps the latest of each month.";
        quarterly: Keep, "Keeps the latest of each quarter.";
        yearly: Keep, "Keeps the latest of each year.";
        within: Span, "Keeps all of this time.";
        within_hourly: Span, "Keeps hourly ones of this time.";
        within_daily: Span, "Keeps daily ones of this time.";
        within_weekly: Span, "Keeps weekly ones of this time.";
        within_monthly: Span, "Keeps monthly ones of this time.";
        within_quarterly: Span, "Keeps quarterly ones of this time.";
        within_yearly: Span, "Keeps yearly ones of this time.";
        keep_oldest: bool, "Whether a rule that could keep more keeps the oldest, too.";
    }

    /// Keeps snapshots that have all of `tags` (may be repeated: one list is enough).
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags.push(tags.into_iter().map(Into::into).collect());
        self
    }

    /// True when no rule keeps anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self { keep_oldest: self.keep_oldest, ..Self::default() }
    }
}
