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
    /// restored one by one with [`Backup::restore_directory`](crate::backup::Backup::restore_directory), because they
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
    #[cfg(feature = "files")]
    let keep_keys = configuration.builder.store.is_some();
    #[cfg(not(feature = "files"))]
    let keep_keys = false;
    #[cfg(feature = "files")]
    refuse_a_filled_store(&configuration, &context).await?;
    context.blocking(move |data| backup::begin_restore(data, keep_keys)).await?;
    #[cfg(feature = "sqlite")]
    let database = source.restore_database(&snapshot).await?;
    #[cfg(not(feature = "sqlite"))]
    let database = false;
    #[cfg(feature = "files")]
    let files = {
        let target = parts::files(&configuration, &context, true).await?;
        source.restore_files(&snapshot, target.store(), &progress).await?
    };
    #[cfg(not(feature = "files"))]
    let files = aeth_backup::BlobRestoreReport::default();
    context.blocking(backup::end_restore).await?;
    if files.skipped_total == 0 {
        source.monitor().note_verified().await;
    }
    let storage = Box::pin(assemble(configuration, context)).await?;
    Ok(RestoredStorage { storage, snapshot, files, database })
}

/// A store of the host's own must be empty, unless it holds what an unfinished restore put there.
#[cfg(feature = "files")]
async fn refuse_a_filled_store(configuration: &Configuration, context: &super::build::Context) -> Result<()> {
    let Some(store) = &configuration.builder.store else { return Ok(()) };
    let unfinished = context.blocking(|data| Ok(backup::refuse_half_restored(data).is_err())).await?;
    let page = store.list_page(aeth_core::blob::ListOptions::default().with_limit(1)).await?;
    if unfinished || page.blobs.is_empty() {
        return Ok(());
    }
    Err(aeth_core::Error::new(aeth_core::ErrorKind::AlreadyExists, "the store holds files")
        .with_operation("restore")
        .with_component(store.name().into_owned())
        .with_remedy("restore into an empty store"))
}
