//! The schedule of the backup, out of the settings.

use super::parts::SharedDatabase;
use super::validate::Configuration;
use crate::backup::own_snapshots;
#[cfg(any(feature = "redis", feature = "postgres"))]
use crate::settings::Via;
use crate::settings::{BackupSettings, Problems, Settings};
use aeth_backup::{
    CheckOptions, Cron, DrillOptions, DrillSchedule, FileScheduleStore, ForgetOptions, GroupBy, Keep,
    PruneOptions, RetentionPolicy, ScheduleOptions, Span,
};
use aeth_core::coord::LeaderLock;
use aeth_core::{Error, Result};
use std::sync::Arc;

/// The schedule with the lock by which one of several processes leads, if there is to be one.
pub(super) fn led(
    configuration: &Configuration,
    database: SharedDatabase<'_>,
) -> Result<Option<ScheduleOptions>> {
    let Some(options) = configuration.schedule.clone() else { return Ok(None) };
    Ok(Some(match lock(configuration, database)? {
        Some(lock) => options.leader(lock),
        None => options,
    }))
}

#[cfg_attr(not(feature = "postgres"), allow(unused_variables, reason = "only PostgreSQL has locks"))]
fn lock(configuration: &Configuration, database: SharedDatabase<'_>) -> Result<Option<Arc<dyn LeaderLock>>> {
    match configuration.builder.settings.backup.leader {
        None => Ok(None),
        #[cfg(feature = "redis")]
        Some(Via::Redis) => match &configuration.redis {
            Some(redis) => Ok(Some(Arc::new(redis.leader_lock()))),
            None => Err(no_leader()),
        },
        #[cfg(feature = "postgres")]
        Some(Via::Database) => match database {
            Some(database) => Ok(Some(Arc::new(database.postgres()?.leader_lock()))),
            None => Err(no_leader()),
        },
        #[allow(unreachable_patterns, reason = "servers are behind features")]
        Some(_) => Err(no_leader()),
    }
}

/// What the check of the configuration does not let through.
fn no_leader() -> Error {
    Error::unsupported("the settings name a server that is not there").with_key("backup.leader")
}

/// What the settings ask for; `None` when nothing comes by itself. Mistakes become problems.
pub(super) fn options(settings: &Settings, problems: &mut Problems) -> Option<ScheduleOptions> {
    let backup = &settings.backup;
    let when = cron("backup.schedule", backup.schedule.as_deref(), problems);
    let drill = cron("backup.drill", backup.drill.as_deref(), problems);
    let policy = policy(backup, problems);
    if backup.schedule.is_none() {
        for (name, given) in [("backup.drill", backup.drill.is_some()), ("backup.keep", !policy.is_empty())] {
            if given {
                problems.add(name, "needs a schedule", "give backup.schedule, such as `30 2 * * *`");
            }
        }
    } else if backup.locations.is_empty() {
        problems.add("backup.schedule", "there is nowhere to back up to", "give backup.locations");
    }
    let scratch = settings.data_dir.join("tmp");
    let mut options = ScheduleOptions::new("storage", when?)
        .jitter(backup.jitter.duration())
        .catch_up(backup.catch_up)
        .store(FileScheduleStore::new(settings.data_dir.join("schedule.json")));
    if !policy.is_empty() {
        // A host's directories may change; its restore points are one row all the same.
        let forget =
            ForgetOptions::new(policy).filter(own_snapshots()).group_by(GroupBy::new(true, false, false));
        options = options.retention(forget);
        if backup.prune {
            options = options.prune(PruneOptions::new());
        }
    }
    if backup.check {
        options = options.check(CheckOptions::structure());
    }
    if let Some(when) = drill {
        let mut drill = DrillOptions::new(scratch).filter(own_snapshots());
        if let Some(size) = backup.drill_sample {
            drill = drill.sample(size.bytes());
        }
        options = options.drill(DrillSchedule::new(when, drill));
    }
    Some(options)
}

fn cron(name: &str, text: Option<&str>, problems: &mut Problems) -> Option<Cron> {
    match Cron::try_from(text?.to_owned()) {
        Ok(cron) => Some(cron),
        Err(error) => {
            problems.add_error(name, &error);
            None
        }
    }
}

fn policy(backup: &BackupSettings, problems: &mut Problems) -> RetentionPolicy {
    let keep = &backup.keep;
    let count = |count: u32| if count == 0 { Keep::None } else { Keep::Count(count) };
    let policy = RetentionPolicy::new()
        .last(count(keep.last))
        .hourly(count(keep.hourly))
        .daily(count(keep.daily))
        .weekly(count(keep.weekly))
        .monthly(count(keep.monthly))
        .yearly(count(keep.yearly));
    match keep.within.as_deref().map(str::parse::<Span>) {
        None => policy,
        Some(Ok(span)) => policy.within(span),
        Some(Err(error)) => {
            problems.add_error("backup.keep.within", &error);
            policy
        }
    }
}
