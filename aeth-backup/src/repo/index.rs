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
    /// The numbers of packs that will be removed: they can be read, but nothing new may rely on them.
    weak: HashSet<u32>,
    data: IdMap<Packed>,
    trees: IdMap<Packed>,
}

impl Index {
    /// Adds a pack; one that is known already is left alone. A blob that lies in two packs is taken from the
    /// first that is not weak.
    pub(crate) fn add(&mut self, pack: &IndexPack) {
        self.add_as(pack, false);
    }

    /// Adds a pack that will be removed: its blobs can be read, but count as absent for writers.
    pub(crate) fn add_weak(&mut self, pack: &IndexPack) {
        self.add_as(pack, true);
    }

    fn add_as(&mut self, pack: &IndexPack, weak: bool) {
        if !self.known.insert(pack.id) {
            return;
        }
        let Ok(number) = u32::try_from(self.packs.len()) else { return };
        self.packs.push(pack.id);
        if weak {
            self.weak.insert(number);
        }
        for blob in &pack.blobs {
            let packed = Packed {
                pack: number,
                offset: blob.offset,
                length: blob.length,
                uncompressed: blob.uncompressed,
            };
            let map = match blob.kind {
                BlobKind::Data => &mut self.data,
                BlobKind::Tree => &mut self.trees,
            };
            let entry = map.entry(blob.id).or_insert(packed);
            if !weak && !self.weak.is_empty() && self.weak.contains(&entry.pack) {
                *entry = packed;
            }
        }
    }

    fn map(&self, kind: BlobKind) -> &IdMap<Packed> {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Whether a writer may rely on a blob.
    pub(crate) fn contains(&self, kind: BlobKind, id: &Id) -> bool {
        self.map(kind).get(id).is_some_and(|packed| self.weak.is_empty() || !self.weak.contains(&packed.pack))
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
