//! Snapshot files.

use super::{NodeTime, null_is_default};
use crate::Id;
use aeth_core::Result;
use serde::{Deserialize, Serialize};

/// A restore point.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it was made.
    pub time: NodeTime,
    /// The snapshot that unchanged files were taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// The root tree.
    pub tree: Id,
    /// What was backed up.
    #[serde(default, deserialize_with = "null_is_default")]
    pub paths: Vec<String>,
    /// The host that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The user that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// That user's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// That user's group's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// The exclude patterns in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub excludes: Vec<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// The snapshot that this one was rewritten from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// The program that made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// What the run did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<SnapshotSummary>,
}

/// What the run that made a snapshot did, as restic counts it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SnapshotSummary {
    /// When the run began.
    pub backup_start: NodeTime,
    /// When the run ended.
    pub backup_end: NodeTime,
    /// Files that the parent does not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files taken from the parent.
    pub files_unmodified: u64,
    /// Directories that the parent does not have.
    pub dirs_new: u64,
    /// Directories that differ from the parent's.
    pub dirs_changed: u64,
    /// Directories as in the parent.
    pub dirs_unmodified: u64,
    /// Data blobs added.
    pub data_blobs: u64,
    /// Tree blobs added.
    pub tree_blobs: u64,
    /// Bytes added, before compression.
    pub data_added: u64,
    /// Bytes added, as stored.
    pub data_added_packed: u64,
    /// Files seen.
    pub total_files_processed: u64,
    /// Bytes seen.
    pub total_bytes_processed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

impl Snapshot {
    /// A snapshot of `tree` at `time`, everything else empty.
    pub(crate) fn new(time: NodeTime, tree: Id) -> Self {
        Self {
            time,
            parent: None,
            tree,
            paths: Vec::new(),
            hostname: String::new(),
            username: String::new(),
            uid: 0,
            gid: 0,
            excludes: Vec::new(),
            tags: Vec::new(),
            original: None,
            program_version: String::new(),
            summary: None,
        }
    }

    /// Whether it has all of `tags`; the empty tag stands for "no tag at all", as with restic.
    #[must_use]
    pub fn has_tags(&self, tags: &[String]) -> bool {
        for tag in tags {
            if tag.is_empty() && self.tags.is_empty() {
                return true;
            }
            if !self.tags.contains(tag) {
                return false;
            }
        }
        true
    }

    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(crate::error::json("snapshot"))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(crate::error::json("snapshot"))
    }
}
