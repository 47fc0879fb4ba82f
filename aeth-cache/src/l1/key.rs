//! Keys of the first level: namespace number and bytes, hashed once.

use foldhash::quality::RandomState;
use quick_cache::Equivalent;
use std::hash::{BuildHasher, Hash, Hasher};

/// The longest key that needs no allocation of its own.
const INLINE: usize = 30;

/// A borrowed key with its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyRef<'a> {
    pub(crate) hash: u64,
    pub(crate) space: u32,
    pub(crate) bytes: &'a [u8],
}

/// A stored key with its hash. Short ones lie inline: a hit then follows no pointer to compare them.
#[derive(Debug, Clone)]
pub(crate) struct L1Key {
    hash: u64,
    space: u32,
    bytes: KeyBytes,
}

#[derive(Debug, Clone)]
enum KeyBytes {
    Inline { length: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

/// Hashes keys, with a seed of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyHasher(RandomState);

impl KeyHasher {
    #[inline]
    pub(crate) fn key<'a>(&self, space: u32, bytes: &'a [u8]) -> KeyRef<'a> {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(space);
        hasher.write(bytes);
        KeyRef { hash: hasher.finish(), space, bytes }
    }
}

impl KeyRef<'_> {
    /// The key to be stored.
    pub(crate) fn owned(self) -> L1Key {
        let bytes = match u8::try_from(self.bytes.len()) {
            Ok(length) if self.bytes.len() <= INLINE => {
                let mut inline = [0; INLINE];
                inline[..self.bytes.len()].copy_from_slice(self.bytes);
                KeyBytes::Inline { length, bytes: inline }
            }
            _ => KeyBytes::Heap(self.bytes.into()),
        };
        L1Key { hash: self.hash, space: self.space, bytes }
    }
}

impl L1Key {
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn space(&self) -> u32 {
        self.space
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            KeyBytes::Inline { length, bytes } => &bytes[..usize::from(*length)],
            KeyBytes::Heap(bytes) => bytes,
        }
    }

    pub(crate) fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { hash: self.hash, space: self.space, bytes: self.bytes() }
    }
}

impl Hash for L1Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for L1Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref().equivalent(other)
    }
}

impl Eq for L1Key {}

impl Equivalent<L1Key> for KeyRef<'_> {
    #[inline]
    fn equivalent(&self, key: &L1Key) -> bool {
        self.hash == key.hash && self.space == key.space && self.bytes == key.bytes()
    }
}

/// Takes the hash that the key brings along.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NoHash;

/// The hasher of [`NoHash`].
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Brought(u64);

impl BuildHasher for NoHash {
    type Hasher = Brought;
    fn build_hasher(&self) -> Brought {
        Brought(0)
    }
}

impl Hasher for Brought {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys only ever write their hash; anything else still hashes to something.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}
