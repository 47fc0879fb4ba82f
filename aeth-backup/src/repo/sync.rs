//! Bringing replicas together: what one sink has and another lacks is copied, file by file.
//!
//! A sink lags when it was away during a run, or when a run was killed between the sinks. The files are
//! content-named and sealed, so copying needs no key, and verifying needs only the name.

use super::open::Shared;
use super::sinks::object;
use super::{Ledger, Sink};
use crate::Id;
use crate::format::{IndexPack, parse_header};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, ErrorKind, Result};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A pack's header is mostly shorter than this.
const TAIL: u64 = 64 << 10;

/// True when there is nothing to copy: removed since it was listed, or damaged wherever it is.
fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt)
}

impl Shared {
    /// Copies to each live sink what it lacks, in the order that keeps it valid at every moment: packs, then
    /// indexes, then snapshots. Returns the names and sizes of all packs. What the ledger says is removed is not
    /// copied; where it still is, the next prune removes it.
    pub(crate) async fn catch_up(self: &Arc<Self>) -> Result<BTreeMap<Id, u64>> {
        let mut packs = BTreeMap::new();
        let ledger = self.ledger().await;
        for kind in [ObjectKind::Key, ObjectKind::Pack, ObjectKind::Index, ObjectKind::Snapshot] {
            if kind == ObjectKind::Snapshot && self.sinks.all.len() > 1 && ledger.has_removed_packs() {
                self.keep_what_lagging_snapshots_need(&ledger).await?;
            }
            let union = self.catch_up_kind(kind, &ledger).await?;
            if kind == ObjectKind::Pack {
                packs = union;
            }
        }
        if self.sinks.all.len() > 1 {
            // Last, so that a sink that hears what was removed has what stands in its place.
            self.spread_ledger().await?;
            self.remove_removed_keys(&ledger).await?;
        }
        for sink in self.sinks.live() {
            sink.complete();
        }
        Ok(packs)
    }

    /// Fails the sinks that lack a pack which an index names and nobody has whole: they must not get indexes and
    /// snapshots that need it. A pack that no index names, half of it left by a killed run, is nothing to miss.
    async fn refuse_gaps(self: &Arc<Self>, absent: Vec<(Arc<Sink>, Id, Error)>) -> Result<()> {
        if absent.is_empty() {
            return Ok(());
        }
        let index = self.reload_index().await?;
        for (sink, id, error) in absent {
            if index.read().contains_pack(&id) {
                sink.fail(
                    Error::corrupt("the sink lacks a pack that is damaged or missing in the others")
                        .with_component(sink.name())
                        .with_key(object(ObjectKind::Pack, id))
                        .with_source(error)
                        .with_remedy("check the repository, and repair it or restore the pack"),
                );
            } else {
                tracing::warn!(pack = %id, %error, "a pack that no index names cannot be copied");
            }
        }
        Ok(())
    }

    async fn catch_up_kind(self: &Arc<Self>, kind: ObjectKind, ledger: &Ledger) -> Result<BTreeMap<Id, u64>> {
        let live = self.sinks.live();
        let mut lists = join_all(live.iter().map(|sink| sink.list(kind))).await;
        lists.iter_mut().flatten().for_each(|list| list.retain(|(id, _)| !ledger.is_removed(kind, id)));
        let mut held = Vec::with_capacity(live.len());
        let mut union = BTreeMap::new();
        for (sink, list) in live.iter().zip(lists) {
            match list {
                Ok(list) => {
                    for (id, size) in &list {
                        // A shorter copy is a torn one.
                        let longest = union.entry(*id).or_insert(*size);
                        *longest = (*longest).max(*size);
                    }
                    held.push((sink, list));
                }
                Err(error) => sink.fail(error),
            }
        }
        let mut absent = Vec::new();
        for (sink, list) in held {
            let lacks: Vec<Id> = union
                .iter()
                .filter(|(id, size)| list.binary_search(&(**id, **size)).is_err())
                .map(|(id, _)| *id)
                .collect();
            for id in lacks {
                let name = object(kind, id);
                let bytes = self.sinks.read(&name, None, |bytes| {
                    if Id::of(&bytes) == id {
                        Ok(bytes)
                    } else {
                        Err(Error::corrupt("not what its name says"))
                    }
                });
                let written = match bytes.await {
                    Ok(bytes) => {
                        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                        // The longest copy may be a damaged one, and this sink's the good one.
                        union.insert(id, size);
                        if list.binary_search(&(id, size)).is_ok() {
                            continue;
                        }
                        sink.fill(&name, &bytes).await
                    }
                    Err(error) if is_gone(&error) && kind == ObjectKind::Pack => {
                        absent.push((Arc::clone(sink), id, error));
                        continue;
                    }
                    // Nothing else needs a single key or snapshot.
                    Err(error) if is_gone(&error) && kind != ObjectKind::Index => {
                        tracing::warn!(object = %name, %error, "a file that a sink lacks cannot be copied");
                        continue;
                    }
                    Err(error) => Err(error),
                };
                if let Err(error) = written {
                    sink.fail(error);
                    break;
                }
            }
        }
        self.refuse_gaps(absent).await?;
        self.sinks.check_quorum()?;
        Ok(union)
    }

    /// The content of packs that no index names: a run that was killed had stored them. Their blobs need not
    /// be sent again. A pack whose header cannot be read is left alone.
    pub(crate) async fn unindexed(self: &Arc<Self>, packs: &BTreeMap<Id, u64>) -> Result<Vec<IndexPack>> {
        let index = self.index().await?;
        let ledger = self.ledger().await;
        let orphans: Vec<_> = {
            let index = index.read();
            let orphans = packs.iter().filter(|(id, _)| !index.contains_pack(id) && !ledger.is_weak(id));
            orphans.map(|(id, size)| (*id, *size)).collect()
        };
        let mut found = Vec::new();
        for (id, size) in orphans {
            match self.pack_header(id, size).await {
                Ok(blobs) => found.push(IndexPack { id, blobs }),
                Err(error) => {
                    tracing::warn!(pack = %id, %error, "a pack without an index entry is not usable")
                }
            }
        }
        Ok(found)
    }

    pub(crate) async fn pack_header(&self, id: Id, size: u64) -> Result<Vec<crate::format::BlobEntry>> {
        let name = object(ObjectKind::Pack, id);
        let mut want = TAIL.min(size);
        loop {
            let read =
                self.sinks.read(&name, Some(size - want..size), |tail| parse_header(&self.key, size, &tail));
            match read.await? {
                Ok(blobs) => return Ok(blobs),
                Err(need) => want = u64::try_from(need).unwrap_or(size).min(size),
            }
        }
    }
}
