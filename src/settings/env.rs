//! The environment over the settings.

use super::{Address, LocationSettings, PageCacheSettings, Problems, RedisSettings, SecretSource, Settings};
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as ValueError, value::StringDeserializer};
use std::path::PathBuf;
use std::str::FromStr;

const PREFIX: &str = "AETHERIUS_";

type Assign<S = Settings> = fn(&mut S, &str, &str) -> Result<(), String>;

/// One line for every setting that the environment may give: its name, how its text is read, and where it goes.
macro_rules! assignments {
    (|$s:ident| $($name:literal => $how:ident($target:expr),)*) => {
        &[$(($name, |$s, variable, value| $how(&mut $target, variable, value))),*]
    };
}

const ASSIGNMENTS: &[(&str, Assign)] = assignments! { |s|
    "DATA_DIR" => path(s.data_dir),
    "SECRET" => secret(s.secret),
    "REDIS__URL" => address(redis(s).url),
    "REDIS__MODE" => parse(redis(s).mode),
    "REDIS__SERVICE" => text(redis(s).service),
    "REDIS__USER" => text(redis(s).user),
    "REDIS__PASSWORD" => secret(redis(s).password),
    "REDIS__SENTINEL_PASSWORD" => secret(redis(s).sentinel_password),
    "REDIS__TLS_CA" => some_path(redis(s).tls_ca),
    "REDIS__TLS_CERTIFICATE" => some_path(redis(s).tls_certificate),
    "REDIS__TLS_KEY" => secret(redis(s).tls_key),
    "REDIS__PREFIX" => string(redis(s).prefix),
    "REDIS__CONNECT_TIMEOUT" => parse(redis(s).connect_timeout),
    "REDIS__COMMAND_TIMEOUT" => parse(redis(s).command_timeout),
    "CACHE__MEMORY" => parse(s.cache.memory),
    "CACHE__TIERS" => list(s.cache.tiers),
    "CACHE__BACKPLANE" => some(s.cache.backplane),
    "CACHE__DATABASE_BUDGET" => parse(s.cache.database_budget),
    "CACHE__CALL_TIMEOUT" => parse(s.cache.call_timeout),
    "CACHE__WARM" => flag(s.cache.warm),
    "FILES__ENCRYPTION" => parse(s.files.encryption),
    "FILES__DURABILITY" => parse(s.files.durability),
    "FILES__LOCATIONS" => list(s.files.locations),
    "FILES__WRITE_QUORUM" => some_number(s.files.write_quorum),
    "FILES__PAGE_CACHE__SIZE" => parse(page_cache(s).size),
    "FILES__PAGE_CACHE__ON_DISK" => flag(page_cache(s).on_disk),
    "FILES__PAGE_CACHE__REVALIDATE_AFTER" => parse(page_cache(s).revalidate_after),
    "FILES__COMPRESSION" => parse(s.files.compression),
    "FILES__QUOTA" => some(s.files.quota),
    "DATABASE__ENABLED" => flag(s.database.enabled),
    "DATABASE__URL" => some_address(s.database.url),
    "DATABASE__PASSWORD" => secret(s.database.password),
    "DATABASE__READERS" => number(s.database.readers),
    "DATABASE__MAX_CONNECTIONS" => number(s.database.max_connections),
    "DATABASE__POOLER" => parse(s.database.pooler),
    "DATABASE__ACQUIRE_TIMEOUT" => parse(s.database.acquire_timeout),
    "DATABASE__STATEMENT_TIMEOUT" => parse(s.database.statement_timeout),
    "DATABASE__SLOW_QUERY" => parse(s.database.slow_query),
    "BACKUP__LOCATIONS" => list(s.backup.locations),
    "BACKUP__DIRECTORIES" => list(s.backup.directories),
    "BACKUP__PASSWORD" => secret(s.backup.password),
    "BACKUP__SCHEDULE" => text(s.backup.schedule),
    "BACKUP__LEADER" => some(s.backup.leader),
    "BACKUP__PG_DUMP" => path(s.backup.pg_dump),
    "BACKUP__JITTER" => parse(s.backup.jitter),
    "BACKUP__CATCH_UP" => flag(s.backup.catch_up),
    "BACKUP__KEEP__LAST" => number(s.backup.keep.last),
    "BACKUP__KEEP__HOURLY" => number(s.backup.keep.hourly),
    "BACKUP__KEEP__DAILY" => number(s.backup.keep.daily),
    "BACKUP__KEEP__WEEKLY" => number(s.backup.keep.weekly),
    "BACKUP__KEEP__MONTHLY" => number(s.backup.keep.monthly),
    "BACKUP__KEEP__YEARLY" => number(s.backup.keep.yearly),
    "BACKUP__KEEP__WITHIN" => text(s.backup.keep.within),
    "BACKUP__PRUNE" => flag(s.backup.prune),
    "BACKUP__CHECK" => flag(s.backup.check),
    "BACKUP__DRILL" => text(s.backup.drill),
    "BACKUP__DRILL_SAMPLE" => some(s.backup.drill_sample),
    "HEALTH__DISK_DEGRADED_PERCENT" => number(s.health.disk_degraded_percent),
    "HEALTH__DISK_DOWN_PERCENT" => number(s.health.disk_down_percent),
    "HEALTH__BACKUP_MAX_AGE" => parse(s.health.backup_max_age),
    "HEALTH__BACKUP_MAX_UNVERIFIED" => some(s.health.backup_max_unverified),
};

