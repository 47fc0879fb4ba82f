//! Removing, under an exclusive lock: new index, ledger, old indexes, packs.

use super::phases::check;
use super::plan::still_needed;
use super::reach::Reach;
use super::report::PruneReport;
use super::survey::Survey;
use crate::Id;
use crate::format::IndexPack;
use crate::repo::{Change, IdSet, LockGuard, Shared, Sink, State, object};
use aeth_core::Result;
use aeth_core::backup::ObjectKind;
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Files that are removed by one call.
const BATCH: usize = 500;

impl Shared {
    /// Removes the candidates that nothing in use lies in, and what an earlier prune was kept from removing.
    pub(super) async fn sweep(
        self: &Arc<Self>,
        survey: &Survey,
        reach: &Reach,
        mut doomed: IdSet,
        lock: &LockGuard,
        report: &mut PruneReport,
    ) -> Result<()> {
        let known = survey.packs.keys().chain(survey.stored.keys());
        // Removed before, and still there: a sink was away, or a prune was killed.
        doomed.extend(known.filter(|id| survey.ledger.is_removed(ObjectKind::Pack, id)));
        // Named by an index and nowhere to be found, and nothing in use lies in it alone.
        doomed.extend(survey.packs.keys().filter(|id| !survey.stored.contains_key(*id)));
        let needed = still_needed(survey, reach, &doomed);
        doomed.retain(|id| !needed.contains(id));
        report.unmarked = u64::try_from(needed.len()).unwrap_or(0);

        let (old, kept) = self.split_indexes(survey, &doomed);
        check(lock)?;
        self.store_index(kept).await?;
        let change = |state, kind, ids: Vec<Id>| Change { state, kind, ids };
        self.record(&[
            change(State::Live, ObjectKind::Pack, needed.into_iter().collect()),
            change(State::Removed, ObjectKind::Pack, doomed.iter().copied().collect()),
            change(State::Removed, ObjectKind::Index, old),
        ])
        .await?;
        check(lock)?;
        let sinks = self.removable();
        let removed = join_all(sinks.iter().map(|sink| self.sweep_sink(sink, lock))).await;
        let mut gone: BTreeMap<Id, u64> = BTreeMap::new();
        for (sink, removed) in sinks.iter().zip(removed) {
            match removed {
                Ok(packs) => gone.extend(packs),
                Err(error) => sink.fail(error),
            }
        }
        report.removed_packs = u64::try_from(gone.len()).unwrap_or(0);
        report.removed_bytes = gone.values().sum();
        // Both speak of what is no longer there.
        *self.index.write() = None;
        self.trees.clear();
        check(lock)?;
        self.sinks.check_quorum()
    }

    /// The index files that must go, and the packs that a new one must name: those that stay and that no file
    /// names which stays.
    fn split_indexes(&self, survey: &Survey, doomed: &IdSet) -> (Vec<Id>, Vec<IndexPack>) {
        let mut old = Vec::new();
        let mut named = IdSet::default();
        for (id, packs) in &survey.files {
            if survey.ledger.is_removed(ObjectKind::Index, id) {
                continue;
            }
            if packs.iter().any(|pack| doomed.contains(pack)) {
                old.push(*id);
            } else {
                named.extend(packs);
            }
        }
        let stays = survey.packs.iter().filter(|(id, _)| !doomed.contains(*id) && !named.contains(*id));
        let mut kept: Vec<_> = stays.map(|(id, blobs)| IndexPack { id: *id, blobs: blobs.clone() }).collect();
        kept.sort_by_key(|pack| pack.id);
        (old, kept)
    }

    /// Removes from one sink what the ledger says is removed: indexes before packs, so that no index names a pack
    /// that is gone. Returns the packs.
    async fn sweep_sink(&self, sink: &Arc<Sink>, lock: &LockGuard) -> Result<Vec<(Id, u64)>> {
        let ledger = self.ledger().await;
        let mut packs = Vec::new();
        for kind in [ObjectKind::Key, ObjectKind::Snapshot, ObjectKind::Index, ObjectKind::Pack] {
            let mut there = sink.list(kind).await?;
            there.retain(|(id, _)| ledger.is_removed(kind, id));
            for batch in there.chunks(BATCH) {
                check(lock)?;
                let names: Vec<_> = batch.iter().map(|(id, _)| object(kind, *id)).collect();
                sink.remove(&names).await?;
            }
            if kind == ObjectKind::Pack {
                packs = there;
            }
        }
        Ok(packs)
    }
}
