//! What differs between two versions.

use super::GitArchive;
use super::history::resolve;
use super::read::AttributesFile;
use super::{read, tree};
use aeth_core::{BlobPath, Result};
use gix::ObjectId;
use std::collections::{BTreeMap, BTreeSet};

/// A difference between two versions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The path in the versions.
    pub path: BlobPath,
    /// What happened to it.
    pub kind: ChangeKind,
}

/// What happened to a blob from one version to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Only the later one has it.
    Added,
    /// Only the earlier one has it.
    Removed,
    /// Its bytes differ.
    Modified,
    /// Only its attributes differ.
    Attributes,
}

impl GitArchive {
    /// What differs from one version to another, by path. Directories that are equal are not read.
    ///
    /// # Errors
    /// `NotFound` for a version; `Corrupt` for a damaged repository.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn diff(&self, from: &str, to: &str) -> Result<Vec<Change>> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.with(move |_, repository| {
            let from = resolve(repository, &from)?.tree_id()?;
            let to = resolve(repository, &to)?.tree_id()?;
            changes(repository, from, to)
        })
        .await
    }
}

/// The files of the earlier version and of the later one.
type Sides = (Vec<tree::Record>, Vec<tree::Record>);

fn changes(repository: &gix::Repository, from: ObjectId, to: ObjectId) -> Result<Vec<Change>> {
    let mut sides = Sides::default();
    differing(repository, Some(from), Some(to), &[], &mut sides)?;
    let (old, new) = sides;
    let old: BTreeMap<_, _> = read::blobs(&old).into_iter().collect();
    let new: BTreeMap<_, _> = read::blobs(&new).into_iter().collect();
    let mut kinds = BTreeMap::new();
    for path in old.keys().chain(new.keys()) {
        let kind = match (old.get(path), new.get(path)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(_), Some(_)) => ChangeKind::Modified,
            (Some(_), None) => ChangeKind::Removed,
            (None, _) => ChangeKind::Added,
        };
        kinds.insert(path.clone(), kind);
    }
    let (before, after) = (AttributesFile::of(repository, from)?, AttributesFile::of(repository, to)?);
    for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        if before.get(path) != after.get(path) {
            kinds.entry(path.clone()).or_insert(ChangeKind::Attributes);
        }
    }
    Ok(kinds.into_iter().map(|(path, kind)| Change { path, kind }).collect())
}

/// Collects the files of both trees, without those in directories that are equal.
fn differing(
    repository: &gix::Repository,
    from: Option<ObjectId>,
    to: Option<ObjectId>,
    above: &[u8],
    out: &mut Sides,
) -> Result<()> {
    let read = |id: Option<ObjectId>| id.map_or(Ok(Vec::new()), |id| tree::entries(repository, id));
    let full = |mut record: tree::Record| {
        record.path = [above, &record.path].concat();
        record
    };
    let old: BTreeMap<_, _> =
        read(from)?.into_iter().map(|e| ((e.mode.is_tree(), e.path.clone()), e)).collect();
    let new: BTreeMap<_, _> =
        read(to)?.into_iter().map(|e| ((e.mode.is_tree(), e.path.clone()), e)).collect();
    for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (one, two) = (old.get(key), new.get(key));
        if one.map(|entry| entry.id) == two.map(|entry| entry.id) {
            continue;
        }
        if key.0 {
            let below = [above, &key.1, b"/"].concat();
            let (one, two) = (one.map(|entry| entry.id), two.map(|entry| entry.id));
            differing(repository, one, two, &below, out)?;
        } else {
            out.0.extend(one.cloned().map(full));
            out.1.extend(two.cloned().map(full));
        }
    }
    Ok(())
}
