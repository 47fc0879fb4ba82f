//! Encrypted, deduplicated backups in the restic repository format.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backup;
mod check;
mod chunker;
mod crypto;
mod error;
mod format;
mod id;
mod progress;
mod repo;
mod restore;
mod source;

pub use backup::{BackupReport, Plan};
pub use check::{CheckFinding, CheckOptions, CheckReport};
pub use crypto::KdfParams;
pub use format::{Compression, FileMode, Node, NodeKind, NodeTime, Snapshot, SnapshotSummary, Xattr};
pub use id::Id;
pub use progress::{Event, Observer, Progress, ProgressReport, Skipped};
pub use repo::{Quorum, Repository, RepositoryOptions, SinkStatus, SnapshotEntry};
pub use restore::{Existing, RestoreOptions, RestoreReport, TreeEntry};
pub use source::{BlobSource, Exclude, FileSource, PathSource, Source, StreamSource, VirtualFile};
