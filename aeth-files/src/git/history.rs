//! What versions there are.

use super::error::{COMPONENT, from_gix};
use super::options::{branch, tag, time};
use super::reference::{Turn, current};
use super::staging::Staging;
use super::{GitArchive, signature};
use aeth_core::{Error, ErrorKind, Result};
use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::objs::{CommitRef, Kind, Tag};
use std::time::SystemTime;

/// A version: one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The commit.
    pub id: String,
    /// The tree that it holds: equal trees are equal content.
    pub tree: String,
    /// The versions before it, none for the first.
    pub parents: Vec<String>,
    /// When it was made, in whole seconds.
    pub time: SystemTime,
    /// Who made it.
    pub author: String,
    /// What was said about it.
    pub message: String,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GitTag {
    /// The name.
    pub name: String,
    /// The commit.
    pub commit: String,
}

impl Snapshot {
    pub(super) fn read(repository: &gix::Repository, id: ObjectId) -> Result<Self> {
        let commit = repository.find_commit(id).map_err(from_gix)?;
        let decoded = CommitRef::from_bytes(&commit.data, gix::hash::Kind::Sha1).map_err(from_gix)?;
        let author = decoded.author().map_err(from_gix)?;
        Ok(Self {
            id: id.to_string(),
            tree: decoded.tree().to_string(),
            parents: decoded.parents().map(|parent| parent.to_string()).collect(),
            time: time(decoded.time().map_err(from_gix)?.seconds),
            author: author.name.trim().to_str_lossy().into_owned(),
            message: decoded.message.to_str_lossy().into_owned(),
        })
    }

    pub(super) fn tree_id(&self) -> Result<ObjectId> {
        ObjectId::from_hex(self.tree.as_bytes())
            .map_err(|error| Error::corrupt("the name of the tree is none").with_source(error))
    }
}

/// The commit that a text names: a branch, a tag, a full or short id, `HEAD~2` and what else git takes.
pub(super) fn resolve(repository: &gix::Repository, revision: &str) -> Result<Snapshot> {
    let missing = |error: gix::Error| {
        Error::not_found("the archive has no such version")
            .with_component(COMPONENT)
            .with_key(revision)
            .with_remedy("see the history and the tags for what there is")
            .with_source(error)
    };
    let id = repository.rev_parse_single(revision.as_bytes()).map_err(missing)?;
    let object = id.object().map_err(from_gix)?;
    let commit = object.peel_to_commit().map_err(missing)?;
    Snapshot::read(repository, commit.id)
}

