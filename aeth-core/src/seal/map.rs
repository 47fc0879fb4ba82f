//! Where a byte of plaintext lies in the sealed object, by formula.

use super::header::{HEADER_LEN, TAG_LEN, corrupt};
use crate::{Error, Result};
use std::fmt;
use std::ops::Range;

/// The size of a sealed segment, tag included, in bytes: 1 KiB to 4 MiB, 64 KiB by default.
///
/// It is a property of the key (as in Tink, `ciphertext_segment_size`). A ranged read fetches and opens whole
/// segments; each costs 16 bytes of tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentSize(u32);

impl SegmentSize {
    /// The smallest size, 1 KiB.
    pub const MIN: Self = Self(1 << 10);
    /// The largest size, 4 MiB.
    pub const MAX: Self = Self(4 << 20);

    /// Checks a size in bytes.
    ///
    /// # Errors
    /// Invalid when it is not within 1 KiB..=4 MiB.
    pub fn new(bytes: u32) -> Result<Self> {
        if (Self::MIN.0..=Self::MAX.0).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(Error::invalid(format!("segment size of {bytes} bytes"))
                .with_remedy("choose a segment size from 1024 to 4194304 bytes"))
        }
    }

    /// The size in bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// How many bytes of plaintext a segment holds; the first one also holds the header.
    pub(super) const fn capacity(self, index: u32) -> usize {
        let whole = self.0 as usize - TAG_LEN;
        if index == 0 { whole - HEADER_LEN } else { whole }
    }
}

impl Default for SegmentSize {
    fn default() -> Self {
        Self(64 << 10)
    }
}

impl TryFrom<u32> for SegmentSize {
    type Error = Error;

    fn try_from(bytes: u32) -> Result<Self> {
        Self::new(bytes)
    }
}

impl fmt::Display for SegmentSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

/// The segments of one sealed object: lengths, and where each range of plaintext lies.
///
/// Segment `i` occupies the sealed bytes from `i * segment size` on; the first includes the header.
///
/// ```
/// use aeth_core::seal::{SegmentMap, SegmentSize};
///
/// let map = SegmentMap::of_plaintext(SegmentSize::default(), 1_000_000)?;
/// assert_eq!(map.ciphertext_len(), 1_000_000 + 40 + 16 * 16);
/// let cover = map.cover(70_000..70_004)?;
/// assert_eq!(cover.segments(), 1..2);
/// assert_eq!(cover.ciphertext(), 65_536..131_072);
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentMap {
    size: SegmentSize,
    plaintext: u64,
    count: u32,
}

impl SegmentMap {
    /// The map of a plaintext of `len` bytes.
    ///
    /// # Errors
    /// Invalid when it needs more than 2^32 - 1 segments.
    pub fn of_plaintext(size: SegmentSize, len: u64) -> Result<Self> {
        let rest = len.saturating_sub(size.capacity(0) as u64).div_ceil(size.capacity(1) as u64);
        let count = u32::try_from(rest).ok().and_then(|rest| rest.checked_add(1)).ok_or_else(too_long)?;
        Ok(Self { size, plaintext: len, count })
    }

    /// The map of a sealed object of `len` bytes.
    ///
    /// # Errors
    /// Corrupt when no sealed object has that length.
    pub fn of_ciphertext(size: SegmentSize, len: u64) -> Result<Self> {
        let impossible = || corrupt("no sealed object has this length");
        let segment = u64::from(size.get());
        let count = u32::try_from(len.div_ceil(segment)).map_err(|_| impossible())?;
        let overhead = HEADER_LEN as u64 + TAG_LEN as u64 * u64::from(count);
        let plaintext = len.checked_sub(overhead).ok_or_else(impossible)?;
        // A last segment of a tag alone exists only where it is the first one too.
        let last = len - segment * u64::from(count.saturating_sub(1));
        if count == 0 || (count > 1 && last <= TAG_LEN as u64) {
            return Err(impossible());
        }
        Ok(Self { size, plaintext, count })
    }

    /// The length of the plaintext in bytes.
    #[must_use]
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext
    }

    /// The length of the sealed object in bytes.
    #[must_use]
    pub fn ciphertext_len(&self) -> u64 {
        self.plaintext + HEADER_LEN as u64 + TAG_LEN as u64 * u64::from(self.count)
    }

    /// How many segments there are, at least one.
    #[must_use]
    pub fn segment_count(&self) -> u32 {
        self.count
    }

    /// The segment size.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.size
    }

    /// Whether `index` is the last segment.
    #[must_use]
    pub fn is_last(&self, index: u32) -> bool {
        index == self.count - 1
    }

    /// The segments to fetch for a range of plaintext.
    ///
    /// An empty range needs none.
    ///
    /// # Errors
    /// Invalid when the range is reversed or passes the end.
    pub fn cover(&self, plaintext: Range<u64>) -> Result<Cover> {
        let Range { start, end } = plaintext;
        if start > end || end > self.plaintext {
            return Err(Error::invalid(format!("range {start}..{end} of {} bytes", self.plaintext))
                .with_remedy("ask for a range within the object"));
        }
        let segments = if start == end { 0..0 } else { self.segment_of(start)..self.segment_of(end - 1) + 1 };
        Ok(self.cover_of(segments, start, end))
    }

    /// The last segment alone: opening it proves the object's length.
    #[must_use]
    pub fn cover_last(&self) -> Cover {
        let last = self.count - 1;
        self.cover_of(last..self.count, self.plaintext_start(last), self.plaintext)
    }

    fn cover_of(&self, segments: Range<u32>, start: u64, end: u64) -> Cover {
        let size = u64::from(self.size.get());
        Cover {
            ciphertext: u64::from(segments.start) * size
                ..self.ciphertext_len().min(u64::from(segments.end) * size),
            skip: start.saturating_sub(self.plaintext_start(segments.start)) * u64::from(start < end),
            len: end - start,
            ends: segments.end == self.count,
            segments,
        }
    }

    fn segment_of(&self, plaintext: u64) -> u32 {
        // Counting the header as if it were plaintext makes all segments alike.
        ((plaintext + HEADER_LEN as u64) / self.size.capacity(1) as u64) as u32
    }

    fn plaintext_start(&self, index: u32) -> u64 {
        (u64::from(index) * self.size.capacity(1) as u64).saturating_sub(HEADER_LEN as u64)
    }
}

pub(super) fn too_long() -> Error {
    Error::invalid("object needs more than 2^32 - 1 segments")
        .with_remedy("seal objects of this length under a key with a larger segment size")
}

/// The run of segments that covers a range of plaintext, from [`SegmentMap::cover`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    segments: Range<u32>,
    ciphertext: Range<u64>,
    skip: u64,
    len: u64,
    ends: bool,
}

impl Cover {
    /// The segment numbers.
    #[must_use]
    pub fn segments(&self) -> Range<u32> {
        self.segments.clone()
    }

    /// The bytes of the sealed object to fetch: whole segments.
    #[must_use]
    pub fn ciphertext(&self) -> Range<u64> {
        self.ciphertext.clone()
    }

    /// The length of the plaintext asked for, in bytes.
    #[must_use]
    pub fn plaintext_len(&self) -> u64 {
        self.len
    }

    /// Whether the object's last segment is among them.
    #[must_use]
    pub fn ends(&self) -> bool {
        self.ends
    }

    /// How many opened bytes lie before the range.
    pub(super) fn skip(&self) -> u64 {
        self.skip
    }
}
