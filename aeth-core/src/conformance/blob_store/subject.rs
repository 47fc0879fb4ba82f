//! The store under test.

use crate::blob::{
    BlobMeta, BlobStore, BlobStoreExt, Capabilities, Capability, Consistency, GetOptions, ListOptions,
    PutOptions, PutResult,
};
use crate::conformance::law::Subject;
use crate::conformance::{Breach, tools};
use crate::{BlobPath, Result};
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// A store, and how it is tested.
#[derive(Debug, Clone)]
pub struct BlobSubject {
    pub(super) store: Arc<dyn BlobStore>,
    pub(super) other: Option<Arc<dyn BlobStore>>,
    pub(super) rounds: usize,
    pub(super) large: usize,
    prefix: String,
}

type Checked<T> = std::result::Result<T, Breach>;

impl BlobSubject {
    /// Tests `store` under a random prefix, with 24 rounds in laws about chance and blobs of 9 MiB in laws about
    /// size.
    #[must_use]
    pub fn new(store: impl BlobStore) -> Self {
        let prefix = format!("aeth-conformance-{:016x}", fastrand::u64(..));
        Self { store: Arc::new(store), other: None, rounds: 24, large: (9 << 20) + 1, prefix }
    }

    /// Works under this prefix instead of a random one.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &BlobPath) -> Self {
        self.prefix = prefix.as_str().to_owned();
        self
    }

    /// Another handle on the same storage, as another process would have: laws about concurrency use both.
    #[must_use]
    pub fn with_other(mut self, other: impl BlobStore) -> Self {
        self.other = Some(Arc::new(other));
        self
    }

    /// Sets the number of rounds of laws that are about chance; at least 1.
    #[must_use]
    pub fn with_rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    /// Sets the size in bytes of large blobs; at least 64 KiB. A little over 5 MiB is the least that makes the
    /// usual object stores use parts.
    #[must_use]
    pub fn with_large(mut self, bytes: usize) -> Self {
        self.large = bytes.max(64 << 10);
        self
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    /// Skips the law unless the store claims the capability.
    pub(super) fn needs(&self, capability: Capability) -> Checked<()> {
        if self.capabilities().has(capability) {
            return Ok(());
        }
        Err(Breach::Skipped(format!("{capability:?} is not claimed")))
    }

    /// Skips the law unless listings and reads follow writes at once.
    pub(super) fn needs_strong(&self) -> Checked<()> {
        if self.capabilities().consistency == Consistency::Strong {
            return Ok(());
        }
        Err(Breach::Skipped("the store is only eventually consistent".into()))
    }

    /// A path in this law's place.
    pub(super) fn path(&self, rest: impl AsRef<str>) -> Checked<BlobPath> {
        Ok(BlobPath::new(format!("{}/{}", self.prefix, rest.as_ref()))?)
    }

    /// The text of a path or prefix in this law's place.
    pub(super) fn text(&self, rest: &str) -> String {
        format!("{}/{rest}", self.prefix)
    }

    /// Takes this law's place off a listed path or prefix.
    pub(super) fn rest<'a>(&self, listed: &'a str) -> Checked<&'a str> {
        listed.strip_prefix(self.prefix.as_str()).and_then(|rest| rest.strip_prefix('/')).ok_or_else(|| {
            Breach::Failed(format!("the listing gives {listed:?}, outside of the prefix asked for"))
        })
    }

    /// The handles that laws about concurrency use in turn.
    pub(super) fn handle(&self, turn: usize) -> Arc<dyn BlobStore> {
        match &self.other {
            Some(other) if turn % 2 == 1 => Arc::clone(other),
            _ => Arc::clone(&self.store),
        }
    }

    pub(super) async fn put(&self, path: &BlobPath, bytes: &Bytes) -> Result<PutResult> {
        self.store.put_opts(path, bytes.clone().into(), PutOptions::default()).await
    }

    /// Demands that the blob is there with exactly these bytes, by its metadata and by its content.
    pub(super) async fn holds(&self, what: &str, path: &BlobPath, bytes: &Bytes) -> Checked<BlobMeta> {
        let blob = self
            .store
            .get_opts(path, GetOptions::default())
            .await
            .map_err(|error| Breach::Failed(format!("{what}: cannot be read: {error}")))?;
        let meta = blob.meta.clone();
        let range = blob.range.clone();
        let read = blob
            .bytes()
            .await
            .map_err(|error| Breach::Failed(format!("{what}: its stream failed: {error}")))?;
        let length = bytes.len() as u64;
        if meta.size != length || range != (0..length) {
            return Err(Breach::Failed(format!(
                "{what}: the metadata says {} bytes and the range {range:?}, it has {length}",
                meta.size
            )));
        }
        if meta.path != *path {
            return Err(Breach::Failed(format!("{what}: the metadata is of {:?}", meta.path)));
        }
        if read != *bytes {
            return Err(Breach::Failed(format!("{what}: {}", difference(&read, bytes))));
        }
        Ok(meta)
    }

    /// Demands that there is no blob, for a get, a head and a listing.
    pub(super) async fn absent(&self, what: &str, path: &BlobPath) -> Checked<()> {
        for (call, result) in
            [("get", self.store.get(path).await.map(drop)), ("head", self.store.head(path).await.map(drop))]
        {
            tools::fails(&format!("{what}: {call}"), result, &[crate::ErrorKind::NotFound])?;
        }
        let options = ListOptions::prefix(path.as_str());
        let page = self.store.list_page(options).await?;
        if page.blobs.iter().any(|meta| meta.path == *path) {
            return Err(Breach::Failed(format!("{what}: it is listed, but must not be there")));
        }
        Ok(())
    }

    /// The whole listing of this law's place.
    pub(super) async fn listed(&self, prefix: &str) -> Checked<Vec<BlobMeta>> {
        Ok(self.store.list(Some(&self.text(prefix))).try_collect().await?)
    }
}

/// Says where two runs of bytes differ.
pub(super) fn difference(found: &[u8], wanted: &[u8]) -> String {
    if found.len() != wanted.len() {
        return format!("{} bytes came back of {}", found.len(), wanted.len());
    }
    let at = found.iter().zip(wanted).position(|(a, b)| a != b).unwrap_or(0);
    format!("the bytes differ from offset {at} of {} on", wanted.len())
}

impl Subject for BlobSubject {
    fn label(&self) -> String {
        self.store.name().into_owned()
    }

    fn scoped(&self, law: &'static str) -> Self {
        Self { prefix: format!("{}/{law}", self.prefix), ..self.clone() }
    }

    fn clean_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let listed: Result<Vec<BlobMeta>> = self.store.list(Some(&self.text(""))).try_collect().await;
            let paths: Vec<BlobPath> = listed.unwrap_or_default().into_iter().map(|meta| meta.path).collect();
            for paths in paths.chunks(500) {
                // Best effort: the law has its verdict, and the next one has a place of its own.
                drop(self.store.delete_many(paths).await);
            }
        })
    }
}
