//! Seals a stream.

use super::cipher::Cipher;
use super::header::{HEADER_LEN, Header, TAG_LEN};
use super::keyset::Keyset;
use super::map::{SegmentMap, SegmentSize, too_long};
use super::stamp::Commitment;
use crate::{Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;

/// Seals one object, segment by segment, in memory of one segment.
///
/// Push data in pieces of any size, taking segments out until there is none, then finish. Concatenated, the
/// segments are the sealed object; the first begins with the header. Every byte is copied once, into the buffer
/// in which it is sealed.
pub struct Sealer {
    cipher: Cipher,
    commitment: Commitment,
    header: Header,
    segment_size: SegmentSize,
    index: u32,
    /// The open segment: for the first one the header, then plaintext.
    pending: BytesMut,
    failed: bool,
}

impl Keyset {
    /// Starts to seal an object under the primary key.
    ///
    /// `aad` is the associated data: not stored, and needed again to open the object.
    ///
    /// # Errors
    /// Other when the system's random generator fails.
    pub fn sealer(&self, aad: &[u8]) -> Result<Sealer> {
        let key = self.primary();
        let header = Header::random()?;
        Ok(Sealer {
            cipher: Cipher::new(&key.material, &header, aad)?,
            commitment: Commitment::new(key.id, &key.material, &header, aad),
            header,
            segment_size: key.material.segment_size(),
            index: 0,
            pending: BytesMut::new(),
            failed: false,
        })
    }

    /// Seals a whole object that is in memory, in one allocation.
    ///
    /// # Errors
    /// As [`sealer`](Self::sealer), and Invalid when the object needs more than 2^32 - 1 segments.
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<(Bytes, Commitment)> {
        let sealer = self.sealer(aad)?;
        let map = SegmentMap::of_plaintext(sealer.segment_size, plaintext.len() as u64)?;
        let total = usize::try_from(map.ciphertext_len()).map_err(|_| too_long())?;
        let mut out = BytesMut::with_capacity(total);
        out.extend_from_slice(sealer.header.bytes());
        let mut rest = plaintext;
        for index in 0..map.segment_count() {
            let (segment, after) = rest.split_at(rest.len().min(sealer.segment_size.capacity(index)));
            let from = out.len();
            out.extend_from_slice(segment);
            sealer.cipher.seal(index, map.is_last(index), &mut out, from)?;
            rest = after;
        }
        Ok((out.freeze(), sealer.commitment))
    }
}

impl Sealer {
    /// The commitment to the key, to be stored beside the object; known before any data is.
    #[must_use]
    pub fn commitment(&self) -> &Commitment {
        &self.commitment
    }

    /// The number of the key that seals this object.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.commitment.key_id()
    }

    /// The size of this object's segments.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    /// Takes from the front of `data` until a segment is complete and returns it sealed, or takes all of it and
    /// returns `None`.
    ///
    /// Call again with the same `data` until `None`. A full segment stays inside until more data follows,
    /// because the last one is marked.
    ///
    /// # Errors
    /// Invalid when the object outgrows 2^32 - 1 segments; the sealer is of no further use then.
    pub fn push(&mut self, data: &mut Bytes) -> Result<Option<Bytes>> {
        self.check()?;
        while !data.is_empty() {
            let base = self.base();
            let capacity = base + self.segment_size.capacity(self.index);
            if self.pending.len() == capacity {
                return self.seal(false).map(Some);
            }
            if self.pending.is_empty() {
                // Exact when all of a small object comes at once; a second piece asks for the whole segment.
                self.pending.reserve(capacity.min(base + data.len()) + TAG_LEN);
                self.pending.extend_from_slice(&self.header.bytes()[..base]);
            } else {
                self.pending.reserve(capacity + TAG_LEN - self.pending.len());
            }
            let take = data.len().min(capacity - self.pending.len());
            self.pending.extend_from_slice(&data[..take]);
            data.advance(take);
        }
        Ok(None)
    }

    /// Seals what is left as the last segment, which always exists, if only as a tag.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(mut self) -> Result<Bytes> {
        self.check()?;
        if self.pending.is_empty() {
            let base = self.base();
            self.pending.reserve(base + TAG_LEN);
            self.pending.extend_from_slice(&self.header.bytes()[..base]);
        }
        self.seal(true)
    }

    /// How many bytes stand before the plaintext of the open segment.
    fn base(&self) -> usize {
        if self.index == 0 { HEADER_LEN } else { 0 }
    }

    fn seal(&mut self, last: bool) -> Result<Bytes> {
        let base = self.base();
        // Set until all went well: after a failure no nonce may be used again.
        self.failed = true;
        let next = self.index.checked_add(1).ok_or_else(too_long)?;
        let mut segment = std::mem::take(&mut self.pending);
        self.cipher.seal(self.index, last, &mut segment, base)?;
        self.index = next;
        self.failed = false;
        Ok(segment.freeze())
    }

    fn check(&self) -> Result<()> {
        if self.failed {
            return Err(Error::closed("sealer failed before").with_remedy("seal the object from its start"));
        }
        Ok(())
    }
}

/// Without the buffer, which holds plaintext.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("key_id", &self.key_id())
            .field("segment_size", &self.segment_size)
            .field("segment", &self.index)
            .finish_non_exhaustive()
    }
}
