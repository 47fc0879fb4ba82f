//! What is said of servers, whether the build has them or not.

use crate::settings::{Address, Compression, Problems, Settings, TierKind, Via};

/// Finds what names a server that is not there.
pub(super) fn check(settings: &Settings, problems: &mut Problems) {
    let (cache, database) = (&settings.cache, &settings.database);
    let mut needs = |setting: &str, feature: &'static str, there: bool| {
        if !there {
            problems.add(
                setting,
                format!("this build has no `{feature}`"),
                "build with that feature, or leave it out",
            );
        }
    };
    if settings.redis.is_some() {
        needs("redis", "redis", cfg!(feature = "redis"));
    }
    if database.url.is_some() {
        needs("database.url", "postgres", cfg!(feature = "postgres"));
    }
    if settings.files.compression == Compression::Zstd {
        needs("files.compression", "zstd", cfg!(feature = "zstd"));
    }
    let (redis, postgres) = (settings.redis.is_some(), database.url.is_some() && database.enabled);
    for (i, tier) in cache.tiers.iter().enumerate() {
        let name = format!("cache.tiers[{i}]");
        if cache.tiers[..i].contains(tier) {
            problems.add(name, "is named twice", "name each tier once");
        } else if *tier == TierKind::Redis && !redis {
            problems.add(name, "there is no Redis", "say where it is under `redis`");
        } else if *tier == TierKind::Database && !postgres && !cfg!(feature = "sqlite") {
            problems.add(name, "there is no database", "give database.url, or build with `sqlite`");
        }
    }
    for (name, via) in [("cache.backplane", cache.backplane), ("backup.leader", settings.backup.leader)] {
        match via {
            Some(Via::Redis) if !redis => {
                problems.add(name, "there is no Redis", "say where it is under `redis`")
            }
            Some(Via::Database) if !postgres => {
                problems.add(name, "the database is no PostgreSQL", "give database.url, or name redis");
            }
            _ => {}
        }
    }
    if settings.backup.leader.is_some() && settings.backup.schedule.is_none() {
        problems.add("backup.leader", "needs a schedule", "give backup.schedule, such as `30 2 * * *`");
    }
    if database.password.is_some() && database.url.is_none() {
        problems.add("database.password", "SQLite takes none", "give database.url, or leave it out");
    }
    let redis = settings.redis.as_ref().map(|redis| &redis.url);
    for (name, address) in [("redis.url", redis), ("database.url", database.url.as_ref())] {
        match address {
            Some(Address::Url(url)) if url.trim().is_empty() => {
                problems.add(name, "is empty", "say where the server is");
            }
            Some(address) if address.shows_password() => problems.add(
                name,
                "holds a password",
                "give the password by file or environment, or the whole URL as `file` or `env`",
            ),
            _ => {}
        }
    }
}
