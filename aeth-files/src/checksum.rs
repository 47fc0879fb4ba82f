//! Checksums over a stream of bytes.

use aeth_core::blob::Checksum;
use aeth_core::{Error, Result};
use crc_fast::CrcAlgorithm;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Computes the checksum that a caller demands while the bytes pass by, and compares at the end.
pub(crate) struct Verifier {
    demanded: Checksum,
    state: State,
}

enum State {
    Crc32c(u32),
    Crc64(Box<crc_fast::Digest>),
    Sha256(Box<Sha256>),
}

impl Verifier {
    /// Starts over no bytes.
    ///
    /// # Errors
    /// Unsupported for an algorithm that this crate does not know.
    pub(crate) fn new(demanded: Checksum) -> Result<Self> {
        let state = match &demanded {
            Checksum::Crc32c(_) => State::Crc32c(0),
            Checksum::Crc64Nvme(_) => State::Crc64(Box::new(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme))),
            Checksum::Sha256(_) => State::Sha256(Box::default()),
            _ => return Err(Error::unsupported("this checksum algorithm is not known here")),
        };
        Ok(Self { demanded, state })
    }

    /// The verifier of a demand that may be absent.
    pub(crate) fn of(demanded: Option<&Checksum>) -> Result<Option<Self>> {
        demanded.cloned().map(Self::new).transpose()
    }

    /// One that demands nothing, for [`sum`](Self::sum).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn like(kind: &Checksum) -> Result<Self> {
        Self::new(kind.clone())
    }

    /// Takes more bytes in.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, bytes),
            State::Crc64(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
        }
    }

    /// Compares.
    ///
    /// # Errors
    /// Corrupt when the bytes have another checksum than the one demanded.
    pub(crate) fn finish(self) -> Result<()> {
        let demanded = self.demanded.clone();
        if self.sum() == demanded {
            return Ok(());
        }
        Err(Error::corrupt("the bytes do not have the checksum given")
            .with_remedy("send them again; nothing was stored"))
    }
}

impl Verifier {
    /// The checksum of what was taken in, whatever was demanded.
    pub(crate) fn sum(self) -> Checksum {
        match self.state {
            State::Crc32c(crc) => Checksum::Crc32c(crc),
            State::Crc64(digest) => Checksum::Crc64Nvme(digest.finalize()),
            State::Sha256(digest) => Checksum::Sha256(digest.finalize().into()),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("demanded", &self.demanded).finish_non_exhaustive()
    }
}

/// Refuses a body that was not as long as it said.
pub(crate) fn check_length(stated: Option<u64>, actual: u64) -> Result<()> {
    match stated {
        Some(stated) if stated != actual => {
            Err(Error::corrupt(format!("the body states {stated} bytes and has {actual}"))
                .with_remedy("state the true length, or none"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values_are_the_published_ones() {
        // The check value of the CRC catalogue is that of the text "123456789"; FIPS 180-4 gives "abc".
        let sha = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ];
        let cases = [
            (Checksum::Crc32c(0xe306_9283), &b"123456789"[..]),
            (Checksum::Crc64Nvme(0xae8b_1486_0a79_9888), b"123456789"),
            (Checksum::Sha256(sha), b"abc"),
        ];
        for (checksum, text) in cases {
            for split in 0..text.len() {
                let mut verifier = Verifier::new(checksum.clone()).unwrap();
                verifier.update(&text[..split]);
                verifier.update(&text[split..]);
                assert!(verifier.finish().is_ok(), "{checksum:?} cut at {split}");
            }
            let mut verifier = Verifier::new(checksum).unwrap();
            verifier.update(b"other");
            assert!(verifier.finish().is_err());
        }
    }
}