/// What may be said of each of several locations: `AETHERIUS_BACKUP__LOCATIONS__0__REGION` of the first.
const OF_A_LOCATION: &[(&str, Assign<LocationSettings>)] = assignments! { |s|
    "NAME" => text(s.name),
    "ENDPOINT" => text(s.endpoint),
    "REGION" => text(s.region),
    "USER" => text(s.user),
    "KEY" => secret(s.key),
    "TOKEN" => secret(s.token),
    "VIRTUAL_HOSTED" => flag(s.virtual_hosted),
    "ALLOW_HTTP" => flag(s.allow_http),
};

/// The password and the location of the example programs; no settings, and no mistakes.
const NOT_SETTINGS: &[&str] = &["PASSWORD", "REPOSITORY"];

pub(super) fn overlay(
    settings: &mut Settings,
    variables: impl IntoIterator<Item = (String, String)>,
) -> aeth_core::Result<()> {
    let mut problems = Problems::default();
    let mut found: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), value)))
        .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
        .collect();
    // `X_FILE` sorts after `X` and so wins over it, and locations come before what is said of each, whatever the order
    // of the environment.
    found.sort_unstable();
    for (name, value) in found {
        let full = format!("{PREFIX}{name}");
        match assign(settings, &name, &full, &value) {
            Some(Ok(())) => {}
            Some(Err(message)) => problems.add(full, message, None),
            None => problems.add(full, "names no setting", "see Settings::overlay for the names"),
        }
    }
    problems.into_result()
}

/// Sets what the variable names; `None` when it names nothing.
fn assign(settings: &mut Settings, name: &str, full: &str, value: &str) -> Option<Result<(), String>> {
    if let Some((_, assign)) = lookup(ASSIGNMENTS, name) {
        return Some(assign(settings, full, value));
    }
    let (list, rest) = if let Some(rest) = name.strip_prefix("FILES__LOCATIONS__") {
        (&mut settings.files.locations, rest)
    } else {
        (&mut settings.backup.locations, name.strip_prefix("BACKUP__LOCATIONS__")?)
    };
    let (index, field) = rest.split_once("__")?;
    let (_, assign) = lookup(OF_A_LOCATION, field)?;
    let number = index.parse::<usize>().ok()?;
    Some(match list.get_mut(number) {
        Some(location) => assign(location, full, value),
        None => Err(format!("there is no location {number}; they are counted from 0")),
    })
}

