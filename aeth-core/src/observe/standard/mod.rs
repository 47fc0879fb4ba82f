//! The well-known metrics: one table of names for the whole family.
//!
//! A component that has one of these figures reports it under the descriptor given here, with the labels
//! given in [`labels`]; `StorageMetrics`, the dashboard and the alert rules are computed from these names, so
//! that a tier, a store or a database of a host's own appears in them as soon as it reports.
//!
//! Rules:
//! - counters count since the component was opened; a restart resets them;
//! - durations are handed over in nanoseconds ([`Unit::Seconds`](super::Unit::Seconds) histograms and
//!   counters) and exported in seconds; gauges are handed over in the exported unit;
//! - a figure that the component does not know is left out, never reported as 0;
//! - the outermost component reports: a layer over a store that is metered itself reports under a label value
//!   of its own or not at all, because sums over a family must not count a byte twice.

pub mod backup;
pub mod cache;
pub mod database;
pub mod files;
pub mod health;
pub mod labels;
pub mod volume;

use super::Descriptor;

/// Every descriptor of the table, by section.
pub const ALL: &[&[Descriptor]] =
    &[database::ALL, cache::ALL, files::ALL, volume::ALL, backup::ALL, health::ALL];

/// The descriptor of a family by its name without type suffix.
///
/// ```
/// use aeth_core::observe::standard;
/// assert_eq!(standard::find("aeth_cache_hits"), Some(&standard::cache::HITS));
/// assert_eq!(standard::find("aeth_nothing"), None);
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Descriptor> {
    ALL.iter().flat_map(|section| section.iter()).find(|descriptor| descriptor.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_follow_open_metrics_and_are_unique() {
        let mut seen = HashSet::new();
        for descriptor in ALL.iter().flat_map(|section| section.iter()) {
            let name = descriptor.name;
            assert!(seen.insert(name), "{name} twice");
            assert!(name.starts_with("aeth_"), "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert!(!name.ends_with("_total") && !name.ends_with("_count"), "{name}");
            if let Some(unit) = descriptor.unit.suffix() {
                assert!(name.ends_with(&format!("_{unit}")), "{name} does not end in {unit}");
            }
            assert!(descriptor.help.ends_with('.'), "{name}");
        }
    }
}
