//! Where pages are kept.
//!
//! A page is named by its object (path, mark and page size, hashed) and its number, so that a page of an older
//! state is never found under a newer one. Behind its bytes stands a checksum over them and over its name: a page
//! that was damaged, cut, or exchanged for another is a miss.

mod dir;
mod memory;
mod tier;

pub(super) use dir::DirPages;
pub(super) use memory::MemoryPages;
pub(super) use tier::TierPages;

use aeth_core::BlobPath;
use aeth_core::blob::ETag;
use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use std::fmt;

/// The length of what stands behind a page's bytes.
pub(super) const TRAILER: usize = 4;

/// One state of one blob, cut in pages of one size.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ObjectId([u8; 32]);

impl ObjectId {
    pub(super) fn new(path: &BlobPath, etag: &ETag, page_size: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"aeth-files page 1");
        hash.update(page_size.to_le_bytes());
        hash.update((path.as_str().len() as u64).to_le_bytes());
        hash.update(path.as_str());
        hash.update(etag.as_str());
        Self(hash.finalize().into())
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::random::to_hex(&self.0))
    }
}

/// The name of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    object: ObjectId,
    number: u64,
}

impl PageKey {
    pub(super) fn new(object: ObjectId, number: u64) -> Self {
        Self { object, number }
    }

    /// The name as bytes, in the order of their numbers.
    fn bytes(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (object, number) = bytes.split_at_mut(32);
        object.copy_from_slice(&self.object.0);
        number.copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    fn checksum(&self, page: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.bytes()), page)
    }

    /// The page as it is kept.
    pub(super) fn seal(&self, mut page: BytesMut) -> Bytes {
        let checksum = self.checksum(&page);
        page.put_u32_le(checksum);
        page.freeze()
    }

    /// The bytes of a kept page of this length; `None` when it is not what was kept.
    pub(super) fn open(&self, mut kept: Bytes, length: usize) -> Option<Bytes> {
        if kept.len() != length + TRAILER {
            return None;
        }
        let trailer = kept.split_off(length);
        (*trailer == self.checksum(&kept).to_le_bytes()).then_some(kept)
    }
}

/// A place for pages. It may forget any of them at any time, and what goes wrong in it is a miss.
#[async_trait]
pub(super) trait Pages: fmt::Debug + Send + Sync {
    /// The pages of these names as they were kept, one answer for each.
    async fn get_many(&self, keys: &[PageKey]) -> Vec<Option<Bytes>>;

    /// Keeps a page.
    async fn put(&self, key: PageKey, kept: Bytes);

    /// The bytes that are kept, where that is known.
    fn size(&self) -> Option<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_itself_opens() {
        let path = BlobPath::new("a").unwrap();
        let object = ObjectId::new(&path, &ETag::new("1"), 4096);
        assert_ne!(object, ObjectId::new(&path, &ETag::new("2"), 4096));
        assert_ne!(object, ObjectId::new(&path, &ETag::new("1"), 8192));
        let key = PageKey::new(object, 7);
        let kept = key.seal(BytesMut::from(&b"the bytes of a page"[..]));
        assert_eq!(key.open(kept.clone(), 19).unwrap(), "the bytes of a page");
        assert_eq!(key.open(kept.clone(), 18), None);
        assert_eq!(PageKey::new(object, 8).open(kept.clone(), 19), None);
        for at in 0..kept.len() {
            let mut damaged = kept.to_vec();
            damaged[at] ^= 1;
            assert_eq!(key.open(damaged.into(), 19), None, "a flip at {at}");
        }
        assert_eq!(key.open(Bytes::new(), 0), None);
    }
}
