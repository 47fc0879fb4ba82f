//! The places of the repository.

use aeth_core::backup::{BackupSink, BlobSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use aeth_core::{Clock, Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::OnceCell;

/// A directory that holds a replica of the repository.
#[derive(Debug, Clone)]
pub(crate) struct Location(PathBuf);

impl Location {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// True when the location lies on another disk than `data`; `None` when that cannot be told. Blocks on I/O.
    pub(crate) fn is_off_disk(&self, data: &Path) -> Option<bool> {
        use std::os::unix::fs::MetadataExt;
        let there = self.0.ancestors().find_map(|path| std::fs::metadata(path).ok())?;
        Some(there.dev() != std::fs::metadata(data).ok()?.dev())
    }

    /// Its name in reports.
    pub(crate) fn label(&self) -> String {
        self.0.display().to_string()
    }

    /// The location as a sink. One that is `known` to have held the repository is not made anew when it is
    /// missing or empty.
    pub(crate) fn sink(&self, known: bool, clock: &Arc<dyn Clock>) -> Arc<dyn BackupSink> {
        Arc::new(LocationSink {
            path: self.0.clone(),
            label: self.label(),
            known,
            clock: Arc::clone(clock),
            opened: OnceCell::new(),
        })
    }
}

/// A directory that is opened when it is first needed, and tried again until it is there: one disk that is
/// away does not keep the other locations from being used.
#[derive(Debug)]
struct LocationSink {
    path: PathBuf,
    label: String,
    known: bool,
    clock: Arc<dyn Clock>,
    opened: OnceCell<BlobSink>,
}

impl LocationSink {
    /// Whatever keeps the directory from being used, it may be mended while the storage runs.
    fn unavailable(&self, error: &Error) -> Error {
        Error::unavailable(format!("the backup location cannot be used: {}", error.message()))
            .with_operation("open")
            .with_component("backup location")
            .with_key(&self.label)
            .with_remedy(
                "mount it, or make it a directory that may be written; for a new disk in the place of a lost one \
                 say StorageBuilder::fill_lost_locations",
            )
            .with_source(error.clone())
    }

    async fn sink(&self) -> Result<&BlobSink> {
        let open = async || {
            let options = aeth_files::LocalDirOptions::default().with_clock(Arc::clone(&self.clock));
            if self.known && !matches!(tokio::fs::try_exists(self.path.join("config")).await, Ok(true)) {
                let error = Error::not_found("it held the repository and is empty or missing now");
                return Err(self.unavailable(&error));
            }
            let store = aeth_files::LocalDir::open_with(&self.path, options).await;
            let store = store.map_err(|error| self.unavailable(&error))?;
            BlobSink::new(Arc::new(store), None)
        };
        self.opened.get_or_try_init(open).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupSink for LocationSink {
    fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.label)
    }

    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(true)
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        self.sink().await?.write(id, sealed).await
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        self.sink().await?.read(id, range).await
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        self.sink().await?.size(id).await
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        futures_util::stream::once(self.sink()).map_ok(move |sink| sink.list(kind)).try_flatten().boxed()
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        self.sink().await?.remove(ids).await
    }

    async fn keep_until(&self, ids: &[ObjectId], until: SystemTime) -> Result<()> {
        self.sink().await?.keep_until(ids, until).await
    }
}
