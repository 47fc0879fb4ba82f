//! Sealed values in the lower tiers.

use aeth_core::cache::{Entry, EntryFlags};
use aeth_core::seal::Keyset;
use aeth_core::{Namespace, Result};
use bytes::{BufMut, Bytes};
use parking_lot::RwLock;
use std::fmt;
use std::sync::Arc;

const CONTEXT: &[u8] = b"aeth-cache entry 1";

/// The keys under which a cache's values are sealed in the lower tiers; see
/// [`CacheOptions::seal`](crate::CacheOptions::seal).
///
/// Clones are the same keys: give one to each cache, keep one, and [`replace`](Self::replace) the keyset when it is
/// rotated. Entries are sealed under the primary key and opened under any enabled one; one that no key opens is a
/// miss.
///
/// A value is one Tink streaming-AEAD ciphertext (AES256-GCM-HKDF). Its associated data is everything else that
/// the entry says, so that nothing of it can be changed or moved to another key without the entry becoming a miss:
///
/// ```text
/// "aeth-cache entry 1"
/// length (1 byte) and bytes of the namespace
/// length (2 bytes) and bytes of the key
/// flags (1), codec (2), schema (4), created (8), fresh until (8), usable until (8), version (8)
/// number of tags (2), and of each: length (1 byte) and bytes
/// ```
/// Integers are little-endian. What it does not hide: namespace, key, tags, times, and the value's length. Who can
/// write into the tier can put back an older entry of the same key while its time lasts.
#[derive(Clone)]
pub struct CacheKeys(Arc<RwLock<Arc<Keyset>>>);

impl CacheKeys {
    /// Seals and opens with this keyset.
    #[must_use]
    pub fn new(keyset: Keyset) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(keyset))))
    }

    /// Seals and opens with another keyset from now on, in every clone: the same one with a key added, promoted or
    /// disabled.
    pub fn replace(&self, keyset: Keyset) {
        *self.0.write() = Arc::new(keyset);
    }

    fn keyset(&self) -> Arc<Keyset> {
        Arc::clone(&self.0.read())
    }

    pub(super) fn seal(&self, namespace: &Namespace, key: &[u8], mut entry: Entry) -> Result<Entry> {
        entry.flags = entry.flags.with(EntryFlags::SEALED);
        let (sealed, _) = self.keyset().seal(&associated(namespace, key, &entry), &entry.value)?;
        entry.value = sealed;
        Ok(entry)
    }

    pub(super) fn open(&self, namespace: &Namespace, key: &[u8], entry: &Entry) -> Result<Bytes> {
        self.keyset().open(&associated(namespace, key, entry), None, entry.value.clone())
    }
}

/// What a sealed value is bound to.
fn associated(namespace: &Namespace, key: &[u8], entry: &Entry) -> Vec<u8> {
    let mut out = Vec::with_capacity(CONTEXT.len() + namespace.as_str().len() + key.len() + 64);
    out.put_slice(CONTEXT);
    // A namespace has at most 64 bytes, a key 512, a tag 128; an item has at most 64 tags.
    out.put_u8(u8::try_from(namespace.as_str().len()).unwrap_or(u8::MAX));
    out.put_slice(namespace.as_str().as_bytes());
    out.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
    out.put_slice(key);
    out.put_u8(entry.flags.bits());
    out.put_u16_le(entry.codec.get());
    out.put_u32_le(entry.schema);
    for number in [entry.created, entry.fresh_until, entry.usable_until, entry.version] {
        out.put_u64_le(number);
    }
    out.put_u16_le(u16::try_from(entry.tags.len()).unwrap_or(u16::MAX));
    for tag in entry.tags.iter() {
        out.put_u8(u8::try_from(tag.as_str().len()).unwrap_or(u8::MAX));
        out.put_slice(tag.as_str().as_bytes());
    }
    out
}

impl fmt::Debug for CacheKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CacheKeys").field(&self.keyset()).finish()
    }
}
