//! Snapshots that a policy looks at together.

use crate::format::Snapshot;
use crate::repo::SnapshotEntry;
use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What snapshots of one group have in common. Default: host and paths, as with restic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub struct GroupBy {
    /// The host.
    pub host: bool,
    /// The paths, in any order.
    pub paths: bool,
    /// The tags, in any order.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> Self {
        Self::new(true, true, false)
    }
}

impl GroupBy {
    /// By any of the three; by none of them, all snapshots are one group.
    #[must_use]
    pub fn new(host: bool, paths: bool, tags: bool) -> Self {
        Self { host, paths, tags }
    }

    /// The groups, each with its snapshots in the order given.
    #[must_use]
    pub fn split(&self, snapshots: Vec<SnapshotEntry>) -> BTreeMap<GroupKey, Vec<SnapshotEntry>> {
        let mut groups: BTreeMap<GroupKey, Vec<SnapshotEntry>> = BTreeMap::new();
        for entry in snapshots {
            groups.entry(self.key(&entry.snapshot)).or_default().push(entry);
        }
        groups
    }

    fn key(&self, snapshot: &Snapshot) -> GroupKey {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        GroupKey {
            host: if self.host { snapshot.hostname.clone() } else { String::new() },
            paths: if self.paths { sorted(&snapshot.paths) } else { Vec::new() },
            tags: if self.tags { sorted(&snapshot.tags) } else { Vec::new() },
        }
    }
}

impl std::str::FromStr for GroupBy {
    type Err = Error;

    /// `host,paths,tags` or some of these; empty for one group of all.
    ///
    /// # Errors
    /// `Invalid` for any other word.
    fn from_str(text: &str) -> Result<Self> {
        let mut by = Self::new(false, false, false);
        for word in text.split(',') {
            match word.trim() {
                "host" | "hosts" => by.host = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                "" => {}
                other => {
                    return Err(Error::invalid("snapshots cannot be grouped by that")
                        .with_key(other)
                        .with_remedy("write host, paths, tags, or several of them with commas"));
                }
            }
        }
        Ok(by)
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.host, "host"), (self.paths, "paths"), (self.tags, "tags")];
        let words: Vec<_> = words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect();
        f.write_str(&words.join(","))
    }
}

impl TryFrom<String> for GroupBy {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<GroupBy> for String {
    fn from(by: GroupBy) -> Self {
        by.to_string()
    }
}

/// What the snapshots of a group have in common; what they were not grouped by is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[non_exhaustive]
pub struct GroupKey {
    /// The host.
    pub host: String,
    /// The paths, in order.
    pub paths: Vec<String>,
    /// The tags, in order.
    pub tags: Vec<String>,
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if !self.host.is_empty() {
            parts.push(format!("host {}", self.host));
        }
        if !self.paths.is_empty() {
            parts.push(format!("paths {}", self.paths.join(", ")));
        }
        if !self.tags.is_empty() {
            parts.push(format!("tags {}", self.tags.join(", ")));
        }
        f.write_str(&parts.join("; "))
    }
}
