//! The files and structures of a restic repository, byte for byte as restic's current writer makes them.
//!
//! Source: restic's `doc/design.rst` and its `internal/data`, `internal/repository` packages (0.19). The
//! encoding of trees is part of the deduplication: one byte of difference, and a directory is stored again.

mod compress;
mod config;
mod gojson;
mod index;
mod lock;
mod mode;
mod node;
mod pack;
mod quote;
mod snapshot;
mod time;
mod tree;
mod unpacked;

pub(crate) use compress::Codec;
pub use compress::Compression;
pub(crate) use config::Config;
pub(crate) use index::{IndexFile, IndexPack};
pub(crate) use lock::LockFile;
pub use mode::FileMode;
pub use node::{Node, NodeKind, Xattr};
pub(crate) use pack::{BlobEntry, BlobKind, MAX_BLOBS, PackBuilder, pack_overhead, parse_header};
pub use snapshot::{Snapshot, SnapshotSummary};
pub use time::NodeTime;
pub(crate) use time::{civil, days};
pub(crate) use tree::{Tree, TreeWriter};
pub(crate) use unpacked::{open_unpacked, seal_unpacked};

/// `null` is what a missing field is, as Go reads JSON; rustic writes it.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de> + Default,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}
