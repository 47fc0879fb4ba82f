//! One sealed object: its key, its map, its plaintext's meta.

use super::Encrypted;
use super::identity::{Identity, strip};
use aeth_core::blob::{BlobMeta, ETag};
use aeth_core::seal::{Keyset, SegmentMap, SegmentOpener, SegmentSize};
use aeth_core::{BlobPath, Error, Result};

/// A sealed object that can be opened.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) opener: SegmentOpener,
    pub(super) map: SegmentMap,
}

/// An object whose length was proven, remembered for ranged reads.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) etag: ETag,
    pub(super) object: Object,
}

impl Encrypted {
    /// The associated data of what is at a path, and its identity where there are attributes.
    pub(super) fn identity(&self, keyset: &Keyset, meta: &BlobMeta) -> Result<(Vec<u8>, Option<Identity>)> {
        if !self.binds {
            return Ok((meta.path.as_str().as_bytes().to_vec(), None));
        }
        let identity = Identity::read(keyset, &meta.path, meta.attributes.as_ref())?;
        Ok((identity.id.as_bytes().to_vec(), Some(identity)))
    }

    /// The object of which `front` is the beginning.
    pub(super) fn object(&self, keyset: &Keyset, meta: &BlobMeta, front: &[u8]) -> Result<Object> {
        let (aad, identity) = self.identity(keyset, meta)?;
        let opener = match &identity {
            Some(identity) => keyset.segment_opener(front, &aad, &identity.commitment)?,
            None => {
                // The key is found by opening the first segment.
                self.counters.opened.increment();
                keyset.segment_opener_by_trial(front, meta.size, &aad)?
            }
        };
        let map = opener.map(meta.size)?;
        Ok(Object { opener, map })
    }

    /// How much of an object's beginning tells its key.
    pub(super) fn front_len(&self, keyset: &Keyset) -> u64 {
        if self.binds { aeth_core::seal::HEADER_LEN as u64 } else { keyset.trial_len() as u64 }
    }

    /// The segment size of an object, when it is known without looking into it.
    pub(super) fn segment_size(keyset: &Keyset, identity: Option<&Identity>) -> Option<SegmentSize> {
        match identity {
            Some(identity) => {
                let id = identity.commitment.key_id();
                keyset.keys().find(|key| key.id == id).map(|key| key.segment_size)
            }
            None => uniform(keyset),
        }
    }
}

/// The segment size that all keys have, if they have one.
pub(super) fn uniform(keyset: &Keyset) -> Option<SegmentSize> {
    let size = keyset.segment_size();
    keyset.keys().all(|key| key.segment_size == size).then_some(size)
}

/// The meta of the plaintext.
pub(super) fn plain(mut meta: BlobMeta, size: u64) -> BlobMeta {
    if let Some(attributes) = &mut meta.attributes {
        strip(attributes);
    }
    // A checksum below is that of the ciphertext.
    meta.checksum = None;
    meta.size = size;
    meta
}

/// The length of the plaintext of a sealed object.
pub(super) fn plain_len(size: SegmentSize, ciphertext: u64) -> Result<u64> {
    SegmentMap::of_ciphertext(size, ciphertext).map(|map| map.plaintext_len())
}

/// Names the blob in an error.
pub(super) fn shown(error: Error, path: &BlobPath) -> Error {
    error.with_component("encrypted").with_key(path)
}
