//! zstd, and the probe that spares it what does not compress.

use aeth_core::{Error, Result};
use std::io::{Cursor, Read};
use zstd::bulk::{Compressor, Decompressor};

/// How hard blobs are compressed. Trees, indexes and snapshots are always compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    Off,
    /// zstd level 1: about twice the speed of `Auto`, a tenth more space.
    Fast,
    /// zstd level 3, where a probe of the data says that it helps. The default.
    #[default]
    Auto,
    /// zstd level 9, for slow or expensive sinks.
    Better,
}

impl Compression {
    fn level(self) -> i32 {
        match self {
            Self::Off | Self::Fast => 1,
            Self::Auto => 3,
            Self::Better => 9,
        }
    }
}

/// What metadata and configuration files may grow to when unpacked, against bombs in a foreign repository.
const MAX_UNPACKED: u64 = 4 << 30;
/// Blobs below this are compressed without asking: the probe would cost as much.
const PROBE_FROM: usize = 64 << 10;
const PROBES: usize = 8;
const PROBE: usize = 1 << 10;
/// 8 KiB of random bytes measure 7.977 bits a byte; data with less than this gains.
const PROBE_BITS: f64 = 7.96;

/// zstd contexts, one pair per thread: making them costs more than compressing a small file.
pub(crate) struct Codec {
    mode: Compression,
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Codec {
    pub(crate) fn new(mode: Compression) -> Result<Self> {
        let broken = |error| Error::other("zstd cannot be set up").with_source(error);
        Ok(Self {
            mode,
            compressor: Compressor::new(mode.level()).map_err(broken)?,
            decompressor: Decompressor::new().map_err(broken)?,
        })
    }

    /// Appends the compressed `data` to `out` when that is shorter; otherwise `out` is as it was. `always`
    /// is for metadata, which is compressed in every mode.
    pub(crate) fn compress(&mut self, data: &[u8], out: &mut Vec<u8>, always: bool) -> Result<bool> {
        let tries = always || (self.mode != Compression::Off && !looks_random(data));
        if !tries || data.is_empty() {
            return Ok(false);
        }
        let start = out.len();
        // What does not fit is not worth it.
        out.reserve(data.len() - 1);
        let mut room = Cursor::new(std::mem::take(out));
        room.set_position(u64::try_from(start).unwrap_or(u64::MAX));
        let length = self.compressor.compress_to_buffer(data, &mut room).unwrap_or(0);
        *out = room.into_inner();
        let gains = length > 0 && length < data.len();
        out.truncate(if gains { start + length } else { start });
        Ok(gains)
    }

    /// Decompresses a blob whose length is known.
    pub(crate) fn decompress(&mut self, data: &[u8], length: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.decompress_over(data, length, &mut out)?;
        Ok(out)
    }

    /// Decompresses a blob whose length is known over what `out` holds.
    pub(crate) fn decompress_over(&mut self, data: &[u8], length: usize, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        out.reserve_exact(length);
        if self.decompressor.decompress_to_buffer(data, out).map_err(broken)? != length {
            return Err(Error::corrupt("a compressed blob has another length than its entry says"));
        }
        Ok(())
    }
}

fn broken(error: std::io::Error) -> Error {
    Error::corrupt("zstd cannot decompress it").with_source(error)
}

/// Compresses a metadata file.
pub(super) fn compress_file(data: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let compressed = zstd::bulk::compress(data, Compression::Auto.level())
        .map_err(|error| Error::other("zstd failed").with_source(error))?;
    out.extend_from_slice(&compressed);
    Ok(())
}

/// Decompresses a metadata file, of unknown length.
pub(super) fn decompress_file(data: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(data).map_err(broken)?;
    decoder.take(MAX_UNPACKED).read_to_end(&mut out).map_err(broken)?;
    if u64::try_from(out.len()).unwrap_or(u64::MAX) == MAX_UNPACKED {
        return Err(Error::corrupt("a metadata file unpacks to more than 4 GiB"));
    }
    Ok(out)
}

/// True when the order-0 entropy of samples over the data says that there is nothing to gain. Data that only
/// repeats itself at a distance, each part random, is taken for random too.
fn looks_random(data: &[u8]) -> bool {
    if data.len() < PROBE_FROM {
        return false;
    }
    let mut counts = [0_u32; 256];
    let step = data.len() / PROBES;
    for sample in data.chunks_exact(step).filter_map(|part| part.get(..PROBE)) {
        for byte in sample {
            counts[usize::from(*byte)] += 1;
        }
    }
    let total = f64::from(counts.iter().sum::<u32>());
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum();
    bits > PROBE_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_tells_random_from_text() {
        let mut random = vec![0; 1 << 20];
        crate::crypto::random(&mut random).unwrap();
        assert!(looks_random(&random));
        let base64: Vec<u8> = random.iter().map(|byte| b'0' + byte % 64).collect();
        assert!(!looks_random(&base64));
        let mut codec = Codec::new(Compression::Auto).unwrap();
        let mut out = b"kept".to_vec();
        assert!(!codec.compress(&random, &mut out, false).unwrap());
        assert!(!codec.compress(&random[..1000], &mut out, true).unwrap());
        assert_eq!(out, b"kept");
        assert!(codec.compress(&base64, &mut out, false).unwrap());
        assert_eq!(codec.decompress(&out[4..], base64.len()).unwrap(), base64);
        assert!(codec.decompress(&out[4..], base64.len() - 1).is_err());
        assert!(codec.decompress(&out[4..], base64.len() + 1).is_err());
    }
}
