//! The sinks of a repository: written all at once, read from the first that answers.

use super::options::RepositoryOptions;
use super::sink::{Group, Limits, Sink, SinkStatus};
use crate::Id;
use crate::format::{BlobEntry, BlobKind};
use aeth_core::backup::{BackupSink, ObjectId, ObjectKind};
use aeth_core::{Clock, Error, Result, Tasks};
use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a sink that is not needed for the quorum may give no sign of life while it takes packs, in patiences:
/// a pack takes longer than anything else.
pub(super) const LINGER: u32 = 6;

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

/// All sinks of a repository.
#[derive(Debug)]
pub(crate) struct Sinks {
    pub(crate) all: Vec<Arc<Sink>>,
    pub(super) group: Arc<Group>,
    pub(super) tasks: Tasks,
    /// Ends what goes on in the background.
    pub(super) round: Mutex<CancellationToken>,
    /// Bytes that a sink may have before it which the others have.
    pub(super) backlog: u64,
    pub(super) linger: Duration,
}

impl Sinks {
    pub(crate) fn new(
        all: Vec<Arc<dyn BackupSink>>,
        options: &RepositoryOptions,
        clock: &Arc<dyn Clock>,
        tasks: &Tasks,
    ) -> Self {
        let group = Arc::new(Group::new(options.quorum, all.len()));
        let limits = Limits {
            time: options.sink_timeout,
            patience: options.patience,
            object_lock: options.object_lock,
        };
        let all = all.into_iter().enumerate();
        let all = all
            .map(|(at, sink)| Arc::new(Sink::new(sink, Arc::clone(clock), limits, at, Arc::clone(&group))));
        Self {
            all: all.collect(),
            group,
            tasks: tasks.clone(),
            round: Mutex::default(),
            backlog: u64::try_from(options.upload_budget).unwrap_or(u64::MAX),
            linger: options.patience.saturating_mul(LINGER).min(options.sink_timeout),
        }
    }

    pub(crate) fn live(&self) -> Vec<Arc<Sink>> {
        self.all.iter().filter(|sink| sink.is_live()).map(Arc::clone).collect()
    }

    /// Those to list from: the live ones; where none is left, those that failed, as when reading. A disk that took no
    /// more still has what it took before, and that is when somebody looks for it.
    pub(crate) fn readable(&self) -> Vec<Arc<Sink>> {
        let live = self.live();
        if live.is_empty() { self.all.clone() } else { live }
    }

    pub(crate) fn status(&self) -> Vec<SinkStatus> {
        self.all.iter().map(|sink| sink.status()).collect()
    }

    /// Fails when fewer sinks are left than the quorum asks for; the error is that of a sink that failed.
    pub(crate) fn check_quorum(&self) -> Result<()> {
        if self.group.holds(None) {
            return Ok(());
        }
        let cause = self.all.iter().find_map(|sink| sink.status().error);
        let error = cause.unwrap_or_else(|| Error::unavailable("no sink is up to date"));
        let total = self.all.len();
        if total == 1 {
            return Err(error);
        }
        let left = self.all.iter().filter(|sink| sink.is_current()).count();
        let wanted = self.group.quorum.wanted(total);
        Err(Error::new(error.kind(), format!("{left} of {total} sinks are left and {wanted}"))
            .with_retry(error.retry())
            .with_source(error)
            .with_remedy("repair the failed sink, or allow a smaller quorum"))
    }

    /// Writes to every live sink at once; one that fails is out, and the quorum decides.
    pub(crate) async fn write(&self, id: &ObjectId, bytes: &Bytes) -> Result<()> {
        let live = self.live();
        join_all(live.iter().map(|sink| async {
            if let Err(error) = sink.fill(id, bytes).await {
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
        let live = order.len();
        // Those that failed are the last resort.
        order.extend(failed);
        for (number, sink) in order.into_iter().enumerate() {
            let read = if number + 1 < live {
                sink.read_or_pass(id, range.clone()).await
            } else {
                sink.read(id, range.clone()).await
            };
            let error = match read.and_then(&check) {
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
