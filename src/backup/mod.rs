//! The backup of a storage: its files as plaintext, its database, and the host's directories, in one restore
//! point, at every location.

#[cfg(feature = "metrics")]
mod health;
mod locations;
#[cfg(feature = "postgres")]
mod postgres;
mod restore;
mod run;
mod schedule;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use restore::{RestorePoint, RestoredStorage};
pub use run::BackupRun;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use sqlite::SqliteCopy;

pub use aeth_backup::*;

#[cfg(feature = "metrics")]
pub(crate) use health::BackupHealth;
pub(crate) use locations::Location;
#[cfg(feature = "postgres")]
pub(crate) use postgres::{PostgresTools, refuse_filled};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use restore::RestoreTarget;
pub(crate) use restore::{begin_restore, end_restore, refuse_half_restored};
pub(crate) use schedule::own_snapshots;

use crate::data_dir::DataDir;
use aeth_core::backup::BackupSink;
use aeth_core::blob::BlobStore;
use aeth_core::{Clock, ClockExt, Error, ErrorKind, Lifecycle, Result, Secret, Tasks};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Where the files stand in a restore point.
pub(crate) const FILES_AT: &str = "/aetherius/files";
/// Where a SQLite database stands in a restore point.
pub(crate) const DATABASE_AT: &str = "/aetherius/database/app.sqlite";
/// Where the dump of a PostgreSQL database stands in a restore point.
#[cfg(feature = "postgres")]
pub(crate) const DUMP_AT: &str = "/aetherius/database/app.dump";

/// The backup of a storage. A cheap handle.
///
/// Every location is a full replica of one restic repository; `restic -r LOCATION` reads it with the same
/// password. A storage without a location has a handle too: its operations say what is missing.
#[derive(Debug, Clone)]
pub struct Backup {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) data: Arc<DataDir>,
    pub(crate) locations: Vec<Location>,
    pub(crate) password: Option<Secret>,
    pub(crate) directories: Vec<PathSource>,
    #[cfg_attr(not(feature = "files"), allow(dead_code, reason = "only the files are a store"))]
    pub(crate) files: Option<Arc<dyn BlobStore>>,
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) database: Option<aeth_db::Database>,
    /// What dumps and restores a PostgreSQL database.
    #[cfg(feature = "postgres")]
    pub(crate) dump: Option<PostgresTools>,
    /// Opened with the first use that succeeds: a location may be away when the storage opens.
    pub(crate) repository: Mutex<Option<Repository>>,
    /// A repository is made where there is none; not when something is to be restored.
    pub(crate) may_init: bool,
    /// Locations that have held the repository and are empty are filled again.
    pub(crate) fill_lost: bool,
    /// One run at a time: they share the copy of the database.
    pub(crate) running: Mutex<()>,
    /// Ends what runs when the storage closes.
    pub(crate) closing: CancellationToken,
    pub(crate) monitor: BackupMonitor,
    pub(crate) schedule: OnceLock<Schedule>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("locations", &self.locations).finish_non_exhaustive()
    }
}

impl Backup {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// True when there is somewhere to back up to.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        !self.inner.locations.is_empty() && self.inner.password.is_some()
    }

    /// The places that hold the repository, by their names.
    #[must_use]
    pub fn locations(&self) -> Vec<String> {
        self.inner.locations.iter().map(Location::label).collect()
    }

    /// The repository, for everything that this handle has no shorthand for (checks, partial restores).
    ///
    /// # Errors
    /// `Unsupported` when no location or no secret is configured; `Denied` for a wrong password; those of
    /// [`Repository::open`].
    ///
    /// # Cancel safety
    /// Cancel-safe: a repository that was being made is completed by the next call.
    pub async fn repository(&self) -> Result<Repository> {
        if self.inner.closing.is_cancelled() {
            return Err(closed());
        }
        let mut repository = self.inner.repository.lock().await;
        if let Some(repository) = &*repository {
            return Ok(repository.clone());
        }
        let opened = Box::pin(self.inner.open_repository()).await?;
        self.inner.note_reached(&opened).await;
        *repository = Some(opened.clone());
        Ok(opened)
    }

    /// The restore points, oldest first.
    ///
    /// # Errors
    /// Those of [`Backup::repository`] and of the locations.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotEntry>> {
        self.repository().await?.snapshots().await
    }
}

impl Backup {
    /// What the backup has done, as metrics and for health.
    #[must_use]
    pub fn monitor(&self) -> &BackupMonitor {
        &self.inner.monitor
    }

    /// Ends the schedule and a run that is under way (the next one goes on from what it stored) and lets go of the repository.
    pub(crate) async fn close(&self, deadline: Duration) -> Result<()> {
        let inner = &self.inner;
        inner.closing.cancel();
        let begun = inner.clock.monotonic();
        let left = || deadline.saturating_sub(inner.clock.monotonic().saturating_sub(begun));
        let scheduled = match inner.schedule.get() {
            Some(schedule) => schedule.close(deadline).await,
            None => Ok(()),
        };
        let repository = inner.clock.timeout(left(), inner.repository.lock()).await?.take();
        match repository {
            Some(repository) => repository.close(left()).await.and(scheduled),
            None => scheduled,
        }
    }
}

impl Inner {
    async fn open_repository(&self) -> Result<Repository> {
        let Some(password) = self.password.as_ref().filter(|_| !self.locations.is_empty()) else {
            return Err(self.unconfigured());
        };
        let reached = self.monitor.record().reached;
        let known = |location: &Location| !self.fill_lost && reached.contains(&location.label());
        let sink = |location: &Location| Arc::new(location.sink(known(location), &self.clock)) as _;
        let sinks: Vec<Arc<dyn BackupSink>> = self.locations.iter().map(sink).collect();
        // One location that answers is enough to go on; health says which lag, and they catch up.
        let options = RepositoryOptions::default().attach_empty(true).quorum(Quorum::AtLeast(1));
        let clock = || Arc::clone(&self.clock);
        let opened = Repository::open_with_clock(sinks.clone(), password, options.clone(), clock()).await;
        match opened {
            Err(error) if error.kind() == ErrorKind::NotFound && self.may_init && reached.is_empty() => {
                Repository::init_with_clock(sinks, password, options, clock()).await
            }
            Err(error) if error.kind() == ErrorKind::Denied => Err(error.with_component("backup").with_remedy(
                "give the password that the repository was made with: the storage's secret, or the backup's own",
            )),
            other => other,
        }
    }

    /// Notes which locations hold the repository.
    async fn note_reached(&self, repository: &Repository) {
        let held: Vec<_> = repository
            .sinks()
            .into_iter()
            .filter(|sink| sink.error.is_none())
            .map(|sink| sink.name)
            .collect();
        self.monitor.note_reached(held).await;
    }

    pub(crate) fn unconfigured(&self) -> Error {
        let (message, remedy) = if self.locations.is_empty() {
            ("no backup location is configured", "give one with StorageBuilder::backup_to")
        } else {
            ("the backup has no password", "give a secret with StorageBuilder::secret")
        };
        Error::unsupported(message).with_component("backup").with_remedy(remedy)
    }
}

fn closed() -> Error {
    Error::closed("the storage was shut down").with_component("backup")
}
