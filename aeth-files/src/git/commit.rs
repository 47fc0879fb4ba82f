//! Making versions.

use super::error::COMPONENT;
use super::history::Snapshot;
use super::large::changed;
use super::options::branch;
use super::pointer::Pointer;
use super::read::AttributesFile;
use super::reference::{Turn, check_expected, current};
use super::staging::Staging;
use super::tree::Dir;
use super::{CommitOptions, GitArchive, Inner, names, signature};
use crate::blocking::blocking;
use aeth_core::blob::{Attributes, BlobMeta, BlobStore, BlobStoreExt, GetOptions};
use aeth_core::{BlobPath, Error, ErrorKind, Result, collect_stream};
use futures_util::{StreamExt, TryStreamExt};
use gix::ObjectId;
use gix::objs::{Commit, Kind};
use std::sync::Arc;

/// How often a blob that changes while it is read is tried again.
const TRIES: u32 = 4;

/// What a commit gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The version.
    pub snapshot: Snapshot,
    /// False when nothing had changed and the version is the one before.
    pub created: bool,
    /// How many blobs it has.
    pub blobs: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

/// One blob of the version to be.
struct Taken {
    path: BlobPath,
    id: ObjectId,
    size: u64,
    attributes: Attributes,
}

impl GitArchive {
    /// Makes a version of all blobs of a store below a directory (the empty text: all of them), which are named
    /// in it by the rest of their paths. A blob that is deleted meanwhile is left out.
    ///
    /// When nothing changed since the last version, that one is given back. When another writer was faster, the
    /// version follows the other's: it holds the prefix as it was read, whatever the other holds.
    ///
    /// # Errors
    /// `Invalid` for a message that git would refuse; `Precondition` when the branch is not where
    /// [`CommitOptions::expected`] demands; `Busy` when a blob changes all the time, or another writer holds the
    /// archive; those of the stores.
    ///
    /// # Cancel safety
    /// The version is there, whole, or not.
    pub async fn commit(
        &self,
        source: &dyn BlobStore,
        prefix: &str,
        options: CommitOptions,
    ) -> Result<Committed> {
        let committed = self.make(source, prefix, options).await;
        committed.map_err(|error| error.with_operation("commit").with_component(COMPONENT))
    }

    async fn make(&self, source: &dyn BlobStore, prefix: &str, options: CommitOptions) -> Result<Committed> {
        let prefix = match prefix.trim_end_matches('/') {
            "" => String::new(),
            prefix => format!("{}/", BlobPath::new(prefix)?),
        };
        if options.message.as_ref().is_some_and(|message| message.contains('\0')) {
            return Err(Error::invalid("the message holds a NUL").with_remedy("give text without it"));
        }
        let staging = self.with(|inner, _| Staging::begin(&inner.dir).map(Arc::new)).await?;
        let mut taken: Vec<Taken> = source
            .list(Some(&prefix))
            .map(|meta| async { self.take(source, &prefix, meta?, &staging).await })
            .buffer_unordered(self.0.options.concurrency)
            .try_filter_map(|taken| async move { Ok(taken) })
            .try_collect()
            .await?;
        taken.sort_by(|one, two| one.path.cmp(&two.path));
        self.with(move |inner, repository| inner.finish(repository, &staging, &taken, &prefix, &options))
            .await
    }

    /// Takes one blob in.
    async fn take(
        &self,
        source: &dyn BlobStore,
        prefix: &str,
        meta: BlobMeta,
        staging: &Arc<Staging>,
    ) -> Result<Option<Taken>> {
        let path = BlobPath::new(meta.path.as_str().get(prefix.len()..).unwrap_or_default())?;
        for _ in 0..TRIES {
            let blob = match source.get_opts(&meta.path, GetOptions::default()).await {
                Ok(blob) => blob,
                Err(error) if error.is_not_found() => return Ok(None),
                Err(error) => return Err(error),
            };
            let (size, attributes) = (blob.meta.size, blob.meta.attributes.clone().unwrap_or_default());
            let content = if size > self.0.options.large_over {
                match self.keep(source, &blob.meta, blob.body).await? {
                    Some(pointer) => pointer.text().into(),
                    None => continue,
                }
            } else {
                let bytes = match collect_stream(blob.body, size).await {
                    Ok(bytes) if bytes.len() as u64 == size => bytes,
                    Ok(_) => continue,
                    Err(error) if changed(&error) || error.kind() == ErrorKind::Full => continue,
                    Err(error) => return Err(error),
                };
                match Pointer::parse(&bytes) {
                    // What reads as a pointer must mean itself.
                    Some(_) => self.keep_bytes(bytes).await?.text().into(),
                    None => bytes,
                }
            };
            let staging = Arc::clone(staging);
            let inner = Arc::clone(&self.0);
            let id = blocking(move || staging.write(&inner.open(), Kind::Blob, &content)).await?;
            return Ok(Some(Taken { path, id, size, attributes }));
        }
        Err(Error::new(ErrorKind::Busy, "the blob changed every time that it was read")
            .with_key(&meta.path)
            .with_remedy("commit again when it is written less often"))
    }
}

impl Inner {
    fn finish(
        &self,
        repository: &gix::Repository,
        staging: &Staging,
        taken: &[Taken],
        prefix: &str,
        options: &CommitOptions,
    ) -> Result<Committed> {
        let mut root = Dir::default();
        taken.iter().for_each(|blob| root.insert(&blob.path, blob.id));
        let attributes: AttributesFile = taken
            .iter()
            .filter(|blob| !blob.attributes.is_empty())
            .map(|blob| (blob.path.clone(), blob.attributes.clone()))
            .collect();
        if !attributes.is_empty() {
            let id = staging.write(repository, Kind::Blob, &attributes.to_bytes()?)?;
            root.insert_own(names::ATTRIBUTES, id);
        }
        let tree = root.write(repository, staging)?;
        staging.publish()?;

        let named = tree.to_string();
        let name = branch(&self.options.branch)?;
        let turn = Turn::take(self)?;
        let done = |snapshot, created| Committed {
            snapshot,
            created,
            blobs: taken.len() as u64,
            bytes: taken.iter().map(|blob| blob.size).sum(),
        };
        // Others of our kind wait for their turn; a push by stock git may come between.
        loop {
            let tip = current(repository, &name)?;
            check_expected(options.expected.as_deref(), tip, &self.options.branch)?;
            let last = tip.map(|tip| Snapshot::read(repository, tip)).transpose()?;
            if let Some(last) = last.filter(|last| last.tree.as_str() == named && !options.allow_unchanged) {
                return Ok(done(last, false));
            }
            let author = signature::of(&self.options, self.options.clock.now());
            let message = match &options.message {
                Some(message) => message.clone(),
                None if prefix.is_empty() => "Archive of everything\n".to_owned(),
                None => format!("Archive of {prefix}\n"),
            };
            let commit = Commit {
                tree,
                parents: tip.into_iter().collect(),
                author: author.clone(),
                committer: author,
                encoding: None,
                message: message.into(),
                extra_headers: Vec::new(),
            };
            let id = staging.write_object(repository, &commit)?;
            staging.publish()?;
            if turn.set(repository, &name, tip, id)? {
                return Ok(done(Snapshot::read(repository, id)?, true));
            }
        }
    }
}
