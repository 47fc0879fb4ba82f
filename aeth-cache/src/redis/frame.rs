//! What is stored under a value's key: a stamp, and the entry's envelope.
//!
//! ```text
//! offset  size  field
//! 0       4     magic "AER1"
//! 4       4     CRC-32C of offsets 8 to 40
//! 8       8     life   } the state of the namespace when the load or put began
//! 16      8     seq    }
//! 24      8     version of the entry
//! 32      8     fresh until (milliseconds since the Unix epoch)
//! 40      ..    envelope
//! ```
//! Integers are big-endian, so that the scripts can take them apart in halves that a Lua number holds exactly.

use aeth_core::cache::{Entry, decode_envelope, encode_envelope};
use bytes::{Buf, BufMut, Bytes};

pub(super) const HEADER: usize = 40;
const MAGIC: &[u8; 4] = b"AER1";

/// A moment in the life of a namespace; see [`state`](super::state).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    /// Which life; 0 is none.
    pub(super) life: u64,
    /// How many invalidations of tags that life had seen.
    pub(super) seq: u64,
}

/// A lease token holds the stamp under which its fill will be stored, so that nothing has to be remembered
/// between grant and fill: 40 bits of life, 40 of seq, 48 of chance.
pub(super) fn token(stamp: Stamp) -> u128 {
    let chance = u128::from(fastrand::u64(..1 << 48));
    u128::from(stamp.life) << 88 | u128::from(stamp.seq) << 48 | chance
}

/// The same lease under another stamp.
pub(super) fn restamp(token: u128, stamp: Stamp) -> u128 {
    u128::from(stamp.life) << 88 | u128::from(stamp.seq) << 48 | token & ((1 << 48) - 1)
}

pub(super) fn stamp_of(token: u128) -> Stamp {
    let low = |bits: u128| u64::try_from(bits & ((1 << 40) - 1)).unwrap_or(u64::MAX);
    Stamp { life: low(token >> 88), seq: low(token >> 48) }
}

pub(super) fn encode(stamp: Stamp, entry: &Entry) -> Vec<u8> {
    let envelope = encode_envelope(entry);
    let mut out = Vec::with_capacity(HEADER + envelope.len());
    out.put_slice(MAGIC);
    out.put_u32(0);
    out.put_u64(stamp.life);
    out.put_u64(stamp.seq);
    out.put_u64(entry.version);
    out.put_u64(entry.fresh_until);
    let checksum = crc32c::crc32c(&out[8..HEADER]);
    out[4..8].copy_from_slice(&checksum.to_be_bytes());
    out.put_slice(&envelope);
    out
}

/// `None` for bytes that are not ours or are damaged.
pub(super) fn decode(mut bytes: Bytes) -> Option<(Stamp, Entry)> {
    let header = bytes.get(..HEADER)?;
    let (mut checksum, covered) = (header.get(4..8)?, header.get(8..)?);
    if !header.starts_with(MAGIC) || crc32c::crc32c(covered) != checksum.get_u32() {
        return None;
    }
    let mut fields = covered;
    let stamp = Stamp { life: fields.get_u64(), seq: fields.get_u64() };
    bytes.advance(HEADER);
    let entry = decode_envelope(bytes).ok()?;
    Some((stamp, entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_stamp() {
        let stamp = Stamp { life: (1 << 40) - 1, seq: 12_345 };
        let first = token(stamp);
        assert_eq!(stamp_of(first), stamp);
        let other = Stamp { life: 7, seq: 0 };
        assert_eq!(stamp_of(restamp(first, other)), other);
        assert_eq!(restamp(restamp(first, other), stamp), first);
    }

    #[test]
    fn a_frame_with_any_bit_changed_is_no_frame() {
        let entry = Entry::new("value", 1, 2).with_version(9);
        let stamp = Stamp { life: 3, seq: 4 };
        let whole = encode(stamp, &entry);
        assert_eq!(decode(whole.clone().into()), Some((stamp, entry)));
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(changed.into()), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(decode(whole[..length].to_vec().into()), None, "{length} bytes");
        }
    }
}
