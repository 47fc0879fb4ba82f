//! Reading indexes and blobs.

use super::keys::joined;
use super::open::Shared;
use super::sinks::object;
use super::{Index, Location};
use crate::Id;
use crate::crypto::Key;
use crate::format::{BlobKind, Codec, Compression, IndexFile, Tree, open_unpacked};
use aeth_core::backup::ObjectKind;
use aeth_core::{Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Index files that are read at once.
const PARALLEL: usize = 4;
/// Attempts at reading all indexes while somebody replaces them.
const ATTEMPTS: u32 = 4;
/// An index that was read longer ago is read again before something counts as missing.
const STALE: Duration = Duration::from_secs(5);
/// Bytes of tree packs that are kept: the trees of one snapshot lie side by side in a few packs.
const CACHE: usize = 32 << 20;

/// Recently read packs of trees, whole.
#[derive(Debug, Default)]
pub(crate) struct PackCache(Mutex<VecDeque<(Id, Bytes)>>);

impl PackCache {
    fn get(&self, id: Id) -> Option<Bytes> {
        let mut packs = self.0.lock();
        let at = packs.iter().position(|(pack, _)| *pack == id)?;
        let entry = packs.remove(at)?;
        let bytes = entry.1.clone();
        packs.push_front(entry);
        Some(bytes)
    }

    fn put(&self, id: Id, bytes: Bytes) {
        let mut packs = self.0.lock();
        packs.push_front((id, bytes));
        while packs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > CACHE && packs.len() > 1 {
            packs.pop_back();
        }
    }

    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Shared {
    /// The index as it was last read by this handle, or read now.
    pub(crate) async fn index(self: &Arc<Self>) -> Result<Arc<RwLock<Index>>> {
        if let Some(index) = self.index.read().as_ref() {
            return Ok(Arc::clone(index));
        }
        self.reload_index().await
    }

    /// Reads all index files. All sinks have the same ones but for those that lag, so the union is read, each
    /// from the first sink that has it whole.
    pub(crate) async fn reload_index(self: &Arc<Self>) -> Result<Arc<RwLock<Index>>> {
        let mut attempt = 1;
        loop {
            match self.read_index().await {
                // A prune has put others in its place since they were listed.
                Err(error) if error.is_not_found() && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
                Ok(index) => {
                    let index = Arc::new(RwLock::new(index));
                    *self.index.write() = Some(Arc::clone(&index));
                    *self.index_read.lock() = self.clock.monotonic();
                    return Ok(index);
                }
            }
        }
    }

    async fn read_index(self: &Arc<Self>) -> Result<Index> {
        let mut ids = Vec::new();
        let mut failure = None;
        for sink in self.sinks.readable() {
            match sink.list(ObjectKind::Index).await {
                Ok(found) => ids.extend(found.into_iter().map(|(id, _)| id)),
                Err(error) => failure = Some(error),
            }
        }
        if let (true, Some(error)) = (ids.is_empty(), failure) {
            return Err(error);
        }
        ids.sort_unstable();
        ids.dedup();
        let mut reads =
            futures_util::stream::iter(ids).map(|id| self.index_file(id)).buffer_unordered(PARALLEL);
        let ledger = self.ledger().await;
        let mut index = Index::default();
        let mut weak = Vec::new();
        while let Some(file) = reads.try_next().await? {
            for pack in file.packs {
                if ledger.is_weak(&pack.id) {
                    weak.push(pack);
                } else {
                    index.add(&pack);
                }
            }
        }
        weak.iter().for_each(|pack| index.add_weak(pack));
        Ok(index)
    }

    pub(crate) async fn index_file(self: &Arc<Self>, id: Id) -> Result<IndexFile> {
        let name = object(ObjectKind::Index, id);
        let sealed = self.sinks.read(&name, None, |sealed| {
            if Id::of(&sealed) == id {
                Ok(sealed)
            } else {
                Err(Error::corrupt("the index is not what its name says"))
            }
        });
        let sealed = sealed.await?;
        let shared = Arc::clone(self);
        let work = self.tasks.spawn_blocking(move || IndexFile::parse(&open_unpacked(&shared.key, &sealed)?));
        joined(work.await).map_err(|error| error.with_key(name))
    }

    /// Where a blob lies.
    pub(crate) async fn locate(self: &Arc<Self>, kind: BlobKind, id: Id) -> Result<Location> {
        let mut found = self.index().await?.read().get(kind, &id);
        let age = self.clock.monotonic().saturating_sub(*self.index_read.lock());
        if found.is_none() && age > STALE {
            // Another process may have stored it since.
            found = self.reload_index().await?.read().get(kind, &id);
        }
        found.ok_or_else(|| {
            Error::corrupt(format!("no index names the {} blob", kind_name(kind)))
                .with_key(id)
                .with_remedy("check the repository; another replica or a repair of the index may have it")
        })
    }

    /// Reads a blob, from whichever sink has it whole.
    pub(crate) async fn blob(self: &Arc<Self>, kind: BlobKind, id: Id) -> Result<Vec<u8>> {
        let location = self.locate(kind, id).await?;
        let error = match self.blob_at(location).await {
            Err(error) if error.is_not_found() => error,
            other => return other,
        };
        // Another process may have pruned, and the blob lies in another pack now.
        match self.reload_index().await?.read().get(kind, &id) {
            Some(other) if other.pack != location.pack => {}
            _ => return Err(error),
        }
        let location = self.locate(kind, id).await?;
        self.blob_at(location).await
    }

    async fn blob_at(self: &Arc<Self>, location: Location) -> Result<Vec<u8>> {
        if location.entry.kind == BlobKind::Tree
            && let Some(found) = self.cached(&location)
        {
            return Ok(found);
        }
        let start = u64::from(location.entry.offset);
        let range = start..start + u64::from(location.entry.length);
        let name = object(ObjectKind::Pack, location.pack);
        self.sinks.read(&name, Some(range), |sealed| open_blob(&self.key, &location, &sealed)).await
    }

    /// Reads a directory.
    pub(crate) async fn tree(self: &Arc<Self>, id: Id) -> Result<Tree> {
        let location = self.locate(BlobKind::Tree, id).await?;
        if self.trees.get(location.pack).is_none() {
            // A pack that cannot be read whole may still give this blob.
            let name = object(ObjectKind::Pack, location.pack);
            let whole = self.sinks.read(&name, None, Ok).await;
            if let Ok(bytes) = whole
                && bytes.len() <= CACHE
            {
                self.trees.put(location.pack, bytes);
            }
        }
        Tree::parse(&self.blob(BlobKind::Tree, id).await?).map_err(|error| error.with_key(id))
    }

    /// The blob out of the cached pack; a damaged copy counts as absent.
    fn cached(&self, location: &Location) -> Option<Vec<u8>> {
        let pack = self.trees.get(location.pack)?;
        let from = usize::try_from(location.entry.offset).ok()?;
        let sealed = pack.get(from..from + usize::try_from(location.entry.length).ok()?)?;
        open_blob(&self.key, location, sealed).ok()
    }
}

pub(crate) fn kind_name(kind: BlobKind) -> &'static str {
    match kind {
        BlobKind::Data => "data",
        BlobKind::Tree => "tree",
    }
}

thread_local! {
    static CODEC: std::cell::RefCell<Option<Codec>> = const { std::cell::RefCell::new(None) };
}

/// Opens, decompresses and verifies a blob.
pub(crate) fn open_blob(key: &Key, location: &Location, sealed: &[u8]) -> Result<Vec<u8>> {
    let id = location.entry.id;
    let plain = key.open(sealed).and_then(|plain| match location.entry.uncompressed {
        0 => Ok(plain),
        length => CODEC.with_borrow_mut(|codec| {
            let codec = match codec {
                Some(codec) => codec,
                None => codec.insert(Codec::new(Compression::Auto)?),
            };
            codec.decompress(&plain, usize::try_from(length).unwrap_or(usize::MAX))
        }),
    });
    let plain = plain.map_err(|error| error.with_key(format!("blob {id} in pack {}", location.pack)))?;
    if Id::of(&plain) != id {
        return Err(Error::corrupt("the blob is not what its name says")
            .with_key(format!("blob {id} in pack {}", location.pack)));
    }
    Ok(plain)
}
