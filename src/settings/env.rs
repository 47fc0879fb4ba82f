//! The environment over the settings.

use super::{Problems, SecretSource, Settings};
use serde::de::{DeserializeOwned, IntoDeserializer, value::Error as ValueError, value::StringDeserializer};
use std::path::PathBuf;

const PREFIX: &str = "AETHERIUS_";

type Assign = fn(&mut Settings, &str) -> Result<(), String>;

/// One line for every setting that the environment may give.
const ASSIGNMENTS: &[(&str, Assign)] = &[
    ("DATA_DIR", |s, v| {
        s.data_dir = v.into();
        Ok(())
    }),
    // The name of the variable is what is kept, so that the value is read once and only where it is needed.
    ("SECRET", |s, _| {
        s.secret = Some(SecretSource::Env("AETHERIUS_SECRET".into()));
        Ok(())
    }),
    ("SECRET_FILE", |s, v| {
        s.secret = Some(SecretSource::File(v.into()));
        Ok(())
    }),
    ("CACHE__MEMORY", |s, v| {
        s.cache.memory = parse(v)?;
        Ok(())
    }),
    ("FILES__ENCRYPTION", |s, v| {
        s.files.encryption = parse(v)?;
        Ok(())
    }),
    ("FILES__DURABILITY", |s, v| {
        s.files.durability = parse(v)?;
        Ok(())
    }),
    ("DATABASE__ENABLED", |s, v| {
        s.database.enabled = flag(v)?;
        Ok(())
    }),
    ("DATABASE__READERS", |s, v| {
        s.database.readers = number(v)?;
        Ok(())
    }),
    ("DATABASE__ACQUIRE_TIMEOUT", |s, v| {
        s.database.acquire_timeout = parse(v)?;
        Ok(())
    }),
    ("DATABASE__SLOW_QUERY", |s, v| {
        s.database.slow_query = parse(v)?;
        Ok(())
    }),
    ("BACKUP__LOCATIONS", |s, v| {
        s.backup.locations = paths(v);
        Ok(())
    }),
    ("BACKUP__DIRECTORIES", |s, v| {
        s.backup.directories = paths(v);
        Ok(())
    }),
    ("BACKUP__PASSWORD", |s, _| {
        s.backup.password = Some(SecretSource::Env("AETHERIUS_BACKUP__PASSWORD".into()));
        Ok(())
    }),
    ("BACKUP__PASSWORD_FILE", |s, v| {
        s.backup.password = Some(SecretSource::File(v.into()));
        Ok(())
    }),
    ("BACKUP__SCHEDULE", |s, v| {
        s.backup.schedule = Some(v.into());
        Ok(())
    }),
    ("BACKUP__JITTER", |s, v| {
        s.backup.jitter = parse(v)?;
        Ok(())
    }),
    ("BACKUP__CATCH_UP", |s, v| {
        s.backup.catch_up = flag(v)?;
        Ok(())
    }),
    ("BACKUP__KEEP__LAST", |s, v| {
        s.backup.keep.last = number(v)?;
        Ok(())
    }),
    ("BACKUP__KEEP__HOURLY", |s, v| {
        s.backup.keep.hourly = number(v)?;
        Ok(())
    }),
    ("BACKUP__KEEP__DAILY", |s, v| {
        s.backup.keep.daily = number(v)?;
        Ok(())
    }),
    ("BACKUP__KEEP__WEEKLY", |s, v| {
        s.backup.keep.weekly = number(v)?;
        Ok(())
    }),
    ("BACKUP__KEEP__MONTHLY", |s, v| {
        s.backup.keep.monthly = number(v)?;
        Ok(())
    }),
    ("BACKUP__KEEP__YEARLY", |s, v| {
        s.backup.keep.yearly = number(v)?;
        Ok(())
    }),
    ("BACKUP__KEEP__WITHIN", |s, v| {
        s.backup.keep.within = Some(v.into());
        Ok(())
    }),
    ("BACKUP__PRUNE", |s, v| {
        s.backup.prune = flag(v)?;
        Ok(())
    }),
    ("BACKUP__CHECK", |s, v| {
        s.backup.check = flag(v)?;
        Ok(())
    }),
    ("BACKUP__DRILL", |s, v| {
        s.backup.drill = Some(v.into());
        Ok(())
    }),
    ("BACKUP__DRILL_SAMPLE", |s, v| {
        s.backup.drill_sample = Some(parse(v)?);
        Ok(())
    }),
    ("HEALTH__DISK_DEGRADED_PERCENT", |s, v| {
        s.health.disk_degraded_percent = number(v)?;
        Ok(())
    }),
    ("HEALTH__DISK_DOWN_PERCENT", |s, v| {
        s.health.disk_down_percent = number(v)?;
        Ok(())
    }),
    ("HEALTH__BACKUP_MAX_UNVERIFIED", |s, v| {
        s.health.backup_max_unverified = Some(parse(v)?);
        Ok(())
    }),
    ("HEALTH__BACKUP_MAX_AGE", |s, v| {
        s.health.backup_max_age = parse(v)?;
        Ok(())
    }),
];

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
    // `X_FILE` sorts after `X` and so wins over it, whatever the order of the environment.
    found.sort_unstable();
    for (name, value) in found {
        let full = format!("{PREFIX}{name}");
        match ASSIGNMENTS.iter().find(|(known, _)| *known == name) {
            Some((_, assign)) => {
                if let Err(message) = assign(settings, &value) {
                    problems.add(full, message, None);
                }
            }
            None => problems.add(full, "names no setting", "see Settings::overlay for the names"),
        }
    }
    problems.into_result()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let deserializer: StringDeserializer<ValueError> = text.to_owned().into_deserializer();
    T::deserialize(deserializer).map_err(|error| error.to_string())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not a number in range"))
}

fn flag(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn paths(text: &str) -> Vec<PathBuf> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(PathBuf::from).collect()
}
