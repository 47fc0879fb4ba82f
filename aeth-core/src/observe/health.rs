//! Health of a component.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

/// The verdict, ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// Works.
    Up,
    /// Works, but with a fault that somebody should mend.
    Degraded,
    /// Does not work.
    Down,
}

impl Status {
    /// The verdict in one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The health of one component at one instant.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Health {
    /// The verdict.
    pub status: Status,
    /// Why it is not up, or what is worth knowing; with the remedy where there is one.
    pub reason: Option<Cow<'static, str>>,
    /// How long the check took.
    pub latency: Duration,
    /// Since when the verdict has been this one, as far as the checker knows.
    pub since: Option<SystemTime>,
    /// Figures that the verdict rests on, as (name, value, unit).
    pub observed: Vec<(Cow<'static, str>, f64, &'static str)>,
}

impl Health {
    /// A verdict without a reason.
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self { status, reason: None, latency: Duration::ZERO, since: None, observed: Vec::new() }
    }

    /// Works.
    #[must_use]
    pub fn up() -> Self {
        Self::new(Status::Up)
    }

    /// Works with a fault.
    #[must_use]
    pub fn degraded(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Some(reason.into()), ..Self::new(Status::Degraded) }
    }

    /// Does not work.
    #[must_use]
    pub fn down(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Some(reason.into()), ..Self::new(Status::Down) }
    }

    /// Sets how long the check took.
    #[must_use]
    pub fn with_latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets since when the verdict has been this one.
    #[must_use]
    pub fn with_since(mut self, since: SystemTime) -> Self {
        self.since = Some(since);
        self
    }

    /// Adds a figure.
    #[must_use]
    pub fn with_observed(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        self.observed.push((name.into(), value, unit));
        self
    }
}

impl From<&crate::Error> for Health {
    /// Down, with the error's words as the reason.
    fn from(error: &crate::Error) -> Self {
        Self::down(error.to_string())
    }
}

/// Something whose health can be asked.
#[async_trait]
pub trait HealthCheck: fmt::Debug + Send + Sync + 'static {
    /// The component's name (`"database"`, `"cache"`, `"storage"`, `"volumes"`, `"backup"` for the standard
    /// ones).
    fn component(&self) -> Cow<'_, str>;

    /// Asks. A failure is a verdict, never an error; the asker sets the time limit.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    async fn check(&self) -> Health;
}
