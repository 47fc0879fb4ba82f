//! A storage out of a restore point: one call for an empty machine.

use super::{Backup, DATABASE_AT, FILES_AT};
use crate::data_dir::DataDir;
use aeth_backup::{BlobRestoreReport, Progress, Repository, RestoreOptions, RestoreReport, SnapshotEntry};
use aeth_core::blob::BlobStore;
use aeth_core::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// There while a restore into the data directory has not finished.
const MARKER: &str = "restoring";

/// Which restore point.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestorePoint {
    /// The newest that a storage made.
    Latest,
    /// The one of this id, or of an unambiguous beginning of it.
    Id(String),
}

/// What came out of a restore.
#[derive(Debug)]
#[non_exhaustive]
pub struct RestoredStorage {
    /// The storage, open.
    pub storage: crate::Storage,
    /// The restore point that it was made from.
    pub snapshot: SnapshotEntry,
    /// The files: what was put back, and what is damaged in every location.
    pub files: BlobRestoreReport,
    /// True when the restore point held a database.
    pub database: bool,
}

/// Where a database is restored to.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) enum RestoreTarget {
    /// The storage has no database.
    Nothing,
    /// The data directory.
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// A server.
    #[cfg(feature = "postgres")]
    Postgres(super::PostgresTools),
}

impl Backup {
    /// Restores one of the host's directories (or whatever else the restore point holds at `path`) into
    /// `target`, which must be missing or empty. Every file is read again and compared.
    ///
    /// # Errors
    /// Those of [`Backup::repository`]; `NotFound` for an unknown restore point or path; `AlreadyExists` when
    /// the target is not empty. What could not be restored is listed in the report.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was restored so far stays in the target.
    pub async fn restore_directory(
        &self,
        point: &RestorePoint,
        path: &Path,
        target: impl Into<PathBuf>,
        progress: Progress,
    ) -> Result<RestoreReport> {
        let repository = self.repository().await?;
        let snapshot = find(&repository, point).await?;
        let path = path.to_str().ok_or_else(|| {
            Error::invalid("the path is not UTF-8")
                .with_key(path.display())
                .with_remedy("restore the directory above it")
        })?;
        let options = RestoreOptions::new(target).root(path).verify(true).progress(progress);
        let report = repository.restore(&snapshot, options).await?;
        if report.is_complete() {
            self.inner.monitor.note_verified().await;
        }
        Ok(report)
    }

    /// Puts the blobs of a restore point back into `store`.
    pub(crate) async fn restore_files(
        &self,
        snapshot: &SnapshotEntry,
        store: &Arc<dyn BlobStore>,
        progress: &Progress,
    ) -> Result<BlobRestoreReport> {
        let repository = self.repository().await?;
        match repository.restore_blobs(snapshot, FILES_AT, store, progress).await {
            // A storage that never held a file leaves no directory for them.
            Err(error) if error.is_not_found() => Ok(BlobRestoreReport::default()),
            other => other,
        }
    }

    /// Puts the database of a restore point back; false when there is none in it.
    ///
    /// A PostgreSQL database is asked for first; it must be empty.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) async fn restore_database(
        &self,
        snapshot: &SnapshotEntry,
        target: RestoreTarget,
    ) -> Result<bool> {
        match target {
            RestoreTarget::Nothing => Ok(false),
            #[cfg(feature = "sqlite")]
            RestoreTarget::Sqlite => self.restore_sqlite(snapshot).await,
            #[cfg(feature = "postgres")]
            RestoreTarget::Postgres(tools) => {
                let repository = self.repository().await?;
                match repository.dump(snapshot, super::DUMP_AT).await {
                    Ok(dump) => tools.restore(dump).await.map(|()| true),
                    Err(error) if error.is_not_found() => Ok(false),
                    Err(error) => Err(error),
                }
            }
        }
    }

    #[cfg(feature = "sqlite")]
    async fn restore_sqlite(&self, snapshot: &SnapshotEntry) -> Result<bool> {
        let repository = self.repository().await?;
        let path = self.inner.data.database();
        let directory = path.parent().unwrap_or(Path::new("/"));
        let options = RestoreOptions::new(directory).root(DATABASE_PARENT).verify(true).owners(false);
        match repository.restore(snapshot, options).await {
            Ok(report) if report.is_complete() && path.exists() => Ok(true),
            Ok(report) => {
                let why = report.skipped.first().map_or_else(
                    || "the restore point has its place and not the file".into(),
                    ToString::to_string,
                );
                Err(Error::corrupt(format!("the database could not be restored: {why}"))
                    .with_remedy("try another restore point, or repair the repository from another location"))
            }
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn find(&self, point: &RestorePoint) -> Result<SnapshotEntry> {
        find(&self.repository().await?, point).await
    }
}

/// The directory of [`DATABASE_AT`].
const DATABASE_PARENT: &str = DATABASE_AT.split_at(DATABASE_AT.len() - "/app.sqlite".len()).0;

async fn find(repository: &Repository, point: &RestorePoint) -> Result<SnapshotEntry> {
    match point {
        RestorePoint::Id(id) => repository.snapshot(id).await,
        RestorePoint::Latest => {
            let mut snapshots = repository.snapshots().await?;
            snapshots.retain(|entry| entry.snapshot.tags.iter().any(|tag| tag == "aetherius"));
            snapshots.pop().ok_or_else(|| {
                Error::not_found("the repository holds no restore point of a storage")
                    .with_component("backup")
                    .with_remedy("make one with Backup::run")
            })
        }
    }
}

/// Refuses a data directory into which a restore did not finish. Blocks on I/O.
pub(crate) fn refuse_half_restored(data: &DataDir) -> Result<()> {
    if !data.root().join(MARKER).exists() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Precondition, "a restore into this data directory did not finish")
        .with_operation("open")
        .with_component("data directory")
        .with_key(data.root().display())
        .with_remedy("restore again with StorageBuilder::restore, which begins anew"))
}

/// Makes sure that nothing of value is overwritten, and marks the restore as begun. Blocks on I/O.
pub(crate) fn begin_restore(data: &DataDir, keep_keys: bool) -> Result<()> {
    let marker = data.root().join(MARKER);
    let live = [data.files(), data.database(), data.keyset()];
    if marker.exists() {
        // What an unfinished restore left is of no value.
        data.remove_live(keep_keys)?;
    } else if let Some(there) = live.iter().find(|path| path.exists()) {
        return Err(Error::new(ErrorKind::AlreadyExists, "the data directory holds data")
            .with_operation("restore")
            .with_key(there.display())
            .with_remedy("restore into an empty data directory, or move what is there away"));
    }
    let file = std::fs::File::create(&marker)?;
    file.sync_all()?;
    Ok(std::fs::File::open(data.root())?.sync_all()?)
}

/// Takes the mark away: the restored storage may be opened. Blocks on I/O.
///
/// What was restored is made durable before: the mark is what says that it is not.
pub(crate) fn end_restore(data: &DataDir) -> Result<()> {
    let database = data.database();
    if database.exists() {
        std::fs::File::open(&database)?.sync_all()?;
        if let Some(directory) = database.parent() {
            std::fs::File::open(directory)?.sync_all()?;
        }
    }
    std::fs::File::open(data.root())?.sync_all()?;
    std::fs::remove_file(data.root().join(MARKER))?;
    Ok(std::fs::File::open(data.root())?.sync_all()?)
}
