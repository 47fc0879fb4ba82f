//! The sinks of a repository: written all at once, read from the first that answers.

use super::Quorum;
use crate::Id;
use crate::format::{BlobEntry, BlobKind};
use aeth_core::backup::{BackupSink, ObjectId, ObjectKind};
use aeth_core::{Clock, ClockExt, Error, ErrorKind, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Attempts on one sink for an error that says trying again can help.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// What tidying up after a failed write may take.
const DISCARD: Duration = Duration::from_secs(10);

/// The name of a content-named object.
pub(crate) fn object(kind: ObjectKind, id: Id) -> ObjectId {
    ObjectId::content(kind, id.as_bytes())
}

/// The name of a pack of these blobs: packs of trees are read in most operations.
pub(crate) fn pack_object(id: Id, blobs: &[BlobEntry]) -> ObjectId {
    let name = object(ObjectKind::Pack, id);
    match blobs.first().map(|blob| blob.kind) {
        Some(BlobKind::Tree) => name.as_metadata(),
        _ => name,
    }
}

/// How a sink fared.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SinkStatus {
    /// The sink's label.
    pub name: String,
    /// Why it takes no part any more; `None` while it does.
    pub error: Option<Error>,
    /// Bytes that were written to it by this handle.
    pub written: u64,
}

/// One sink and how it fares.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) inner: Arc<dyn BackupSink>,
    clock: Arc<dyn Clock>,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failed: Option<Error>,
    written: u64,
}

impl Sink {
    pub(crate) fn new(inner: Arc<dyn BackupSink>, clock: Arc<dyn Clock>, limit: Duration) -> Self {
        Self { inner, clock, limit, state: Mutex::new(State::default()) }
    }

    pub(crate) fn name(&self) -> String {
        self.inner.name().into_owned()
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state.lock().failed.is_none()
    }

    pub(crate) fn fail(&self, error: Error) {
        tracing::warn!(sink = %self.inner.name(), %error, "a backup sink failed");
        self.state.lock().failed.get_or_insert(error);
    }

    pub(crate) fn revive(&self) {
        self.state.lock().failed = None;
    }

    pub(crate) fn status(&self) -> SinkStatus {
        let state = self.state.lock();
        SinkStatus { name: self.name(), error: state.failed.clone(), written: state.written }
    }

    /// Runs an operation with the time limit, again where its error says that this can help.
    async fn attempt<T, F>(&self, operation: &'static str, mut run: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
        T: Send,
    {
        let mut attempt = 1;
        loop {
            let result = self.clock.timeout(self.limit, run()).await.and_then(|result| result);
            match result {
                Err(error)
                    if attempt < ATTEMPTS
                        && error.retry().is_worthwhile()
                        && error.kind() != ErrorKind::Timeout =>
                {
                    self.clock.sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                other => {
                    let name = self.name();
                    return other.map_err(|error| error.with_operation(operation).with_component(name));
                }
            }
        }
    }

    pub(crate) async fn write(&self, id: &ObjectId, bytes: &Bytes) -> Result<()> {
        if let Err(error) = self.attempt("write", || self.inner.write(id, bytes.clone())).await {
            self.discard(id).await;
            return Err(error);
        }
        self.state.lock().written += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(())
    }

    /// Removes what a failed write may have left behind: half an index would keep everybody from reading the
    /// repository. Nothing refers to the object yet.
    async fn discard(&self, id: &ObjectId) {
        let transient = id.kind().is_transient() || !self.inner.capabilities().append_only;
        if !transient || matches!(id.kind(), ObjectKind::Config | ObjectKind::Key) {
            return;
        }
        let limit = self.limit.min(DISCARD);
        let removed = self.clock.timeout(limit, self.inner.remove(std::slice::from_ref(id))).await;
        if let Err(error) = removed.and_then(|result| result) {
            tracing::debug!(sink = %self.inner.name(), object = %id, %error, "a failed write may have left something");
        }
    }

    pub(crate) async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        self.attempt("read", || self.inner.read(id, range.clone())).await.map_err(|error| error.with_key(id))
    }

    pub(crate) async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        self.attempt("remove", || self.inner.remove(ids)).await
    }

