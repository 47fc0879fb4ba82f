//! The storage: a cheap handle over everything.

mod build;
mod builder;
#[cfg(feature = "metrics")]
mod observe;
mod parts;
#[cfg(feature = "backup")]
mod restore;
#[cfg(feature = "backup")]
mod schedule;
mod shutdown;
mod validate;

pub use builder::StorageBuilder;

use crate::settings::Settings;
use aeth_core::{Clock, Result, Tasks};
use std::path::Path;
use std::sync::Arc;

/// An application's whole storage: cache, files, database, backup, metrics, health. A cheap handle: clone it
/// into every task.
///
/// # Examples
/// ```
/// use aetherius::prelude::*;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
/// # async fn main() -> aetherius::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// let storage = Storage::open(dir.path()).await?;
/// storage.files().put("notes/1.txt", "remember the milk").await?;
/// assert_eq!(storage.files().get("notes/1.txt").await?, "remember the milk");
/// storage.shutdown(Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data: Arc<crate::data_dir::DataDir>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    #[cfg(feature = "cache")]
    caches: aeth_cache::Caches,
    #[cfg(feature = "files")]
    files: aeth_files::Files,
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    database: Option<aeth_db::Database>,
    #[cfg(feature = "redis")]
    redis: Option<aeth_cache::redis::Redis>,
    attached: parts::Attached,
    #[cfg(feature = "backup")]
    backup: crate::backup::Backup,
    #[cfg(feature = "metrics")]
    metrics: aeth_metrics::Registry,
    #[cfg(feature = "metrics")]
    health: aeth_metrics::HealthRegistry,
    #[cfg(feature = "metrics")]
    volumes: aeth_metrics::Volumes,
}

impl Storage {
    /// Opens the storage in a directory, which is made if it is missing: memory cache, local files, SQLite. No
    /// server is needed. Without a secret there is neither encryption nor backup, and health says so.
    ///
    /// # Errors
    /// `Busy` when another process has the directory open (it is named); `Denied`, `Full` and others of the
    /// file system; `Corrupt` when what is there cannot be read.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(dir: impl AsRef<Path>) -> Result<Self> {
        Self::builder(dir).open().await
    }

    /// Composes a storage in a directory.
    pub fn builder(dir: impl AsRef<Path>) -> StorageBuilder {
        StorageBuilder::new(dir.as_ref())
    }

    /// Opens the storage that the settings describe: the same parts in a directory of one machine, or on Redis,
    /// PostgreSQL and object stores. The code that uses them stays.
    ///
    /// # Errors
    /// As [`StorageBuilder::open`].
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn from_settings(settings: &Settings) -> Result<Self> {
        StorageBuilder::from_settings(settings).open().await
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.inner.data.root()
    }

    /// The clock that every part uses.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// The typed cache of this name with the default options; for others see [`Storage::caches`].
    ///
    /// # Errors
    /// `Invalid` for a name that is none, or that is open with another type.
    #[cfg(feature = "cache")]
    pub fn cache<V>(&self, name: &str) -> Result<aeth_cache::Cache<V>>
    where
        V: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        self.inner.caches.open(name, aeth_cache::CacheOptions::new())
    }

    /// The caches, which share one budget.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn caches(&self) -> &aeth_cache::Caches {
        &self.inner.caches
    }

    /// The files.
    #[cfg(feature = "files")]
    #[must_use]
    pub fn files(&self) -> &aeth_files::Files {
        &self.inner.files
    }

    /// The database.
    ///
    /// # Errors
    /// `Unsupported` when it was switched off.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub fn database(&self) -> Result<&aeth_db::Database> {
        self.inner.database.as_ref().ok_or_else(|| {
            aeth_core::Error::unsupported("the storage has no database")
                .with_component("database")
                .with_remedy("switch it on with StorageBuilder::database")
        })
    }

    /// Redis, for what a host does with it beside the cache: leader locks, a backplane of its own.
    ///
    /// # Errors
    /// `Unsupported` when the settings name none.
    #[cfg(feature = "redis")]
    pub fn redis(&self) -> Result<&aeth_cache::redis::Redis> {
        self.inner.redis.as_ref().ok_or_else(|| {
            aeth_core::Error::unsupported("the storage has no Redis")
                .with_component("redis")
                .with_remedy("say where it is with StorageBuilder::redis")
        })
    }

    /// The backup.
    #[cfg(feature = "backup")]
    #[must_use]
    pub fn backup(&self) -> &crate::backup::Backup {
        &self.inner.backup
    }

    /// The metrics of everything: [`storage_metrics`](aeth_metrics::Registry::storage_metrics) as figures,
    /// [`collect`](aeth_metrics::Registry::collect) for OpenMetrics text.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn metrics(&self) -> &aeth_metrics::Registry {
        &self.inner.metrics
    }

    /// The health of everything, asked now (answers younger than a second are taken as they are).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    #[cfg(feature = "metrics")]
    pub async fn health(&self) -> aeth_metrics::HealthReport {
        self.inner.health.report(aeth_metrics::Probe::Readiness).await
    }

    /// The registry of health checks, for the host's own checks and for the probes of an orchestrator.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn health_checks(&self) -> &aeth_metrics::HealthRegistry {
        &self.inner.health
    }

    /// The disks.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn volumes(&self) -> &aeth_metrics::Volumes {
        &self.inner.volumes
    }

    /// Background tasks of the host that end with the storage.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }
}
