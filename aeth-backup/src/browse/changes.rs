//! How two snapshots differ, as data.

use super::walk::TreeEntry;
use crate::format::{Node, NodeKind};
use std::fmt;
use std::sync::Arc;

/// What became of an entry between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Only in the second.
    Added,
    /// Only in the first.
    Removed,
    /// A file in both, with other content.
    Modified,
    /// A file in both with other content, although nothing else of it changed, not even its times: a failing disk,
    /// or a program that hides what it does.
    Suspicious,
    /// Another kind of entry, e.g. a directory where a file was.
    Type,
    /// The same content with other metadata (only with [`DiffOptions::metadata`]).
    Metadata,
}

impl ChangeKind {
    /// As restic shows it: `+`, `-`, `M`, `M?`, `T`, `U`.
    #[must_use]
    pub fn modifier(self) -> &'static str {
        match self {
            Self::Added => "+",
            Self::Removed => "-",
            Self::Modified => "M",
            Self::Suspicious => "M?",
            Self::Type => "T",
            Self::Metadata => "U",
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.modifier())
    }
}

/// An entry that differs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Change {
    /// What became of it.
    pub kind: ChangeKind,
    /// The entry: that of the second snapshot where it has one.
    pub entry: TreeEntry,
}

impl Change {
    /// Its path, with a `/` at the end of a directory's; bytes that are not UTF-8 are shown as U+FFFD.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::from_utf8_lossy(&self.entry.path).into_owned();
        if self.entry.node.kind == NodeKind::Dir {
            path.push('/');
        }
        path
    }
}

/// How a comparison is made.
#[derive(Clone)]
#[non_exhaustive]
pub struct DiffOptions {
    pub(super) metadata: bool,
    pub(super) path: String,
    pub(super) other_path: Option<String>,
    pub(super) each: Option<Arc<dyn Fn(Change) + Send + Sync>>,
}

impl fmt::Debug for DiffOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiffOptions")
            .field("metadata", &self.metadata)
            .field("path", &self.path)
            .field("other_path", &self.other_path)
            .finish_non_exhaustive()
    }
}

impl Default for DiffOptions {
    fn default() -> Self {
        Self { metadata: false, path: "/".into(), other_path: None, each: None }
    }
}

impl DiffOptions {
    /// The whole of both, contents and kinds only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether an entry counts as changed when only its metadata differs. Default: no.
    #[must_use]
    pub fn metadata(mut self, metadata: bool) -> Self {
        self.metadata = metadata;
        self
    }

    /// Compares only the directory at this absolute path. Default: `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The directory's path in the second snapshot, when it is another one there.
    #[must_use]
    pub fn other_path(mut self, path: impl Into<String>) -> Self {
        self.other_path = Some(path.into());
        self
    }

    /// Hands each change to `each` as it is found, instead of collecting them in the report.
    #[must_use]
    pub fn each(mut self, each: impl Fn(Change) + Send + Sync + 'static) -> Self {
        self.each = Some(Arc::new(each));
        self
    }
}

/// What only one of two snapshots has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DiffCounts {
    /// Files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Links, devices and all else.
    pub others: u64,
    /// Data blobs that the other snapshot does not have.
    pub data_blobs: u64,
    /// Tree blobs that the other snapshot does not have.
    pub tree_blobs: u64,
    /// Bytes of these blobs, uncompressed.
    pub bytes: u64,
}

impl DiffCounts {
    pub(super) fn add(&mut self, node: &Node) {
        match node.kind {
            NodeKind::File => self.files += 1,
            NodeKind::Dir => self.dirs += 1,
            _ => self.others += 1,
        }
    }
}

/// How two snapshots differ.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DiffReport {
    /// What differs, in the order of the paths; empty when the changes were handed over one by one.
    pub changes: Vec<Change>,
    /// Files of both with other content.
    pub changed_files: u64,
    /// What only the second has.
    pub added: DiffCounts,
    /// What only the first has.
    pub removed: DiffCounts,
}

impl DiffReport {
    /// True when the trees are the same, metadata included.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.added == DiffCounts::default()
            && self.removed == DiffCounts::default()
            && self.changed_files == 0
    }
}
