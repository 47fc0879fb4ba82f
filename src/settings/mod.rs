//! Settings: plain data from a file, the environment, or code.
//!
//! Settings are apart from components: they deserialise from any serde format, hold sizes and durations as
//! text with units, and name secrets by file or environment, never by value. Turning them into a running
//! storage is [`Storage::from_settings`](crate::Storage::from_settings).

mod env;
mod problems;
mod secret;
mod units;

pub use problems::{Problem, Problems};
pub use secret::SecretSource;
pub use units::{Size, Span};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The whole configuration.
///
/// Unknown keys are refused, so that a typing mistake is never silent. Every field but `data_dir` has a
/// default. [`Settings::overlay_env`] lays the environment over it.
///
/// ```
/// # use aetherius::Settings;
/// let settings: Settings = serde_json::from_str(
///     r#"{
///         "data_dir": "/srv/app",
///         "secret": { "file": "/run/secrets/storage" },
///         "cache": { "memory": "256MiB" },
///         "backup": { "locations": ["/mnt/a/app", "/mnt/b/app"] }
///     }"#,
/// ).unwrap();
/// assert_eq!(settings.cache.memory.bytes(), 256 << 20);
/// assert!(serde_json::from_str::<Settings>(r#"{ "data_dir": "x", "cahce": {} }"#).is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Where everything lives. One process at a time holds it.
    pub data_dir: PathBuf,
    /// The secret that encrypts files at rest and opens the backup; without one there is neither, and health
    /// says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// The cache.
    #[serde(default)]
    pub cache: CacheSettings,
    /// The files.
    #[serde(default)]
    pub files: FilesSettings,
    /// The database.
    #[serde(default)]
    pub database: DatabaseSettings,
    /// The backup.
    #[serde(default)]
    pub backup: BackupSettings,
    /// Health thresholds.
    #[serde(default)]
    pub health: HealthSettings,
}

impl Settings {
    /// The defaults for a data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), ..Self::default() }
    }

    /// Lays the process's environment over these settings; see [`Settings::overlay`].
    ///
    /// # Errors
    /// As [`Settings::overlay`].
    pub fn overlay_env(self) -> aeth_core::Result<Self> {
        self.overlay(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// Lays variables over these settings. Names are `AETHERIUS_` and the setting's path in capitals, with `__`
    /// between its parts: `AETHERIUS_DATA_DIR`, `AETHERIUS_CACHE__MEMORY`, `AETHERIUS_BACKUP__LOCATIONS`
    /// (separated by commas). The secret comes from `AETHERIUS_SECRET_FILE` or `AETHERIUS_SECRET`.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](aeth_core::ErrorKind::Invalid), listing every variable of that prefix that names
    /// no setting or holds a value that is not one.
    pub fn overlay(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> aeth_core::Result<Self> {
        env::overlay(&mut self, variables)?;
        Ok(self)
    }
}

/// Settings of the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct CacheSettings {
    /// The budget of all caches together, for decoded values in memory. Default: 64 MiB; at least 1 MiB.
    pub memory: Size,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { memory: Size::from_mib(64) }
    }
}

/// Settings of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct FilesSettings {
    /// Whether files are encrypted at rest.
    pub encryption: Encryption,
    /// What an acknowledged write survives.
    pub durability: Durability,
}

/// Whether files are encrypted at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Encryption {
    /// As soon as there is a secret.
    #[default]
    Auto,
    /// Always: without a secret the configuration is refused.
    Required,
    /// Never.
    Off,
}

/// What an acknowledged write of a file survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Durability {
    /// A loss of power.
    #[default]
    Full,
    /// The end of the process, not a loss of power.
    Process,
}

/// Settings of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct DatabaseSettings {
    /// Whether there is one. Default: yes.
    pub enabled: bool,
    /// How many connections read at the same time (one more writes). Default: 4; 1 to 64.
    pub readers: u32,
    /// How long to wait for a connection or for the write lock. Default: 5 s.
    pub acquire_timeout: Span,
    /// From how long on a statement is counted and logged as slow. Default: 200 ms.
    pub slow_query: Span,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            readers: 4,
            acquire_timeout: Span::new(std::time::Duration::from_secs(5)),
            slow_query: Span::new(std::time::Duration::from_millis(200)),
        }
    }
}

/// Settings of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct BackupSettings {
    /// The directories that hold the repository, each a full replica. Without one there is no backup, and
    /// health says so.
    pub locations: Vec<PathBuf>,
    /// Directories of the host that belong into every restore point.
    pub directories: Vec<PathBuf>,
    /// The password of the repository, when it is not the storage's own secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// When it is backed up by itself: a cron expression, such as `"30 2 * * *"`, in the machine's time zone or in
    /// that of `"CRON_TZ=Europe/Berlin 30 2 * * *"`. Default: only when the host says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
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

/// Thresholds of health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HealthSettings {
    /// From how many per cent of a full disk on it is degraded. Default: 85; 1 to 100.
    pub disk_degraded_percent: u8,
    /// From how many per cent of a full disk on it is down. Default: 95; at least the one above.
    pub disk_down_percent: u8,
    /// How old the last successful backup may be before health is degraded. Default: 26 h.
    pub backup_max_age: Span,
    /// How old the last proof by a restore, a drill or a full check may be before health is degraded. Default:
    /// nobody asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_max_unverified: Option<Span>,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            disk_degraded_percent: 85,
            disk_down_percent: 95,
            backup_max_age: Span::new(std::time::Duration::from_secs(26 * 3_600)),
            backup_max_unverified: None,
        }
    }
}
