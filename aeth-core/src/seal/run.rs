//! Opens a run of segments as a stream: a ranged read.

use super::header::unauthentic;
use super::map::Cover;
use super::object::SegmentOpener;
use super::opener::gather;
use crate::{Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;
use std::ops::Range;

/// Opens the segments of a [`Cover`] as they arrive and yields the range that was asked for, in memory of one
/// segment; from [`SegmentOpener::run`].
pub struct RunOpener {
    object: SegmentOpener,
    segments: Range<u32>,
    ends: bool,
    /// Ciphertext that has not been taken in yet.
    missing: u64,
    /// Opened bytes to drop before the range, then the length of the range that is left.
    skip: u64,
    left: u64,
    pending: BytesMut,
    failed: bool,
}

impl RunOpener {
    pub(super) fn new(object: SegmentOpener, cover: &Cover) -> Self {
        let ciphertext = cover.ciphertext();
        Self {
            object,
            segments: cover.segments(),
            ends: cover.ends(),
            missing: ciphertext.end - ciphertext.start,
            skip: cover.skip(),
            left: cover.plaintext_len(),
            pending: BytesMut::new(),
            failed: false,
        }
    }

    /// Takes from the front of `data` until a segment is complete and returns its part of the range, or takes
    /// all of it and returns `None`. Call again with the same `data` until `None`.
    ///
    /// # Errors
    /// Corrupt when a segment is not genuine, or when there is more data than the cover; each further call
    /// fails too.
    pub fn push(&mut self, data: &mut Bytes) -> Result<Option<Bytes>> {
        if self.failed {
            return Err(unauthentic());
        }
        let result = self.step(data);
        self.failed = result.is_err();
        result
    }

    /// Checks that the whole range has been opened.
    ///
    /// # Errors
    /// Corrupt when ciphertext is missing or a segment was not genuine.
    pub fn finish(self) -> Result<()> {
        if self.failed || self.missing > 0 || self.left > 0 || !self.segments.is_empty() {
            return Err(Error::corrupt("sealed data ends before the range that was asked for").with_remedy(
                "read the range again; if it stays short, restore the object from another copy",
            ));
        }
        Ok(())
    }

    fn step(&mut self, data: &mut Bytes) -> Result<Option<Bytes>> {
        while !data.is_empty() {
            // The last segment of a cover may be short; all that is missing then belongs to it.
            let size = u64::from(self.object.segment_size().get());
            let want = size.min(self.missing + self.pending.len() as u64) as usize;
            if self.segments.is_empty() || want == 0 {
                return Err(unauthentic());
            }
            let apart = self.pending.is_empty() && data.len() >= want;
            if !apart {
                let before = data.len();
                gather(&mut self.pending, data, want);
                self.missing -= (before - data.len()) as u64;
                if self.pending.len() < want {
                    return Ok(None);
                }
            }
            let index = self.segments.start;
            self.segments.start += 1;
            let last = self.ends && self.segments.is_empty();
            let opened = if apart {
                let opened = self.object.open_apart(index, last, &data[..want])?;
                data.advance(want);
                self.missing -= want as u64;
                opened
            } else {
                let mut segment = std::mem::take(&mut self.pending);
                self.object.open_in_place(index, last, &mut segment)?;
                segment.freeze()
            };
            let part = self.trim(opened);
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    fn trim(&mut self, mut opened: Bytes) -> Bytes {
        let skip = self.skip.min(opened.len() as u64) as usize;
        opened.advance(skip);
        self.skip -= skip as u64;
        opened.truncate(self.left.min(opened.len() as u64) as usize);
        self.left -= opened.len() as u64;
        opened
    }
}

/// Without the buffer, which holds a segment.
impl fmt::Debug for RunOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOpener")
            .field("segments", &self.segments)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
