//! Encrypted, deduplicated backups in the restic repository format.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(dead_code)]

mod chunker;
mod crypto;
mod error;
mod format;
mod id;

pub use crypto::KdfParams;
pub use format::{Compression, FileMode, Node, NodeKind, NodeTime, Snapshot, SnapshotSummary, Xattr};
pub use id::Id;
