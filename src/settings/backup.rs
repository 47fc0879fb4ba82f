//! Settings of the backup.

use super::{LocationSettings, SecretSource, Size, Span, Via};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Settings of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BackupSettings {
    /// The places that hold the repository, each a full replica. Without one there is no backup, and
    /// health says so.
    pub locations: Vec<LocationSettings>,
    /// Directories of the host that belong into every restore point.
    pub directories: Vec<PathBuf>,
    /// The password of the repository, when it is not the storage's own secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// When it is backed up by itself: a cron expression, such as `"30 2 * * *"`, in the machine's time zone or in
    /// that of `"CRON_TZ=Europe/Berlin 30 2 * * *"`. Default: only when the host says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Of several processes with the same schedule, only the one that leads through this server runs. Default: each
    /// runs by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<Via>,
    /// The program that dumps a PostgreSQL database; its release must be the server's or a later one. `psql` must stand
    /// beside it. Default: `pg_dump` on the `PATH`.
    pub pg_dump: PathBuf,
    /// Up to how much later a scheduled run begins, so that a fleet spreads. Default: none.
    pub jitter: Span,
    /// Whether a scheduled run that was missed is made up for at the next start. Default: yes.
    pub catch_up: bool,
    /// Which restore points stay after a scheduled run. Default: all.
    pub keep: KeepSettings,
    /// Whether what no restore point needs is removed after that. Default: yes.
    pub prune: bool,
    /// Whether the structure of the repository is checked after that. Default: yes.
    pub check: bool,
    /// When a restore is tried by itself: a cron expression. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<String>,
    /// How much of the latest restore point a drill restores. Default: all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill_sample: Option<Size>,
}

impl Default for BackupSettings {
    fn default() -> Self {
        Self {
            locations: Vec::new(),
            directories: Vec::new(),
            password: None,
            schedule: None,
            leader: None,
            pg_dump: "pg_dump".into(),
            jitter: Span::default(),
            catch_up: true,
            keep: KeepSettings::default(),
            prune: true,
            check: true,
            drill: None,
            drill_sample: None,
        }
    }
}

/// Which restore points stay; a rule of 0 keeps none, and without any rule all stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct KeepSettings {
    /// So many of the latest.
    pub last: u32,
    /// The latest of each of so many hours.
    pub hourly: u32,
    /// The latest of each of so many days.
    pub daily: u32,
    /// The latest of each of so many weeks.
    pub weekly: u32,
    /// The latest of each of so many months.
    pub monthly: u32,
    /// The latest of each of so many years.
    pub yearly: u32,
    /// All of this time before the latest, in years, months, days and hours: `"2m"`, `"1y6m"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
}

impl KeepSettings {
    /// Sets how many of the latest stay.
    #[must_use]
    pub fn last(mut self, count: u32) -> Self {
        self.last = count;
        self
    }

    /// Sets for how many days one stays.
    #[must_use]
    pub fn daily(mut self, count: u32) -> Self {
        self.daily = count;
        self
    }

    /// Sets for how many weeks one stays.
    #[must_use]
    pub fn weekly(mut self, count: u32) -> Self {
        self.weekly = count;
        self
    }

    /// Sets for how many months one stays.
    #[must_use]
    pub fn monthly(mut self, count: u32) -> Self {
        self.monthly = count;
        self
    }

    /// Sets for how many years one stays.
    #[must_use]
    pub fn yearly(mut self, count: u32) -> Self {
        self.yearly = count;
        self
    }
}
