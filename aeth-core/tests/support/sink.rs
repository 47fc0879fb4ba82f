//! A backup sink in memory.

use aeth_core::backup::{BackupSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use aeth_core::{Error, ErrorKind, Result, async_trait};
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// One way in which a sink can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    LargeIsCut,
    AgainFails,
    TornStays,
    ConfigOverwritten,
    ConfigRaces,
    SidecarStays,
    SharedScratch,
    WriteInPieces,
    RangeIsCut,
    MissingIsEmpty,
    KindsShareNames,
    ListFirstPage,
    RemoveMissingFails,
    AppendOnlyLies,
    KeepLies,
}

/// A backup sink in memory, correct unless a flaw is switched on.
#[derive(Debug, Clone)]
pub struct RefSink {
    flaw: Option<Flaw>,
    append_only: bool,
    objects: Arc<Mutex<BTreeMap<ObjectId, Bytes>>>,
    scratch: Arc<Mutex<Bytes>>,
}

impl RefSink {
    pub fn new() -> Self {
        Self { flaw: None, append_only: false, objects: Arc::default(), scratch: Arc::default() }
    }

    pub fn append_only() -> Self {
        Self { append_only: true, ..Self::new() }
    }

    pub fn flawed(flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), append_only: flaw == Flaw::AppendOnlyLies, ..Self::new() }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn find(&self, id: &ObjectId) -> Result<Bytes> {
        let objects = self.objects.lock();
        let same =
            |other: &ObjectId| other == id || self.has(Flaw::KindsShareNames) && other.name() == id.name();
        match objects.iter().find(|(other, _)| same(other)) {
            Some((_, bytes)) => Ok(bytes.clone()),
            None if self.has(Flaw::MissingIsEmpty) => Ok(Bytes::new()),
            None => Err(Error::not_found("no such object").with_key(id)),
        }
    }
}

#[async_trait]
impl BackupSink for RefSink {
    fn name(&self) -> Cow<'_, str> {
        "reference".into()
    }

    fn capabilities(&self) -> SinkCapabilities {
        let capabilities = SinkCapabilities::new(false);
        if self.append_only { capabilities.append_only() } else { capabilities }
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        let mut sealed = sealed;
        if self.has(Flaw::SharedScratch) {
            *self.scratch.lock() = sealed;
            tokio::task::yield_now().await;
            sealed = self.scratch.lock().clone();
        }
        if self.has(Flaw::WriteInPieces) {
            self.objects.lock().insert(id.clone(), sealed.slice(..sealed.len() / 2));
            tokio::task::yield_now().await;
        }
        if self.has(Flaw::LargeIsCut) {
            sealed = sealed.slice(..sealed.len().min(4 << 20));
        }
        let there = self.objects.lock().get(id).cloned();
        if self.has(Flaw::ConfigRaces) {
            tokio::task::yield_now().await;
        }
        let exists = || Error::new(ErrorKind::AlreadyExists, "it is there");
        let mut objects = self.objects.lock();
        let there = if self.has(Flaw::ConfigRaces) { there } else { objects.get(id).cloned() };
        match (id.kind(), there) {
            (_, Some(_)) if self.has(Flaw::AgainFails) => return Err(exists()),
            (ObjectKind::Config, Some(there)) if there != sealed && !self.has(Flaw::ConfigOverwritten) => {
                return Err(exists());
            }
            (ObjectKind::Sidecar, Some(_)) if self.has(Flaw::SidecarStays) => return Ok(()),
            (kind, Some(_)) if kind.is_content_named() && self.has(Flaw::TornStays) => return Ok(()),
            _ => {}
        }
        objects.insert(id.clone(), sealed);
        Ok(())
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        let bytes = self.find(id)?;
        let Some(range) = range else {
            return Ok(bytes);
        };
        let mut end = range.end;
        if self.has(Flaw::RangeIsCut) {
            end = end.min(bytes.len() as u64);
        }
        if end > bytes.len() as u64 || range.start > end {
            return Err(Error::invalid("past the end"));
        }
        Ok(bytes.slice(range.start as usize..end as usize))
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        Ok(self.find(id)?.len() as u64)
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        let most = if self.has(Flaw::ListFirstPage) { 1000 } else { usize::MAX };
        let listed: Vec<_> = self
            .objects
            .lock()
            .iter()
            .filter(|(id, _)| id.kind() == kind)
            .take(most)
            .map(|(id, bytes)| Ok(ObjectMeta::new(id.clone(), bytes.len() as u64)))
            .collect();
        stream::iter(listed).boxed()
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        for id in ids {
            if self.append_only && !id.kind().is_transient() && !self.has(Flaw::AppendOnlyLies) {
                return Err(Error::new(ErrorKind::Denied, "append-only"));
            }
            let gone = self.objects.lock().remove(id);
            if gone.is_none() && self.has(Flaw::RemoveMissingFails) {
                return Err(Error::not_found("no such object"));
            }
        }
        Ok(())
    }

    async fn keep_until(&self, _: &[ObjectId], _: std::time::SystemTime) -> Result<()> {
        if self.has(Flaw::KeepLies) { Ok(()) } else { aeth_core::backup::no_object_lock(self) }
    }
}
