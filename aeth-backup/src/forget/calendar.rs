//! The calendar as Go's `time` package has it, which decides what restic keeps.

use super::reason::Period;
use super::span::Span;
use crate::format::{NodeTime, civil, days};
use jiff::tz::TimeZone;

const DAY: i64 = 86_400;

/// A number that is the same for two times of one period. The clock is that of the time's own offset.
pub(super) fn bucket(period: Period, time: &NodeTime, number: usize) -> i64 {
    let local = time.seconds().saturating_add(time.offset().into());
    let day_number = local.div_euclid(DAY);
    let (year, month, day) = civil(day_number);
    match period {
        Period::Last => i64::try_from(number).unwrap_or(i64::MAX),
        Period::Hourly => ((year * 100 + month) * 100 + day) * 100 + local.rem_euclid(DAY) / 3600,
        Period::Daily => (year * 100 + month) * 100 + day,
        Period::Weekly => {
            // The year and week of a day are those of its week's Thursday; 1970-01-01 was one.
            let thursday = day_number - (day_number + 3).rem_euclid(7) + 3;
            let year = civil(thursday).0;
            year * 100 + (thursday - days(year, 1, 1)) / 7 + 1
        }
        Period::Monthly => year * 100 + month,
        Period::Quarterly => year * 10 + (month - 1) / 3,
        Period::Yearly => year,
    }
}

/// `time` moved back by `span`, as Go's `AddDate` and `Add` do it: a date that does not exist runs over into the
/// next month, and the clock on the wall stays the same over a change of daylight saving time.
pub(super) fn before(time: &NodeTime, span: &Span, system: &TimeZone) -> NodeTime {
    let offset = i64::from(time.offset());
    let local = time.seconds().saturating_add(offset);
    let (year, month, day) = civil(local.div_euclid(DAY));
    let months = (year - i64::from(span.years)) * 12 + (month - 1) - i64::from(span.months);
    let first = days(months.div_euclid(12), months.rem_euclid(12) + 1, 1);
    let wall = (first + day - 1 - i64::from(span.days)) * DAY + local.rem_euclid(DAY);
    // Go reads a time whose offset is the machine's as one of the machine's zone, but `Z` as UTC.
    let zoned = time.offset() != 0 && offset_at(system, time.seconds()) == offset;
    let offset = match zoned {
        false => offset,
        true => match offset_at(system, wall) {
            0 => 0,
            guess => offset_at(system, wall - guess),
        },
    };
    NodeTime::new(wall - offset - i64::from(span.hours) * 3600, time.nanos())
}

fn offset_at(zone: &TimeZone, seconds: i64) -> i64 {
    jiff::Timestamp::new(seconds, 0).map_or(0, |instant| zone.to_offset(instant).seconds().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NodeTime {
        NodeTime::parse(text).unwrap()
    }

    #[test]
    fn weeks_are_those_of_iso_8601() {
        for (day, week) in [
            ("2005-01-01", 200_453),
            ("2005-12-31", 200_552),
            ("2007-01-01", 200_701),
            ("2008-12-29", 200_901),
            ("2010-01-03", 200_953),
            ("2026-11-24", 202_648),
        ] {
            assert_eq!(bucket(Period::Weekly, &at(&format!("{day}T12:00:00Z")), 0), week, "{day}");
        }
        assert_eq!(bucket(Period::Hourly, &at("2026-01-01T01:30:00+02:00"), 0), 2_026_010_101);
        assert_eq!(bucket(Period::Quarterly, &at("2026-06-30T23:59:59Z"), 0), 20_261);
    }

    #[test]
    fn going_back() {
        let utc = TimeZone::UTC;
        let back = |time: &str, span: &str, zone: &TimeZone| {
            before(&at(time), &span.parse().unwrap(), zone).to_string()
        };
        assert_eq!(back("2026-03-31T10:00:00Z", "1m", &utc), "2026-03-03T10:00:00Z");
        assert_eq!(back("2024-02-29T10:00:00.5Z", "1y", &utc), "2023-03-01T10:00:00.5Z");
        assert_eq!(back("2026-01-15T10:00:00+05:00", "2m20d7h", &utc), "2025-10-25T22:00:00Z");
        // Over the end of summer time: noon stays noon in the zone, but not with a mere offset.
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(back("2026-10-26T12:00:00+01:00", "2d", &berlin), "2026-10-24T10:00:00Z");
        assert_eq!(back("2026-10-26T12:00:00+03:00", "2d", &berlin), "2026-10-24T09:00:00Z");
    }
}
