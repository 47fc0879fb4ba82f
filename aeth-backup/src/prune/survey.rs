//! What is in the repository, at one moment.

use super::reach::Reach;
use crate::Id;
use crate::format::{BlobEntry, BlobKind, IndexPack, pack_overhead};
use crate::repo::{IdMap, IdSet, Ledger, Shared};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Index files that are read at once.
const PARALLEL: usize = 4;

/// Index files, packs, and what became of them.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) ledger: Ledger,
    /// Every index file of a live sink and the packs that it names, removed ones included.
    pub(super) files: BTreeMap<Id, Vec<Id>>,
    /// What the indexes say of each pack.
    pub(super) packs: IdMap<Vec<BlobEntry>>,
    /// The packs that are there, with their lengths.
    pub(super) stored: BTreeMap<Id, u64>,
    pub(super) snapshots: u64,
}

impl Survey {
    /// Looks at everything, and adds what the snapshots refer to to `reach`. Writers store packs before indexes
    /// before snapshots, so it is looked at in the opposite order.
    pub(super) async fn take(
        shared: &Arc<Shared>,
        options: &super::PruneOptions,
        reach: &mut Reach,
    ) -> Result<Self> {
        let snapshots = shared.snapshots().await?;
        let ledger = shared.ledger().await;
        shared.reload_index().await?;
        let files = index_files(shared).await?;
        let mut packs: IdMap<Vec<BlobEntry>> = IdMap::default();
        let mut names = BTreeMap::new();
        for (id, named) in files {
            names.insert(id, named.iter().map(|pack| pack.id).collect());
            for pack in named {
                packs.entry(pack.id).or_insert(pack.blobs);
            }
        }
        let stored = stored_packs(shared).await?;
        let roots = snapshots.iter().map(|entry| entry.snapshot.tree);
        reach.add(shared, roots, &options.progress, &options.cancel).await.map_err(|error| {
            error.with_operation("prune").with_remedy(
                "nothing was removed: check the repository, and repair it or forget the damaged snapshots",
            )
        })?;
        let count = u64::try_from(snapshots.len()).unwrap_or(u64::MAX);
        Ok(Self { ledger, files: names, packs, stored, snapshots: count })
    }

    /// True when the pack is there, as long as the index says.
    pub(super) fn is_whole(&self, id: &Id) -> bool {
        match (self.packs.get(id), self.stored.get(id)) {
            (Some(blobs), Some(size)) => pack_size(blobs) == *size,
            _ => false,
        }
    }

    /// Fails when something that is in use is in no pack, or only in packs that are gone or of the wrong length:
    /// then the repository is damaged, and removing anything may make it worse.
    pub(super) fn refuse_gaps(&self, reach: &Reach) -> Result<()> {
        let (mut data, mut trees) = (IdSet::default(), IdSet::default());
        for (id, blobs) in &self.packs {
            if self.is_whole(id) {
                for blob in blobs {
                    match blob.kind {
                        BlobKind::Data => data.insert(blob.id),
                        BlobKind::Tree => trees.insert(blob.id),
                    };
                }
            }
        }
        let lacking = reach.data.iter().filter(|id| !data.contains(*id));
        let lacking = lacking.chain(reach.trees.iter().filter(|id| !trees.contains(*id)));
        let lacking: BTreeSet<&Id> = lacking.collect();
        let Some(first) = lacking.first() else { return Ok(()) };
        Err(Error::corrupt(format!(
            "{} blobs that snapshots need are in no pack that is whole",
            lacking.len()
        ))
        .with_operation("prune")
        .with_key(first)
        .with_remedy("nothing was removed: check the repository, and repair it"))
    }
}

/// The length that a pack with these blobs has.
pub(crate) fn pack_size(blobs: &[BlobEntry]) -> u64 {
    let end = blobs.iter().map(|blob| u64::from(blob.offset) + u64::from(blob.length)).max().unwrap_or(0);
    end + u64::try_from(pack_overhead(blobs)).unwrap_or(0)
}

async fn index_files(shared: &Arc<Shared>) -> Result<BTreeMap<Id, Vec<IndexPack>>> {
    let live = shared.sinks.live();
    let mut ids = BTreeSet::new();
    for list in join_all(live.iter().map(|sink| sink.list(ObjectKind::Index))).await {
        ids.extend(list?.into_iter().map(|(id, _)| id));
    }
    let reads = stream::iter(ids).map(|id| async move { Ok((id, shared.index_file(id).await?.packs)) });
    reads.buffer_unordered(PARALLEL).try_collect().await.map_err(|error: Error| {
        error.with_operation("prune").with_remedy("nothing was removed: rebuild the index first")
    })
}

/// What is in any live sink, removed packs that are still there included.
async fn stored_packs(shared: &Arc<Shared>) -> Result<BTreeMap<Id, u64>> {
    let live = shared.sinks.live();
    let mut stored = BTreeMap::new();
    for list in join_all(live.iter().map(|sink| sink.list(ObjectKind::Pack))).await {
        for (id, size) in list? {
            let longest = stored.entry(id).or_insert(size);
            *longest = size.max(*longest);
        }
    }
    Ok(stored)
}
