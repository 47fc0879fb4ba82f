//! What is in a version.

use super::error::{COMPONENT, from_gix};
use super::history::{Snapshot, resolve};
use super::pointer::{LONGEST, Pointer};
use super::tree::{self, Record};
use super::{GitArchive, names};
use aeth_core::blob::{Attributes, Blob, BlobMeta, ETag};
use aeth_core::{BlobPath, Body, Error, Result};
use futures_util::TryStreamExt;
use gix::ObjectId;
use gix::objs::Kind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A blob of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveEntry {
    /// Its path in the version.
    pub path: BlobPath,
    /// Its length in bytes.
    pub size: u64,
    /// The name of its content: equal names are equal bytes.
    pub id: String,
    /// True when it is kept out of git.
    pub large: bool,
    /// Its attributes.
    pub attributes: Attributes,
}

/// What a verification found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Verified {
    /// How many blobs were read.
    pub blobs: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// The paths that cannot be read as they were stored, each with the reason.
    pub damaged: Vec<(String, Error)>,
}

/// The attributes of a version's blobs, as they are kept in it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct AttributesFile {
    version: u32,
    attributes: BTreeMap<BlobPath, Attributes>,
}

impl FromIterator<(BlobPath, Attributes)> for AttributesFile {
    fn from_iter<T: IntoIterator<Item = (BlobPath, Attributes)>>(all: T) -> Self {
        Self { version: 1, attributes: all.into_iter().collect() }
    }
}

impl AttributesFile {
    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty()
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::other("the attributes cannot be written").with_source(error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Those of a tree; none when it has none.
    pub(super) fn of(repository: &gix::Repository, tree: ObjectId) -> Result<BTreeMap<BlobPath, Attributes>> {
        let root = tree::entries(repository, tree)?;
        let file =
            root.iter().find(|entry| entry.path == names::ATTRIBUTES.as_bytes() && entry.mode.is_blob());
        let Some(file) = file else { return Ok(BTreeMap::new()) };
        let bytes = content(repository, file.id)?;
        let read: Self = serde_json::from_slice(&bytes).map_err(|error| {
            Error::corrupt("the attributes of the version are damaged")
                .with_component(COMPONENT)
                .with_key(names::ATTRIBUTES)
                .with_source(error)
        })?;
        if read.version != 1 {
            return Err(Error::unsupported("the attributes of the version have a newer format")
                .with_component(COMPONENT)
                .with_remedy("read it with a newer release"));
        }
        Ok(read.attributes)
    }
}

/// The bytes of a blob in git, which are checked against their name.
pub(super) fn content(repository: &gix::Repository, id: ObjectId) -> Result<Vec<u8>> {
    let mut blob = repository.find_blob(id).map_err(from_gix)?;
    let actual = gix::objs::compute_hash(gix::hash::Kind::Sha1, Kind::Blob, &blob.data).map_err(from_gix)?;
    if actual != id {
        return Err(Error::corrupt(
            "an object of the repository does not have the content that its name says",
        )
        .with_component(COMPONENT)
        .with_key(id)
        .with_remedy("run `git fsck` in it and fetch what is missing from a clone"));
    }
    Ok(std::mem::take(&mut blob.data))
}

/// The pointer that a blob in git is, when it is one.
pub(super) fn pointer(repository: &gix::Repository, id: ObjectId) -> Result<(u64, Option<Pointer>)> {
    let size = repository.find_header(id).map_err(from_gix)?.size();
    if size > LONGEST {
        return Ok((size, None));
    }
    // Damage shows where the blob is read.
    Ok((size, Pointer::parse(&repository.find_blob(id).map_err(from_gix)?.data)))
}

/// The blobs among the records of a walk, by path; what is no blob of ours (links, modules, names that are no
/// paths), which other tools commit, is left out and reported by `tracing`.
pub(super) fn blobs(records: &[Record]) -> Vec<(BlobPath, ObjectId)> {
    let mut blobs = Vec::with_capacity(records.len());
    for record in records.iter().filter(|record| !record.mode.is_tree()) {
        match names::from_git(&record.path) {
            Ok(Some(path)) if record.mode.is_blob() => blobs.push((path, record.id)),
            Ok(None) => {}
            Ok(Some(_)) => tracing::debug!("a link or a module in the repository is left out"),
            Err(error) => tracing::debug!(%error, "a file of the repository is left out"),
        }
    }
    blobs.sort_by(|one, two| one.0.cmp(&two.0));
    blobs
}

pub(super) fn list(repository: &gix::Repository, snapshot: &Snapshot) -> Result<Vec<ArchiveEntry>> {
    let tree = snapshot.tree_id()?;
    let mut attributes = AttributesFile::of(repository, tree)?;
    let entry = |(path, id): (BlobPath, ObjectId)| {
        let (size, pointer) = pointer(repository, id)?;
        let attributes = attributes.remove(&path).unwrap_or_default();
        let (size, large) = pointer.map_or((size, false), |pointer| (pointer.size, true));
        Ok(ArchiveEntry { path, size, id: id.to_string(), large, attributes })
    };
    blobs(&tree::walk(repository, tree)?).into_iter().map(entry).collect()
}

/// The bytes of a blob, or the pointer to them.
pub(super) enum Content {
    Bytes(Vec<u8>),
    Large(Pointer),
}

impl GitArchive {
    /// The blobs of a version, by path.
    ///
    /// # Errors
    /// `NotFound` for the version; `Corrupt` for a damaged repository.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn entries(&self, revision: &str) -> Result<Vec<ArchiveEntry>> {
        let revision = revision.to_owned();
        self.with(move |_, repository| list(repository, &resolve(repository, &revision)?)).await
    }

