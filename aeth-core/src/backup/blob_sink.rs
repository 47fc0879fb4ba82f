//! Any blob store as a sink.

use super::{BackupSink, ObjectId, ObjectKind, ObjectLock, ObjectMeta, SinkCapabilities, no_object_lock};
use crate::blob::{BlobStore, BlobStoreExt, Capability, GetOptions, GetRange, ListOptions, PutOptions};
use crate::{BlobPath, Body, Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// A [`BackupSink`] over any [`BlobStore`], in the directory layout of a restic repository (`config`, `keys/`,
/// `data/xx/`, `index/`, `snapshots/`, `locks/`), so that standard tools find what they expect.
#[derive(Debug, Clone)]
pub struct BlobSink {
    store: Arc<dyn BlobStore>,
    prefix: Option<BlobPath>,
    append_only: bool,
    lock: Option<Arc<dyn ObjectLock>>,
    label: Option<Arc<str>>,
}

impl BlobSink {
    /// A sink in `store`, under `prefix` when one is given.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when a layer of the store changes the bytes: what it writes, standard tools
    /// could not read.
    pub fn new(store: Arc<dyn BlobStore>, prefix: Option<BlobPath>) -> Result<Self> {
        if !store.capabilities().has(Capability::Transparent) {
            return Err(Error::unsupported("a layer of the store changes the bytes that are put")
                .with_component(store.name().into_owned())
                .with_remedy("give the backup a store without encrypting or compressing layers: the repository is sealed already"));
        }
        Ok(Self { store, prefix, append_only: false, lock: None, label: None })
    }

    /// Refuses to remove anything but locks and sidecars.
    #[must_use]
    pub fn append_only(mut self) -> Self {
        self.append_only = true;
        self
    }

    /// Lets objects be kept from being destroyed by the store's own means, which `lock` stands for.
    #[must_use]
    pub fn object_lock(mut self, lock: Arc<dyn ObjectLock>) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Gives the sink a name of its own, for messages and metrics: two directories are both a `local-dir`. Never a
    /// secret. Default: the store's name.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn BlobStore> {
        &self.store
    }

    fn path(&self, id: &ObjectId) -> Result<BlobPath> {
        let name = id.name();
        let text = match id.kind() {
            ObjectKind::Config => "config".to_owned(),
            ObjectKind::Pack => format!("data/{}/{name}", &name[..2]),
            kind => format!("{}{name}", directory(kind)),
        };
        Ok(match &self.prefix {
            Some(prefix) => prefix.join(text)?,
            None => BlobPath::new(text)?,
        })
    }

    fn listing(&self, kind: ObjectKind) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{}", directory(kind)),
            None => directory(kind).to_owned(),
        }
    }
}

fn directory(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Config => "config",
        ObjectKind::Key => "keys/",
        ObjectKind::Pack => "data/",
        ObjectKind::Index => "index/",
        ObjectKind::Snapshot => "snapshots/",
        ObjectKind::Lock => "locks/",
        // Standard tools ignore directories that they do not know.
        ObjectKind::Sidecar => "aetherius/",
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupSink for BlobSink {
    fn name(&self) -> Cow<'_, str> {
        match &self.label {
            Some(label) => Cow::Borrowed(label),
            None => self.store.name(),
        }
    }

    fn capabilities(&self) -> SinkCapabilities {
        let mut capabilities = SinkCapabilities::new(self.store.capabilities().has(Capability::Durable));
        capabilities.append_only = self.append_only;
        capabilities.object_lock = self.lock.is_some();
        capabilities
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        let path = self.path(id)?;
        let creates =
            id.kind() != ObjectKind::Sidecar && self.store.capabilities().has(Capability::CreateOnly);
        let options = if creates { PutOptions::create() } else { PutOptions::default() };
        let there = match self.store.put_opts(&path, Body::Bytes(sealed.clone()), options).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => error,
            Err(error) => return Err(error),
        };
        if id.kind() == ObjectKind::Config {
            let stored = self.store.get_bytes(&path).await?;
            return if stored == sealed { Ok(()) } else { Err(there) };
        }
        // The name is the hash of the content: the same length means the same bytes, and another length that
        // an earlier write was torn by an engine that is not atomic.
        if self.store.head(&path).await?.size == sealed.len() as u64 {
            return Ok(());
        }
        self.store.put(&path, sealed).await.map(drop)
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        let path = self.path(id)?;
        let options = GetOptions::default().in_one_piece();
        let Some(range) = range else {
            return self.store.get_opts(&path, options).await?.bytes().await;
        };
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let length = range.end - range.start;
        let options = options.with_range(GetRange::Bounded(range));
        let bytes = self.store.get_opts(&path, options).await?.bytes().await?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        Err(Error::invalid(format!("the object has {} bytes where {length} were asked for", bytes.len()))
            .with_operation("read")
            .with_key(path))
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        Ok(self.store.head(&self.path(id)?).await?.size)
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        let prefix = self.listing(kind);
        let options = ListOptions::prefix(prefix.clone());
        crate::blob::list_stream(&*self.store, options)
            .try_filter_map(move |meta| {
                let rest = meta.path.as_str().strip_prefix(prefix.as_str()).unwrap_or_default();
                let name = match kind {
                    ObjectKind::Config => Some("config").filter(|_| rest.is_empty()),
                    ObjectKind::Pack => rest.split_once('/').map(|(_, name)| name),
                    _ => Some(rest),
                };
                let found = name
                    .and_then(|name| ObjectId::parse(kind, name).ok())
                    .map(|id| ObjectMeta::new(id, meta.size));
                std::future::ready(Ok(found))
            })
            .boxed()
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        if let Some(id) = ids.iter().find(|id| self.append_only && !id.kind().is_transient()) {
            return Err(Error::new(ErrorKind::Denied, "the sink is append-only")
                .with_operation("remove")
                .with_key(id)
                .with_remedy("prune with credentials that may delete, from a trusted host"));
        }
        let paths = ids.iter().map(|id| self.path(id)).collect::<Result<Vec<_>>>()?;
        self.store.delete_many(&paths).await?.into_iter().collect()
    }

    async fn keep_until(&self, ids: &[ObjectId], until: SystemTime) -> Result<()> {
        let Some(lock) = &self.lock else { return no_object_lock(self) };
        for id in ids {
            lock.keep_until(&self.path(id)?, until).await?;
        }
        Ok(())
    }
}