impl GitArchive {
    /// The version that a text names: a branch, a tag, a full or short id, `HEAD`, `HEAD~2` and what else
    /// `git help revisions` has.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` for a damaged repository.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn version(&self, revision: &str) -> Result<Snapshot> {
        let revision = revision.to_owned();
        self.with(move |_, repository| resolve(repository, &revision)).await
    }

    /// A version and those before it (along the first parents), the latest first, at most `limit`. To go on, ask
    /// for the parent of the last one.
    ///
    /// # Errors
    /// As [`version`](Self::version); an archive without any commit has no `HEAD`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn history(&self, revision: &str, limit: usize) -> Result<Vec<Snapshot>> {
        let revision = revision.to_owned();
        self.with(move |_, repository| {
            let mut next = Some(resolve(repository, &revision)?);
            let mut found = Vec::new();
            while let Some(snapshot) = next.take().filter(|_| found.len() < limit) {
                next = parent(repository, &snapshot)?;
                found.push(snapshot);
            }
            Ok(found)
        })
        .await
    }

    /// The last version of the branch that was made at or before a time; `None` when there was none yet.
    ///
    /// # Errors
    /// `Corrupt` for a damaged repository.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn version_at(&self, at: SystemTime) -> Result<Option<Snapshot>> {
        self.with(move |inner, repository| {
            let tip = current(repository, &branch(&inner.options.branch)?)?;
            let mut next = tip.map(|tip| Snapshot::read(repository, tip)).transpose()?;
            while let Some(snapshot) = next.take() {
                if snapshot.time <= at {
                    return Ok(Some(snapshot));
                }
                next = parent(repository, &snapshot)?;
            }
            Ok(None)
        })
        .await
    }

    /// Names a version: with a message by a tag of its own right, without by a mere reference.
    ///
    /// # Errors
    /// `Invalid` for a name or message that git refuses; `AlreadyExists`; `NotFound` for the version; `Busy` when
    /// another writer holds the archive.
    ///
    /// # Cancel safety
    /// The tag is there or not.
    pub async fn tag(&self, name: &str, revision: &str, message: Option<&str>) -> Result<()> {
        let (full, name, revision) = (tag(name)?, name.to_owned(), revision.to_owned());
        let message = message.map(str::to_owned);
        if message.as_ref().is_some_and(|message| message.contains('\0')) {
            return Err(Error::invalid("the message holds a NUL").with_component(COMPONENT).with_key(name));
        }
        self.with(move |inner, repository| {
            let snapshot = resolve(repository, &revision)?;
            let commit = repository.rev_parse_single(snapshot.id.as_bytes()).map_err(from_gix)?.detach();
            let staging = Staging::begin(&inner.dir)?;
            let target = match message {
                Some(message) => {
                    let tagger = signature::of(&inner.options, inner.options.clock.now());
                    let tag = Tag {
                        target: commit,
                        target_kind: Kind::Commit,
                        name: name.as_str().into(),
                        tagger: Some(tagger),
                        message: message.into(),
                        signature: None,
                    };
                    let id = staging.write_object(repository, &tag)?;
                    staging.publish()?;
                    id
                }
                None => commit,
            };
            if Turn::take(inner)?.set(repository, &full, None, target)? {
                return Ok(());
            }
            Err(Error::new(ErrorKind::AlreadyExists, "there is a tag of this name")
                .with_component(COMPONENT)
                .with_key(name)
                .with_remedy("choose another name, or remove the tag first"))
        })
        .await
    }

    /// Removes a tag, not the version; a missing one is success.
    ///
    /// # Errors
    /// `Invalid` for a name that is none; `Busy` when another writer holds the archive.
    ///
    /// # Cancel safety
    /// The tag is there or not.
    pub async fn untag(&self, name: &str) -> Result<()> {
        let full = tag(name)?;
        self.with(move |inner, repository| {
            let turn = Turn::take(inner)?;
            while let Some(target) = current(repository, &full)? {
                if turn.remove(repository, &full, target)? {
                    break;
                }
            }
            Ok(())
        })
        .await
    }

    /// All tags of versions, by name.
    ///
    /// # Errors
    /// `Corrupt` for a damaged repository.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn tags(&self) -> Result<Vec<GitTag>> {
        self.with(|_, repository| {
            let mut tags = Vec::new();
            for found in repository.references().map_err(from_gix)?.tags().map_err(from_gix)? {
                let mut found = found.map_err(from_gix)?;
                let name = found.name().shorten().to_str_lossy().into_owned();
                let id = found.peel_to_id().map_err(from_gix)?;
                // Git lets anything be tagged.
                if id.object().map_err(from_gix)?.kind == Kind::Commit {
                    tags.push(GitTag { name, commit: id.to_string() });
                }
            }
            tags.sort_by(|one, two| one.name.cmp(&two.name));
            Ok(tags)
        })
        .await
    }
}

fn parent(repository: &gix::Repository, snapshot: &Snapshot) -> Result<Option<Snapshot>> {
    let Some(parent) = snapshot.parents.first() else { return Ok(None) };
    let id = ObjectId::from_hex(parent.as_bytes())
        .map_err(|error| Error::corrupt("the name of a parent is none").with_source(error))?;
    Snapshot::read(repository, id).map(Some)
}
