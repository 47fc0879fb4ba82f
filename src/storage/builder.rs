//! The builder.

use super::Storage;
use super::validate::Configuration;
#[cfg(feature = "files")]
use crate::settings::Encryption;
use crate::settings::Settings;
#[cfg(feature = "cache")]
use crate::settings::Size;
#[cfg(feature = "backup")]
use crate::settings::Span;
use aeth_core::{Clock, Result, Secret, SystemClock};
use std::path::Path;
#[cfg(feature = "backup")]
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "backup")]
use std::time::Duration;

/// Composes a [`Storage`]. Nothing is opened, read or checked before [`open`](Self::open), which reports every
/// mistake at once.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct StorageBuilder {
    pub(super) settings: Settings,
    pub(super) secret: Option<Secret>,
    pub(super) backup_password: Option<Secret>,
    #[cfg(feature = "backup")]
    pub(super) directories: Vec<aeth_backup::PathSource>,
    #[cfg(feature = "files")]
    pub(super) store: Option<Arc<dyn aeth_core::blob::BlobStore>>,
    #[cfg(feature = "cache")]
    pub(super) tiers: Vec<Arc<dyn aeth_core::cache::CacheTier>>,
    #[cfg(feature = "cache")]
    pub(super) backplane: Option<Arc<dyn aeth_core::coord::Backplane>>,
    #[cfg(feature = "backup")]
    pub(super) fill_lost_locations: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl StorageBuilder {
    pub(super) fn new(dir: &Path) -> Self {
        Self::from_settings(&Settings::new(dir))
    }

    /// Starts from settings; what is said on the builder lies over them.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            secret: None,
            backup_password: None,
            #[cfg(feature = "backup")]
            directories: Vec::new(),
            #[cfg(feature = "files")]
            store: None,
            #[cfg(feature = "cache")]
            tiers: Vec::new(),
            #[cfg(feature = "cache")]
            backplane: None,
            #[cfg(feature = "backup")]
            fill_lost_locations: false,
            clock: SystemClock::shared(),
        }
    }

    /// The secret that encrypts files at rest and opens the backup. Keep it where the disk's death does not
    /// reach it.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret = Some(secret);
        self
    }

    /// The budget of all caches together, in bytes. Default: 64 MiB; at least 1 MiB.
    #[cfg(feature = "cache")]
    pub fn cache_memory(mut self, bytes: u64) -> Self {
        self.settings.cache.memory = Size::from_bytes(bytes);
        self
    }

    /// Where Redis is. It is used for what names it: [`cache_tiers`](Self::cache_tiers),
    /// [`CacheSettings::backplane`](crate::CacheSettings::backplane) and
    /// [`BackupSettings::leader`](crate::BackupSettings::leader).
    #[cfg(feature = "redis")]
    pub fn redis(mut self, settings: crate::settings::RedisSettings) -> Self {
        self.settings.redis = Some(settings);
        self
    }

    /// The tiers below the memory of every cache, the nearest first.
    #[cfg(feature = "cache")]
    pub fn cache_tiers(mut self, tiers: impl IntoIterator<Item = crate::settings::TierKind>) -> Self {
        self.settings.cache.tiers = tiers.into_iter().collect();
        self
    }

    /// Through which server the processes that share a tier tell each other of their changes.
    #[cfg(feature = "cache")]
    pub fn cache_backplane(mut self, via: crate::settings::Via) -> Self {
        self.settings.cache.backplane = Some(via);
        self
    }

    /// Tells processes that share a tier of each other's changes through a backplane of the host's own.
    #[cfg(feature = "cache")]
    pub fn backplane(mut self, backplane: impl aeth_core::coord::Backplane) -> Self {
        self.backplane = Some(Arc::new(backplane));
        self
    }

    /// Adds a tier of the host's own below all others; the first one added is asked first.
    #[cfg(feature = "cache")]
    pub fn cache_tier(mut self, tier: impl aeth_core::cache::CacheTier) -> Self {
        self.tiers.push(Arc::new(tier));
        self
    }

    /// Whether files are encrypted at rest. Default: as soon as there is a secret.
    #[cfg(feature = "files")]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.settings.files.encryption = encryption;
        self
    }

    /// What an acknowledged write of a file survives. Default: a loss of power.
    #[cfg(feature = "files")]
    pub fn durability(mut self, durability: crate::settings::Durability) -> Self {
        self.settings.files.durability = durability;
        self
    }

    /// Keeps files at this location instead of the data directory; several are a mirror. See
    /// [`FilesSettings::locations`](crate::FilesSettings::locations).
    #[cfg(feature = "files")]
    pub fn files_at(mut self, location: impl Into<crate::settings::LocationSettings>) -> Self {
        self.settings.files.locations.push(location.into());
        self
    }

    /// Keeps files in a store of the host's own instead of the data directory. Encryption lies over it all the same;
    /// its keyset stays in the data directory.
    #[cfg(feature = "files")]
    pub fn file_store(mut self, store: impl aeth_core::blob::BlobStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Whether there is a database. Default: yes.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub fn database(mut self, enabled: bool) -> Self {
        self.settings.database.enabled = enabled;
        self
    }

    /// Takes a PostgreSQL database, by its URL, instead of SQLite in the data directory. A URL with a password comes
    /// from a file or variable: see [`Address`](crate::Address).
    #[cfg(feature = "postgres")]
    pub fn postgres(mut self, url: impl Into<crate::settings::Address>) -> Self {
        self.settings.database.url = Some(url.into());
        self
    }

    /// Adds a place that holds a full replica of the backup repository: a directory, `s3://bucket/prefix` and others,
    /// see [`LocationSettings`](crate::LocationSettings). Give at least one on another disk.
    #[cfg(feature = "backup")]
    pub fn backup_to(mut self, location: impl Into<crate::settings::LocationSettings>) -> Self {
        self.settings.backup.locations.push(location.into());
        self
    }

    /// Puts a directory of the host into every restore point, in full fidelity.
    #[cfg(feature = "backup")]
    pub fn backup_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.settings.backup.directories.push(directory.into());
        self
    }

    /// Puts a directory into every restore point, with exclusions of its own.
    #[cfg(feature = "backup")]
    pub fn backup_source(mut self, source: aeth_backup::PathSource) -> Self {
        self.directories.push(source);
        self
    }

    /// The password of the backup repository. Default: the secret.
    #[cfg(feature = "backup")]
    pub fn backup_password(mut self, password: Secret) -> Self {
        self.backup_password = Some(password);
        self
    }

    /// Fills a location that has held the repository and is empty now from the others: a new disk in the place
    /// of a lost one. Without it such a location counts as not mounted, and nothing is written there.
    #[cfg(feature = "backup")]
    pub fn fill_lost_locations(mut self) -> Self {
        self.fill_lost_locations = true;
        self
    }

    /// Backs up by itself at these times: a cron expression, such as `30 2 * * *`, in the machine's time zone or in
    /// that of `CRON_TZ=Europe/Berlin 30 2 * * *`. A run that was missed is made up for at the next start.
    #[cfg(feature = "backup")]
    pub fn backup_schedule(mut self, cron: impl Into<String>) -> Self {
        self.settings.backup.schedule = Some(cron.into());
        self
    }

    /// Which restore points stay after a scheduled run. Default: all.
    #[cfg(feature = "backup")]
    pub fn backup_keep(mut self, keep: crate::settings::KeepSettings) -> Self {
        self.settings.backup.keep = keep;
        self
    }

    /// Tries a restore by itself at these times (a cron expression) and degrades health when it fails.
    #[cfg(feature = "backup")]
    pub fn backup_drill(mut self, cron: impl Into<String>) -> Self {
        self.settings.backup.drill = Some(cron.into());
        self
    }

    /// How old the last successful backup may be before health is degraded. Default: 26 hours.
    #[cfg(feature = "backup")]
    pub fn backup_max_age(mut self, age: Duration) -> Self {
        self.settings.health.backup_max_age = Span::new(age);
        self
    }

    /// The clock that every part uses. Default: the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the whole configuration and opens the storage.
    ///
    /// # Errors
    /// `Invalid`, listing every mistake of the configuration, before anything is opened; `Busy` when another
    /// process has the data directory (it is named); `Denied` for a wrong secret; `Precondition` when a restore
    /// into this directory did not finish; those of the file system.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(self) -> Result<Storage> {
        let configuration = Configuration::check(self)?;
        // Boxed: opening holds a part of each part, and it happens once.
        Box::pin(super::build::open(configuration)).await
    }
}
