//! Settings: plain data from a file, the environment, or code.
//!
//! Settings are apart from components: they deserialise from any serde format, hold sizes and durations as
//! text with units, and name secrets by file or environment, never by value. Turning them into a running
//! storage is [`Storage::from_settings`](crate::Storage::from_settings).

mod address;
mod backup;
mod cache;
mod database;
mod env;
mod files;
mod health;
mod location;
mod problems;
mod redis;
mod secret;
mod units;

pub use address::Address;
pub use backup::{BackupSettings, KeepSettings};
pub use cache::{CacheSettings, TierKind, Via};
pub use database::{DatabaseSettings, PoolerKind};
pub use files::{Compression, Durability, Encryption, FilesSettings, PageCacheSettings};
pub use health::HealthSettings;
pub use location::LocationSettings;
pub use problems::{Problem, Problems};
pub use redis::{RedisMode, RedisSettings};
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
    /// Redis, for what says that it uses it. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisSettings>,
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
    /// (separated by commas). What else is to be said of a location stands under its number, counted from 0:
    /// `AETHERIUS_BACKUP__LOCATIONS__0__ENDPOINT`.
    ///
    /// Secrets and the URLs of servers come from the variable itself (`AETHERIUS_SECRET`, `AETHERIUS_DATABASE__URL`),
    /// which is read when the storage is opened, or from the file that `NAME_FILE` names; the file wins.
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
