//! The whole configuration, checked before anything is opened.

#[cfg(feature = "backup")]
mod directories;
#[cfg(any(feature = "files", feature = "backup"))]
mod locations;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
mod servers;

#[cfg(feature = "postgres")]
pub(super) use postgres::Postgres;

use super::builder::StorageBuilder;
#[cfg(any(feature = "files", feature = "backup"))]
use crate::location::Place;
use crate::settings::{Encryption, Problems, SecretSource, Settings};
use aeth_core::{Result, Secret};

/// A configuration without mistakes, with its secrets read.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) builder: StorageBuilder,
    /// The secret under which files are encrypted; `None`: they are not.
    pub(super) file_secret: Option<Secret>,
    /// The password of the backup.
    pub(super) password: Option<Secret>,
    /// Where the files lie; nowhere: in the data directory.
    #[cfg(any(feature = "files", feature = "backup"))]
    pub(super) file_places: Vec<Place>,
    /// Where the backup lies.
    #[cfg(any(feature = "files", feature = "backup"))]
    pub(super) backup_places: Vec<Place>,
    /// Redis, not connected yet.
    #[cfg(feature = "redis")]
    pub(super) redis: Option<aeth_cache::redis::Redis>,
    /// How PostgreSQL is reached, when it is the database.
    #[cfg(feature = "postgres")]
    pub(super) postgres: Option<Postgres>,
    /// The directories of the host.
    #[cfg(feature = "backup")]
    pub(super) directories: Vec<aeth_backup::PathSource>,
    /// When it is backed up by itself, and what comes after that.
    #[cfg(feature = "backup")]
    pub(super) schedule: Option<aeth_backup::ScheduleOptions>,
}

impl Configuration {
    /// Finds every mistake of the configuration. Reads the secrets, and looks whether the directories are
    /// there; changes nothing.
    pub(super) fn check(builder: StorageBuilder) -> Result<Self> {
        let mut problems = Problems::default();
        check_data_dir(&builder.settings, &mut problems);
        check_numbers(&builder.settings, &mut problems);
        servers::check(&builder.settings, &mut problems);
        #[cfg(any(feature = "files", feature = "backup"))]
        let (file_places, backup_places) = locations::check(&builder.settings, &mut problems);
        #[cfg(feature = "redis")]
        let redis = redis::check(&builder, &mut problems);
        #[cfg(feature = "postgres")]
        let postgres = postgres::check(&builder, &mut problems);
        let secret =
            read_secret("secret", builder.secret.as_ref(), builder.settings.secret.as_ref(), &mut problems);
        let password = read_secret(
            "backup.password",
            builder.backup_password.as_ref(),
            builder.settings.backup.password.as_ref(),
            &mut problems,
        );
        let encryption = builder.settings.files.encryption;
        if encryption == Encryption::Required && secret.is_none() {
            problems.add(
                "files.encryption",
                "encryption is required and there is no secret",
                "give a secret, by file or environment",
            );
        }
        let password = password.or_else(|| secret.clone());
        if password.is_none() && !builder.settings.backup.locations.is_empty() {
            problems.add(
                "backup.locations",
                "the backup is always encrypted and there is no secret",
                "give a secret, or a backup.password",
            );
        }
        #[cfg(feature = "backup")]
        let directories = directories::check(&builder, &mut problems);
        #[cfg(feature = "backup")]
        let schedule = super::schedule::options(&builder.settings, &mut problems);
        problems.into_result()?;
        let file_secret = secret.filter(|_| encryption != Encryption::Off);
        Ok(Self {
            builder,
            file_secret,
            password,
            #[cfg(any(feature = "files", feature = "backup"))]
            file_places,
            #[cfg(any(feature = "files", feature = "backup"))]
            backup_places,
            #[cfg(feature = "redis")]
            redis,
            #[cfg(feature = "postgres")]
            postgres,
            #[cfg(feature = "backup")]
            directories,
            #[cfg(feature = "backup")]
            schedule,
        })
    }
}

fn check_data_dir(settings: &Settings, problems: &mut Problems) {
    if settings.data_dir.as_os_str().is_empty() {
        problems.add("data_dir", "is empty", "name the directory where the data lives");
    } else if settings.data_dir.exists() && !settings.data_dir.is_dir() {
        let message = format!("`{}` is not a directory", settings.data_dir.display());
        problems.add("data_dir", message, "name a directory, or a path where one can be made");
    }
}

fn check_numbers(settings: &Settings, problems: &mut Problems) {
    let (cache, database, health) = (&settings.cache, &settings.database, &settings.health);
    if cache.memory.bytes() < 1 << 20 {
        problems.add("cache.memory", format!("{} is too little", cache.memory), "give at least 1MiB");
    }
    if !(1..=64).contains(&database.readers) {
        problems.add("database.readers", format!("{} is out of range", database.readers), "give 1 to 64");
    }
    if !(1..=10_000).contains(&database.max_connections) {
        let message = format!("{} is out of range", database.max_connections);
        problems.add("database.max_connections", message, "give 1 to 10000");
    }
    if database.acquire_timeout.duration().is_zero() {
        problems.add("database.acquire_timeout", "is zero", "give some time, such as 5s");
    }
    if cache.database_budget.bytes() < 1 << 20 {
        let message = format!("{} is too little", cache.database_budget);
        problems.add("cache.database_budget", message, "give at least 1MiB");
    }
    if cache.call_timeout.duration().is_zero() {
        problems.add("cache.call_timeout", "is zero", "give some time, such as 1s");
    }
    let (degraded, down) = (health.disk_degraded_percent, health.disk_down_percent);
    for (name, percent) in [("disk_degraded_percent", degraded), ("disk_down_percent", down)] {
        if !(1..=100).contains(&percent) {
            problems.add(format!("health.{name}"), format!("{percent} is out of range"), "give 1 to 100");
        }
    }
    if down < degraded {
        problems.add(
            "health.disk_down_percent",
            format!("{down} lies below disk_degraded_percent, which is {degraded}"),
            "give the greater number to disk_down_percent",
        );
    }
    if health.backup_max_age.duration().is_zero() {
        problems.add("health.backup_max_age", "is zero", "give some time, such as 26h");
    }
}

fn read_secret(
    name: &str,
    given: Option<&Secret>,
    source: Option<&SecretSource>,
    problems: &mut Problems,
) -> Option<Secret> {
    let secret = match (given, source) {
        (Some(secret), _) => Ok(secret.clone()),
        (None, Some(source)) => source.read(),
        (None, None) => return None,
    };
    match secret {
        Ok(secret) if secret.is_empty() => {
            problems.add(name, "is empty", "give a secret that is hard to guess");
            None
        }
        Ok(secret) => Some(secret),
        Err(error) => {
            problems.add_error(name, &error);
            None
        }
    }
}
