//! AES-256-CTR with Poly1305-AES, and keys out of passwords, as restic does both.

mod kdf;
mod key;
mod keyfile;

pub use kdf::KdfParams;
pub(crate) use key::{Key, OVERHEAD};
pub(crate) use keyfile::KeyFile;

use aeth_core::{Error, Result};

/// Fills `bytes` from the system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| Error::unavailable("the system gives no randomness").with_source(error))
}

/// A uniformly chosen number below `bound` (the bias of the modulus is below 2^-48 for small bounds).
pub(crate) fn random_below(bound: usize) -> Result<usize> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
    Ok(usize::try_from(u64::from_le_bytes(bytes) % bound).unwrap_or(0))
}
