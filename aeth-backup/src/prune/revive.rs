//! Bringing back what was removed while a sink was away that needs it.
//!
//! A sink that nobody saw during a prune may have a snapshot that nobody knew, and that snapshot may rely on packs
//! that the prune has removed elsewhere. The sink still has them. They are brought back before the snapshot is
//! copied to the others.

use super::reach::Reach;
use crate::Id;
use crate::format::{BlobKind, IndexPack};
use crate::progress::Progress;
use crate::repo::{Change, IdMap, IdSet, Index, Ledger, Shared, State, object};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

impl Shared {
    /// Looks whether a snapshot that some sinks lack relies on packs that were removed, and brings these back.
    pub(crate) async fn keep_what_lagging_snapshots_need(self: &Arc<Self>, ledger: &Ledger) -> Result<()> {
        let lagging = self.lagging_snapshots(ledger).await?;
        if lagging.is_empty() {
            return Ok(());
        }
        self.reload_index().await?;
        let mut reach = Reach::default();
        let roots: Vec<Id> = lagging.into_iter().collect();
        let walked = reach.add(self, roots, &Progress::default(), &CancellationToken::new()).await;
        if let Err(error) = walked {
            // It cannot be restored from any sink: that is a check's to tell, and no reason to copy nothing.
            tracing::warn!(%error, "a snapshot that some sinks lack has a tree that cannot be read");
        }
        let index = self.index().await?;
        let weak = removed_holders(&index.read(), &reach, ledger);
        if weak.is_empty() {
            return Ok(());
        }
        tracing::info!(packs = weak.len(), "bringing back packs that a snapshot of a returned sink needs");
        let mut entries = Vec::new();
        for id in &weak {
            let blobs = self.bring_back(*id).await?;
            entries.push(IndexPack { id: *id, blobs });
        }
        self.store_index(entries).await?;
        let ids = weak.into_iter().collect();
        self.record(&[Change { state: State::Live, kind: ObjectKind::Pack, ids }]).await?;
        self.reload_index().await.map(drop)
    }

    /// The trees of the snapshots that are not in all live sinks.
    async fn lagging_snapshots(&self, ledger: &Ledger) -> Result<BTreeSet<Id>> {
        let live = self.sinks.live();
        let lists = join_all(live.iter().map(|sink| sink.list(ObjectKind::Snapshot))).await;
        let mut held: IdMap<usize> = IdMap::default();
        let mut sinks = 0;
        for list in lists.into_iter().flatten() {
            sinks += 1;
            for (id, _) in list {
                *held.entry(id).or_insert(0) += 1;
            }
        }
        let mut trees = BTreeSet::new();
        for (id, _) in held.into_iter().filter(|(_, holders)| *holders < sinks) {
            if ledger.is_removed(ObjectKind::Snapshot, &id) {
                continue;
            }
            match self.snapshot(id).await {
                Ok(entry) => {
                    trees.insert(entry.snapshot.tree);
                }
                Err(error) => tracing::warn!(snapshot = %id, %error, "a snapshot cannot be read"),
            }
        }
        Ok(trees)
    }

    /// Copies a pack to every live sink.
    async fn bring_back(self: &Arc<Self>, id: Id) -> Result<Vec<crate::format::BlobEntry>> {
        let name = object(ObjectKind::Pack, id);
        let check = |bytes: Bytes| match Id::of(&bytes) == id {
            true => Ok(bytes),
            false => Err(Error::corrupt("not what its name says")),
        };
        let bytes = self.sinks.read(&name, None, check).await?;
        self.sinks.write(&name, &bytes).await?;
        self.pack_header(id, u64::try_from(bytes.len()).unwrap_or(0)).await
    }
}

/// The removed packs in which something lies that was reached and lies nowhere else.
fn removed_holders(index: &Index, reach: &Reach, ledger: &Ledger) -> IdSet {
    let data = reach.data.iter().map(|id| (BlobKind::Data, id));
    let trees = reach.trees.iter().map(|id| (BlobKind::Tree, id));
    data.chain(trees)
        .filter(|(kind, id)| !index.contains(*kind, id))
        .filter_map(|(kind, id)| index.get(kind, id))
        .map(|location| location.pack)
        .filter(|pack| ledger.is_removed(ObjectKind::Pack, pack))
        .collect()
}
