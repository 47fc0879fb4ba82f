//! Opens a stream from its start.

use super::header::{HEADER_LEN, unauthentic};
use super::keyset::Keyset;
use super::map::too_long;
use super::object::SegmentOpener;
use super::stamp::Commitment;
use crate::Result;
use bytes::{Buf, Bytes, BytesMut};
use std::fmt;

/// Opens one whole object as it arrives, in memory of one segment.
///
/// Push ciphertext in pieces of any size, taking plaintext out until there is none, then finish: only a
/// successful [`finish`](Self::finish) proves that nothing was cut off. What `push` returned before is genuine,
/// and in its place.
pub struct Opener {
    stage: Stage,
    /// The incomplete segment, or the beginning of the object while its key is unknown.
    pending: BytesMut,
    index: u32,
}

enum Stage {
    /// The key is not known yet.
    Search { keyset: Keyset, aad: Vec<u8>, commitment: Option<Commitment> },
    /// The key is known; `read` is what was taken in to find it.
    Open { object: SegmentOpener, read: Bytes },
    /// A segment was not genuine: nothing more is said about the object.
    Failed,
}

impl Keyset {
    /// Starts to open an object.
    ///
    /// With a commitment its key is known from the header; without, the enabled keys try the first segment.
    #[must_use]
    pub fn opener(&self, aad: &[u8], commitment: Option<&Commitment>) -> Opener {
        let stage =
            Stage::Search { keyset: self.clone(), aad: aad.to_vec(), commitment: commitment.cloned() };
        Opener { stage, pending: BytesMut::new(), index: 0 }
    }

    /// Opens a whole object that is in memory.
    ///
    /// # Errors
    /// As [`segment_opener`](Self::segment_opener), and Corrupt when any part of it is not genuine.
    pub fn open(&self, aad: &[u8], commitment: Option<&Commitment>, sealed: Bytes) -> Result<Bytes> {
        let object = match commitment {
            Some(commitment) => self.segment_opener(&sealed, aad, commitment)?,
            None => self.segment_opener_by_trial(&sealed, sealed.len() as u64, aad)?,
        };
        let map = object.map(sealed.len() as u64)?;
        let cover =
            if map.plaintext_len() == 0 { map.cover_last() } else { map.cover(0..map.plaintext_len())? };
        object.open_cover(&cover, sealed)
    }
}

impl Opener {
    /// Takes from the front of `data` until a segment can be opened and returns its plaintext, or takes all of
    /// it and returns `None`.
    ///
    /// Call again with the same `data` until `None`. A whole segment stays inside until more data follows,
    /// because only then it is known not to be the last.
    ///
    /// # Errors
    /// As [`Keyset::segment_opener`], and Corrupt when a segment is not genuine; each further call fails too.
    pub fn push(&mut self, data: &mut Bytes) -> Result<Option<Bytes>> {
        let result = self.step(data);
        if result.is_err() {
            self.stage = Stage::Failed;
            self.pending = BytesMut::new();
        }
        result
    }

    /// Opens what is left, the last segment among it, and returns its plaintext, which may be empty.
    ///
    /// # Errors
    /// Corrupt when the object is cut off or not genuine; as [`Keyset::segment_opener`] when it is so short
    /// that its key was not looked for yet.
    pub fn finish(mut self) -> Result<Bytes> {
        let object = match &self.stage {
            Stage::Failed => return Err(unauthentic()),
            Stage::Open { object, .. } => object,
            // The whole object was too short to tell the candidates apart before its end.
            Stage::Search { keyset, aad, commitment } => {
                return keyset.open(aad, commitment.as_ref(), self.pending.freeze());
            }
        };
        if self.index > 0 && self.pending.len() <= super::TAG_LEN {
            return Err(unauthentic());
        }
        object.open_in_place(self.index, true, &mut self.pending)?;
        Ok(self.pending.freeze())
    }

    fn step(&mut self, data: &mut Bytes) -> Result<Option<Bytes>> {
        if let Stage::Search { .. } = self.stage {
            self.search(data)?;
        }
        match &mut self.stage {
            Stage::Failed => Err(unauthentic()),
            Stage::Search { .. } => Ok(None),
            Stage::Open { object, read } => {
                let size = object.segment_size().get() as usize;
                while !(read.is_empty() && data.is_empty()) {
                    if self.pending.len() == size {
                        let next = self.index.checked_add(1).ok_or_else(too_long)?;
                        let mut segment = std::mem::take(&mut self.pending);
                        object.open_in_place(self.index, false, &mut segment)?;
                        self.index = next;
                        return Ok(Some(segment.freeze()));
                    }
                    let from = if read.is_empty() { &mut *data } else { &mut *read };
                    if self.pending.is_empty() && from.len() > size {
                        let next = self.index.checked_add(1).ok_or_else(too_long)?;
                        let opened = object.open_apart(self.index, false, &from[..size])?;
                        from.advance(size);
                        self.index = next;
                        return Ok(Some(opened));
                    }
                    gather(&mut self.pending, from, size);
                }
                Ok(None)
            }
        }
    }

    /// Collects what the search for the key needs, and searches.
    fn search(&mut self, data: &mut Bytes) -> Result<()> {
        let Stage::Search { keyset, aad, commitment } = &self.stage else { return Ok(()) };
        // For a trial one byte more than a segment: then each candidate's first segment is not its last.
        let want = if commitment.is_some() { HEADER_LEN } else { keyset.trial_len() + 1 };
        gather(&mut self.pending, data, want);
        if self.pending.len() < want {
            return Ok(());
        }
        let object = match commitment {
            Some(commitment) => keyset.segment_opener(&self.pending, aad, commitment)?,
            None => keyset.segment_opener_by_trial(&self.pending, u64::MAX, aad)?,
        };
        self.stage = Stage::Open { object, read: std::mem::take(&mut self.pending).freeze() };
        Ok(())
    }
}

/// Without the buffers, which hold a segment.
impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match &self.stage {
            Stage::Search { .. } => "search",
            Stage::Open { .. } => "open",
            Stage::Failed => "failed",
        };
        f.debug_struct("Opener").field("stage", &stage).field("segment", &self.index).finish_non_exhaustive()
    }
}

/// Moves bytes from the front of `data` into `buffer` until it holds `want`.
pub(super) fn gather(buffer: &mut BytesMut, data: &mut Bytes, want: usize) {
    let take = data.len().min(want.saturating_sub(buffer.len()));
    if buffer.is_empty() {
        buffer.reserve(take);
    } else if take > 0 {
        buffer.reserve(want - buffer.len());
    }
    buffer.extend_from_slice(&data[..take]);
    data.advance(take);
}
