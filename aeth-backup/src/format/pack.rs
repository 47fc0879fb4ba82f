//! Packs: sealed blobs one after the other, then the sealed header, then its length.

use crate::Id;
use crate::crypto::{Hasher, Key, OVERHEAD};
use aeth_core::{Error, Result};
use bytes::{BufMut, BytesMut};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const LENGTH: usize = 4;
const PLAIN_ENTRY: usize = 37;
const COMPRESSED_ENTRY: usize = 41;
/// restic reads no header above 16 MiB.
const MAX_HEADER: usize = 16 << 20;
/// As many blobs as fit below that limit.
pub(crate) const MAX_BLOBS: usize = (MAX_HEADER - OVERHEAD) / COMPRESSED_ENTRY;

/// What a blob holds. The two never share a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BlobKind {
    Data,
    Tree,
}

/// One blob of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlobEntry {
    pub(crate) kind: BlobKind,
    pub(crate) id: Id,
    pub(crate) offset: u32,
    /// Bytes in the pack.
    pub(crate) length: u32,
    /// Bytes after decompression; 0 when it is not compressed.
    pub(crate) uncompressed: u32,
}

impl BlobEntry {
    /// The length of the plaintext in bytes.
    pub(crate) fn plain_length(&self) -> u32 {
        let overhead = u32::try_from(OVERHEAD).unwrap_or(u32::MAX);
        if self.uncompressed > 0 { self.uncompressed } else { self.length.saturating_sub(overhead) }
    }
}

/// Bytes that one blob takes in the header.
fn header_entry_size(blob: &BlobEntry) -> usize {
    if blob.uncompressed > 0 { COMPRESSED_ENTRY } else { PLAIN_ENTRY }
}

/// The bytes of a pack that are not its blobs'.
pub(crate) fn pack_overhead(blobs: &[BlobEntry]) -> usize {
    blobs.iter().map(header_entry_size).sum::<usize>() + OVERHEAD + LENGTH
}

/// A pack that is being filled. Several threads may seal blobs into it at once: each reserves its [`Region`] and gives
/// it back full.
#[derive(Debug)]
pub(crate) struct PackBuilder {
    /// The blobs that are there, as far as none before them is missing.
    bytes: BytesMut,
    /// Those behind: `None` is being sealed.
    behind: VecDeque<Option<BytesMut>>,
    /// The number of the first of them.
    next: usize,
    /// What is left of the buffer.
    room: BytesMut,
    /// Bytes of all blobs, those too that are being sealed.
    length: usize,
    blobs: Vec<BlobEntry>,
    /// Of the first `hashed` bytes.
    hasher: Hasher,
    hashed: usize,
}

/// Where a blob goes.
#[derive(Debug)]
pub(crate) struct Region {
    number: usize,
    /// To be overwritten, all of it.
    pub(crate) bytes: BytesMut,
}

impl PackBuilder {
    /// Fills `buffer`, over what it holds.
    pub(crate) fn new(buffer: BytesMut) -> Self {
        Self {
            bytes: BytesMut::new(),
            behind: VecDeque::new(),
            next: 0,
            room: buffer,
            length: 0,
            blobs: Vec::new(),
            hasher: Hasher::new(),
            hashed: 0,
        }
    }

    /// Makes room for a sealed blob of `length` bytes.
    pub(crate) fn reserve(
        &mut self,
        kind: BlobKind,
        id: Id,
        length: usize,
        uncompressed: u32,
    ) -> Result<Region> {
        self.note(kind, id, length, uncompressed)?;
        // Longer than was thought of, it is copied when its turn comes.
        let bytes = self.take(length).unwrap_or_else(|| BytesMut::zeroed(length));
        self.behind.push_back(None);
        Ok(Region { number: self.next + self.behind.len() - 1, bytes })
    }

    /// The next `length` bytes of the buffer, if it has so many. Where an earlier pack was, nothing is cleared.
    fn take(&mut self, length: usize) -> Option<BytesMut> {
        if length > self.room.capacity() {
            return None;
        }
        if self.room.len() < length {
            self.room.resize(length, 0);
        }
        Some(self.room.split_to(length))
    }

    /// Takes a region back.
    pub(crate) fn fill(&mut self, region: Region) {
        if let Some(place) = region.number.checked_sub(self.next).and_then(|at| self.behind.get_mut(at)) {
            *place = Some(region.bytes);
        }
        while let Some(Some(_)) = self.behind.front() {
            // They lie one behind the other in one buffer, so nothing is copied.
            self.bytes.unsplit(self.behind.pop_front().flatten().unwrap_or_default());
            self.next += 1;
        }
    }

    /// True when no region is out.
    pub(crate) fn is_whole(&self) -> bool {
        self.behind.is_empty()
    }

