//! The places of the repository.

use crate::location::{OpenOptions, Place};
use aeth_core::backup::{BackupSink, BlobSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::{BlobPath, Clock, Error, ErrorKind, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::OnceCell;

/// A place that holds a replica of the repository.
#[derive(Debug, Clone)]
pub(crate) struct Location(Place);

impl Location {
    pub(crate) fn new(place: Place) -> Self {
        Self(place)
    }

    /// True when the location lies on another disk than `data`; `None` when that cannot be told. Blocks on I/O.
    pub(crate) fn is_off_disk(&self, data: &Path) -> Option<bool> {
        use std::os::unix::fs::MetadataExt;
        let Some(directory) = self.0.directory() else { return Some(true) };
        let there = directory.ancestors().find_map(|path| std::fs::metadata(path).ok())?;
        Some(there.dev() != std::fs::metadata(data).ok()?.dev())
    }

    /// Its name in reports.
    pub(crate) fn label(&self) -> String {
        self.0.label()
    }

    /// The location as a sink. One that is `known` to have held the repository is not made anew when it is
    /// missing or empty.
    pub(crate) fn sink(&self, known: bool, clock: &Arc<dyn Clock>) -> LocationSink {
        LocationSink {
            place: self.0.clone(),
            label: self.label(),
            known,
            clock: Arc::clone(clock),
            opened: OnceCell::new(),
        }
    }
}

/// A place that is opened when it is first needed, and tried again until it is there: one disk or server that is
/// away does not keep the other locations from being used.
#[derive(Debug)]
pub(crate) struct LocationSink {
    place: Place,
    label: String,
    known: bool,
    clock: Arc<dyn Clock>,
    opened: OnceCell<BlobSink>,
}

impl LocationSink {
    /// Whatever keeps the place from being used, it may be mended while the storage runs.
    fn unavailable(&self, error: &Error) -> Error {
        Error::unavailable(format!("the backup location cannot be used: {}", error.message()))
            .with_operation("open")
            .with_component("backup location")
            .with_key(&self.label)
            .with_remedy(
                "mount it, or make it a place that may be written; for a new disk in the place of a lost one \
                 say StorageBuilder::fill_lost_locations",
            )
            .with_source(error.clone())
    }

    async fn sink(&self) -> Result<&BlobSink> {
        self.opened
            .get_or_try_init(async || self.open().await.map_err(|error| self.unavailable(&error)))
            .await
    }

    async fn open(&self) -> Result<BlobSink> {
        let lost = || Error::not_found("it held the repository and is empty or missing now");
        if let Some(directory) = self.place.directory().filter(|_| self.known) {
            // Before it is opened, which would make it.
            if !matches!(tokio::fs::try_exists(directory.join("config")).await, Ok(true)) {
                return Err(lost());
            }
        }
        let options = OpenOptions {
            clock: Arc::clone(&self.clock),
            durability: aeth_files::Durability::FileAndDirectory,
            probe: false,
        };
        let store: Arc<dyn BlobStore> = self.place.open(&options).await?;
        if self.known && self.place.directory().is_none() {
            match store.head(&BlobPath::new("config")?).await {
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(lost()),
                other => drop(other?),
            }
        }
        Ok(BlobSink::new(store, None)?.label(self.label.as_str()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Problems;
    use aeth_core::SystemClock;
    use aeth_core::conformance::backup_sink::SinkSubject;

    fn sink(at: &Path, known: bool) -> LocationSink {
        let place = Place::check("x", &at.into(), &mut Problems::default());
        Location::new(place.expect("a directory")).sink(known, &SystemClock::shared())
    }

    #[tokio::test]
    async fn a_location_keeps_the_laws_of_sinks() {
        let dir = testkit::temp_dir();
        let report = SinkSubject::new(sink(&dir.path().join("new"), false)).with_rounds(6).run().await;
        assert!(report.is_ok(), "{report}");
    }

    #[tokio::test]
    async fn a_location_that_lost_its_repository_is_not_made_anew() {
        let dir = testkit::temp_dir();
        let place = dir.path().join("lost");
        let error = sink(&place, true).size(&ObjectId::config()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.remedy().is_some() && !place.exists(), "{error}");
    }
}
