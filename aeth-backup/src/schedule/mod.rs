//! Runs that come by themselves.

mod chores;
mod civil;
mod cron;
mod driver;
mod due;
mod job;
mod lead;
mod notice;
mod options;
mod state;

pub use cron::Cron;
pub use driver::{Schedule, ScheduleStatus};
pub use job::{BackupJob, JobRun, PlanJob};
pub use notice::{Chore, Notice, Severity, SkipReason};
pub use options::{DrillSchedule, ScheduleOptions};
pub(crate) use state::replace_file;
pub use state::{FileScheduleStore, ScheduleState, ScheduleStore};
