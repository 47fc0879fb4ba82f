//! The sink under test.

use crate::ErrorKind;
use crate::backup::{BackupSink, ObjectId, ObjectKind};
use crate::conformance::law::Subject;
use crate::conformance::sha256::sha256;
use crate::conformance::{Breach, tools};
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A sink, and how it is tested.
#[derive(Debug, Clone)]
pub struct SinkSubject {
    pub(super) sink: Arc<dyn BackupSink>,
    pub(super) rounds: usize,
    run: u64,
    law: &'static str,
    written: Arc<Mutex<BTreeSet<ObjectId>>>,
}

type Checked<T> = Result<T, Breach>;

impl SinkSubject {
    /// Tests `sink`, which must not have a configuration yet, with 24 rounds in laws about chance.
    #[must_use]
    pub fn new(sink: impl BackupSink) -> Self {
        Self { sink: Arc::new(sink), rounds: 24, run: fastrand::u64(..), law: "", written: Arc::default() }
    }

    /// Sets the number of rounds of laws that are about chance; at least 1.
    #[must_use]
    pub fn with_rounds(mut self, rounds: usize) -> Self {
        self.rounds = rounds.max(1);
        self
    }

    /// Bytes that no other law and no other run has, and the object that they make.
    pub(super) fn object(&self, kind: ObjectKind, seed: u64, size: usize) -> (ObjectId, Bytes) {
        let law = self
            .law
            .bytes()
            .fold(self.run, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let bytes = tools::pattern(law.wrapping_add(seed), size);
        let id = match kind {
            ObjectKind::Config => ObjectId::config(),
            ObjectKind::Sidecar => self.sidecar(&format!("{seed}")),
            kind => ObjectId::content(kind, &sha256(&bytes)),
        };
        self.written.lock().insert(id.clone());
        (id, bytes)
    }

    /// A sidecar of this law's own.
    pub(super) fn sidecar(&self, name: &str) -> ObjectId {
        let name = format!("conformance-{:016x}/{}/{name}", self.run, self.law);
        // The name has only letters that a sidecar may have; should that change, the law fails on its object.
        let id = ObjectId::parse(ObjectKind::Sidecar, &name).unwrap_or_else(|_| ObjectId::config());
        self.written.lock().insert(id.clone());
        id
    }

    /// Demands that the object is there with exactly these bytes.
    pub(super) async fn holds(&self, what: &str, id: &ObjectId, bytes: &Bytes) -> Checked<()> {
        let size =
            self.sink.size(id).await.map_err(|error| Breach::Failed(format!("{what}: size: {error}")))?;
        if size != bytes.len() as u64 {
            return Err(Breach::Failed(format!("{what}: its size is {size}, not {}", bytes.len())));
        }
        let read = self.sink.read(id, None).await;
        let read = read.map_err(|error| Breach::Failed(format!("{what}: read: {error}")))?;
        if read != *bytes {
            return Err(Breach::Failed(format!(
                "{what}: {} bytes come back, other than written",
                read.len()
            )));
        }
        Ok(())
    }

    /// Demands that the object is not there, for a read, a size and a listing.
    pub(super) async fn absent(&self, what: &str, id: &ObjectId) -> Checked<()> {
        tools::fails(&format!("{what}: read"), self.sink.read(id, None).await, &[ErrorKind::NotFound])?;
        tools::fails(&format!("{what}: size"), self.sink.size(id).await, &[ErrorKind::NotFound])?;
        if self.listed(id.kind()).await?.iter().any(|(listed, _)| listed == id) {
            return Err(Breach::Failed(format!("{what}: it is listed, but must not be there")));
        }
        Ok(())
    }

    /// Every object of a kind with its size.
    pub(super) async fn listed(&self, kind: ObjectKind) -> Checked<Vec<(ObjectId, u64)>> {
        Ok(self.sink.list(kind).map_ok(|meta| (meta.id, meta.size)).try_collect().await?)
    }

    /// Whether objects of this kind can be removed again.
    pub(super) fn removes(&self, kind: ObjectKind) -> bool {
        !self.sink.capabilities().append_only || kind.is_transient()
    }
}

impl Subject for SinkSubject {
    fn label(&self) -> String {
        self.sink.name().into_owned()
    }

    fn scoped(&self, law: &'static str) -> Self {
        Self { law, written: Arc::default(), ..self.clone() }
    }

    fn clean_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let written: Vec<ObjectId> =
                self.written.lock().iter().filter(|id| self.removes(id.kind())).cloned().collect();
            // Best effort: the next law has objects of its own.
            drop(self.sink.remove(&written).await);
        })
    }
}
