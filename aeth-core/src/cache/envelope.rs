//! The bytes of an entry in tiers that store only bytes.
//!
//! ```text
//! offset  size  field
//! 0       4     magic "AETC"
//! 4       1     format version, 1
//! 5       1     flags
//! 6       2     codec id
//! 8       4     schema
//! 12      8     created        (milliseconds since the Unix epoch)
//! 20      8     fresh until
//! 28      8     usable until
//! 36      8     version
//! 44      2     number of tags, then for each: length (1 byte) and UTF-8 bytes
//! ..      ..    value, to the last four bytes
//! -4      4     CRC-32C of everything before
//! ```
//! Integers are little-endian. A reader that does not know the format version misses.

use super::{CodecId, Entry, EntryFlags};
use crate::Tag;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::sync::Arc;

const MAGIC: [u8; 4] = *b"AETC";
const VERSION: u8 = 1;
const HEADER: usize = 46;

/// The bytes that an envelope adds to an untagged value.
pub const ENVELOPE_OVERHEAD: usize = HEADER + 4;

/// Why bytes are not an envelope of ours; to a reader each is a miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The magic is missing: somebody else's bytes.
    #[error("the bytes are not a cache envelope")]
    Foreign,
    /// Written by a release with another format.
    #[error("the cache envelope has the unknown format version {0}")]
    UnknownVersion(u8),
    /// Truncated, damaged or inconsistent.
    #[error("the cache envelope is damaged")]
    Damaged,
}

/// Puts an entry into its envelope. Tags beyond the 65,535th are not representable and are left out; the cache
/// limits them far below that.
#[must_use]
pub fn encode_envelope(entry: &Entry) -> Bytes {
    let tags = &entry.tags[..entry.tags.len().min(usize::from(u16::MAX))];
    let tag_bytes: usize = tags.iter().map(|tag| 1 + tag.as_str().len()).sum();
    let mut out = BytesMut::with_capacity(ENVELOPE_OVERHEAD + tag_bytes + entry.value.len());
    out.put_slice(&MAGIC);
    out.put_u8(VERSION);
    out.put_u8(entry.flags.bits());
    out.put_u16_le(entry.codec.get());
    out.put_u32_le(entry.schema);
    out.put_u64_le(entry.created);
    out.put_u64_le(entry.fresh_until);
    out.put_u64_le(entry.usable_until);
    out.put_u64_le(entry.version);
    out.put_u16_le(u16::try_from(tags.len()).unwrap_or(u16::MAX));
    for tag in tags {
        // A tag has at most 128 bytes.
        out.put_u8(u8::try_from(tag.as_str().len()).unwrap_or(u8::MAX));
        out.put_slice(tag.as_str().as_bytes());
    }
    out.put_slice(&entry.value);
    let checksum = crc32c::crc32c(&out);
    out.put_u32_le(checksum);
    out.freeze()
}

/// Takes an entry out of its envelope; the value shares the envelope's memory.
///
/// # Errors
/// [`EnvelopeError`], each of which a tier counts and answers as a miss.
pub fn decode_envelope(mut envelope: Bytes) -> Result<Entry, EnvelopeError> {
    if envelope.len() < 5 || envelope[..4] != MAGIC {
        return Err(EnvelopeError::Foreign);
    }
    if envelope[4] != VERSION {
        return Err(EnvelopeError::UnknownVersion(envelope[4]));
    }
    let body_len = envelope.len().checked_sub(4).filter(|length| *length >= HEADER);
    let body_len = body_len.ok_or(EnvelopeError::Damaged)?;
    let stored = (&envelope[body_len..]).get_u32_le();
    if crc32c::crc32c(&envelope[..body_len]) != stored {
        return Err(EnvelopeError::Damaged);
    }
    let mut rest = &envelope[5..body_len];
    let flags = EntryFlags::from_bits(rest.get_u8());
    let codec = CodecId::new(rest.get_u16_le());
    let schema = rest.get_u32_le();
    let created = rest.get_u64_le();
    let fresh_until = rest.get_u64_le();
    let usable_until = rest.get_u64_le();
    let version = rest.get_u64_le();
    let count = rest.get_u16_le();
    let mut tags = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let length = usize::from(rest.try_get_u8().map_err(|_| EnvelopeError::Damaged)?);
        if rest.len() < length {
            return Err(EnvelopeError::Damaged);
        }
        let (bytes, behind) = rest.split_at(length);
        rest = behind;
        let text = std::str::from_utf8(bytes).map_err(|_| EnvelopeError::Damaged)?;
        tags.push(Tag::new(text).map_err(|_| EnvelopeError::Damaged)?);
    }
    let value_at = body_len - rest.len();
    // Not as a slice, which would count a second reference.
    envelope.truncate(body_len);
    envelope.advance(value_at);
    Ok(Entry {
        value: envelope,
        created,
        fresh_until,
        usable_until,
        version,
        // Most have none, and share the one empty list.
        tags: if tags.is_empty() { Arc::default() } else { tags.into() },
        codec,
        schema,
        flags,
    })
}
