//! Changing the tags of snapshots.

use crate::Id;
use crate::repo::{LockGuard, Repository, SnapshotEntry};
use aeth_core::{Error, Result};

/// How the tags of snapshots are changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TagEdit {
    /// These and no others; an empty list removes all.
    Set(Vec<String>),
    /// Adds and removes, the additions first.
    Change {
        /// Tags to add.
        add: Vec<String>,
        /// Tags to remove.
        remove: Vec<String>,
    },
}

impl TagEdit {
    /// Sets the tags.
    #[must_use]
    pub fn set<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::Set(tags.into_iter().map(Into::into).collect())
    }

    /// Adds tags.
    #[must_use]
    pub fn add<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::Change { add: tags.into_iter().map(Into::into).collect(), remove: Vec::new() }
    }

    /// Removes tags.
    #[must_use]
    pub fn remove<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::Change { add: Vec::new(), remove: tags.into_iter().map(Into::into).collect() }
    }

    fn apply(&self, tags: &[String]) -> Vec<String> {
        let mut result: Vec<String> = Vec::new();
        let mut push = |tag: &String| {
            if !result.contains(tag) {
                result.push(tag.clone());
            }
        };
        match self {
            Self::Set(new) => new.iter().for_each(push),
            Self::Change { add, remove } => {
                tags.iter().chain(add).filter(|tag| !remove.contains(tag)).for_each(&mut push);
            }
        }
        result
    }

    fn check(&self) -> Result<()> {
        let tags: Vec<&String> = match self {
            Self::Set(tags) => tags.iter().collect(),
            Self::Change { add, remove } => add.iter().chain(remove).collect(),
        };
        match tags.into_iter().find(|tag| tag.is_empty() || tag.contains(',')) {
            None => Ok(()),
            Some(tag) => Err(Error::invalid("a tag is not empty and has no comma")
                .with_operation("tag")
                .with_key(tag)
                .with_remedy("give each tag for itself")),
        }
    }
}

/// A snapshot whose tags were changed. As a snapshot is named by its content, it has another id now.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TagChange {
    /// The id that it had.
    pub old: Id,
    /// The snapshot as it is now.
    pub new: SnapshotEntry,
}

impl Repository {
    /// Changes the tags of the given snapshots; those that have the right tags already are left alone. Each is
    /// written again under a new id, with the first id that it ever had as `original`, before the old one is
    /// removed: stopped in between, both are there.
    ///
    /// # Errors
    /// `Invalid` for an empty tag or one with a comma; `Busy` when the repository is locked exclusively; `Denied`
    /// for append-only sinks; the sinks' errors when fewer than the quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: a snapshot may be there twice, with old and new tags.
    pub async fn edit_tags(&self, snapshots: &[SnapshotEntry], edit: &TagEdit) -> Result<Vec<TagChange>> {
        edit.check()?;
        let _writing = self.shared.writer.lock().await;
        self.shared.revive().await;
        self.shared.refuse_append_only("tag")?;
        let lock = LockGuard::acquire(&self.shared, false).await?;
        let mut changes = Vec::new();
        let mut result = Ok(());
        for entry in snapshots {
            let mut snapshot = entry.snapshot.clone();
            snapshot.tags = edit.apply(&entry.snapshot.tags);
            if snapshot.tags == entry.snapshot.tags {
                continue;
            }
            match self.shared.replace_snapshot(entry.id, snapshot, &lock).await {
                Ok(new) => changes.push(TagChange { old: entry.id, new }),
                Err(error) => {
                    result = Err(error.with_operation("tag"));
                    break;
                }
            }
        }
        lock.release().await;
        result.map(|()| changes)
    }
}

#[cfg(test)]
mod tests {
    use super::TagEdit;

    #[test]
    fn edits() {
        let tags = ["a".to_owned(), "b".to_owned()];
        assert_eq!(TagEdit::set(["c", "c"]).apply(&tags), ["c"]);
        assert_eq!(TagEdit::add(["b", "c"]).apply(&tags), ["a", "b", "c"]);
        assert_eq!(TagEdit::remove(["a", "x"]).apply(&tags), ["b"]);
        let both = TagEdit::Change { add: vec!["c".into()], remove: vec!["c".into(), "a".into()] };
        assert_eq!(both.apply(&tags), ["b"]);
        assert!(TagEdit::add([""]).check().is_err() && TagEdit::set(["a,b"]).check().is_err());
        assert!(TagEdit::set(Vec::<String>::new()).check().is_ok());
    }
}
