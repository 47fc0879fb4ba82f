//! What a schedule tells.

use crate::Id;
use aeth_core::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// All is well.
    Info,
    /// Something should be looked at.
    Warning,
    /// There is no new backup, or one that cannot be trusted.
    Error,
}

/// Why something that was due did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// The run before was still going on.
    Overlap,
    /// Another process leads.
    NotLeader,
    /// It was missed while no process ran, and a later one stands for it (or nothing is caught up).
    Missed,
}

/// What comes after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Chore {
    /// Snapshots that the policy does not keep are forgotten.
    Retention,
    /// What no snapshot needs is removed.
    Prune,
    /// What is still needed is kept from being destroyed for longer.
    ObjectLocks,
    /// The repository is checked.
    Check,
}

impl Chore {
    /// In one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Prune => "prune",
            Self::ObjectLocks => "extending the object locks",
            Self::Check => "check",
        }
    }
}

/// Something that happened in a schedule. [`Display`](fmt::Display) gives one line for a mail or a chat.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// A run began.
    Started {
        /// The time for which it was due.
        due: SystemTime,
    },
    /// A run made a snapshot.
    Finished {
        /// The snapshot.
        snapshot: Id,
        /// Files in it.
        files: u64,
        /// Bytes of its sources.
        bytes: u64,
        /// Bytes that it added.
        added: u64,
        /// Items that were left out.
        skipped: u64,
        /// Files that changed while they were read.
        changed: usize,
        /// Locations that it did not reach.
        lagging: Vec<String>,
        /// Hooks that failed.
        hooks: Vec<String>,
        /// How long it took.
        elapsed: Duration,
    },
    /// A run failed.
    Failed {
        /// Why.
        error: Error,
        /// When it is tried again; `None`: at the next time that is due.
        retry_at: Option<SystemTime>,
    },
    /// Something that was due did not happen.
    Skipped {
        /// The time for which it was due; of several, the last.
        due: SystemTime,
        /// Why.
        reason: SkipReason,
    },
    /// Snapshots were forgotten.
    Forgot {
        /// How many.
        snapshots: usize,
    },
    /// What no snapshot needs was removed.
    Pruned {
        /// Bytes that were removed from each location.
        bytes: u64,
        /// Packs that are marked for removal by a later prune.
        marked: u64,
    },
    /// What is still needed is kept from being destroyed for longer.
    LocksExtended {
        /// How many objects, in all locations together.
        objects: u64,
    },
    /// The repository was checked and is whole.
    Checked {
        /// Bytes that were read.
        read: u64,
    },
    /// A chore failed, or found damage.
    ChoreFailed {
        /// Which.
        chore: Chore,
        /// Why.
        error: Error,
    },
    /// A restore drill proved a snapshot good.
    DrillPassed {
        /// The snapshot.
        snapshot: Id,
        /// Files that were restored and read again.
        files: u64,
        /// Bytes of them.
        bytes: u64,
    },
    /// A restore drill could not be done, or did not give back what was backed up.
    DrillFailed {
        /// Why; of several problems the first.
        error: Error,
        /// How many problems there were.
        problems: u64,
    },
    /// The schedule's state could not be read or written.
    StateFailed {
        /// Why.
        error: Error,
    },
}

impl Notice {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::Failed { .. }
            | Self::ChoreFailed { chore: Chore::Check, .. }
            | Self::DrillFailed { .. } => Severity::Error,
            Self::Finished { skipped, changed, lagging, hooks, .. }
                if *skipped > 0 || *changed > 0 || !lagging.is_empty() || !hooks.is_empty() =>
            {
                Severity::Warning
            }
            Self::ChoreFailed { .. }
            | Self::StateFailed { .. }
            | Self::Skipped { reason: SkipReason::Overlap | SkipReason::Missed, .. } => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "a time out of range".into(), |time| format!("{time:.0}"))
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { due } => write!(f, "backup due at {} started", shown(*due)),
            Self::Finished { snapshot, files, bytes, added, skipped, changed, lagging, hooks, elapsed } => {
                let short = snapshot.short();
                write!(
                    f,
                    "backup {short} made: {files} files, {bytes} bytes, {added} added, in {elapsed:.0?}"
                )?;
                if *skipped > 0 {
                    write!(f, "; {skipped} items left out")?;
                }
                if *changed > 0 {
                    write!(f, "; {changed} files changed while they were read")?;
                }
                if !lagging.is_empty() {
                    write!(f, "; not reached: {}", lagging.join(", "))?;
                }
                if !hooks.is_empty() {
                    write!(f, "; hooks failed: {}", hooks.join(", "))?;
                }
                Ok(())
            }
            Self::Failed { error, retry_at: Some(at) } => {
                write!(f, "backup failed: {error}; tried again at {}", shown(*at))
            }
            Self::Failed { error, retry_at: None } => write!(f, "backup failed: {error}"),
            Self::Skipped { due, reason } => {
                let why = match reason {
                    SkipReason::Overlap => "the one before was still running",
                    SkipReason::NotLeader => "another process leads",
                    SkipReason::Missed => "no process was running",
                };
                write!(f, "due at {} and skipped: {why}", shown(*due))
            }
            Self::Forgot { snapshots } => write!(f, "{snapshots} snapshots forgotten"),
            Self::Pruned { bytes, marked } => {
                write!(f, "{bytes} bytes pruned, {marked} packs marked for later")
            }
            Self::LocksExtended { objects } => write!(f, "{objects} objects are kept for longer"),
            Self::Checked { read } => write!(f, "the repository is whole ({read} bytes read)"),
            Self::ChoreFailed { chore, error } => write!(f, "{} failed: {error}", chore.as_str()),
            Self::DrillPassed { snapshot, files, bytes } => {
                write!(f, "restore drill of {} passed: {files} files, {bytes} bytes", snapshot.short())
            }
            Self::DrillFailed { error, problems } => {
                write!(f, "restore drill failed with {} problems: {error}", (*problems).max(1))
            }
            Self::StateFailed { error } => write!(f, "the schedule's state is out of reach: {error}"),
        }
    }
}
