//! The restore points of a repository.

use super::Repository;
use super::open::Shared;
use super::sinks::object;
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

    /// The snapshot that `name` means: a whole id, the beginning of one, or `latest`.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` when the beginning fits several.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn snapshot(&self, name: &str) -> Result<SnapshotEntry> {
        if let Ok(id) = name.parse::<Id>() {
            return self.shared.snapshot(id).await;
        }
        let mut all = self.shared.snapshots().await?;
        if name == "latest" {
            return all.pop().ok_or_else(|| {
                Error::not_found("the repository has no snapshot yet").with_remedy("make one by a backup run")
            });
        }
        all.retain(|entry| !name.is_empty() && entry.id.to_string().starts_with(name));
        match (all.pop(), all.len()) {
            (Some(entry), 0) => Ok(entry),
            (None, _) => Err(Error::not_found("there is no such snapshot")
                .with_key(name)
                .with_remedy("list the snapshots; an id, its beginning or `latest` will do")),
            (Some(_), others) => {
                Err(Error::invalid(format!("the id is the beginning of {} snapshots", others + 1))
                    .with_key(name)
                    .with_remedy("give more of its digits"))
            }
        }
    }
}

impl Shared {
    pub(crate) async fn snapshots(&self) -> Result<Vec<SnapshotEntry>> {
        let mut ids = Vec::new();
        let mut failure = None;
        for sink in self.sinks.all.iter().filter(|sink| sink.is_live()) {
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
        let reads = futures_util::stream::iter(ids).map(|id| self.snapshot(id)).buffer_unordered(8);
        let mut all: Vec<_> = reads.try_collect().await?;
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
