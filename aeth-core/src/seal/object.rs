//! The key of one sealed object: found by commitment or by trial, opens segments in any order.

use super::cipher::Cipher;
use super::header::{Header, unauthentic};
use super::keyset::{Key, Keyset};
use super::map::{Cover, SegmentMap, SegmentSize};
use super::run::RunOpener;
use super::stamp::Commitment;
use crate::Result;
use bytes::{Buf, Bytes, BytesMut};
use std::sync::Arc;

/// Opens segments of one object, in any order and from any thread; cheap to clone.
///
/// From [`Keyset::segment_opener`]. Lengths and positions come from a [`SegmentMap`] over
/// [`segment_size`](Self::segment_size).
#[derive(Debug, Clone)]
pub struct SegmentOpener(Arc<Object>);

#[derive(Debug)]
struct Object {
    cipher: Cipher,
    header: Header,
    key_id: u32,
    segment_size: SegmentSize,
}

impl Keyset {
    /// Finds the key of an object by its commitment.
    ///
    /// `front` is the object's beginning, of which the first [`HEADER_LEN`](super::HEADER_LEN) bytes are read.
    ///
    /// # Errors
    /// Corrupt when `front` is no header, or the commitment does not hold for this header and associated data;
    /// Denied when it holds for no key here and names one that is missing or disabled.
    pub fn segment_opener(&self, front: &[u8], aad: &[u8], commitment: &Commitment) -> Result<SegmentOpener> {
        let header = Header::parse(front)?;
        match self.enabled(commitment.key_id()).find(|key| commitment.holds(&key.material, &header, aad)) {
            Some(key) => SegmentOpener::new(key, header, aad),
            None => Err(self.usable(commitment.key_id()).err().unwrap_or_else(unauthentic)),
        }
    }

    /// Finds the key of an object without a commitment: each enabled key tries the first segment.
    ///
    /// `front` is the beginning of the object, [`trial_len`](Self::trial_len) bytes or all of it, and
    /// `ciphertext_len` the length of the whole.
    ///
    /// # Errors
    /// Corrupt when no enabled key opens it.
    pub fn segment_opener_by_trial(
        &self,
        front: &[u8],
        ciphertext_len: u64,
        aad: &[u8],
    ) -> Result<SegmentOpener> {
        let header = Header::parse(front)?;
        for key in self.enabled(self.primary_id()) {
            let size = key.material.segment_size().get() as usize;
            let last = ciphertext_len <= size as u64;
            let len = if last { ciphertext_len as usize } else { size };
            let candidate = SegmentOpener::new(key, header.clone(), aad)?;
            if front
                .get(..len)
                .is_some_and(|first| candidate.append(0, last, first, &mut BytesMut::new()).is_ok())
            {
                return Ok(candidate);
            }
        }
        Err(unauthentic())
    }

    /// How many bytes of an object [`segment_opener_by_trial`](Self::segment_opener_by_trial) wants: the
    /// largest segment size of the enabled keys.
    #[must_use]
    pub fn trial_len(&self) -> usize {
        let sizes = self.enabled(self.primary_id()).map(|key| key.material.segment_size());
        sizes.max().unwrap_or_default().get() as usize
    }
}

impl SegmentOpener {
    pub(super) fn new(key: &Key, header: Header, aad: &[u8]) -> Result<Self> {
        let cipher = Cipher::new(&key.material, &header, aad)?;
        let segment_size = key.material.segment_size();
        Ok(Self(Arc::new(Object { cipher, header, key_id: key.id, segment_size })))
    }

    /// The number of the key that sealed the object.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.0.key_id
    }

    /// The object's segment size.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.0.segment_size
    }

    /// The map of the object, from the length of its ciphertext.
    ///
    /// # Errors
    /// Corrupt when no sealed object has that length.
    pub fn map(&self, ciphertext_len: u64) -> Result<SegmentMap> {
        SegmentMap::of_ciphertext(self.0.segment_size, ciphertext_len)
    }

    /// Opens segment `index`, given with its tag, and for segment 0 with the header in front of it.
    ///
    /// `last` says whether the caller takes it for the object's last; a wrong belief fails. When nobody else
    /// holds `segment`, it is opened in place, otherwise it is copied once.
    ///
    /// # Errors
    /// Corrupt when the segment is not what was sealed at this place.
    pub fn open_segment(&self, index: u32, last: bool, segment: Bytes) -> Result<Bytes> {
        if segment.len() > self.0.segment_size.get() as usize {
            return Err(unauthentic());
        }
        let mut buffer = segment.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        self.open_in_place(index, last, &mut buffer)?;
        Ok(buffer.freeze())
    }

    /// Opens all segments of `cover`, given in `ciphertext` as one piece, and returns the plaintext asked for.
    ///
    /// For covers that should not be in memory as a whole, see [`run`](Self::run).
    ///
    /// # Errors
    /// Corrupt when the length is not the cover's, or a segment is not what was sealed at its place.
    pub fn open_cover(&self, cover: &Cover, ciphertext: Bytes) -> Result<Bytes> {
        let expected = cover.ciphertext();
        if ciphertext.len() as u64 != expected.end - expected.start {
            return Err(unauthentic());
        }
        let segments = cover.segments();
        let mut opened = if segments.len() == 1 {
            self.open_segment(segments.start, cover.ends(), ciphertext)?
        } else {
            let mut out = BytesMut::with_capacity(ciphertext.len());
            for (index, segment) in
                segments.clone().zip(ciphertext.chunks(self.0.segment_size.get() as usize))
            {
                self.append(index, cover.ends() && index + 1 == segments.end, segment, &mut out)?;
            }
            out.freeze()
        };
        let skip = usize::try_from(cover.skip()).map_err(|_| unauthentic())?;
        let len = usize::try_from(cover.plaintext_len()).map_err(|_| unauthentic())?;
        if opened.len() < skip.saturating_add(len) {
            return Err(unauthentic());
        }
        opened.advance(skip);
        opened.truncate(len);
        Ok(opened)
    }

    /// Opens the segments of `cover` as they arrive, in pieces of any size.
    #[must_use]
    pub fn run(&self, cover: &Cover) -> RunOpener {
        RunOpener::new(self.clone(), cover)
    }

    /// Opens the one segment in `buffer`, which afterwards holds its plaintext.
    pub(super) fn open_in_place(&self, index: u32, last: bool, buffer: &mut BytesMut) -> Result<()> {
        if index == 0 {
            if Header::parse(buffer)? != self.0.header {
                return Err(unauthentic());
            }
            buffer.advance(super::HEADER_LEN);
        }
        self.0.cipher.open(index, last, buffer)
    }

    /// Opens a segment that lies among other bytes.
    pub(super) fn open_apart(&self, index: u32, last: bool, segment: &[u8]) -> Result<Bytes> {
        let mut out = BytesMut::with_capacity(segment.len());
        self.append(index, last, segment, &mut out)?;
        Ok(out.freeze())
    }

    fn append(&self, index: u32, last: bool, segment: &[u8], out: &mut BytesMut) -> Result<()> {
        let body = match index {
            0 if Header::parse(segment)? != self.0.header => return Err(unauthentic()),
            0 => &segment[super::HEADER_LEN..],
            _ => segment,
        };
        self.0.cipher.append_opened(index, last, body, out)
    }
}
