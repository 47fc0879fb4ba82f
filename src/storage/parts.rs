//! Opening the parts, one by one.

#![cfg(any(feature = "cache", feature = "files", feature = "sqlite", feature = "backup"))]

use super::build::Context;
use super::validate::Configuration;
#[cfg(feature = "files")]
use aeth_core::Error;
use aeth_core::Result;
use std::sync::Arc;

/// How often all files are counted for the metrics, which costs a listing each time.
#[cfg(feature = "files")]
const SURVEY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(15 * 60);

/// The caches over their tiers.
#[cfg(feature = "cache")]
pub(super) fn caches(configuration: &Configuration, context: &Context) -> Result<aeth_cache::Caches> {
    let builder = aeth_cache::Caches::builder()
        .memory(configuration.builder.settings.cache.memory.bytes())
        .clock(Arc::clone(&context.clock))
        .tasks(&context.tasks);
    configuration.builder.tiers.iter().fold(builder, |builder, tier| builder.tier(Arc::clone(tier))).build()
}

/// The files: a store, encrypted when there is a secret. While restoring, what is in the store is of no value.
#[cfg(feature = "files")]
pub(super) async fn files(
    configuration: &Configuration,
    context: &Context,
    restoring: bool,
) -> Result<aeth_files::Files> {
    use crate::settings::Durability;
    use aeth_core::blob::{BlobStore, ListOptions};
    use aeth_core::seal::{Keyset, SegmentSize};

    let settings = &configuration.builder.settings.files;
    let mut volume = None;
    let store: Arc<dyn BlobStore> = match &configuration.builder.store {
        Some(store) => Arc::clone(store),
        None => {
            let durability = match settings.durability {
                Durability::Full => aeth_files::Durability::FileAndDirectory,
                Durability::Process => aeth_files::Durability::None,
            };
            let options = aeth_files::LocalDirOptions::default()
                .with_durability(durability)
                .with_clock(Arc::clone(&context.clock));
            let local = aeth_files::LocalDir::open_with(context.data.files(), options).await?;
            volume = Some(local.clone());
            Arc::new(local)
        }
    };
    let has_keyset = context.blocking(|data| Ok(data.keyset().exists())).await?;
    let Some(secret) = configuration.file_secret.clone() else {
        return if has_keyset { Err(sealed_without_secret()) } else { Ok(handle(store, volume, context)) };
    };
    let page = store.list_page(ListOptions::default().with_limit(1)).await?;
    if !has_keyset && !restoring && !page.blobs.is_empty() {
        return Err(plain_with_secret());
    }
    let keyset = context.blocking(move |data| {
        let path = data.keyset();
        if has_keyset {
            return Keyset::open_file(&path, &secret)
                .map_err(|error| error.with_remedy("give the secret that the data directory was made with"));
        }
        if let Some(directory) = path.parent() {
            data.make_dir(directory)?;
        }
        let keyset = Keyset::generate(SegmentSize::default())?;
        keyset.create_file(&path, &secret)?;
        Ok(keyset)
    });
    let sealed = aeth_files::Encrypted::new(store, keyset.await?);
    Ok(handle(Arc::new(sealed), volume, context))
}

/// The handle over a composed store.
#[cfg(feature = "files")]
fn handle(
    store: Arc<dyn aeth_core::blob::BlobStore>,
    volume: Option<aeth_files::LocalDir>,
    context: &Context,
) -> aeth_files::Files {
    let builder = aeth_files::Files::builder(store)
        .clock(Arc::clone(&context.clock))
        .tasks(&context.tasks)
        .survey_every(SURVEY_INTERVAL);
    match volume {
        Some(volume) => builder.volume(volume).build(),
        None => builder.build(),
    }
}

/// The database, if there is to be one.
#[cfg(feature = "sqlite")]
pub(super) async fn database(
    configuration: &Configuration,
    context: &Context,
) -> Result<Option<aeth_db::Database>> {
    let settings = &configuration.builder.settings.database;
    if !settings.enabled {
        return Ok(None);
    }
    let path = context.data.database();
    let directory = path.parent().map(std::path::Path::to_owned).unwrap_or_default();
    context.blocking(move |data| data.make_dir(&directory)).await?;
    let options = aeth_db::SqliteOptions::new(path)
        .readers(usize::try_from(settings.readers).unwrap_or(1))
        .acquire_timeout(settings.acquire_timeout.duration())
        .slow_after(settings.slow_query.duration())
        .clock(Arc::clone(&context.clock));
    aeth_db::Database::open_sqlite(options).await.map(Some)
}

#[cfg(feature = "files")]
fn sealed_without_secret() -> Error {
    Error::new(aeth_core::ErrorKind::Denied, "the files in this data directory are encrypted")
        .with_operation("open")
        .with_component("files")
        .with_remedy("give the secret that they were stored with, and do not switch encryption off")
}

#[cfg(feature = "files")]
fn plain_with_secret() -> Error {
    Error::new(aeth_core::ErrorKind::Precondition, "the store holds files, and there is no keyset for them")
        .with_operation("open")
        .with_component("files")
        .with_remedy(
            "files that were stored in clear need encryption switched off; files whose keyset is lost need a \
             restore into an empty data directory",
        )
}

/// What of the storage goes into its backup.
#[cfg(feature = "backup")]
#[derive(Default)]
pub(super) struct BackupParts {
    pub(super) files: Option<Arc<dyn aeth_core::blob::BlobStore>>,
    /// Whether a repository is made where there is none.
    pub(super) may_init: bool,
    #[cfg(feature = "sqlite")]
    pub(super) database: Option<aeth_db::Database>,
}

/// The backup. Its repository is opened now if it can be, so that a wrong password is known at once; a location
/// that is away is no reason not to open the storage.
#[cfg(feature = "backup")]
pub(super) async fn backup(
    configuration: &Configuration,
    context: &Context,
    parts: BackupParts,
) -> Result<crate::backup::Backup> {
    use crate::backup::{Backup, BackupMonitor, Inner, Location, MonitorOptions};
    use aeth_core::ErrorKind;

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
        locations: configuration.builder.settings.backup.locations.iter().map(Location::new).collect(),
        password: configuration.password.clone(),
        directories: configuration.directories.clone(),
        files: parts.files,
        #[cfg(feature = "sqlite")]
        database: parts.database,
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
