//! A backup sink that goes wrong.

use super::FaultPlan;
use super::bytes::flip;
use super::plan::{After, lost, torn};
use crate::Result;
use crate::backup::{BackupSink, ObjectId, ObjectKind, ObjectMeta, SinkCapabilities};
use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, stream};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// A [`BackupSink`] over another one which goes wrong by a [`FaultPlan`].
///
/// A torn write leaves the first half of the object, as a disk that filled up would; a torn listing fails after
/// half of the objects.
#[derive(Debug, Clone)]
pub struct FaultySink {
    inner: Arc<dyn BackupSink>,
    plan: FaultPlan,
}

impl FaultySink {
    /// Wraps a sink.
    #[must_use]
    pub fn new(inner: impl BackupSink, plan: FaultPlan) -> Self {
        Self { inner: Arc::new(inner), plan }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BackupSink for FaultySink {
    fn name(&self) -> Cow<'_, str> {
        self.inner.name()
    }

    fn capabilities(&self) -> SinkCapabilities {
        self.inner.capabilities()
    }

    async fn write(&self, id: &ObjectId, sealed: Bytes) -> Result<()> {
        match self.plan.enter("write").await? {
            After::Nothing => self.inner.write(id, sealed).await,
            After::Lost => {
                self.inner.write(id, sealed).await?;
                Err(lost("write"))
            }
            After::Torn => {
                self.inner.write(id, sealed.slice(..sealed.len() / 2)).await?;
                Err(torn("write"))
            }
            After::Flip => self.inner.write(id, flip(&self.plan, &sealed)).await,
        }
    }

    async fn read(&self, id: &ObjectId, range: Option<Range<u64>>) -> Result<Bytes> {
        let after = self.plan.enter("read").await?;
        let bytes = self.inner.read(id, range).await?;
        match after {
            After::Nothing => Ok(bytes),
            After::Lost => Err(lost("read")),
            After::Torn => Err(torn("read")),
            After::Flip => Ok(flip(&self.plan, &bytes)),
        }
    }

    async fn size(&self, id: &ObjectId) -> Result<u64> {
        self.plan.around("size", self.inner.size(id)).await
    }

    fn list(&self, kind: ObjectKind) -> BoxStream<'_, Result<ObjectMeta>> {
        let entered = stream::once(async move { self.plan.enter("list").await });
        entered
            .flat_map(move |after| match after {
                Err(error) => stream::iter([Err(error)]).boxed(),
                Ok(After::Nothing | After::Flip) => self.inner.list(kind),
                Ok(After::Lost) => stream::iter([Err(lost("list"))]).boxed(),
                Ok(After::Torn) => {
                    // Every other object, and then the failure.
                    let half = every_other(self.inner.list(kind));
                    half.chain(stream::iter([Err(torn("list"))])).boxed()
                }
            })
            .boxed()
    }

    async fn remove(&self, ids: &[ObjectId]) -> Result<()> {
        match self.plan.enter("remove").await? {
            After::Nothing | After::Flip => self.inner.remove(ids).await,
            After::Lost => {
                self.inner.remove(ids).await?;
                Err(lost("remove"))
            }
            After::Torn => {
                self.inner.remove(&ids[..ids.len() / 2]).await?;
                Err(torn("remove"))
            }
        }
    }

    async fn keep_until(&self, ids: &[ObjectId], until: SystemTime) -> Result<()> {
        self.plan.around("keep", self.inner.keep_until(ids, until)).await
    }
}

fn every_other<'a, T: Send + 'a>(all: BoxStream<'a, T>) -> BoxStream<'a, T> {
    all.enumerate().filter_map(|(i, item)| std::future::ready((i % 2 == 0).then_some(item))).boxed()
}
