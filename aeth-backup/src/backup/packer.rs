//! Open packs, and the random choice among them.
//!
//! Which blobs lie next to each other in a pack, and how long each is, an observer of the repository sees.
//! With all chunks of a file in order this tells the file (Percival, *Chunking attacks on file backup services
//! using content-defined chunking*, 2025); spread over two packs at random it does not. restic does the same.

use super::gate::Gates;
use crate::Id;
use crate::crypto::{Hasher, Key, OVERHEAD, random};
use crate::format::{BlobEntry, BlobKind, MAX_BLOBS, PackBuilder};
use aeth_core::{Error, Result};
use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
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

/// Takes blobs and hands over full packs.
#[derive(Debug)]
pub(super) struct Packer {
    data: [Mutex<Option<Arc<Open>>>; OPEN],
    trees: [Mutex<Option<Arc<Open>>>; OPEN],
    /// A full pack of data, part of whose own name is still to be found.
    closing: Mutex<Option<PackBuilder>>,
    coins: Mutex<(u64, u32)>,
    size: usize,
    out: Mutex<Option<mpsc::UnboundedSender<SealedPack>>>,
}

/// A pack that threads seal blobs into.
#[derive(Debug)]
struct Open(Mutex<OpenPack>);

#[derive(Debug)]
struct OpenPack {
    /// Until it goes.
    pack: Option<PackBuilder>,
    /// No blob is added any more.
    full: bool,
}

impl Open {
    fn new(pack: PackBuilder) -> Arc<Self> {
        Arc::new(Self(Mutex::new(OpenPack { pack: Some(pack), full: false })))
    }

    /// The pack, when it is full and nobody is sealing into it: for whoever sees that first.
    fn complete(mut open: MutexGuard<'_, OpenPack>) -> Option<PackBuilder> {
        if open.full { open.pack.take_if(|pack| pack.is_whole()) } else { None }
    }
}

impl Packer {
    /// Closes packs at `size` bytes. The channel needs no bound: the gate counts packs.
    pub(super) fn new(size: usize, out: mpsc::UnboundedSender<SealedPack>) -> Self {
        Self {
            data: Default::default(),
            trees: Default::default(),
            closing: Mutex::default(),
            coins: Mutex::new((0, 0)),
            size,
            out: Mutex::new(Some(out)),
        }
    }

    /// The name of a blob, found side by side with what a pack's own name needs.
    pub(super) fn name(&self, key: &Key, data: &[u8]) -> Result<Id> {
        let mut hasher = Hasher::new();
        let mut rest = data;
        while !rest.is_empty() {
            // A pack that somebody is at is left alone.
            if let Some(mut closing) = self.closing.try_lock()
                && let Some(pack) = &mut *closing
            {
                rest = hash(pack, &mut hasher, rest);
                if pack.unhashed() < WORTH {
                    let pack = closing.take();
                    drop(closing);
                    pack.map_or(Ok(()), |pack| self.send(key, pack))?;
                }
                continue;
            }
            let open: [Option<Arc<Open>>; OPEN] =
                self.data.each_ref().map(|slot| slot.try_lock().and_then(|open| open.clone()));
            let free = open.iter().flatten().filter_map(|open| open.0.try_lock());
            let packs = free.filter_map(|open| MutexGuard::try_map(open, |open| open.pack.as_mut()).ok());
            match packs.max_by_key(|pack| pack.unhashed()) {
                Some(mut pack) if pack.unhashed() >= WORTH => rest = hash(&mut pack, &mut hasher, rest),
                _ => {
                    let (now, later) = rest.split_at(rest.len().min(STRETCH));
                    hasher.update(now);
                    rest = later;
                }
            }
        }
        Ok(Id::from_bytes(hasher.finish()))
    }

