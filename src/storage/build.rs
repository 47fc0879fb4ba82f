//! Opening a storage from a configuration without mistakes.

use super::validate::Configuration;
use super::{Inner, Storage};
use crate::data_dir::DataDir;
use aeth_core::{Clock, Error, Result, Tasks};
use std::sync::Arc;

/// What every part needs.
pub(super) struct Context {
    pub(super) data: Arc<DataDir>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: Tasks,
}

impl Context {
    /// Runs work that blocks.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DataDir) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let data = Arc::clone(&self.data);
        let done = self.tasks.spawn_blocking(move || work(&data)).await;
        done.map_err(|error| Error::other("the work was interrupted").with_source(error))?
    }
}

/// Opens everything. A part that fails closes what was opened before it, by dropping it.
pub(super) async fn open(configuration: Configuration) -> Result<Storage> {
    let context = hold(&configuration).await?;
    #[cfg(feature = "backup")]
    context.blocking(crate::backup::refuse_half_restored).await?;
    Box::pin(assemble(configuration, context)).await
}

/// Takes the data directory.
pub(super) async fn hold(configuration: &Configuration) -> Result<Context> {
    let tasks = Tasks::new();
    let root = configuration.builder.settings.data_dir.clone();
    let held = tasks.spawn_blocking(move || DataDir::open(&root)).await;
    let data = held.map_err(|error| Error::other("the work was interrupted").with_source(error))??;
    Ok(Context { data: Arc::new(data), clock: Arc::clone(&configuration.builder.clock), tasks })
}

/// Opens the parts over a data directory that is held.
pub(super) async fn assemble(configuration: Configuration, context: Context) -> Result<Storage> {
    let mut attached = super::parts::Attached::default();
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    let database = super::parts::database(&configuration, &context).await?;
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    let shared = database.as_ref();
    #[cfg(not(any(feature = "sqlite", feature = "postgres")))]
    let shared: super::parts::SharedDatabase<'_> = None;
    #[cfg(feature = "cache")]
    let caches = Box::pin(super::parts::caches(&configuration, &context, shared, &mut attached)).await?;
    #[cfg(feature = "files")]
    let files = {
        let open = super::parts::OpenFiles {
            restoring: false,
            #[cfg(feature = "cache")]
            backplane: super::parts::backplane(&configuration, shared)?,
            #[cfg(not(feature = "cache"))]
            backplane: None,
            attached: &mut attached,
        };
        Box::pin(super::parts::files(&configuration, &context, open)).await?
    };
    #[cfg(feature = "backup")]
    let backup = {
        let parts = super::parts::BackupParts {
            may_init: true,
            #[cfg(feature = "files")]
            files: Some(Arc::clone(files.store())),
            #[cfg(not(feature = "files"))]
            files: None,
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            database: database.clone(),
        };
        super::parts::backup(&configuration, &context, parts).await?
    };
    #[cfg(feature = "metrics")]
    let observed = super::observe::Observed::open(&configuration, &context).await?;
    #[cfg(feature = "backup")]
    let schedule = super::schedule::led(&configuration, shared)?;
    let storage = Storage {
        inner: Arc::new(Inner {
            #[cfg(feature = "cache")]
            caches,
            #[cfg(feature = "files")]
            files,
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            database,
            #[cfg(feature = "redis")]
            redis: configuration.redis,
            attached,
            #[cfg(feature = "backup")]
            backup,
            #[cfg(feature = "metrics")]
            metrics: observed.metrics,
            #[cfg(feature = "metrics")]
            health: observed.health,
            #[cfg(feature = "metrics")]
            volumes: observed.volumes,
            data: context.data,
            clock: context.clock,
            tasks: context.tasks,
        }),
    };
    #[cfg(feature = "metrics")]
    storage.observe();
    #[cfg(feature = "backup")]
    if let Some(options) = schedule {
        storage.inner.backup.start_schedule(options, &storage.inner.tasks);
    }
    Ok(storage)
}
