//! Times as Go's `time.RFC3339Nano` prints them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;

/// An instant with the offset from UTC in which it is written; nanosecond resolution, years 0 to 9999
/// (times beyond are moved to the nearest of these years when they are written, as restic does).
///
/// Two of them are equal when they are the same instant, whatever their offsets.
#[derive(Clone, Copy, Default)]
pub struct NodeTime {
    seconds: i64,
    nanos: u32,
    offset: i32,
}

impl NodeTime {
    /// `seconds` since the Unix epoch (negative before it) and `nanos` after these, in UTC.
    #[must_use]
    pub fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: nanos.min(999_999_999), offset: 0 }
    }

    /// The same instant, written `offset` seconds east of UTC.
    #[must_use]
    pub fn with_offset(mut self, offset: i32) -> Self {
        self.offset = offset.clamp(-86_399, 86_399);
        self
    }

    /// The same instant, written in the machine's time zone, as restic writes times.
    #[must_use]
    pub fn local(self) -> Self {
        let zone = jiff::tz::TimeZone::system();
        match jiff::Timestamp::new(self.seconds, 0) {
            Ok(instant) => self.with_offset(zone.to_offset(instant).seconds()),
            Err(_) => self,
        }
    }

    /// Seconds since the Unix epoch, rounded down.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after [`NodeTime::seconds`].
    #[must_use]
    pub fn nanos(&self) -> u32 {
        self.nanos
    }

    /// Seconds east of UTC in which it is written.
    #[must_use]
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// The instant.
    #[must_use]
    pub fn system(&self) -> SystemTime {
        let whole = Duration::from_secs(self.seconds.unsigned_abs());
        let base =
            if self.seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        base.and_then(|base| base.checked_add(Duration::from_nanos(self.nanos.into()))).unwrap_or(UNIX_EPOCH)
    }

    /// Appends the text, e.g. `2026-11-23T22:14:54.25+01:00`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut local = self.seconds.saturating_add(self.offset.into());
        let (mut year, month, day) = civil(local.div_euclid(DAY));
        year = year.clamp(0, 9999);
        local = local.rem_euclid(DAY);
        push(out, year, 4);
        for (before, value) in [(b'-', month), (b'-', day), (b'T', local / 3600), (b':', local / 60 % 60)] {
            out.push(before);
            push(out, value, 2);
        }
        out.push(b':');
        push(out, local % 60, 2);
        if self.nanos > 0 {
            out.push(b'.');
            push(out, self.nanos.into(), 9);
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
        if self.offset == 0 {
            out.push(b'Z');
        } else {
            out.push(if self.offset < 0 { b'-' } else { b'+' });
            let minutes = i64::from(self.offset.abs() / 60);
            push(out, minutes / 60, 2);
            out.push(b':');
            push(out, minutes % 60, 2);
        }
    }

    /// Reads RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to)?;
            digits.iter().all(u8::is_ascii_digit).then_some(())?;
            text.get(from..to)?.parse().ok()
        };
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if !separators.iter().all(|(at, byte)| bytes.get(*at) == Some(byte)) {
            return None;
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let digits = fraction.get(..length.min(9))?;
            nanos = digits.parse::<u32>().ok()? * 10_u32.pow(u32::try_from(9 - digits.len()).ok()?);
            rest = fraction.get(length..)?;
        }
        let offset = match rest {
            "Z" | "z" => 0,
            _ => {
                let sign = if rest.starts_with('-') { -1 } else { 1 };
                let (hours, minutes) = rest.get(1..)?.split_once(':')?;
                let hours = hours.parse::<i32>().ok()?.checked_mul(3600)?;
                let minutes = minutes.parse::<i32>().ok()?.checked_mul(60)?;
                hours.checked_add(minutes)?.checked_mul(sign)?
            }
        };
        let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
        Some(Self { seconds: seconds - i64::from(offset), nanos, offset: offset.clamp(-86_399, 86_399) })
    }
}

fn push(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or(0));
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar. The year is
/// shifted to begin in March, so that the leap day is its last.
pub(crate) fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// The inverse of [`civil`].
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

impl From<SystemTime> for NodeTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::new(i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
            Err(error) => {
                let before = error.duration();
                let whole = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self::new(whole, 0),
                    nanos => Self::new(whole - 1, 1_000_000_000 - nanos),
                }
            }
        }
    }
}

impl PartialEq for NodeTime {
    fn eq(&self, other: &Self) -> bool {
        (self.seconds, self.nanos) == (other.seconds, other.nanos)
    }
}

impl Eq for NodeTime {}

impl PartialOrd for NodeTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NodeTime {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }
}

impl fmt::Display for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(35);
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl fmt::Debug for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for NodeTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = NodeTime;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as RFC 3339 writes it")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<NodeTime, E> {
                NodeTime::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_go_prints() {
        let time = NodeTime::new(1_700_000_000, 120_000_000);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.12Z");
        assert_eq!(time.with_offset(-34_200).to_string(), "2023-11-14T12:43:20.12-09:30");
        assert_eq!(NodeTime::new(-1, 1).to_string(), "1969-12-31T23:59:59.000000001Z");
        assert_eq!(NodeTime::new(-62_135_596_800, 0).to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(NodeTime::parse("0001-01-01T00:00:00Z").unwrap().seconds(), -62_135_596_800);
        assert!(NodeTime::parse("2023-11-14").is_none() && NodeTime::parse("").is_none());
        for offset in ["+2147483647:00", "-2147483647:00", "+596523:2147483647", "+00:-2147483648"] {
            assert!(NodeTime::parse(&format!("2023-11-14T22:13:20{offset}")).is_none(), "{offset}");
        }
        assert_eq!(NodeTime::from(NodeTime::new(-5, 7).system()), NodeTime::new(-5, 7));
    }

    proptest! {
        #[test]
        fn round_trip(seconds in -62_000_000_000_i64..250_000_000_000, nanos in 0_u32..1_000_000_000, minutes in -800_i32..800) {
            let time = NodeTime::new(seconds, nanos).with_offset(minutes * 60);
            let again = NodeTime::parse(&time.to_string()).unwrap();
            prop_assert_eq!(again, time);
            prop_assert_eq!(again.to_string(), time.to_string());
            let jiff = jiff::Timestamp::new(seconds, i32::try_from(nanos).unwrap()).unwrap();
            prop_assert_eq!(NodeTime::new(seconds, nanos).to_string(), jiff.to_string());
        }
    }
}
