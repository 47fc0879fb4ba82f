//! Keeping longer what is still needed.

use super::PruneOptions;
use super::reach::Reach;
use super::survey::Survey;
use crate::repo::{LockGuard, Repository, Shared, Sink, SinkStatus, object, pack_object};
use aeth_core::backup::{ObjectId, ObjectKind};
use aeth_core::{Error, Result};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

/// Objects that are asked for at once.
const PARALLEL: usize = 16;

/// What extending the object locks did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ObjectLockReport {
    /// Objects that are kept longer now, in all sinks together.
    pub kept: u64,
    /// Packs that no snapshot needs: their locks run out, and a prune may remove them.
    pub let_go: u64,
    /// How each sink fares.
    pub sinks: Vec<SinkStatus>,
}

impl Repository {
    /// Keeps everything that the snapshots need from being destroyed for another
    /// [`object_lock`](crate::RepositoryOptions::object_lock) from now on: configuration, keys, snapshots, indexes, and
    /// every pack of which they need something. What was forgotten is let go: its locks run out by themselves.
    ///
    /// One request for each object and sink. Call it often enough that no lock runs out in between, such as every
    /// third of the time.
    ///
    /// # Errors
    /// `Invalid` when the repository was opened without that option; `Unsupported` when no sink can; `Corrupt` when a
    /// tree cannot be read; `Busy` when the repository is locked exclusively; the sinks' errors when fewer than the
    /// quorum are left.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was reached is kept longer, and calling it again does the rest.
    pub async fn extend_object_locks(&self) -> Result<ObjectLockReport> {
        let shared = &self.shared;
        if shared.options.object_lock.is_none() {
            return Err(Error::invalid("the repository was opened without a time for object locks")
                .with_operation("extend the object locks")
                .with_remedy("open it with RepositoryOptions::object_lock"));
        }
        shared.revive_unless_writing().await;
        let able = |sink: &Arc<Sink>| sink.inner.capabilities().object_lock;
        if !shared.sinks.all.iter().any(able) {
            return Err(Error::unsupported("no sink can keep objects from being destroyed")
                .with_operation("extend the object locks")
                .with_remedy("give a sink over a store with object lock"));
        }
        let lock = LockGuard::for_reading(shared).await?;
        let result = Box::pin(shared.extend_object_locks()).await;
        lock.release().await;
        let mut report = result?;
        report.sinks = shared.sinks.status();
        Ok(report)
    }
}

impl Shared {
    async fn extend_object_locks(self: &Arc<Self>) -> Result<ObjectLockReport> {
        let mut reach = Reach::default();
        let survey = Survey::take(self, &PruneOptions::new(), &mut reach).await?;
        let mut report = ObjectLockReport::default();
        let mut packs = Vec::with_capacity(survey.packs.len());
        for (id, blobs) in &survey.packs {
            if blobs.iter().any(|blob| reach.contains(blob.kind, &blob.id)) {
                packs.push(pack_object(*id, blobs));
            } else {
                report.let_go += 1;
            }
        }
        let live = self.sinks.live();
        let able = live.iter().filter(|sink| sink.inner.capabilities().object_lock);
        let kept = able.map(|sink| async {
            match keep_all(sink, &packs).await {
                Ok(kept) => kept,
                Err(error) => {
                    sink.fail(error);
                    0
                }
            }
        });
        report.kept = join_all(kept).await.into_iter().sum();
        self.sinks.check_quorum()?;
        Ok(report)
    }
}

async fn keep_all(sink: &Arc<Sink>, packs: &[ObjectId]) -> Result<u64> {
    let mut ids = vec![ObjectId::config()];
    for kind in [ObjectKind::Key, ObjectKind::Snapshot, ObjectKind::Index] {
        ids.extend(sink.list(kind).await?.into_iter().map(|(id, _)| object(kind, id)));
    }
    ids.extend_from_slice(packs);
    let kept = stream::iter(ids).map(|id| async move { sink.keep(&[id]).await });
    kept.buffer_unordered(PARALLEL).try_fold(0, |count, _| std::future::ready(Ok(count + 1))).await
}
