//! The policy, applied: a pure function.

use super::calendar::{before, bucket};
use super::policy::{Keep, RetentionPolicy};
use super::reason::{KeepReason, Period};
use super::span::Span;
use crate::format::NodeTime;
use crate::repo::SnapshotEntry;
use jiff::tz::TimeZone;
use std::time::SystemTime;

/// A snapshot that is kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Kept {
    /// The snapshot.
    pub snapshot: SnapshotEntry,
    /// Why, in the order of the rules.
    pub reasons: Vec<KeepReason>,
}

/// What a policy makes of a group of snapshots; both lists have the latest first.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Retention {
    /// What stays.
    pub keep: Vec<Kept>,
    /// What goes.
    pub remove: Vec<SnapshotEntry>,
}

/// One rule and how far it is.
struct Rule {
    period: Period,
    keep: Keep,
    span: Span,
    last: Option<i64>,
}

impl RetentionPolicy {
    /// Decides about one group of snapshots; pure. `now` tells which of them lie in the future.
    #[must_use]
    pub fn apply(&self, snapshots: &[SnapshotEntry], now: SystemTime) -> Retention {
        self.apply_in(snapshots, NodeTime::from(now), &TimeZone::system())
    }

    fn apply_in(&self, snapshots: &[SnapshotEntry], now: NodeTime, zone: &TimeZone) -> Retention {
        let mut list: Vec<&SnapshotEntry> = snapshots.iter().collect();
        list.sort_by(|a, b| b.snapshot.time.cmp(&a.snapshot.time).then(a.id.cmp(&b.id)));
        let past = list.iter().map(|entry| entry.snapshot.time).filter(|time| *time < now);
        // Go's zero time when all lie in the future: then everything is within any span.
        let latest = past.max().unwrap_or_else(|| NodeTime::new(-62_135_596_800, 0));
        let mut rules = self.rules();
        let mut result = Retention::default();
        let end = list.len();
        for (number, entry) in list.into_iter().enumerate() {
            let reasons = self.reasons(&mut rules, entry, number, number + 1 == end, &latest, zone);
            if reasons.is_empty() {
                result.remove.push(entry.clone());
            } else {
                result.keep.push(Kept { snapshot: entry.clone(), reasons });
            }
        }
        result
    }

    fn reasons(
        &self,
        rules: &mut [Rule],
        entry: &SnapshotEntry,
        number: usize,
        is_last: bool,
        latest: &NodeTime,
        zone: &TimeZone,
    ) -> Vec<KeepReason> {
        let time = &entry.snapshot.time;
        let mut reasons: Vec<KeepReason> = self
            .tags
            .iter()
            .filter(|tags| entry.snapshot.has_tags(tags))
            .map(|tags| KeepReason::Tags(tags.clone()))
            .collect();
        if !self.within.is_zero() && *time > before(latest, &self.within, zone) {
            reasons.push(KeepReason::Within(self.within));
        }
        for rule in rules {
            let spanned = !rule.span.is_zero();
            let applies = match rule.keep {
                Keep::None => spanned && *time > before(latest, &rule.span, zone),
                _ => true,
            };
            if !applies {
                continue;
            }
            let value = bucket(rule.period, time, number);
            let same = rule.last == Some(value);
            if same && !(is_last && self.keep_oldest) {
                continue;
            }
            rule.last = Some(value);
            if let Keep::Count(left) = rule.keep {
                rule.keep = Keep::from(left.saturating_sub(1));
            }
            reasons.push(match spanned {
                true => KeepReason::PeriodWithin { period: rule.period, span: rule.span, oldest: same },
                false => KeepReason::Period { period: rule.period, oldest: same },
            });
        }
        reasons
    }

