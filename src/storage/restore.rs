//! A storage out of a restore point.

use super::build::{assemble, hold};
use super::builder::StorageBuilder;
use super::parts::{self, BackupParts};
use super::validate::Configuration;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::backup::RestoreTarget;
use crate::backup::{self, RestorePoint, RestoredStorage};
use aeth_backup::Progress;
#[cfg(feature = "postgres")]
use aeth_core::Lifecycle;
use aeth_core::{Error, ErrorKind, Result};
use std::time::Duration;

/// How long what was opened for a restore may take to close.
const CLOSE: Duration = Duration::from_secs(30);

impl StorageBuilder {
    /// Makes the storage out of a restore point of its backup: the disaster recovery of an empty machine in one
    /// call. The database and the files come back, the files sealed under new keys; the host's directories are
    /// restored one by one with [`Backup::restore_directory`](crate::backup::Backup::restore_directory), because they
    /// may stand anywhere.
    ///
    /// The data directory must hold no data, and neither may the locations of the files and the database of a server.
    /// A restore that was interrupted begins anew. A PostgreSQL database comes back by `pg_restore`, whole or not at
    /// all; the roles and extensions that it uses must be there.
    ///
    /// # Errors
    /// As [`StorageBuilder::open`]; `AlreadyExists` when there is data already, naming it; `NotFound` when there is
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
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    let target = database_target(&configuration).await?;
    let mut attached = parts::Attached::default();
    #[cfg(feature = "files")]
    refuse_a_filled_store(&configuration, &context).await?;
    context.blocking(move |data| backup::begin_restore(data, keep_keys)).await?;
    #[cfg(feature = "files")]
    let files = {
        let open = parts::OpenFiles { restoring: true, backplane: None, attached: &mut attached };
        let target = Box::pin(parts::files(&configuration, &context, open)).await?;
        source.restore_files(&snapshot, target.store(), &progress).await?
    };
    #[cfg(not(feature = "files"))]
    let files = aeth_backup::BlobRestoreReport::default();
    // After the files: a server's database is restored whole or not at all, and what follows takes no time.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    let database = source.restore_database(&snapshot, target).await?;
    #[cfg(not(any(feature = "sqlite", feature = "postgres")))]
    let database = false;
    for (_, closer) in attached.closers.iter().rev() {
        closer.close(CLOSE).await?;
    }
    context.blocking(backup::end_restore).await?;
    if files.skipped_total == 0 {
        source.monitor().note_verified().await;
    }
    let storage = Box::pin(assemble(configuration, context)).await?;
    Ok(RestoredStorage { storage, snapshot, files, database })
}

/// Where the database is restored to; a server's must be empty.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "only a server is asked"))]
async fn database_target(configuration: &Configuration) -> Result<RestoreTarget> {
    if !configuration.builder.settings.database.enabled {
        return Ok(RestoreTarget::Nothing);
    }
    #[cfg(feature = "postgres")]
    if let Some(postgres) = &configuration.postgres {
        let database = aeth_db::Database::open_postgres(postgres.options.clone()).await?;
        let empty = backup::refuse_filled(&database).await;
        let closed = database.close(CLOSE).await;
        empty.and(closed)?;
        return Ok(RestoreTarget::Postgres(postgres.tools.clone()));
    }
    #[cfg(feature = "sqlite")]
    {
        Ok(RestoreTarget::Sqlite)
    }
    #[cfg(not(feature = "sqlite"))]
    {
        Ok(RestoreTarget::Nothing)
    }
}

/// A store outside of the data directory must be empty, unless it holds what an unfinished restore put there.
#[cfg(feature = "files")]
async fn refuse_a_filled_store(configuration: &Configuration, context: &super::build::Context) -> Result<()> {
    if context.blocking(|data| Ok(backup::refuse_half_restored(data).is_err())).await? {
        return Ok(());
    }
    match parts::stored_at(configuration, context).await? {
        None => Ok(()),
        Some(place) => Err(Error::new(ErrorKind::AlreadyExists, "the store holds files")
            .with_operation("restore")
            .with_component("files")
            .with_key(place)
            .with_remedy("restore into an empty store")),
    }
}