/// The row of a variable. The `_FILE` form belongs to the same row, which tells them apart.
fn lookup<'a, T: Copy>(rows: &'a [(&'a str, T)], name: &str) -> Option<(&'a str, T)> {
    let exact = |name: &str| rows.iter().find(|(known, _)| *known == name).copied();
    exact(name).or_else(|| {
        let (known, row) = exact(name.strip_suffix("_FILE")?)?;
        HIDDEN.contains(&known.rsplit("__").next()?).then_some((known, row))
    })
}

/// The last parts of the names of what may stand in a file instead.
const HIDDEN: &[&str] = &["SECRET", "PASSWORD", "SENTINEL_PASSWORD", "TLS_KEY", "URL", "KEY", "TOKEN"];

/// Redis, which is there as soon as something is said of it.
fn redis(settings: &mut Settings) -> &mut RedisSettings {
    settings.redis.get_or_insert_with(|| RedisSettings::new(""))
}

/// The page cache, likewise.
fn page_cache(settings: &mut Settings) -> &mut PageCacheSettings {
    settings.files.page_cache.get_or_insert_default()
}

/// The name of the variable is what is kept, so that the value is read once and only where it is needed.
fn secret(target: &mut Option<SecretSource>, variable: &str, value: &str) -> Result<(), String> {
    *target = Some(match variable.ends_with("_FILE") {
        true => SecretSource::File(value.into()),
        false => SecretSource::Env(variable.into()),
    });
    Ok(())
}

fn address(target: &mut Address, variable: &str, value: &str) -> Result<(), String> {
    *target = match variable.ends_with("_FILE") {
        true => Address::File(value.into()),
        false => Address::Env(variable.into()),
    };
    Ok(())
}

fn some_address(target: &mut Option<Address>, variable: &str, value: &str) -> Result<(), String> {
    address(target.get_or_insert_with(|| "".into()), variable, value)
}

fn path(target: &mut PathBuf, _: &str, value: &str) -> Result<(), String> {
    *target = value.into();
    Ok(())
}

fn some_path(target: &mut Option<PathBuf>, _: &str, value: &str) -> Result<(), String> {
    *target = Some(value.into());
    Ok(())
}

fn string(target: &mut String, _: &str, value: &str) -> Result<(), String> {
    *target = value.into();
    Ok(())
}

fn text(target: &mut Option<String>, _: &str, value: &str) -> Result<(), String> {
    *target = Some(value.into());
    Ok(())
}

fn parse<T: DeserializeOwned>(target: &mut T, _: &str, value: &str) -> Result<(), String> {
    *target = read(value)?;
    Ok(())
}

fn some<T: DeserializeOwned>(target: &mut Option<T>, _: &str, value: &str) -> Result<(), String> {
    *target = Some(read(value)?);
    Ok(())
}

/// Several, separated by commas.
fn list<T: DeserializeOwned>(target: &mut Vec<T>, _: &str, value: &str) -> Result<(), String> {
    *target = value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(read)
        .collect::<Result<_, _>>()?;
    Ok(())
}

fn read<T: DeserializeOwned>(value: &str) -> Result<T, String> {
    let deserializer: StringDeserializer<ValueError> = value.to_owned().into_deserializer();
    T::deserialize(deserializer).map_err(|error| error.to_string())
}

fn number<T: FromStr>(target: &mut T, _: &str, value: &str) -> Result<(), String> {
    *target = value.trim().parse().map_err(|_| format!("{value:?} is not a number in range"))?;
    Ok(())
}

fn some_number<T: FromStr + Default>(target: &mut Option<T>, _: &str, value: &str) -> Result<(), String> {
    number(target.get_or_insert_default(), "", value)
}

fn flag(target: &mut bool, _: &str, value: &str) -> Result<(), String> {
    *target = match value.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => true,
        "false" | "no" | "off" | "0" => false,
        _ => return Err(format!("{value:?} is neither true nor false")),
    };
    Ok(())
}
