//! The bytes of a blob.
//!
//! ```text
//! offset  size  field
//! 0       4     magic "AETB"
//! 4       1     format version, 1
//! 5       8     usable until (milliseconds since the Unix epoch), once more, for the sweep
//! 13      2     number of tags, then for each the mark that it had (16 bytes)
//! ..      ..    the cache envelope
//! ```
//! Integers are little-endian. A reader that does not know the format version misses. The blob of a tag is its mark,
//! 16 random bytes.

use aeth_core::cache::{Entry, decode_envelope, encode_envelope};
use bytes::{Buf, BufMut, Bytes, BytesMut};

const MAGIC: [u8; 4] = *b"AETB";
const VERSION: u8 = 1;

/// Which invalidation of a tag was the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u128);

impl Mark {
    /// The tag was never invalidated.
    pub(super) const NEVER: Self = Self(0);

    /// One that was never there before.
    pub(super) fn new() -> Self {
        Self(fastrand::u128(1..))
    }

    /// A damaged one is like none that was there before: its entries are over.
    pub(super) fn read(bytes: &[u8]) -> Self {
        bytes.try_into().map_or_else(|_| Self::new(), |bytes| Self(u128::from_le_bytes(bytes)))
    }

    pub(super) fn bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }
}

/// An entry and the marks that its tags had when it was written.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) entry: Entry,
    pub(super) marks: Vec<Mark>,
}

impl Container {
    pub(super) fn write(&self) -> Bytes {
        let envelope = encode_envelope(&self.entry);
        let mut out = BytesMut::with_capacity(15 + self.marks.len() * 16 + envelope.len());
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_u64_le(self.entry.usable_until);
        // The cache limits tags far below that.
        let marks = &self.marks[..self.marks.len().min(usize::from(u16::MAX))];
        out.put_u16_le(u16::try_from(marks.len()).unwrap_or(u16::MAX));
        for mark in marks {
            out.put_u128_le(mark.0);
        }
        out.put_slice(&envelope);
        out.freeze()
    }

    /// `None` for what is foreign or damaged.
    pub(super) fn read(bytes: &Bytes) -> Option<Self> {
        Front::read(bytes)?;
        let mut rest = bytes.slice(13..);
        let count = rest.try_get_u16_le().ok()?;
        let mut marks = Vec::new();
        for _ in 0..count {
            marks.push(Mark(rest.try_get_u128_le().ok()?));
        }
        let entry = decode_envelope(rest).ok()?;
        (entry.tags.len() == marks.len()).then_some(Self { entry, marks })
    }
}

/// The beginning of a blob.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front {
    pub(super) usable_until: u64,
}

impl Front {
    pub(super) const LEN: u64 = 13;

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (front, mut rest) = bytes.split_at_checked(5)?;
        (front[..4] == MAGIC && front[4] == VERSION).then_some(())?;
        Some(Self { usable_until: rest.try_get_u64_le().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aeth_core::Tag;

    #[test]
    fn a_container_comes_back_and_damage_is_noticed() {
        let entry = Entry::new("value", 1, 2).with_tags([Tag::new("a").unwrap(), Tag::new("b").unwrap()]);
        let marks = vec![Mark::new(), Mark::NEVER];
        let bytes = Container { entry: entry.clone(), marks: marks.clone() }.write();
        let back = Container::read(&bytes).unwrap();
        assert_eq!((back.entry, &back.marks), (entry, &marks));
        assert_eq!(Front::read(&bytes).unwrap().usable_until, 2);
        for cut in 0..bytes.len() {
            assert!(Container::read(&bytes.slice(..cut)).is_none());
        }
        assert_ne!(Mark::read(b"short"), Mark::read(b"short"));
        assert_eq!(Mark::read(&marks[0].bytes()), marks[0]);
    }
}
