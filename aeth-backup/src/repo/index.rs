//! Where every blob lies, in memory.

use crate::Id;
use crate::format::{BlobEntry, BlobKind, IndexPack};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Ids are hashes already: their first bytes serve. Somebody who can choose ids has broken SHA-256.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

pub(crate) type IdMap<V> = HashMap<Id, V, BuildHasherDefault<IdHasher>>;
pub(crate) type IdSet = HashSet<Id, BuildHasherDefault<IdHasher>>;

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) pack: Id,
    pub(crate) entry: BlobEntry,
}

/// 16 bytes for what an index entry says, instead of 80.
#[derive(Debug, Clone, Copy)]
struct Packed {
    pack: u32,
    offset: u32,
    length: u32,
    uncompressed: u32,
}

/// The union of all index files.
#[derive(Debug, Default)]
pub(crate) struct Index {
    packs: Vec<Id>,
    known: IdSet,
    data: IdMap<Packed>,
    trees: IdMap<Packed>,
}

impl Index {
    /// Adds a pack; one that is known already is left alone. A blob that lies in two packs is taken from the
    /// first.
    pub(crate) fn add(&mut self, pack: &IndexPack) {
        if !self.known.insert(pack.id) {
            return;
        }
        let Ok(number) = u32::try_from(self.packs.len()) else { return };
        self.packs.push(pack.id);
        for blob in &pack.blobs {
            let packed = Packed {
                pack: number,
                offset: blob.offset,
                length: blob.length,
                uncompressed: blob.uncompressed,
            };
            self.map_mut(blob.kind).entry(blob.id).or_insert(packed);
        }
    }

    fn map_mut(&mut self, kind: BlobKind) -> &mut IdMap<Packed> {
        match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        }
    }

    fn map(&self, kind: BlobKind) -> &IdMap<Packed> {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    pub(crate) fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        self.map(kind).contains_key(id)
    }

    pub(crate) fn contains_pack(&self, id: &Id) -> bool {
        self.known.contains(id)
    }

    pub(crate) fn get(&self, kind: BlobKind, id: &Id) -> Option<Location> {
        let packed = self.map(kind).get(id)?;
        let pack = *self.packs.get(usize::try_from(packed.pack).ok()?)?;
        let Packed { offset, length, uncompressed, .. } = *packed;
        Some(Location { pack, entry: BlobEntry { kind, id: *id, offset, length, uncompressed } })
    }
}
