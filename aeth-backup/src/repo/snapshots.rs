//! The restore points of a repository.

use super::open::Shared;
use super::sinks::object;
use super::{Change, Repository, State};
use crate::Id;
use crate::format::{Snapshot, open_unpacked};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use futures_util::{StreamExt, TryStreamExt};

/// A snapshot and its name.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SnapshotEntry {
    /// Its name.
    pub id: Id,
    /// What it says.
    pub snapshot: Snapshot,
}

impl Repository {
    /// All snapshots, the oldest first.
    ///
    /// # Errors
    /// `Corrupt` when one cannot be read, naming it; the sinks' own errors.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotEntry>> {
        self.shared.snapshots().await
    }
}

impl Shared {
    /// The names of all snapshots, in order.
    pub(crate) async fn snapshot_ids(&self) -> Result<Vec<Id>> {
        let mut ids = Vec::new();
        let mut failure = None;
        for sink in self.sinks.readable() {
            match sink.list(ObjectKind::Snapshot).await {
                Ok(found) => ids.extend(found.into_iter().map(|(id, _)| id)),
                Err(error) => failure = Some(error),
            }
        }
        if let (true, Some(error)) = (ids.is_empty(), failure) {
            return Err(error);
        }
        ids.sort_unstable();
        ids.dedup();
        // A sink that was away, or that keeps everything, may still have what was forgotten.
        if self.sinks.all.len() > 1 {
            let ledger = self.ledger().await;
            ids.retain(|id| !ledger.is_removed(ObjectKind::Snapshot, id));
        }
        Ok(ids)
    }

    /// All snapshots, the oldest first.
    pub(crate) async fn snapshots(&self) -> Result<Vec<SnapshotEntry>> {
        let ids = self.snapshot_ids().await?;
        let reads = futures_util::stream::iter(ids).map(|id| self.snapshot(id)).buffer_unordered(8);
        // One that is gone was forgotten since it was listed.
        let there = reads.filter(|read| {
            let gone = read.as_ref().is_err_and(Error::is_not_found);
            std::future::ready(!gone)
        });
        let mut all: Vec<_> = there.try_collect().await?;
        all.sort_by_key(|entry: &SnapshotEntry| (entry.snapshot.time, entry.id));
        Ok(all)
    }

    pub(crate) async fn snapshot(&self, id: Id) -> Result<SnapshotEntry> {
        let name = object(ObjectKind::Snapshot, id);
        let read = self.sinks.read(&name, None, |sealed| {
            if Id::of(&sealed) != id {
                return Err(Error::corrupt("the snapshot is not what its name says"));
            }
            Snapshot::parse(&open_unpacked(&self.key, &sealed)?)
        });
        Ok(SnapshotEntry { id, snapshot: read.await? })
    }
}

impl Shared {
    /// Removes snapshots from every live sink that permits it.
    pub(crate) async fn remove_snapshots(&self, ids: &[Id]) -> Result<()> {
        let kind = ObjectKind::Snapshot;
        self.record(&[Change { state: State::Removed, kind, ids: ids.to_vec() }]).await?;
        let names: Vec<_> = ids.iter().map(|id| object(kind, *id)).collect();
        self.sinks.remove_where_allowed(&names).await
    }
}