    /// Seals a blob into a pack, `plain` or what it was compressed to; waits while too many packs are under way.
    /// Returns the bytes that it takes.
    pub(super) fn add(
        &self,
        gates: &Gates,
        key: &Key,
        kind: BlobKind,
        id: Id,
        plain: &[u8],
        uncompressed: u32,
    ) -> Result<usize> {
        let slots = match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        };
        let chosen = usize::from(self.coin()?);
        let Some(slot) = slots.get(chosen) else { return Ok(0) };
        let length = plain.len() + OVERHEAD;
        // Before it waits for a new one: a pack that nobody sends is a buffer that nobody gives back.
        let full = slot.lock().take_if(|open| !self.fits(open, length));
        if let Some(open) = full {
            let mut pack = open.0.lock();
            pack.full = true;
            self.pass_on(key, kind, Open::complete(pack))?;
        }
        let (open, mut region) = {
            let mut slot = slot.lock();
            let open = match &*slot {
                Some(open) => Arc::clone(open),
                None => Arc::clone(slot.insert(Open::new(PackBuilder::new(self.buffer(gates, key, kind)?)))),
            };
            let mut pack = open.0.lock();
            let OpenPack { pack: Some(builder), full } = &mut *pack else {
                return Err(Error::other("an open pack has gone"));
            };
            let region = builder.reserve(kind, id, length, uncompressed)?;
            if builder.len() >= self.size || builder.blobs().len() >= MAX_BLOBS {
                *full = true;
                *slot = None;
            }
            drop(pack);
            (open, region)
        };
        key.seal_to(plain, &mut region.bytes)?;
        let complete = {
            let mut pack = open.0.lock();
            if let Some(pack) = &mut pack.pack {
                pack.fill(region);
            }
            Open::complete(pack)
        };
        self.pass_on(key, kind, complete)?;
        Ok(length)
    }

    /// A buffer for a pack. Whoever must wait for one sends what could be given back first.
    fn buffer(&self, gates: &Gates, key: &Key, kind: BlobKind) -> Result<BytesMut> {
        if let Some(buffer) = gates.of(kind).try_take()? {
            return Ok(buffer);
        }
        self.send_closing(key)?;
        gates.of(kind).take()
    }

    /// Whether a pack is to take so many bytes more. One that is nearly full is closed before it grows beyond its
    /// size, so that a buffer of that size is enough for it.
    fn fits(&self, open: &Open, length: usize) -> bool {
        let open = open.0.lock();
        let have = open.pack.as_ref().map_or(0, PackBuilder::len);
        have + length <= self.size || have < self.size / 4 * 3
    }

    /// Takes a full pack. One of data waits until what is named next has found its name with it, which is cheaper
    /// than finding it alone; one at a time.
    fn pass_on(&self, key: &Key, kind: BlobKind, pack: Option<PackBuilder>) -> Result<()> {
        let Some(pack) = pack else { return Ok(()) };
        let goes = if kind == BlobKind::Data && pack.unhashed() >= WORTH {
            self.closing.lock().replace(pack)
        } else {
            Some(pack)
        };
        goes.map_or(Ok(()), |pack| self.send(key, pack))
    }

    fn send_closing(&self, key: &Key) -> Result<()> {
        let pack = self.closing.lock().take();
        pack.map_or(Ok(()), |pack| self.send(key, pack))
    }

    /// Hands over what is open, when nobody adds any more. Two packs that fit into one are joined, so that the last
    /// of a small file's blobs do not lie alone.
    pub(super) fn flush(&self, gates: &Gates, key: &Key) -> Result<()> {
        self.send_closing(key)?;
        for (kind, slots) in [(BlobKind::Data, &self.data), (BlobKind::Tree, &self.trees)] {
            let mut last: Option<PackBuilder> = None;
            for slot in slots {
                let open = slot.lock().take();
                let Some(next) = open.and_then(|open| open.0.lock().pack.take()) else { continue };
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

/// Takes a stretch of `data` into `hasher` and as much of the pack into its own name; returns the rest of `data`.
fn hash<'a>(pack: &mut PackBuilder, hasher: &mut Hasher, data: &'a [u8]) -> &'a [u8] {
    let (now, later) = data.split_at(data.len().min(pack.unhashed()).min(STRETCH));
    pack.hash_beside(hasher, now);
    later
}
