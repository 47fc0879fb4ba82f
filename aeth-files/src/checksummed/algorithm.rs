//! Which checksum is kept, and how it is written down.

use crate::checksum::Verifier;
use crate::random::to_hex;
use aeth_core::blob::Checksum;
use aeth_core::{Error, Result};

/// The checksum that [`Checksummed`](super::Checksummed) keeps with each blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SumAlgorithm {
    /// CRC-32C (Castagnoli): finds accidents, at several GB/s.
    Crc32c,
    /// CRC-64/NVME, which S3 takes as its own: finds accidents in blobs of any length, and is the quickest.
    #[default]
    Crc64Nvme,
    /// SHA-256: finds forgeries too, when the attributes are kept from the forger.
    Sha256,
}

impl SumAlgorithm {
    pub(super) fn verifier(self) -> Result<Verifier> {
        Verifier::like(&match self {
            Self::Crc32c => Checksum::Crc32c(0),
            Self::Crc64Nvme => Checksum::Crc64Nvme(0),
            Self::Sha256 => Checksum::Sha256([0; 32]),
        })
    }
}

/// The text that is kept in the attributes.
pub(super) fn to_text(sum: &Checksum) -> Result<String> {
    match sum {
        Checksum::Crc32c(crc) => Ok(format!("crc32c:{crc:08x}")),
        Checksum::Crc64Nvme(crc) => Ok(format!("crc64nvme:{crc:016x}")),
        Checksum::Sha256(hash) => Ok(format!("sha256:{}", to_hex(hash))),
        _ => Err(Error::unsupported("this checksum algorithm is not known here")),
    }
}

/// The checksum that a text means.
///
/// # Errors
/// Corrupt for one that this layer did not write.
pub(super) fn from_text(text: &str) -> Result<Checksum> {
    let bad = || Error::corrupt("the checksum that was kept with the blob cannot be read");
    let (name, hex) = text.split_once(':').ok_or_else(bad)?;
    match name {
        "crc32c" => u32::from_str_radix(hex, 16).map(Checksum::Crc32c).map_err(|_| bad()),
        "crc64nvme" => u64::from_str_radix(hex, 16).map(Checksum::Crc64Nvme).map_err(|_| bad()),
        "sha256" if hex.len() == 64 && hex.is_ascii() => {
            let mut hash = [0; 32];
            for (at, byte) in hash.iter_mut().enumerate() {
                let digits = hex.get(at * 2..at * 2 + 2).ok_or_else(bad)?;
                *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
            }
            Ok(Checksum::Sha256(hash))
        }
        _ => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for sum in [Checksum::Crc32c(7), Checksum::Crc64Nvme(u64::MAX), Checksum::Sha256([0xa5; 32])] {
            assert_eq!(from_text(&to_text(&sum).unwrap()).unwrap(), sum);
        }
        for bad in ["", "crc32c", "crc32c:", "crc32c:x", "md5:00", "sha256:00", "crc64nvme:-1"] {
            assert!(from_text(bad).is_err(), "{bad}");
        }
    }
}