    /// All objects of a content-named kind, with their sizes.
    pub(crate) async fn list(&self, kind: ObjectKind) -> Result<Vec<(Id, u64)>> {
        let mut stream = self.inner.list(kind);
        let mut found = Vec::new();
        while let Some(meta) = self.next(&mut stream).await? {
            let meta = meta.map_err(|error| error.with_operation("list").with_component(self.name()))?;
            if let Some(hash) = meta.id.hash() {
                found.push((Id::from_bytes(hash), meta.size));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The names of all sidecars.
    pub(crate) async fn sidecars(&self) -> Result<Vec<ObjectId>> {
        let mut stream = self.inner.list(ObjectKind::Sidecar);
        let mut found = Vec::new();
        while let Some(meta) = self.next(&mut stream).await? {
            found.push(meta.map_err(|error| error.with_operation("list").with_component(self.name()))?.id);
        }
        Ok(found)
    }

    async fn next<S: Stream + Unpin + Send>(&self, stream: &mut S) -> Result<Option<S::Item>>
    where
        S::Item: Send,
    {
        let next = self.clock.timeout(self.limit, stream.next()).await;
        next.map_err(|error| error.with_operation("list").with_component(self.name()))
    }
}

/// All sinks of a repository.
#[derive(Debug)]
pub(crate) struct Sinks {
    pub(crate) all: Vec<Arc<Sink>>,
    quorum: Quorum,
}

impl Sinks {
    pub(crate) fn new(all: Vec<Arc<Sink>>, quorum: Quorum) -> Self {
        Self { all, quorum }
    }

    pub(crate) fn live(&self) -> Vec<Arc<Sink>> {
        self.all.iter().filter(|sink| sink.is_live()).map(Arc::clone).collect()
    }

    pub(crate) fn status(&self) -> Vec<SinkStatus> {
        self.all.iter().map(|sink| sink.status()).collect()
    }

    /// Fails when fewer sinks are left than the quorum asks for; the error is that of a sink that failed.
    pub(crate) fn check_quorum(&self) -> Result<()> {
        let live = self.all.iter().filter(|sink| sink.is_live()).count();
        let needed = self.quorum.needed(self.all.len());
        if live >= needed {
            return Ok(());
        }
        let cause = self.all.iter().find_map(|sink| sink.status().error);
        let error = cause.unwrap_or_else(|| Error::unavailable("no sink was given"));
        Err(match self.all.len() {
            1 => error,
            total => {
                Error::new(error.kind(), format!("{live} of {total} sinks are left and {needed} are needed"))
                    .with_retry(error.retry())
                    .with_source(error)
                    .with_remedy("repair the failed sink, or allow a smaller quorum")
            }
        })
    }

    /// Writes to every live sink at once; one that fails is out, and the quorum decides.
    pub(crate) async fn write(&self, id: &ObjectId, bytes: &Bytes) -> Result<()> {
        let live = self.live();
        join_all(live.iter().map(|sink| async {
            if let Err(error) = sink.write(id, bytes).await {
                sink.fail(error);
            }
        }))
        .await;
        self.check_quorum()
    }

    /// Removes from every live sink; the first error is returned after all were tried.
    pub(crate) async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        let live = self.live();
        let results = join_all(live.iter().map(|sink| sink.remove(ids))).await;
        results.into_iter().collect()
    }

    /// Removes from every live sink that is not append-only; one that fails is out, and the quorum decides.
    pub(crate) async fn remove_where_allowed(&self, ids: &[ObjectId]) -> Result<()> {
        let live = self.live();
        let allowed = live.iter().filter(|sink| !sink.inner.capabilities().append_only);
        join_all(allowed.map(|sink| async {
            if let Err(error) = sink.remove(ids).await {
                sink.fail(error);
            }
        }))
        .await;
        self.check_quorum()
    }

    /// Reads from one sink after the other until `check` accepts what one gave: a damaged copy is passed over
    /// as an unreachable one is. The error is the first that is not "not found".
    pub(crate) async fn read<T>(
        &self,
        id: &ObjectId,
        range: Option<Range<u64>>,
        check: impl Fn(Bytes) -> Result<T> + Send + Sync,
    ) -> Result<T>
    where
        T: Send,
    {
        let mut first: Option<Error> = None;
        let (mut order, failed): (Vec<_>, Vec<_>) = self.all.iter().partition(|sink| sink.is_live());
        // Those that failed are the last resort.
        order.extend(failed);
        for sink in order {
            let error = match sink.read(id, range.clone()).await.and_then(&check) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            tracing::debug!(sink = %sink.inner.name(), %error, "reading from a sink failed");
            if first.as_ref().is_none_or(Error::is_not_found) {
                first = Some(error.with_component(sink.name()));
            }
        }
        Err(first.unwrap_or_else(|| Error::unavailable("no sink was given")).with_key(id))
    }
}
