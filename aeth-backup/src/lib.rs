//! Encrypted, deduplicated backups in the restic repository format, to several locations at once.
//!
//! A [`Repository`] lives in one or several [`BackupSink`](aeth_core::backup::BackupSink)s, which are replicas of
//! one another: everything is sealed once and the same bytes go everywhere. A [`Plan`] names the sources of one
//! restore point: directories in full fidelity ([`PathSource`]) with what is left out of them, named volumes
//! ([`VolumeSource`]), the blobs of a store ([`BlobSource`]), streams of the application ([`StreamSource`]), the output
//! of commands ([`CommandSource`]), configuration with its secrets ([`ConfigSet`]), git repositories ([`GitSource`]),
//! consistent copies of databases in use ([`CopySource`]), or anything that implements [`FileSource`]; and the
//! [`Hook`]s before and after it. [`Repository::drill`] proves a restore point good by restoring it. A [`Schedule`]
//! makes runs come by themselves, with retention, prune, check and drills after them; a [`BackupMonitor`] keeps what
//! they did, as metrics and as health.
//!
//! ```
//! use aeth_backup::{CheckOptions, PathSource, Plan, Repository, RepositoryOptions, RestoreOptions};
//! use aeth_core::backup::{BackupSink, BlobSink};
//! use aeth_core::Secret;
//! use std::sync::Arc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> aeth_core::Result<()> {
//! # let dir = tempfile::tempdir()?;
//! # let (source, target) = (dir.path().join("documents"), dir.path().join("restored"));
//! # std::fs::create_dir(&source)?;
//! # std::fs::write(source.join("letter"), "dear reader")?;
//! let store = aeth_files::LocalDir::open(dir.path().join("backups")).await?;
//! let sinks: Vec<Arc<dyn BackupSink>> = vec![Arc::new(BlobSink::new(Arc::new(store), None)?)];
//! let password = Secret::new("correct horse".to_owned());
//! let repository = Repository::init(sinks, &password, RepositoryOptions::default()).await?;
//!
//! let report = repository.backup(Plan::new().source(PathSource::new(&source)?).tag("daily")).await?;
//! assert!(report.is_complete(), "left out: {:?}", report.skipped);
//! assert!(repository.check(CheckOptions::all_data()).await?.is_ok());
//!
//! let latest = repository.snapshot("latest").await?;
//! repository.restore(&latest, RestoreOptions::new(&target)).await?;
//! # let inside = target.join(source.canonicalize()?.strip_prefix("/").unwrap());
//! # assert_eq!(std::fs::read(inside.join("letter"))?, b"dear reader");
//! # Ok(())
//! # }
//! ```
//!
//! # What is written
//! The restic repository format, version 2 (restic's `doc/design.rst`): scrypt key files, AES-256-CTR with
//! Poly1305-AES, SHA-256 names, zstd, packs, indexes, snapshots, locks. `restic check`, `restore`, `forget` and
//! `prune` work on what this crate writes, and this crate reads, forgets,
//! prunes and repairs what restic writes. Chunks are cut where restic
//! cuts them and trees are encoded as it encodes them, so that each finds the other's data again. Repositories of
//! version 1 are read, written, pruned and repaired as well.
//!
//! # What holds
//! - A pack is durable before an index names it, and all packs and indexes before a snapshot does: killed at any
//!   moment, a repository is whole, and the next run uses what was stored.
//! - Each sink alone gives everything back. A sink that was away is brought up to date by the next run.
//! - What could not be read is in the report, by name and reason; nothing is left out silently.
//! - Memory is bounded, whatever the size of a tree or of a file: packs under way, chunks in a queue, and about 80
//!   bytes for each blob that the repository holds.
//! - Reading, cutting, hashing, compressing and sealing run on threads of their own, never on a runtime worker.
//!
//! # Keeping house
//! | what | how |
//! |---|---|
//! | look into snapshots | [`Repository::ls`], [`find`](Repository::find), [`dump`](Repository::dump), [`diff`](Repository::diff) |
//! | choose them | [`Repository::snapshot`], [`snapshots_matching`](Repository::snapshots_matching), [`edit_tags`](Repository::edit_tags) |
//! | rotate them | [`Repository::forget`] by a [`RetentionPolicy`]: restic's rules, each kept snapshot with its reasons |
//! | free space | [`Repository::prune`]: in two phases beside running backups; replicas that were away follow when they are back |
//! | look for damage | [`Repository::check`]: the structure, all data, or a share a day so that all is read in N days |
//! | repair | [`repair_replicas`](Repository::repair_replicas) from another sink, then [`repair_index`](Repository::repair_index), [`repair_packs`](Repository::repair_packs), [`repair_snapshots`](Repository::repair_snapshots) |
//! | bring locations together | each run does; [`Repository::catch_up`] at once, [`lag`](Repository::lag) says how far apart they are |
//! | keep data from being destroyed | an append-only sink, or [`RepositoryOptions::object_lock`] with [`Repository::extend_object_locks`] |
//! | locks | restic's, taken and refreshed by every operation, removed when their process is gone; [`Repository::locks`], [`remove_locks`](Repository::remove_locks) |
//! | passwords | [`Repository::keys`], [`add_key`](Repository::add_key), [`change_password`](Repository::change_password), [`remove_key`](Repository::remove_key) |
//! | another repository | [`Repository::copy_to`] |
//!
//! What was removed on purpose is remembered in sealed files of ours beside the repository, which standard tools
//! ignore, so that a replica that was away does not bring it back. A replica that is pruned by another tool does not
//! know: the next run copies from the others what that tool removed. Prune through this crate where there are
//! several sinks.
//!
//! # What does not
//! Whoever has the password and may delete can destroy a backup; keep one sink append-only. The format has no
//! write-only keys. A file that changes while it is read is stored as it was read and named in the report: take a
//! snapshot of the file system, or hand over a consistent copy, where that matters.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backup;
mod browse;
mod check;
mod chunker;
mod copy;
mod crypto;
mod drill;
mod error;
mod forget;
mod format;
mod hook;
#[cfg(test)]
mod hostile;
mod id;
mod monitor;
mod process;
mod progress;
mod prune;
mod repair;
mod repo;
mod restore;
mod schedule;
mod scratch;
mod select;
mod sink;
mod source;