    /// Appends a sealed blob. No region may be out.
    pub(crate) fn add(&mut self, kind: BlobKind, id: Id, sealed: &[u8], uncompressed: u32) -> Result<()> {
        self.note(kind, id, sealed.len(), uncompressed)?;
        match self.take(sealed.len()) {
            Some(mut region) => {
                region.copy_from_slice(sealed);
                self.bytes.unsplit(region);
            }
            None => self.bytes.extend_from_slice(sealed),
        }
        Ok(())
    }

    fn note(&mut self, kind: BlobKind, id: Id, length: usize, uncompressed: u32) -> Result<()> {
        let too_long = || Error::invalid("a pack cannot grow beyond 4 GiB");
        let offset = u32::try_from(self.length).map_err(|_| too_long())?;
        let short = u32::try_from(length).map_err(|_| too_long())?;
        offset.checked_add(short).ok_or_else(too_long)?;
        self.length += length;
        self.blobs.push(BlobEntry { kind, id, offset, length: short, uncompressed });
        Ok(())
    }

    /// Bytes that are not in the pack's own hash yet.
    pub(crate) fn unhashed(&self) -> usize {
        self.bytes.len() - self.hashed
    }

    /// Appends `data` to `other` and hashes as much of the pack at the same time, which costs little more than one
    /// of the two alone.
    pub(crate) fn hash_beside(&mut self, other: &mut Hasher, data: &[u8]) {
        let length = data.len().min(self.unhashed());
        let own = self.bytes.get(self.hashed..self.hashed + length).unwrap_or_default();
        self.hasher.update_beside(own, other, data);
        self.hashed += own.len();
    }

    /// [`finish`](Self::finish), and the pack's name.
    pub(crate) fn finish_named(mut self, key: &Key) -> Result<(Id, BytesMut, Vec<BlobEntry>)> {
        let (mut hasher, hashed) = (std::mem::replace(&mut self.hasher, Hasher::new()), self.hashed);
        let (bytes, blobs) = self.finish(key)?;
        hasher.update(bytes.get(hashed..).unwrap_or_default());
        Ok((Id::from_bytes(hasher.finish()), bytes, blobs))
    }

    /// Bytes of blobs so far.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The blobs so far.
    pub(crate) fn blobs(&self) -> &[BlobEntry] {
        &self.blobs
    }

    /// Moves the blobs of `other` behind these.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<()> {
        for blob in &other.blobs {
            let (from, length) = (to_usize(blob.offset), to_usize(blob.length));
            let sealed = other.bytes.get(from..from + length).unwrap_or_default();
            self.add(blob.kind, blob.id, sealed, blob.uncompressed)?;
        }
        Ok(())
    }

    /// Appends the header.
    pub(crate) fn finish(mut self, key: &Key) -> Result<(BytesMut, Vec<BlobEntry>)> {
        let mut header = Vec::with_capacity(pack_overhead(&self.blobs));
        for blob in &self.blobs {
            let compressed = blob.uncompressed > 0;
            header.push(match (blob.kind, compressed) {
                (BlobKind::Data, false) => 0,
                (BlobKind::Tree, false) => 1,
                (BlobKind::Data, true) => 2,
                (BlobKind::Tree, true) => 3,
            });
            header.put_u32_le(blob.length);
            if compressed {
                header.put_u32_le(blob.uncompressed);
            }
            header.extend_from_slice(blob.id.as_bytes());
        }
        self.room.clear();
        self.bytes.unsplit(self.room);
        let header = key.seal(&header)?;
        self.bytes.extend_from_slice(&header);
        self.bytes.put_u32_le(u32::try_from(header.len()).unwrap_or(u32::MAX));
        Ok((self.bytes, self.blobs))
    }
}

/// Reads the header of a pack of `size` bytes. `tail` is its end, as much of it as the caller has; `Err(n)`
/// inside the result asks for at least `n` bytes of it.
pub(crate) fn parse_header(key: &Key, size: u64, tail: &[u8]) -> Result<Result<Vec<BlobEntry>, usize>> {
    let broken = |message| Error::corrupt(message);
    let (rest, length) = tail.split_last_chunk::<LENGTH>().ok_or_else(|| broken("the pack is too short"))?;
    let length = to_usize(u32::from_le_bytes(*length));
    if length <= OVERHEAD || length > MAX_HEADER {
        return Err(broken("the pack's header has an impossible length"));
    }
    let total = u64::try_from(length + LENGTH).unwrap_or(u64::MAX);
    if total > size {
        return Err(broken("the pack is shorter than its header"));
    }
    let Some(at) = rest.len().checked_sub(length) else {
        return Ok(Err(length + LENGTH));
    };
    let header = key.open(rest.get(at..).unwrap_or_default())?;
    let blobs = parse_entries(&header)?;
    let end = blobs.last().map_or(0, |blob| u64::from(blob.offset) + u64::from(blob.length));
    if end + total != size {
        return Err(broken("the pack's length is not that of its blobs"));
    }
    Ok(Ok(blobs))
}

