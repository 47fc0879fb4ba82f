//! The database.

use super::super::build::Context;
use super::super::validate::Configuration;
use aeth_core::Result;
use aeth_db::Database;
#[cfg(feature = "sqlite")]
use std::sync::Arc;

/// The database, if there is to be one.
pub(in crate::storage) async fn database(
    configuration: &Configuration,
    context: &Context,
) -> Result<Option<Database>> {
    let settings = &configuration.builder.settings.database;
    if !settings.enabled {
        return Ok(None);
    }
    #[cfg(feature = "postgres")]
    if let Some(postgres) = &configuration.postgres {
        return Database::open_postgres(postgres.options.clone()).await.map(Some);
    }
    #[cfg(feature = "sqlite")]
    {
        let path = context.data.database();
        let directory = path.parent().map(std::path::Path::to_owned).unwrap_or_default();
        context.blocking(move |data| data.make_dir(&directory)).await?;
        let options = aeth_db::SqliteOptions::new(path)
            .readers(usize::try_from(settings.readers).unwrap_or(1))
            .acquire_timeout(settings.acquire_timeout.duration())
            .slow_after(settings.slow_query.duration())
            .clock(Arc::clone(&context.clock));
        Database::open_sqlite(options).await.map(Some)
    }
    #[cfg(not(feature = "sqlite"))]
    {
        Ok(None)
    }
}
