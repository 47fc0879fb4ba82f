//! A policy over a backup sink.

use super::write::transfer_time;
use super::{CallKind, Guard, Policy};
use crate::backup::{BackupSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use crate::{Body, Clock, ClockExt, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// A [`BackupSink`] over another one whose calls are made under a [`Policy`].
///
/// Everything is repeated: objects are written once under the names of their contents, so that doing it twice is
/// doing it once. Reads are hedged when the policy says so. A listing fails when it stalls for the attempt
/// timeout; it is not repeated, because what it has given is already with the caller.
#[derive(Debug, Clone)]
pub struct PolicySink {
    inner: Arc<dyn BackupSink>,
    guard: Guard,
}

impl PolicySink {
    /// Wraps a sink.
    #[must_use]
    pub fn new(inner: impl BackupSink, policy: Policy, clock: Arc<dyn Clock>) -> Self {
        let guard = Guard::new(inner.name().into_owned(), policy, clock);
        Self { inner: Arc::new(inner), guard }
    }

    /// The guard: breaker state and metrics.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupSink for PolicySink {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> SinkCapabilities {
        self.inner.capabilities()
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        let extra = transfer_time(&Body::Bytes(sealed.clone()));
        let kind = CallKind::idempotent("write").with_extra(extra);
        self.guard.call(kind, |_| self.inner.write(id, sealed.clone())).await
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        // An object is read whole; its length is at most that of a pack where the range does not tell.
        let most = range.as_ref().map_or(128 << 20, |range| range.end.saturating_sub(range.start));
        let extra = std::time::Duration::from_secs(most >> 20);
        let kind = CallKind::read("read").with_extra(extra);
        self.guard.call(kind, |_| self.inner.read(id, range.clone())).await
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        self.guard.call(CallKind::read("size"), |_| self.inner.size(id)).await
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        let Some(limit) = self.guard.policy().attempt_timeout else {
            return self.inner.list(kind);
        };
        stream::try_unfold(self.inner.list(kind), move |mut listing| async move {
            let next = self.guard.clock().timeout(limit, listing.next()).await;
            let next = next.map_err(|error| error.with_operation("list"))?;
            Ok(next.transpose()?.map(|meta| (meta, listing)))
        })
        .into_stream()
        .boxed()
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        self.guard.call(CallKind::idempotent("remove"), |_| self.inner.remove(ids)).await
    }

    async fn keep_until(&self, ids: &[ObjectId], until: SystemTime) -> Result<()> {
        self.guard.call(CallKind::idempotent("keep"), |_| self.inner.keep_until(ids, until)).await
    }
}