fn parse_entries(mut header: &[u8]) -> Result<Vec<BlobEntry>> {
    let broken = || Error::corrupt("the pack's header ends within an entry");
    let mut blobs = Vec::with_capacity(header.len() / PLAIN_ENTRY);
    let mut offset = 0_u32;
    while let Some((kind, rest)) = header.split_first() {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
        let (blob_kind, compressed) = match kind {
            0 => (BlobKind::Data, false),
            1 => (BlobKind::Tree, false),
            2 => (BlobKind::Data, true),
            3 => (BlobKind::Tree, true),
            _ => return Err(Error::corrupt("the pack's header names an unknown type of blob")),
        };
        let (uncompressed, rest) =
            if compressed { rest.split_first_chunk::<4>().ok_or_else(broken)? } else { (&[0; 4], rest) };
        let (id, rest) = rest.split_first_chunk::<32>().ok_or_else(broken)?;
        let length = u32::from_le_bytes(*length);
        blobs.push(BlobEntry {
            kind: blob_kind,
            id: Id::from_bytes(*id),
            offset,
            length,
            uncompressed: u32::from_le_bytes(*uncompressed),
        });
        offset =
            offset.checked_add(length).ok_or_else(|| Error::corrupt("the pack claims more than 4 GiB"))?;
        header = rest;
    }
    Ok(blobs)
}

/// `u32` always fits where this crate runs.
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regions come back in any order, and may be longer than the buffer has room for.
    #[test]
    fn regions_make_the_same_pack() {
        let key = Key::random().unwrap();
        // Buffers are new, or hold an earlier pack, as long as they are or shorter.
        for (capacity, held) in [(0, 0), (100, 0), (1000, 700), (5000, 0), (5000, 900), (5000, 5000)] {
            let mut buffer = BytesMut::with_capacity(capacity);
            buffer.resize(held, 0xee);
            let start = buffer.as_ptr();
            let mut pack = PackBuilder::new(buffer);
            let mut regions = Vec::new();
            let mut expected = Vec::new();
            for i in 0..20_u8 {
                let length = 32 + usize::from(i) * 7;
                let mut region = pack.reserve(BlobKind::Data, Id::of(&[i]), length, 0).unwrap();
                region.bytes.fill(i);
                expected.extend(vec![i; length]);
                regions.insert(usize::from(i) * 5 % (regions.len() + 1), region);
            }
            for region in regions {
                assert!(!pack.is_whole());
                pack.fill(region);
                let mut beside = Hasher::new();
                pack.hash_beside(&mut beside, &[1; 99]);
            }
            assert!(pack.is_whole());
            assert_eq!(pack.len(), expected.len());
            let (id, bytes, blobs) = pack.finish_named(&key).unwrap();
            assert_eq!(&bytes[..expected.len()], expected);
            assert_eq!(id, Id::of(&bytes));
            assert_eq!(parse_header(&key, bytes.len() as u64, &bytes).unwrap().unwrap(), blobs);
            assert!(capacity < 5000 || bytes.as_ptr() == start, "it was copied");
        }
    }

    #[test]
    fn round_trip_and_damage() {
        let key = Key::random().unwrap();
        let mut pack = PackBuilder::new(BytesMut::new());
        for i in 0..20_u8 {
            let sealed = key.seal(&vec![i; usize::from(i)]).unwrap();
            pack.add(BlobKind::Data, Id::of(&[i]), &sealed, u32::from(i % 2) * 9).unwrap();
        }
        assert!(pack.is_whole());
        let expected = pack.blobs().to_vec();
        let mut data = Hasher::new();
        pack.hash_beside(&mut data, &[7; 150]);
        assert_eq!(Id::from_bytes(data.finish()), Id::of(&[7; 150]));
        assert_eq!(pack.unhashed(), pack.len() - 150);
        let (id, bytes, _) = pack.finish_named(&key).unwrap();
        assert_eq!(id, Id::of(&bytes));
        let size = bytes.len() as u64;
        assert_eq!(parse_header(&key, size, &bytes).unwrap().unwrap(), expected);
        let need = parse_header(&key, size, &bytes[bytes.len() - 100..]).unwrap().unwrap_err();
        assert_eq!(parse_header(&key, size, &bytes[bytes.len() - need..]).unwrap().unwrap(), expected);
        assert_eq!(need, pack_overhead(&expected));
        assert!(parse_header(&key, size + 1, &bytes).is_err());
        for at in bytes.len() - need..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(!matches!(parse_header(&key, size, &bad), Ok(Ok(_))), "byte {at}");
        }
    }
}
