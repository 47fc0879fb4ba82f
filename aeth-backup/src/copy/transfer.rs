//! Blobs from one repository to the other, pack by pack.

use super::report::CopyOptions;
use crate::Id;
use crate::browse::tree;
use crate::error::cancelled;
use crate::format::{BlobKind, Codec, NodeKind};
use crate::repo::{
    IdMap, IdSet, Index, Location, LockGuard, Refill, Repository, Shared, joined, object, open_blob,
};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Transfer<'a> {
    source: &'a Arc<Shared>,
    target: &'a Arc<Shared>,
    options: &'a CopyOptions,
    lock: &'a LockGuard,
    from: Arc<RwLock<Index>>,
    to: Arc<RwLock<Index>>,
    /// Trees whose whole content is in the target.
    done: IdSet,
    /// What was sent and is not in the target's index yet.
    sent: [IdSet; 2],
    codec: Arc<Mutex<Codec>>,
    blobs: u64,
    bytes: u64,
}

fn slot(kind: BlobKind) -> usize {
    usize::from(kind == BlobKind::Tree)
}

impl<'a> Transfer<'a> {
    pub(super) async fn new(
        source: &'a Repository,
        target: &'a Repository,
        options: &'a CopyOptions,
        lock: &'a LockGuard,
    ) -> Result<Self> {
        Ok(Self {
            source: &source.shared,
            target: &target.shared,
            options,
            lock,
            from: source.shared.index().await?,
            to: target.shared.reload_index().await?,
            done: IdSet::default(),
            sent: Default::default(),
            codec: Arc::new(Mutex::new(Codec::new(target.shared.options.compression)?)),
            blobs: 0,
            bytes: 0,
        })
    }

    /// Blobs copied, and their bytes.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.blobs, self.bytes)
    }

    /// Copies a tree and everything below it; returns when it is durable and indexed.
    pub(super) async fn tree(&mut self, root: Id) -> Result<()> {
        let (mut open, mut seen) = (vec![root], Vec::new());
        let mut wanted: BTreeMap<Id, Vec<Location>> = BTreeMap::new();
        while let Some(id) = open.pop() {
            if !self.done.insert(id) {
                continue;
            }
            seen.push(id);
            if self.options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            self.options.progress.directory_done();
            self.want(BlobKind::Tree, id, &mut wanted)?;
            for node in tree(self.source, id).await?.nodes {
                match node.kind {
                    NodeKind::Dir => open.extend(node.subtree),
                    _ => {
                        for id in node.content.iter().flatten() {
                            self.want(BlobKind::Data, *id, &mut wanted)?;
                        }
                    }
                }
            }
        }
        let result = self.send(wanted).await;
        if result.is_err() {
            // Not all of it is there.
            for id in &seen {
                self.done.remove(id);
            }
        }
        result
    }

    /// Notes a blob that the target lacks.
    fn want(&mut self, kind: BlobKind, id: Id, wanted: &mut BTreeMap<Id, Vec<Location>>) -> Result<()> {
        let fresh = self.sent.get_mut(slot(kind)).is_some_and(|sent| sent.insert(id));
        if !fresh || self.to.read().contains(kind, &id) {
            return Ok(());
        }
        let location = self.from.read().get(kind, &id).ok_or_else(|| {
            Error::corrupt("no index names a blob of the snapshot")
                .with_key(id)
                .with_remedy("check the repository that is copied from, and repair it")
        })?;
        wanted.entry(location.pack).or_default().push(location);
        Ok(())
    }

    async fn send(&mut self, wanted: BTreeMap<Id, Vec<Location>>) -> Result<()> {
        let mut refill = Refill::new(self.target, self.lock, &self.options.progress, &self.options.watch);
        for (pack, mut blobs) in wanted {
            if self.options.cancel.is_cancelled() {
                return Err(cancelled());
            }
            blobs.sort_by_key(|location| location.entry.offset);
            let name = object(ObjectKind::Pack, pack);
            let all = IdMap::from_iter(blobs.iter().map(|location| (location.entry.id, ())));
            // The whole pack in one go, where much of it is wanted.
            let whole = match all.len() {
                0..4 => None,
                _ => self.source.sinks.read(&name, None, Ok).await.ok(),
            };
            for location in blobs {
                let blob = self.again(location, whole.as_ref()).await?;
                let length = u64::from(location.entry.plain_length());
                refill.add(&blob).await?;
                self.blobs += 1;
                self.bytes += length;
                self.options.progress.advance(length);
            }
        }
        refill.finish().await.map(drop)
    }

    /// Opens, verifies and seals a blob again.
    async fn again(&self, location: Location, whole: Option<&Bytes>) -> Result<crate::repo::SealedBlob> {
        let in_pack = whole.and_then(|bytes| {
            let from = usize::try_from(location.entry.offset).ok()?;
            let to = from.checked_add(usize::try_from(location.entry.length).ok()?)?;
            (to <= bytes.len()).then(|| bytes.slice(from..to))
        });
        let (source, target) = (Arc::clone(self.source), Arc::clone(self.target));
        let (codec, runtime) = (Arc::clone(&self.codec), tokio::runtime::Handle::current());
        let work = self.target.tasks.spawn_blocking(move || {
            let opened = in_pack.and_then(|sealed| open_blob(&source.key, &location, &sealed).ok());
            let plain = match opened {
                Some(plain) => plain,
                // Another sink may have it undamaged.
                None => runtime.block_on(source.blob(location.entry.kind, location.entry.id))?,
            };
            target.seal_blob(&mut codec.lock(), location.entry.kind, &plain)
        });
        joined(work.await)
    }
}
