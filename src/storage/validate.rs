//! The whole configuration, checked before anything is opened.

use super::builder::StorageBuilder;
use crate::settings::{Encryption, Problems, SecretSource, Settings};
use aeth_core::{Result, Secret};
use std::path::{Path, PathBuf};

/// A configuration without mistakes, with its secrets read.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) builder: StorageBuilder,
    /// The secret under which files are encrypted; `None`: they are not.
    pub(super) file_secret: Option<Secret>,
    /// The password of the backup.
    pub(super) password: Option<Secret>,
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
        check_locations(&builder.settings, &mut problems);
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
        let directories = directories(&builder, &mut problems);
        #[cfg(feature = "backup")]
        let schedule = super::schedule::options(&builder.settings, &mut problems);
        problems.into_result()?;
        let file_secret = secret.filter(|_| encryption != Encryption::Off);
        Ok(Self {
            builder,
            file_secret,
            password,
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
    if database.acquire_timeout.duration().is_zero() {
        problems.add("database.acquire_timeout", "is zero", "give some time, such as 5s");
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

fn check_locations(settings: &Settings, problems: &mut Problems) {
    let live =
        [settings.data_dir.join("files"), settings.data_dir.join("db"), settings.data_dir.join("keys")];
    for (i, location) in settings.backup.locations.iter().enumerate() {
        let name = format!("backup.locations[{i}]");
        if location.as_os_str().is_empty() {
            problems.add(name, "is empty", "name a directory");
        } else if settings.backup.locations[..i].contains(location) {
            problems.add(name, format!("`{}` is named twice", location.display()), "name each location once");
        } else if *location == settings.data_dir || live.iter().any(|part| location.starts_with(part)) {
            let message = format!("`{}` lies among the data that it is to back up", location.display());
            problems.add(name, message, "name a directory of its own, best on another disk");
        } else if location.exists() && !location.is_dir() {
            problems.add(name, format!("`{}` is not a directory", location.display()), "name a directory");
        }
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

/// The host's directories, without the data directory and the locations that may lie in them.
#[cfg(feature = "backup")]
fn directories(builder: &StorageBuilder, problems: &mut Problems) -> Vec<aeth_backup::PathSource> {
    let own: Vec<PathBuf> = std::iter::once(&builder.settings.data_dir)
        .chain(&builder.settings.backup.locations)
        .map(|path| resolve(path))
        .collect();
    let mut sources = builder.directories.clone();
    for (i, directory) in builder.settings.backup.directories.iter().enumerate() {
        match aeth_backup::PathSource::new(directory) {
            Ok(_) if own.iter().any(|own| resolve(directory).starts_with(own)) => problems.add(
                format!("backup.directories[{i}]"),
                format!("`{}` lies in the data directory or in a location", directory.display()),
                "name directories of the host: the storage's own data is in the backup already",
            ),
            Ok(source) => sources.push(source),
            Err(error) => problems.add_error(format!("backup.directories[{i}]"), &error),
        }
    }
    let exclude = |source: aeth_backup::PathSource| {
        let own = own.clone();
        source.exclude("the storage itself", move |path, directory| {
            directory && own.iter().any(|own| own == path)
        })
    };
    sources.into_iter().map(exclude).collect()
}

/// The path with its existing part resolved, so that it compares equal to what a walk finds.
#[cfg(feature = "backup")]
fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), absolute.strip_prefix(ancestor)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    absolute
}
