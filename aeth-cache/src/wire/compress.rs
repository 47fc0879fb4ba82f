//! Smaller values in the lower tiers.

use aeth_core::Result;
use aeth_core::cache::{Entry, EntryFlags};
use bytes::Bytes;
use std::borrow::Cow;

/// Values longer than this are not compressed, and what claims to become longer is damaged: a few bytes must not
/// be able to fill the memory of every reader.
const LONGEST: usize = 256 << 20;

/// How values are compressed on their way into the lower tiers; see
/// [`CacheOptions::compress`](crate::CacheOptions::compress).
///
/// A value that does not become smaller is stored as it is. It is done in the task of the caller that puts or loads:
/// about 2 ms for a mebibyte with zstd, a third of that with LZ4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    method: Method,
    above: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    #[cfg(feature = "zstd")]
    Zstd(i32),
    #[cfg(feature = "lz4")]
    Lz4,
}

impl Compression {
    /// Values of so many bytes and more are compressed, unless told otherwise.
    pub const DEFAULT_ABOVE: usize = 1024;

    /// Zstandard (RFC 8878) at level 1: a value is one frame, which `zstd -d` reads.
    #[cfg(feature = "zstd")]
    #[must_use]
    pub fn zstd() -> Self {
        Self { method: Method::Zstd(1), above: Self::DEFAULT_ABOVE }
    }

    /// Zstandard at this level, 1 (fast) to 19 (small); others are cut to that.
    #[cfg(feature = "zstd")]
    #[must_use]
    pub fn zstd_level(level: i32) -> Self {
        Self { method: Method::Zstd(level.clamp(1, 19)), above: Self::DEFAULT_ABOVE }
    }

    /// LZ4: a value is one block behind its length in four bytes, little-endian.
    #[cfg(feature = "lz4")]
    #[must_use]
    pub fn lz4() -> Self {
        Self { method: Method::Lz4, above: Self::DEFAULT_ABOVE }
    }

    /// Compresses values of so many encoded bytes and more. Default 1024.
    #[must_use]
    pub fn above(mut self, bytes: usize) -> Self {
        self.above = bytes;
        self
    }

    pub(super) fn pack(&self, mut entry: Entry) -> Result<Entry> {
        let length = entry.value.len();
        if length < self.above || length == 0 || length > LONGEST {
            return Ok(entry);
        }
        let (packed, flag) = match self.method {
            #[cfg(feature = "zstd")]
            Method::Zstd(level) => (zstd::pack(&entry.value, level)?, EntryFlags::ZSTD),
            #[cfg(feature = "lz4")]
            Method::Lz4 => (lz4_flex::block::compress_prepend_size(&entry.value), EntryFlags::LZ4),
        };
        if packed.len() >= length {
            return Ok(entry);
        }
        entry.flags = entry.flags.with(flag);
        entry.value = packed.into();
        Ok(entry)
    }
}

/// The bytes before compression; `None` when they are damaged.
pub(super) fn unpack(flags: EntryFlags, bytes: Cow<'_, Bytes>) -> Option<Cow<'_, Bytes>> {
    let (zstd, lz4) = (flags.has(EntryFlags::ZSTD), flags.has(EntryFlags::LZ4));
    match (zstd, lz4) {
        (false, false) => Some(bytes),
        #[cfg(feature = "zstd")]
        (true, false) => zstd::unpack(&bytes).map(Cow::Owned),
        #[cfg(feature = "lz4")]
        (false, true) => lz4_unpack(&bytes).map(Cow::Owned),
        _ => None,
    }
}

#[cfg(feature = "lz4")]
fn lz4_unpack(bytes: &[u8]) -> Option<Bytes> {
    let (length, _) = lz4_flex::block::uncompressed_size(bytes).ok()?;
    // A block cannot grow by more than 255 times; a length beyond that is a lie that would cost its memory.
    if length > LONGEST || length > bytes.len().saturating_mul(255) {
        return None;
    }
    lz4_flex::block::decompress_size_prepended(bytes).ok().map(Bytes::from)
}

#[cfg(feature = "zstd")]
mod zstd {
    //! Contexts, one pair per thread: making them costs more than compressing a small value.

    use super::{Bytes, LONGEST, Result};
    use aeth_core::Error;
    use std::cell::RefCell;
    use zstd::bulk::{Compressor, Decompressor};

    thread_local! {
        static COMPRESSOR: RefCell<Option<(i32, Compressor<'static>)>> = const { RefCell::new(None) };
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }

    pub(super) fn pack(bytes: &[u8], level: i32) -> Result<Vec<u8>> {
        let failed = |error| Error::other("zstd cannot compress a value").with_source(error);
        COMPRESSOR.with_borrow_mut(|place| match place {
            Some((standing, compressor)) if *standing == level => compressor.compress(bytes).map_err(failed),
            _ => {
                let (_, compressor) = place.insert((level, Compressor::new(level).map_err(failed)?));
                compressor.compress(bytes).map_err(failed)
            }
        })
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Bytes> {
        let length = zstd::zstd_safe::get_frame_content_size(bytes).ok()??;
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST)?;
        DECOMPRESSOR.with_borrow_mut(|place| {
            if place.is_none() {
                *place = Decompressor::new().ok();
            }
            let opened = place.as_mut()?.decompress(bytes, length).ok()?;
            (opened.len() == length).then(|| opened.into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods() -> Vec<Compression> {
        vec![
            #[cfg(feature = "zstd")]
            Compression::zstd(),
            #[cfg(feature = "zstd")]
            Compression::zstd_level(9),
            #[cfg(feature = "lz4")]
            Compression::lz4(),
        ]
    }

    #[test]
    fn damaged_bytes_are_told_and_never_grow_beyond_reason() {
        let value = Bytes::from(b"to be or not to be ".repeat(500));
        for method in methods() {
            let packed = method.pack(Entry::new(value.clone(), 0, 1)).unwrap();
            assert!(packed.value.len() < value.len() / 4, "{method:?}");
            assert_eq!(
                unpack(packed.flags, Cow::Borrowed(&packed.value)).as_deref(),
                Some(&value),
                "{method:?}"
            );
            for cut in 0..packed.value.len() {
                assert_ne!(
                    unpack(packed.flags, Cow::Owned(packed.value.slice(..cut))).as_deref(),
                    Some(&value)
                );
            }
            // A header that claims four gigabytes.
            let mut claims = packed.value.to_vec();
            claims[..4].copy_from_slice(&[0xff; 4]);
            assert_eq!(unpack(packed.flags, Cow::Owned(claims.into())), None, "{method:?}");
        }
    }

    #[test]
    fn what_does_not_become_smaller_stays() {
        let mut noise = vec![0; 4096];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        for method in methods() {
            for value in [Bytes::from(noise.clone()), Bytes::from_static(b"short"), Bytes::new()] {
                let entry = method.pack(Entry::new(value.clone(), 0, 1)).unwrap();
                assert_eq!((entry.value, entry.flags), (value, EntryFlags::NONE));
            }
        }
    }
}