pub use backup::{BackupReport, Plan};
pub use browse::{
    Change, ChangeKind, DiffCounts, DiffOptions, DiffReport, FindOptions, Found, FoundBlob, Glob, LsOptions,
    TreeEntry,
};
pub use check::{CheckFinding, CheckOptions, CheckReport};
pub use copy::{CopiedSnapshot, CopyOptions, CopyReport};
pub use crypto::KdfParams;
pub use drill::{DrillOptions, DrillReport};
pub use forget::{
    ForgetGroup, ForgetOptions, ForgetReport, GroupBy, GroupKey, Keep, KeepReason, Kept, Period, Retention,
    RetentionPolicy, Span,
};
pub use format::{Compression, FileMode, Node, NodeKind, NodeTime, Snapshot, SnapshotSummary, Xattr};
pub use hook::{Hook, HookFailure, Outcome};
pub use id::Id;
pub use monitor::{BackupMonitor, BackupRecord, LocationRecord, MonitorOptions};
pub use process::ExternalCommand;
pub use progress::{Event, Observer, Progress, ProgressReport, Skipped};
pub use prune::{MaxUnused, ObjectLockReport, PruneBlobs, PruneBytes, PruneOptions, PrunePacks, PruneReport};
pub use repair::{RepairOptions, RepairReport, RepairedSnapshot};
pub use repo::{
    KeyInfo, LockInfo, Quorum, Repository, RepositoryOptions, SinkLag, SinkStatus, SnapshotEntry,
};
pub use restore::{BlobRestoreReport, Existing, RestoreOptions, RestoreReport};
pub use schedule::{
    BackupJob, Chore, Cron, DrillSchedule, FileScheduleStore, JobRun, Notice, PlanJob, Schedule,
    ScheduleOptions, ScheduleState, ScheduleStatus, ScheduleStore, Severity, SkipReason,
};
pub use select::{AmbiguousId, SnapshotFilter, TagChange, TagEdit};
pub use sink::HotCold;
pub use source::{
    BlobSource, CommandSource, ConfigSet, CopySource, Exclude, FileSource, GitSource, OnlineCopy, PathSource,
    Source, StreamSource, VirtualFile, VolumeSource,
};
