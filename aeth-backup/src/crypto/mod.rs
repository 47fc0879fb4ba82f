//! AES-256-CTR with Poly1305-AES, and keys out of passwords, as restic does both.

mod cipher;
#[cfg(target_arch = "x86_64")]
mod ctr_x86;
mod kdf;
mod key;
mod keyfile;
#[cfg(target_arch = "x86_64")]
mod poly;
#[cfg(target_arch = "x86_64")]
mod scrypt_x86;
mod sha256;
#[cfg(target_arch = "x86_64")]
mod sha256_x86;

pub use kdf::KdfParams;
pub(crate) use key::{Key, OVERHEAD};
pub(crate) use keyfile::KeyFile;
pub(crate) use sha256::Hasher;

use aeth_core::{Error, Result};

/// Fills `bytes` from the system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes)
        .map_err(|error| Error::unavailable("the system gives no randomness").with_source(error))
}
