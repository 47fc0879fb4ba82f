//! `backups`: age of the last success, duration, size, age of the last verification, failures. All carry
//! [`labels::PLAN`]; `LOCATION_*` carry [`labels::LOCATION`] too.
//!
//! [`labels::PLAN`]: super::labels::PLAN
//! [`labels::LOCATION`]: super::labels::LOCATION

use crate::observe::{Descriptor, Unit};

/// When the last successful run ended, in seconds since the Unix epoch; left out before the first.
pub const LAST_SUCCESS: Descriptor = Descriptor::gauge(
    "aeth_backup_last_success_timestamp_seconds",
    "When the last successful run ended, since the Unix epoch.",
)
.with_unit(Unit::Seconds);
/// How long the last successful run took.
pub const DURATION: Descriptor =
    Descriptor::gauge("aeth_backup_duration_seconds", "How long the last successful run took.")
        .with_unit(Unit::Seconds);
/// Bytes of the sources in the last restore point.
pub const SIZE: Descriptor =
    Descriptor::gauge("aeth_backup_size_bytes", "Size of the last restore point's sources.")
        .with_unit(Unit::Bytes);
/// Bytes that the last successful run added to the repository.
pub const ADDED: Descriptor =
    Descriptor::gauge("aeth_backup_added_bytes", "Bytes that the last successful run stored.")
        .with_unit(Unit::Bytes);
/// Bytes of all packs in the repository after the last successful run.
pub const REPOSITORY: Descriptor =
    Descriptor::gauge("aeth_backup_repository_bytes", "Size of the repository's packs after the last run.")
        .with_unit(Unit::Bytes);
/// The share of the last run's bytes that the repository had already.
pub const DEDUPLICATED: Descriptor = Descriptor::gauge(
    "aeth_backup_deduplicated_ratio",
    "Share of the last run's bytes that the repository had already.",
)
.with_unit(Unit::Ratio);
/// When a restore or a full check last proved a restore point good; left out before the first.
pub const VERIFIED: Descriptor = Descriptor::gauge(
    "aeth_backup_verified_timestamp_seconds",
    "When a restore point was last proven good, since the Unix epoch.",
)
.with_unit(Unit::Seconds);
/// Runs that were started.
pub const RUNS: Descriptor = Descriptor::counter("aeth_backup_runs", "Runs that were started.");
/// Runs that failed.
pub const FAILURES: Descriptor = Descriptor::counter("aeth_backup_failures", "Runs that failed.");
/// Files and other items that a run could not read and left out.
pub const SKIPPED: Descriptor =
    Descriptor::counter("aeth_backup_skipped", "Items that runs could not read and left out.");
/// Restore drills that failed.
pub const DRILL_FAILURES: Descriptor =
    Descriptor::counter("aeth_backup_drill_failures", "Restore drills that failed.");
/// When the location last took a whole run, in seconds since the Unix epoch.
pub const LOCATION_LAST_SUCCESS: Descriptor = Descriptor::gauge(
    "aeth_backup_location_last_success_timestamp_seconds",
    "When the location last took a whole run, since the Unix epoch.",
)
.with_unit(Unit::Seconds);
/// Runs that the location missed or failed.
pub const LOCATION_FAILURES: Descriptor =
    Descriptor::counter("aeth_backup_location_failures", "Runs that the location missed or failed.");

/// Bytes that the other locations took since the location was last up to date.
pub const LOCATION_LAG: Descriptor = Descriptor::gauge(
    "aeth_backup_location_lag_bytes",
    "Bytes that the other locations took since the location was last up to date.",
)
.with_unit(Unit::Bytes);

/// The section.
pub const ALL: &[Descriptor] = &[
    LAST_SUCCESS,
    DURATION,
    SIZE,
    ADDED,
    REPOSITORY,
    DEDUPLICATED,
    VERIFIED,
    RUNS,
    FAILURES,
    SKIPPED,
    DRILL_FAILURES,
    LOCATION_LAST_SUCCESS,
    LOCATION_FAILURES,
    LOCATION_LAG,
];