    /// In restic's order: those with counts, then those with spans. A rule has one of both.
    fn rules(&self) -> Vec<Rule> {
        let counted = [
            (Period::Last, self.last),
            (Period::Hourly, self.hourly),
            (Period::Daily, self.daily),
            (Period::Weekly, self.weekly),
            (Period::Monthly, self.monthly),
            (Period::Quarterly, self.quarterly),
            (Period::Yearly, self.yearly),
        ];
        let spanned = [
            (Period::Hourly, self.within_hourly),
            (Period::Daily, self.within_daily),
            (Period::Weekly, self.within_weekly),
            (Period::Monthly, self.within_monthly),
            (Period::Quarterly, self.within_quarterly),
            (Period::Yearly, self.within_yearly),
        ];
        let counted = counted.map(|(period, keep)| Rule { period, keep, span: Span::default(), last: None });
        let spanned = spanned.map(|(period, span)| Rule { period, keep: Keep::None, span, last: None });
        counted.into_iter().chain(spanned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Id;
    use crate::format::Snapshot;

    fn list(times: &[&str]) -> Vec<SnapshotEntry> {
        let entry = |time: &&str| {
            let time = NodeTime::parse(time).unwrap();
            SnapshotEntry {
                id: Id::of(time.to_string().as_bytes()),
                snapshot: Snapshot::new(time, Id::of(b"")),
            }
        };
        times.iter().map(entry).collect()
    }

    fn kept(policy: &RetentionPolicy, times: &[&str]) -> Vec<String> {
        let now = NodeTime::parse("2026-11-24T00:00:00Z").unwrap();
        let result = policy.apply_in(&list(times), now, &TimeZone::UTC);
        let show = |kept: &Kept| {
            let reasons: Vec<_> = kept.reasons.iter().map(KeepReason::to_string).collect();
            format!("{} {}", kept.snapshot.snapshot.time, reasons.join(", "))
        };
        result.keep.iter().map(show).collect()
    }

    #[test]
    fn the_oldest_stays_while_there_is_room() {
        let times = ["2026-11-20T01:00:00Z", "2026-11-20T02:00:00Z", "2026-11-21T01:00:00Z"];
        let policy = RetentionPolicy::new().daily(3);
        assert_eq!(
            kept(&policy, &times),
            [
                "2026-11-21T01:00:00Z daily snapshot",
                "2026-11-20T02:00:00Z daily snapshot",
                "2026-11-20T01:00:00Z oldest daily snapshot"
            ]
        );
        assert_eq!(kept(&policy.clone().keep_oldest(false), &times).len(), 2);
        assert_eq!(kept(&policy.daily(2), &times).len(), 2);
        let within = RetentionPolicy::new().within_daily("2d".parse::<Span>().unwrap());
        assert_eq!(kept(&within, &times).last().unwrap(), "2026-11-20T01:00:00Z oldest daily within 2d");
    }

    #[test]
    fn the_future_does_not_move_the_window() {
        let times = [
            "2030-01-01T00:00:00Z",
            "2026-11-20T00:00:00Z",
            "2026-11-18T23:59:59Z",
            "2026-11-19T00:00:00.1Z",
        ];
        let policy = RetentionPolicy::new().within(Span::days(1));
        let kept = kept(&policy, &times);
        assert_eq!(kept.len(), 3, "{kept:?}");
        assert!(kept[2].starts_with("2026-11-19T00:00:00.1Z within 1d"), "{kept:?}");
    }

    #[test]
    fn settings_are_text() {
        let json = r#"{"last":3,"daily":"unlimited","within-yearly":"10y","tags":[["keep"]]}"#;
        let policy: RetentionPolicy = serde_json::from_str(json).unwrap();
        let expected = RetentionPolicy::new().last(3).daily(Keep::All).tags(["keep"]);
        assert_eq!(policy, expected.within_yearly(Span::new(10, 0, 0, 0)));
        assert_eq!(
            serde_json::from_str::<RetentionPolicy>(&serde_json::to_string(&policy).unwrap()).unwrap(),
            policy
        );
        for bad in [r#"{"last":-1}"#, r#"{"weeky":1}"#, r#"{"within":"1x"}"#, r#"{"daily":"all"}"#] {
            assert!(serde_json::from_str::<RetentionPolicy>(bad).is_err(), "{bad}");
        }
        assert!(RetentionPolicy::new().keep_oldest(false).is_empty() && !policy.is_empty());
    }
}
