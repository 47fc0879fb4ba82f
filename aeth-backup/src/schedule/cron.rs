//! When something is due.

use super::civil::Moment;
use aeth_core::{Error, Result};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

/// A cron expression in a time zone: `minute hour day month weekday`, with an optional second before them, names
/// (`MON`, `JAN`), ranges, lists, steps, `L`, `#`, `W`, and `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
///
/// When the clock is set forward, a fixed time that does not exist that day comes at the end of the gap; when it is
/// set back, a fixed time comes once, in the first of the two hours. Steps and wildcards follow the clock on the
/// wall: they skip the hour that is missing and come twice in the hour that is repeated.
///
/// ```
/// use aeth_backup::Cron;
/// use std::time::{Duration, SystemTime};
///
/// let nightly: Cron = "30 2 * * *".parse()?;
/// let nightly = nightly.in_zone("Europe/Berlin")?;
/// let new_year = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600); // 2025-01-01 00:00 UTC
/// let next = nightly.next_after(new_year).unwrap();
/// assert_eq!(next.duration_since(new_year).unwrap(), Duration::from_secs(90 * 60));
/// assert!("61 * * * *".parse::<Cron>().is_err());
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    expression: String,
    cron: croner::Cron,
    zone: Option<String>,
}

impl Cron {
    /// Takes the expression in this zone of the IANA database, such as `Europe/Berlin`. Default: the machine's.
    ///
    /// # Errors
    /// `Invalid` for a zone that is not known.
    pub fn in_zone(mut self, zone: &str) -> Result<Self> {
        TimeZone::get(zone).map_err(|error| {
            Error::invalid("no such time zone")
                .with_key(zone)
                .with_source(error)
                .with_remedy("give a name of the IANA database, such as Europe/Berlin or UTC")
        })?;
        self.zone = Some(zone.to_owned());
        Ok(self)
    }

    /// The expression as it was given.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    fn zoned(&self, time: SystemTime) -> Option<Moment> {
        let zone = match &self.zone {
            Some(zone) => TimeZone::get(zone).ok()?,
            None => TimeZone::system(),
        };
        Some(Moment(Timestamp::try_from(time).ok()?.to_zoned_datetime(zone)))
    }

    /// The first moment after `time` at which it is due; `None` when there is none within the years that the
    /// calendar knows.
    #[must_use]
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let next = self.cron.find_next_occurrence(&self.zoned(time)?, false).ok()?;
        system(&next.0)
    }

    /// The last moment before or at `time` at which it was due.
    #[must_use]
    pub fn last_until(&self, time: SystemTime) -> Option<SystemTime> {
        let last = self.cron.find_previous_occurrence(&self.zoned(time)?, true).ok()?;
        system(&last.0)
    }
}

fn system(moment: &ZonedDateTime) -> Option<SystemTime> {
    SystemTime::try_from(moment.timestamp()).ok()
}

impl FromStr for Cron {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expression = text.trim().to_owned();
        let cron = croner::Cron::from_str(&expression).map_err(|error| {
            Error::invalid(format!("not a cron expression: {error}")).with_key(text).with_remedy(
                "write `minute hour day month weekday`, such as `30 2 * * *` for half past two each night",
            )
        })?;
        Ok(Self { expression, cron, zone: None })
    }
}

impl TryFrom<String> for Cron {
    type Error = Error;

    /// An expression, or `CRON_TZ=ZONE` and an expression, as cron itself writes them.
    fn try_from(text: String) -> Result<Self> {
        let Some(rest) = text.trim().strip_prefix("CRON_TZ=") else { return text.parse() };
        let (zone, expression) = rest.split_once(' ').unwrap_or((rest, ""));
        expression.parse::<Self>()?.in_zone(zone)
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.to_string()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "CRON_TZ={zone} {}", self.expression),
            None => f.write_str(&self.expression),
        }
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(expression: &str, zone: &str, time: &str, count: usize) -> Vec<String> {
        let cron = expression.parse::<Cron>().unwrap().in_zone(zone).unwrap();
        let mut at: SystemTime = time.parse::<Timestamp>().unwrap().try_into().unwrap();
        let next = |_| {
            at = cron.next_after(at).unwrap();
            Timestamp::try_from(at).unwrap().to_string()
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn daylight_saving_neither_loses_nor_repeats_a_nightly_run() {
        // Forward: 02:30 does not exist on 2025-03-30.
        assert_eq!(
            after("30 2 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", 2),
            ["2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]
        );
        // Back: 02:30 comes twice on 2025-10-26.
        assert_eq!(
            after("30 2 * * *", "Europe/Berlin", "2025-10-25T12:00:00Z", 2),
            ["2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]
        );
        // Every hour is every hour.
        let hours = after("0 * * * *", "Europe/Berlin", "2025-10-25T23:30:00Z", 4);
        assert_eq!(
            hours,
            ["2025-10-26T00:00:00Z", "2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z", "2025-10-26T03:00:00Z"]
        );
        let hours = after("0 * * * *", "Europe/Berlin", "2025-03-29T23:30:00Z", 3);
        assert_eq!(hours, ["2025-03-30T00:00:00Z", "2025-03-30T01:00:00Z", "2025-03-30T02:00:00Z"]);
    }

    #[test]
    fn calendars_and_texts() {
        assert_eq!(
            after("0 0 L * *", "UTC", "2024-02-01T00:00:00Z", 2),
            ["2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"]
        );
        assert_eq!(after("@weekly", "UTC", "2025-01-01T00:00:00Z", 1), ["2025-01-05T00:00:00Z"]);
        assert_eq!(after("*/20 * * * * *", "UTC", "2025-01-01T00:00:05Z", 1), ["2025-01-01T00:00:20Z"]);
        let text = "\"CRON_TZ=Asia/Tokyo 15 3 * * MON-FRI\"";
        let cron: Cron = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&cron).unwrap(), text);
        for bad in ["", "* * *", "99 * * * *", "a b c d e", "CRON_TZ=Mars/Base 0 0 * * *"] {
            let error = Cron::try_from(bad.to_owned()).unwrap_err();
            assert!(error.remedy().is_some(), "{bad}: {error}");
        }
        let never: Cron = "0 0 31 2 *".parse().unwrap();
        assert_eq!(never.next_after(SystemTime::UNIX_EPOCH), None);
        let noon = "0 12 * * *".parse::<Cron>().unwrap().in_zone("UTC").unwrap();
        let time: SystemTime = "2025-01-01T12:00:00Z".parse::<Timestamp>().unwrap().try_into().unwrap();
        assert_eq!(noon.last_until(time), Some(time));
    }
}
