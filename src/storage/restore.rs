//! A storage out of a restore point.

use super::build::{assemble, hold};
use super::builder::StorageBuilder;
use super::parts::{self, BackupParts};
use super::validate::Configuration;
use crate::backup::{self, RestorePoint, RestoredStorage};
use aeth_backup::Progress;
use aeth_core::Result;

impl StorageBuilder {
    /// Makes the storage out of a restore point of its backup: the disaster recovery of an empty machine in one
    /// call. The database and the files come back, the files sealed under new keys; the host's directories are
    /// restored one by one with [`Backup::restore_directory`](crate::Backup::restore_directory), because they
    /// may stand anywhere.
    ///
    /// The data directory must hold no data. A restore that was interrupted begins anew.
    ///
    /// # Errors
    /// As [`StorageBuilder::open`]; `AlreadyExists` when the data directory holds data; `NotFound` when there is
    /// no such restore point; `Corrupt` when it is damaged in every location.
    ///
    /// # Cancel safety
    /// Not cancel-safe: the data directory is then half restored, which [`StorageBuilder::open`] refuses and
    /// the next restore clears.
    pub async fn restore(self, point: RestorePoint) -> Result<RestoredStorage> {
        self.restore_with(point, Progress::new()).await
    }

    /// [`StorageBuilder::restore`], counting into `progress`.
    ///
    /// # Errors
    /// As [`StorageBuilder::restore`].
    ///
    /// # Cancel safety
    /// As [`StorageBuilder::restore`].
    pub async fn restore_with(self, point: RestorePoint, progress: Progress) -> Result<RestoredStorage> {
        let configuration = Configuration::check(self)?;
        Box::pin(restore(configuration, point, progress)).await
    }
}

async fn restore(
    configuration: Configuration,
    point: RestorePoint,
    progress: Progress,
) -> Result<RestoredStorage> {
    let context = hold(&configuration).await?;
    let source = parts::backup(&configuration, &context, BackupParts::default()).await?;
    // Known before anything is touched.
    let snapshot = source.find(&point).await?;
    context.blocking(backup::begin_restore).await?;
    #[cfg(feature = "sqlite")]
    let database = source.restore_database(&snapshot).await?;
    #[cfg(not(feature = "sqlite"))]
    let database = false;
    #[cfg(feature = "files")]
    let (files, bytes) = {
        let target = parts::files(&configuration, &context).await?;
        source.restore_files(&snapshot, target.store(), &progress).await?
    };
    #[cfg(not(feature = "files"))]
    let (files, bytes) = (0, 0);
    context.blocking(backup::end_restore).await?;
    source.note_verified().await;
    let storage = assemble(configuration, context).await?;
    Ok(RestoredStorage { storage, snapshot, files, bytes, database })
}
