//! The backup.

use super::super::build::Context;
use super::super::validate::Configuration;
use crate::backup::{Backup, BackupMonitor, Inner, Location, MonitorOptions};
use aeth_core::{ErrorKind, Result};
use std::sync::Arc;

/// What of the storage goes into its backup.
#[derive(Default)]
pub(in crate::storage) struct BackupParts {
    pub(in crate::storage) files: Option<Arc<dyn aeth_core::blob::BlobStore>>,
    /// Whether a repository is made where there is none.
    pub(in crate::storage) may_init: bool,
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(in crate::storage) database: Option<aeth_db::Database>,
}

/// The backup. Its repository is opened now if it can be, so that a wrong password is known at once; a location
/// that is away is no reason not to open the storage.
pub(in crate::storage) async fn backup(
    configuration: &Configuration,
    context: &Context,
    parts: BackupParts,
) -> Result<Backup> {
    let health = &configuration.builder.settings.health;
    let mut limits = MonitorOptions::default().max_age(health.backup_max_age.duration());
    if let Some(age) = health.backup_max_unverified {
        limits = limits.max_unverified(age.duration());
    }
    let clock = Arc::clone(&context.clock);
    let open = move |data: &crate::data_dir::DataDir| {
        Ok(BackupMonitor::open("storage", Some(data.record()), limits, clock))
    };
    let monitor = context.blocking(open).await?;
    let backup = Backup::new(Inner {
        clock: Arc::clone(&context.clock),
        tasks: context.tasks.clone(),
        data: Arc::clone(&context.data),
        locations: configuration.backup_places.iter().cloned().map(Location::new).collect(),
        password: configuration.password.clone(),
        directories: configuration.directories.clone(),
        files: parts.files,
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        database: parts.database,
        #[cfg(feature = "postgres")]
        dump: configuration.postgres.as_ref().map(|postgres| postgres.tools.clone()),
        repository: tokio::sync::Mutex::default(),
        may_init: parts.may_init,
        fill_lost: configuration.builder.fill_lost_locations,
        running: tokio::sync::Mutex::default(),
        closing: context.tasks.token().child_token(),
        monitor,
        schedule: std::sync::OnceLock::new(),
    });
    if backup.is_configured() {
        match backup.repository().await {
            Ok(_) => {}
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Denied | ErrorKind::Invalid | ErrorKind::Unsupported
                ) =>
            {
                return Err(error);
            }
            Err(error) => tracing::warn!(%error, "the backup is not available"),
        }
    }
    Ok(backup)
}