    /// Opens a blob of a version. All bytes are checked against their names; of a large one that shows at the end
    /// of the stream.
    ///
    /// # Errors
    /// `NotFound` for the version, the blob, and a large one whose store does not have it; `Corrupt`.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn get(&self, revision: &str, path: &BlobPath) -> Result<Blob> {
        let (revision, wanted) = (revision.to_owned(), path.clone());
        let (snapshot, entry) = self
            .with(move |_, repository| {
                let snapshot = resolve(repository, &revision)?;
                let entry = list(repository, &snapshot)?.into_iter().find(|entry| entry.path == wanted);
                Ok((snapshot, entry))
            })
            .await?;
        let entry = entry.ok_or_else(|| {
            Error::not_found("the version has no such blob").with_component(COMPONENT).with_key(path)
        })?;
        let body = self.body(&entry).await?;
        let meta = BlobMeta::new(entry.path, entry.size, snapshot.time)
            .with_etag(ETag::new(&entry.id))
            .with_attributes(entry.attributes);
        Ok(Blob::new(meta, 0..entry.size, body.into_stream()))
    }

    /// The bytes of an entry.
    pub(super) async fn body(&self, entry: &ArchiveEntry) -> Result<Body> {
        let (id, size) = (object(&entry.id)?, entry.size);
        match self.content(id).await? {
            Content::Bytes(bytes) => Ok(bytes.into()),
            Content::Large(pointer) => Ok(Body::Once(self.open_large(&pointer).await?, Some(size))),
        }
    }

    pub(super) async fn content(&self, id: ObjectId) -> Result<Content> {
        self.with(move |_, repository| {
            let bytes = content(repository, id)?;
            Ok(Pointer::parse(&bytes).map_or(Content::Bytes(bytes), Content::Large))
        })
        .await
    }

    /// Reads all blobs of a version, the large ones too, and checks each against its name.
    ///
    /// # Errors
    /// `NotFound` for the version; `Corrupt` when not even its list can be read. What is wrong with single blobs
    /// is in the result.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn verify(&self, revision: &str) -> Result<Verified> {
        let revision = revision.to_owned();
        let blobs = self
            .with(move |_, repository| {
                Ok(blobs(&tree::walk(repository, resolve(repository, &revision)?.tree_id()?)?))
            })
            .await?;
        let mut verified = Verified::default();
        for (path, id) in blobs {
            match self.read(id).await {
                Ok(bytes) => {
                    verified.blobs += 1;
                    verified.bytes += bytes;
                }
                Err(error) => verified.damaged.push((path.to_string(), error)),
            }
        }
        Ok(verified)
    }

    /// Reads a blob, checks it, and gives its length.
    async fn read(&self, id: ObjectId) -> Result<u64> {
        let pointer = match self.content(id).await? {
            Content::Bytes(bytes) => return Ok(bytes.len() as u64),
            Content::Large(pointer) => pointer,
        };
        let mut stream = self.open_large(&pointer).await?;
        while stream.try_next().await?.is_some() {}
        Ok(pointer.size)
    }
}

pub(super) fn object(id: &str) -> Result<ObjectId> {
    ObjectId::from_hex(id.as_bytes())
        .map_err(|error| Error::invalid("this is not the name of an object").with_key(id).with_source(error))
}
