//! Trees of git: made from paths, and walked.

use super::error::{COMPONENT, from_gix};
use super::names;
use super::staging::Staging;
use aeth_core::{BlobPath, Error, Result};
use gix::ObjectId;
use gix::objs::tree::{Entry, EntryKind, EntryMode};
use gix::objs::{Tree, TreeRef};
use std::collections::BTreeMap;

/// Deeper trees are not walked: no path of the contract is so deep, escaped or not.
const DEEPEST: usize = 1024;

/// A directory that is being put together.
#[derive(Debug, Default)]
pub(super) struct Dir {
    blob: Option<ObjectId>,
    below: BTreeMap<String, Self>,
}

impl Dir {
    /// Adds a blob.
    pub(super) fn insert(&mut self, path: &BlobPath, id: ObjectId) {
        let mut dir = self;
        for segment in path.segments() {
            dir = dir.below.entry(names::to_git(segment)).or_default();
        }
        dir.blob = Some(id);
    }

    /// Adds a blob of ours at the root, by its name in git.
    pub(super) fn insert_own(&mut self, name: &str, id: ObjectId) {
        self.below.entry(name.to_owned()).or_default().blob = Some(id);
    }

    /// Writes the trees, the lowest first.
    pub(super) fn write(&self, repository: &gix::Repository, staging: &Staging) -> Result<ObjectId> {
        let entry =
            |kind: EntryKind, name: &str, oid| Entry { mode: kind.into(), filename: name.into(), oid };
        let mut entries = Vec::with_capacity(self.below.len() + 1);
        for (name, node) in &self.below {
            if !node.below.is_empty() {
                entries.push(entry(EntryKind::Tree, name, node.write(repository, staging)?));
            } else if let Some(id) = node.blob {
                entries.push(entry(EntryKind::Blob, name, id));
            }
        }
        if let Some(id) = self.blob {
            entries.push(entry(EntryKind::Blob, names::OWN, id));
        }
        // Git's order has directories as if their names ended in a slash.
        entries.sort();
        staging.write_object(repository, &Tree { entries })
    }
}

/// An entry of a tree, with all names above it.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) path: Vec<u8>,
    pub(super) mode: EntryMode,
    pub(super) id: ObjectId,
}

/// The direct entries of a tree.
pub(super) fn entries(repository: &gix::Repository, tree: ObjectId) -> Result<Vec<Record>> {
    if tree == ObjectId::empty_tree(gix::hash::Kind::Sha1) {
        return Ok(Vec::new());
    }
    let found = repository.find_tree(tree).map_err(from_gix)?;
    let decoded = TreeRef::from_bytes(&found.data, gix::hash::Kind::Sha1).map_err(from_gix)?;
    let record = |entry: &gix::objs::tree::EntryRef<'_>| Record {
        path: entry.filename.to_vec(),
        mode: entry.mode,
        id: entry.oid.to_owned(),
    };
    Ok(decoded.entries.iter().map(record).collect())
}

/// All entries below a tree, directories before what is in them, in git's order.
pub(super) fn walk(repository: &gix::Repository, tree: ObjectId) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    descend(repository, tree, &mut Vec::new(), 0, &mut records)?;
    Ok(records)
}

fn descend(
    repository: &gix::Repository,
    tree: ObjectId,
    above: &mut Vec<u8>,
    depth: usize,
    records: &mut Vec<Record>,
) -> Result<()> {
    if depth > DEEPEST {
        return Err(Error::corrupt(format!("a tree is more than {DEEPEST} levels deep"))
            .with_component(COMPONENT)
            .with_remedy("check out this commit with git"));
    }
    for mut entry in entries(repository, tree)? {
        let length = above.len();
        above.extend_from_slice(&entry.path);
        entry.path.clone_from(above);
        let (is_tree, id) = (entry.mode.is_tree(), entry.id);
        records.push(entry);
        if is_tree {
            above.push(b'/');
            descend(repository, id, above, depth + 1, records)?;
        }
        above.truncate(length);
    }
    Ok(())
}
