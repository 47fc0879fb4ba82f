//! The *zstd seekable format*, version 0.1.0: frames that open by themselves, and a table of them at the end.
//!
//! Stock `zstd -d` opens it: the table is a skippable frame. See `contrib/seekable_format` of zstd.

use aeth_core::{Error, Result};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::ops::Range;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, find_frame_compressed_size};

/// The plain bytes of a frame, but for the last one.
pub(super) const FRAME: usize = 256 << 10;
/// The length of the table's end.
pub(super) const FOOTER: usize = 9;
const SKIPPABLE: u32 = 0x184D_2A5E;
const SEEKABLE: u32 = 0x8F92_EAB1;
const ENTRY: usize = 8;

fn corrupt(what: &'static str) -> Error {
    Error::corrupt(what).with_component("compressed")
}

/// Compresses one frame, with a checksum of its own. CPU-bound.
pub(super) fn squeeze(plain: &[u8], level: i32) -> Result<Bytes> {
    let failed = |error: std::io::Error| {
        Error::other("zstd cannot compress").with_component("compressed").with_source(error)
    };
    let mut compressor = Compressor::new(level).map_err(failed)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true)).map_err(failed)?;
    compressor.compress(plain).map(Bytes::from).map_err(failed)
}

/// Opens one frame. CPU-bound.
pub(super) fn expand(frame: &[u8]) -> Result<Bytes> {
    zstd::bulk::decompress(frame, FRAME)
        .map(Bytes::from)
        .map_err(|error| corrupt("a compressed frame cannot be opened").with_source(error))
}

/// The length of the frame that bytes begin with, if all of it is there.
pub(super) fn frame_length(bytes: &[u8]) -> Option<usize> {
    find_frame_compressed_size(bytes).ok().filter(|length| *length > 0 && *length <= bytes.len())
}

/// True for a frame that is no data.
pub(super) fn is_table(frame: &[u8]) -> bool {
    frame.first_chunk().is_some_and(|magic| u32::from_le_bytes(*magic) == SKIPPABLE)
}

/// Where the frames are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Table {
    /// The ends of the frames, compressed and plain.
    ends: Vec<(u64, u64)>,
}

impl Table {
    pub(super) fn push(&mut self, squeezed: usize, plain: usize) {
        let (a, b) = self.ends.last().copied().unwrap_or_default();
        self.ends.push((a.saturating_add(squeezed as u64), b.saturating_add(plain as u64)));
    }

    /// The length of the plain bytes.
    pub(super) fn plain_len(&self) -> u64 {
        self.ends.last().map_or(0, |ends| ends.1)
    }

    /// The skippable frame that says it.
    pub(super) fn to_bytes(&self) -> Result<Bytes> {
        let too_many = || {
            Error::new(aeth_core::ErrorKind::Full, "the blob has more frames than the format can hold")
                .with_component("compressed")
        };
        let length = self.ends.len() * ENTRY + FOOTER;
        let mut bytes = BytesMut::with_capacity(8 + length);
        bytes.put_u32_le(SKIPPABLE);
        bytes.put_u32_le(u32::try_from(length).map_err(|_| too_many())?);
        let mut before = (0, 0);
        for ends in &self.ends {
            bytes.put_u32_le(u32::try_from(ends.0 - before.0).map_err(|_| too_many())?);
            bytes.put_u32_le(u32::try_from(ends.1 - before.1).map_err(|_| too_many())?);
            before = *ends;
        }
        bytes.put_u32_le(u32::try_from(self.ends.len()).map_err(|_| too_many())?);
        bytes.put_u8(0);
        bytes.put_u32_le(SEEKABLE);
        Ok(bytes.freeze())
    }

    /// How long the table's frame is, by the last bytes of a blob of `stored` bytes.
    pub(super) fn length_by(footer: &[u8], stored: u64) -> Result<u64> {
        let mut footer = footer;
        if footer.len() != FOOTER {
            return Err(corrupt("the table of frames is missing"));
        }
        let (frames, descriptor, magic) = (footer.get_u32_le(), footer.get_u8(), footer.get_u32_le());
        let length = u64::from(frames) * ENTRY as u64 + 8 + FOOTER as u64;
        if magic != SEEKABLE || descriptor != 0 || length > stored {
            return Err(corrupt("the table of frames is damaged"));
        }
        Ok(length)
    }

    /// Reads the table's frame, which stands at the end of a blob of `stored` bytes.
    pub(super) fn parse(table: &[u8], stored: u64) -> Result<Self> {
        let footer = table.len().checked_sub(FOOTER).and_then(|at| table.get(at..)).unwrap_or_default();
        if Self::length_by(footer, stored)? != table.len() as u64 {
            return Err(corrupt("the table of frames is damaged"));
        }
        let mut bytes = table;
        if bytes.get_u32_le() != SKIPPABLE || bytes.get_u32_le() as usize + 8 != table.len() {
            return Err(corrupt("the table of frames is damaged"));
        }
        let mut parsed = Self::default();
        while bytes.remaining() > FOOTER {
            let (squeezed, plain) = (bytes.get_u32_le() as usize, bytes.get_u32_le() as usize);
            if plain > FRAME {
                return Err(corrupt("the table of frames is damaged"));
            }
            parsed.push(squeezed, plain);
        }
        let data = parsed.ends.last().map_or(0, |ends| ends.0);
        if data.checked_add(table.len() as u64) != Some(stored) {
            return Err(corrupt("the table of frames is that of another blob"));
        }
        Ok(parsed)
    }

    /// The frames that a range of plain bytes touches: where they are, and where in their plain bytes it begins.
    pub(super) fn cover(&self, range: &Range<u64>) -> (Range<u64>, u64) {
        let first = self.ends.partition_point(|ends| ends.1 <= range.start);
        let last = self.ends.partition_point(|ends| ends.1 < range.end);
        let before = first.checked_sub(1).and_then(|at| self.ends.get(at)).copied().unwrap_or_default();
        let end = self.ends.get(last).or(self.ends.last()).copied().unwrap_or_default();
        (before.0..end.0, range.start - before.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_come_back_and_cover_ranges() {
        let mut table = Table::default();
        table.push(100, FRAME);
        table.push(50, FRAME);
        table.push(10, 7);
        let bytes = table.to_bytes().unwrap();
        let stored = 160 + bytes.len() as u64;
        assert_eq!(Table::parse(&bytes, stored).unwrap(), table);
        assert!(Table::parse(&bytes, stored + 1).is_err() && Table::parse(&bytes[1..], stored).is_err());
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 0x80;
            let parsed = Table::parse(&damaged, stored);
            assert!(parsed.is_err() || parsed.unwrap() != table, "a flip at {at}");
        }
        let frame = FRAME as u64;
        assert_eq!(table.plain_len(), 2 * frame + 7);
        assert_eq!(table.cover(&(0..1)), (0..100, 0));
        assert_eq!(table.cover(&(frame - 1..frame + 1)), (0..150, frame - 1));
        assert_eq!(table.cover(&(frame..frame + 1)), (100..150, 0));
        assert_eq!(table.cover(&(2 * frame + 3..2 * frame + 7)), (150..160, 3));
        assert_eq!(expand(&squeeze(b"text", 3).unwrap()).unwrap(), "text");
    }
}
