//! What is kept over restarts.

use crate::backup::BackupReport;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a plan's runs have done. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BackupRecord {
    /// When the last successful run ended.
    pub last_success: Option<u64>,
    /// How long it took, in seconds.
    pub duration: f64,
    /// Bytes of the sources in it.
    pub size: u64,
    /// Bytes that it added to the repository, compressed and sealed.
    pub added: u64,
    /// Bytes of its sources that the repository did not have yet.
    pub new_bytes: u64,
    /// Bytes of all packs of the repository after it.
    pub repository: u64,
    /// When a restore, a drill or a check of all data last proved a restore point good.
    pub verified: Option<u64>,
    /// Why the last drill failed, if it did.
    pub drill_failure: Option<String>,
    /// Why the last run failed, if it did.
    pub failure: Option<String>,
    /// The locations that the last successful run did not reach.
    pub lagging: Vec<String>,
    /// Items that the last successful run left out.
    pub skipped: u64,
    /// The locations that have held the repository. One of them that is empty is more likely not mounted than
    /// new.
    pub reached: BTreeSet<String>,
    /// How each location fared.
    pub locations: BTreeMap<String, LocationRecord>,
}

/// How one location fared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct LocationRecord {
    /// When it last took a whole run, in seconds since the Unix epoch.
    pub last_success: Option<u64>,
    /// Successful runs that it missed or failed.
    pub failures: u64,
    /// Why it missed the last one, if it did.
    pub failure: Option<String>,
    /// Objects that the other locations took since it was last up to date, and it did not.
    pub lag_objects: u64,
    /// Their bytes.
    pub lag_bytes: u64,
}

impl BackupRecord {
    pub(super) fn succeeded(&mut self, report: &BackupReport, now: u64) {
        let summary = report.snapshot.snapshot.summary.as_ref();
        self.last_success = Some(now);
        self.duration = report.elapsed.as_secs_f64();
        self.size = summary.map_or(0, |summary| summary.total_bytes_processed);
        self.added = summary.map_or(0, |summary| summary.data_added_packed);
        self.new_bytes = summary.map_or(0, |summary| summary.data_added);
        self.repository = report.repository_bytes;
        self.skipped = report.skipped_total;
        self.failure = None;
        self.lagging.clear();
        for sink in &report.sinks {
            let location = self.locations.entry(sink.name.clone()).or_default();
            match &sink.error {
                None => {
                    location.last_success = Some(now);
                    location.failure = None;
                    (location.lag_objects, location.lag_bytes) = (0, 0);
                    self.reached.insert(sink.name.clone());
                }
                Some(error) => {
                    location.failures += 1;
                    location.failure = Some(error.to_string());
                    location.lag_objects += sink.missed_objects;
                    location.lag_bytes += sink.missed_bytes;
                    self.lagging.push(sink.name.clone());
                }
            }
        }
        let named: BTreeSet<&String> = report.sinks.iter().map(|sink| &sink.name).collect();
        self.locations.retain(|name, _| named.contains(name));
    }
}

/// Seconds since the Unix epoch.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
