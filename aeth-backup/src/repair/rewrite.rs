//! A new index in place of all others.

use crate::Id;
use crate::format::{BlobEntry, IndexPack};
use crate::repo::{Change, IdMap, IdSet, LockGuard, Shared, State, object};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the readable index files say, and the names of the others.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    pub(super) files: BTreeSet<Id>,
    pub(super) damaged: u64,
    pub(super) packs: IdMap<Vec<BlobEntry>>,
}

impl Shared {
    /// Reads what can be read of the indexes of all live sinks.
    pub(super) async fn read_indexes(self: &Arc<Self>) -> Result<Indexes> {
        let ledger = self.ledger().await;
        let mut indexes = Indexes::default();
        for list in self.lists(ObjectKind::Index).await? {
            indexes.files.extend(list.into_keys());
        }
        indexes.files.retain(|id| !ledger.is_removed(ObjectKind::Index, id));
        for id in &indexes.files {
            match self.index_file(*id).await {
                Ok(file) => {
                    for pack in file.packs {
                        indexes.packs.entry(pack.id).or_insert(pack.blobs);
                    }
                }
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    tracing::warn!(%error, "an index is damaged");
                    indexes.damaged += 1;
                }
            }
        }
        Ok(indexes)
    }

    /// The packs of all live sinks that were not removed, with their lengths.
    pub(super) async fn stored(&self) -> Result<BTreeMap<Id, u64>> {
        let ledger = self.ledger().await;
        let mut stored = BTreeMap::new();
        for (id, size) in self.lists(ObjectKind::Pack).await?.into_iter().flatten() {
            let longest = stored.entry(id).or_insert(size);
            *longest = size.max(*longest);
        }
        stored.retain(|id, _| !ledger.is_removed(ObjectKind::Pack, id));
        Ok(stored)
    }

    async fn lists(&self, kind: ObjectKind) -> Result<Vec<BTreeMap<Id, u64>>> {
        let live = self.sinks.live();
        let lists = join_all(live.iter().map(|sink| sink.list(kind))).await;
        lists.into_iter().map(|list| list.map(|list| list.into_iter().collect())).collect()
    }

    /// Writes an index of `packs`, then removes the `old` files, then `gone` packs.
    pub(super) async fn replace_index(
        self: &Arc<Self>,
        packs: IdMap<Vec<BlobEntry>>,
        old: BTreeSet<Id>,
        gone: IdSet,
        lock: &LockGuard,
    ) -> Result<()> {
        let mut entries: Vec<_> = packs.into_iter().map(|(id, blobs)| IndexPack { id, blobs }).collect();
        entries.sort_by_key(|pack| pack.id);
        lock.check()?;
        let new = self.store_index(entries).await?;
        let old: Vec<Id> = old.into_iter().filter(|id| !new.contains(id)).collect();
        let gone: Vec<Id> = gone.into_iter().collect();
        let names = |kind, ids: &[Id]| ids.iter().map(|id| object(kind, *id)).collect::<Vec<_>>();
        let (indexes, packs) = (names(ObjectKind::Index, &old), names(ObjectKind::Pack, &gone));
        self.record(&[
            Change { state: State::Removed, kind: ObjectKind::Index, ids: old },
            Change { state: State::Removed, kind: ObjectKind::Pack, ids: gone },
        ])
        .await?;
        lock.check()?;
        self.sinks.remove_where_allowed(&indexes).await?;
        self.sinks.remove_where_allowed(&packs).await?;
        *self.index.write() = None;
        self.trees.clear();
        Ok(())
    }

    /// The content of a damaged pack can still be told from its header, or from the index.
    pub(super) async fn header_of(self: &Arc<Self>, id: Id, size: u64) -> Result<Vec<BlobEntry>> {
        let header = self.pack_header(id, size).await;
        header.map_err(|error: Error| error.with_key(object(ObjectKind::Pack, id)))
    }
}
