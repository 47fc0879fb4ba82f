//! Open packs, and the random choice among them.
//!
//! Which blobs lie next to each other in a pack, and how long each is, an observer of the repository sees.
//! With all chunks of a file in order this tells the file (Percival, *Chunking attacks on file backup services
//! using content-defined chunking*, 2025); spread over two packs at random it does not. restic does the same.

use super::gate::Gates;
use crate::Id;
use crate::crypto::{Hasher, Key, random};
use crate::format::{BlobEntry, BlobKind, MAX_BLOBS, PackBuilder};
use aeth_core::Result;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;

/// Open packs for each kind of blob.
pub(super) const OPEN: usize = 2;

/// Bytes of a pack that are worth looking for.
const WORTH: usize = 1 << 10;
/// Bytes that are hashed before a pack is let go again, so that nobody waits long for it.
const STRETCH: usize = 128 << 10;

/// A finished pack on its way to the sinks.
#[derive(Debug)]
pub(super) struct SealedPack {
    pub(super) id: Id,
    pub(super) bytes: Bytes,
    pub(super) blobs: Vec<BlobEntry>,
}

/// Takes sealed blobs and hands over full packs.
#[derive(Debug)]
pub(super) struct Packer {
    data: [Mutex<Option<PackBuilder>>; OPEN],
    trees: [Mutex<Option<PackBuilder>>; OPEN],
    coins: Mutex<(u64, u32)>,
    size: usize,
    out: Mutex<Option<mpsc::UnboundedSender<SealedPack>>>,
}

impl Packer {
    /// Closes packs at `size` bytes. The channel needs no bound: the gate counts packs.
    pub(super) fn new(size: usize, out: mpsc::UnboundedSender<SealedPack>) -> Self {
        Self {
            data: Default::default(),
            trees: Default::default(),
            coins: Mutex::new((0, 0)),
            size,
            out: Mutex::new(Some(out)),
        }
    }

    /// The name of a blob, found side by side with what an open pack's own name needs.
    pub(super) fn name(&self, data: &[u8]) -> Id {
        let mut hasher = Hasher::new();
        let mut rest = data;
        while !rest.is_empty() {
            // A pack that somebody is at is left alone.
            let free = self.data.iter().filter_map(Mutex::try_lock);
            let open = free.filter_map(|slot| MutexGuard::try_map(slot, Option::as_mut).ok());
            let pack = open.max_by_key(|pack| pack.unhashed()).filter(|pack| pack.unhashed() >= WORTH);
            let (now, later) = match &pack {
                Some(pack) => rest.split_at(rest.len().min(pack.unhashed()).min(STRETCH)),
                None => rest.split_at(rest.len().min(STRETCH)),
            };
            match pack {
                Some(mut pack) => pack.hash_beside(&mut hasher, now),
                None => hasher.update(now),
            }
            rest = later;
        }
        Id::from_bytes(hasher.finish())
    }

    /// Adds a sealed blob; waits while too many packs are under way.
    pub(super) fn add(
        &self,
        gates: &Gates,
        key: &Key,
        kind: BlobKind,
        id: Id,
        sealed: &[u8],
        uncompressed: u32,
    ) -> Result<()> {
        let slots = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        let chosen = usize::from(self.coin()?);
        let Some(slot) = slots.get(chosen) else { return Ok(()) };
        // Before it waits for a new one: a pack that nobody sends is a buffer that nobody gives back.
        let full = slot.lock().take_if(|pack| !self.fits(pack, sealed.len()));
        if let Some(pack) = full {
            self.send(key, pack)?;
        }
        let full = {
            let mut slot = slot.lock();
            let pack = match &mut *slot {
                Some(pack) => pack,
                None => slot.insert(PackBuilder::new(gates.of(kind).take()?)),
            };
            pack.add(kind, id, sealed, uncompressed)?;
            if pack.len() >= self.size || pack.blobs().len() >= MAX_BLOBS { slot.take() } else { None }
        };
        full.map_or(Ok(()), |pack| self.send(key, pack))
    }

    /// Whether a pack is to take so many bytes more. One that is nearly full is closed before it grows beyond its
    /// size, so that a buffer of that size is enough for it.
    fn fits(&self, pack: &PackBuilder, length: usize) -> bool {
        pack.len() + length <= self.size || pack.len() < self.size / 4 * 3
    }

    /// Hands over what is open. Two packs that fit into one are joined, so that the last of a small file's
    /// blobs do not lie alone.
    pub(super) fn flush(&self, gates: &Gates, key: &Key) -> Result<()> {
        for (kind, slots) in [(BlobKind::Data, &self.data), (BlobKind::Tree, &self.trees)] {
            let mut last: Option<PackBuilder> = None;
            for slot in slots {
                let Some(next) = slot.lock().take() else { continue };
                match &mut last {
                    Some(pack)
                        if pack.len() + next.len() <= self.size
                            && pack.blobs().len() + next.blobs().len() <= MAX_BLOBS =>
                    {
                        pack.merge(&next)?;
                        gates.of(kind).give(None);
                    }
                    _ => {
                        if let Some(pack) = last.replace(next) {
                            self.send(key, pack)?;
                        }
                    }
                }
            }
            if let Some(pack) = last {
                self.send(key, pack)?;
            }
        }
        Ok(())
    }

    fn send(&self, key: &Key, pack: PackBuilder) -> Result<()> {
        let (id, bytes, blobs) = pack.finish_named(key)?;
        let pack = SealedPack { id, bytes: bytes.freeze(), blobs };
        let out = self.out.lock().clone();
        out.and_then(|out| out.send(pack).ok()).ok_or_else(crate::error::cancelled)
    }

    /// Ends the channel: no pack comes any more.
    pub(super) fn close(&self) {
        *self.out.lock() = None;
    }

    /// A random bit; the system is asked once for 64 of them.
    fn coin(&self) -> Result<bool> {
        let mut coins = self.coins.lock();
        if coins.1 == 0 {
            let mut bytes = [0; 8];
            random(&mut bytes)?;
            *coins = (u64::from_le_bytes(bytes), 64);
        }
        let bit = coins.0 & 1 == 1;
        *coins = (coins.0 >> 1, coins.1 - 1);
        Ok(bit)
    }
}
