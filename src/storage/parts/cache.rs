//! The caches over their tiers.

use super::super::build::Context;
use super::super::validate::Configuration;
use super::{Attached, SharedDatabase};
use crate::settings::TierKind;
#[cfg(any(feature = "redis", feature = "postgres"))]
use crate::settings::Via;
use aeth_core::cache::CacheTier;
use aeth_core::coord::Backplane;
use aeth_core::{Error, Result};
use std::sync::Arc;

/// The caches: the memory, the tiers that the settings name, those of the host.
pub(in crate::storage) async fn caches(
    configuration: &Configuration,
    context: &Context,
    database: SharedDatabase<'_>,
    attached: &mut Attached,
) -> Result<aeth_cache::Caches> {
    let settings = &configuration.builder.settings.cache;
    let mut builder = aeth_cache::Caches::builder()
        .memory(settings.memory.bytes())
        .call_timeout(settings.call_timeout.duration())
        .clock(Arc::clone(&context.clock))
        .tasks(&context.tasks);
    for kind in &settings.tiers {
        let tier: Arc<dyn CacheTier> = match kind {
            #[cfg(feature = "redis")]
            TierKind::Redis => match &configuration.redis {
                Some(redis) => Arc::new(redis.tier()),
                None => return Err(missing("redis")),
            },
            TierKind::Database => in_database(configuration, context, database, attached).await?,
            #[allow(unreachable_patterns, reason = "kinds are behind features")]
            _ => return Err(missing("redis")),
        };
        builder = builder.tier(tier);
    }
    builder =
        configuration.builder.tiers.iter().fold(builder, |builder, tier| builder.tier(Arc::clone(tier)));
    if let Some(backplane) = backplane(configuration, database)? {
        builder = builder.backplane(backplane);
    }
    if settings.warm {
        builder = builder.warming(aeth_cache::Warming::in_dir(context.data.cache().join("warm")));
    }
    builder.build()
}

/// What tells processes of each other's changes.
#[cfg_attr(not(feature = "postgres"), allow(unused_variables, reason = "only PostgreSQL is a bus"))]
pub(in crate::storage) fn backplane(
    configuration: &Configuration,
    database: SharedDatabase<'_>,
) -> Result<Option<Arc<dyn Backplane>>> {
    if let Some(backplane) = &configuration.builder.backplane {
        return Ok(Some(Arc::clone(backplane)));
    }
    match configuration.builder.settings.cache.backplane {
        None => Ok(None),
        #[cfg(feature = "redis")]
        Some(Via::Redis) => match &configuration.redis {
            Some(redis) => Ok(Some(Arc::new(redis.backplane()))),
            None => Err(missing("redis")),
        },
        #[cfg(feature = "postgres")]
        Some(Via::Database) => match database {
            Some(database) => Ok(Some(Arc::new(database.postgres()?.backplane()))),
            None => Err(missing("database")),
        },
        #[allow(unreachable_patterns, reason = "servers are behind features")]
        Some(_) => Err(missing("backplane")),
    }
}

/// What the check of the configuration does not let through.
fn missing(what: &'static str) -> Error {
    Error::unsupported("the cache's settings name what is not there").with_component("cache").with_key(what)
}

#[cfg_attr(
    not(all(feature = "sqlite", feature = "postgres")),
    allow(clippy::unused_async, unused_variables, reason = "what awaits is behind features")
)]
async fn in_database(
    configuration: &Configuration,
    context: &Context,
    database: SharedDatabase<'_>,
    attached: &mut Attached,
) -> Result<Arc<dyn CacheTier>> {
    let budget = configuration.builder.settings.cache.database_budget.bytes();
    #[cfg(feature = "postgres")]
    if let Some(postgres) = database.and_then(|database| database.postgres().ok()) {
        let options = aeth_db::PostgresTierOptions::default().capacity(budget);
        return Ok(Arc::new(aeth_db::PostgresCacheTier::open(postgres.clone(), options).await?));
    }
    #[cfg(feature = "sqlite")]
    {
        use aeth_db::{SqliteCacheTier, SqliteDatabase, SqliteOptions, SqliteTierOptions, Synchronous};
        // A file of its own: its writes do not queue with the host's, and it is no part of the backup.
        let path = context.data.cache().join("tier.sqlite");
        context.blocking(|data| data.make_dir(&data.cache())).await?;
        let options = SqliteOptions::new(path)
            .name("cache")
            .synchronous(Synchronous::Normal)
            .clock(Arc::clone(&context.clock));
        let database = SqliteDatabase::open(options).await?;
        attached.closers.push(("cache", Arc::new(database.clone())));
        let options = SqliteTierOptions::default().capacity(budget);
        Ok(Arc::new(SqliteCacheTier::open(database, options).await?))
    }
    #[cfg(not(feature = "sqlite"))]
    {
        Err(missing("database"))
    }
}
