//! PostgreSQL, as the settings describe it.

use crate::settings::{PoolerKind, Problems};
use crate::storage::StorageBuilder;
use aeth_db::{Pooler, PostgresOptions};
use std::sync::Arc;

/// How PostgreSQL is reached, by us and by its own tools.
#[derive(Debug)]
pub(in crate::storage) struct Postgres {
    pub(in crate::storage) options: PostgresOptions,
    #[cfg(feature = "backup")]
    pub(in crate::storage) tools: crate::backup::PostgresTools,
}

pub(super) fn check(builder: &StorageBuilder, problems: &mut Problems) -> Option<Postgres> {
    let settings = &builder.settings.database;
    let address = settings.url.as_ref().filter(|_| settings.enabled)?;
    // Said already, and better.
    if *address == "".into() || address.shows_password() {
        return None;
    }
    let before = problems.iter().count();
    let password = settings.password.as_ref().and_then(|source| {
        source.read().map_err(|error| problems.add_error("database.password", &error)).ok()
    });
    let url = address.read().map_err(|error| problems.add_error("database.url", &error)).ok()?;
    let limit = settings.statement_timeout.duration();
    let mut options = PostgresOptions::new(url.expose())
        .max_connections(usize::try_from(settings.max_connections).unwrap_or(usize::MAX))
        .pooler(match settings.pooler {
            PoolerKind::None => Pooler::None,
            PoolerKind::Transaction => Pooler::Transaction,
        })
        .acquire_timeout(settings.acquire_timeout.duration())
        .statement_timeout((!limit.is_zero()).then_some(limit))
        .slow_after(settings.slow_query.duration())
        .clock(Arc::clone(&builder.clock));
    if let Some(password) = &password {
        options = options.password(password.clone());
    }
    if let Err(error) = options.validate() {
        problems.add_error("database.url", &error);
    }
    #[cfg(feature = "backup")]
    let tools = crate::backup::PostgresTools::new(&builder.settings.backup.pg_dump, &url, password.as_ref())
        .map_err(|error| problems.add_error("database.url", &error))
        .ok()?;
    (problems.iter().count() == before).then_some(Postgres {
        options,
        #[cfg(feature = "backup")]
        tools,
    })
}
