//! The 40 bytes in front of every sealed object.

use crate::{Error, Result};

/// The length of the header in front of a sealed object, in bytes: length byte, salt, nonce prefix.
pub const HEADER_LEN: usize = 1 + SALT_LEN + PREFIX_LEN;
/// The length of the authentication tag behind every segment, in bytes.
pub const TAG_LEN: usize = 16;

pub(super) const SALT_LEN: usize = 32;
pub(super) const PREFIX_LEN: usize = 7;

/// The salt and the nonce prefix of one object, as they stand in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header([u8; HEADER_LEN]);

impl Header {
    /// Draws a fresh salt and nonce prefix.
    pub(super) fn random() -> Result<Self> {
        let mut bytes = [0; HEADER_LEN];
        random(&mut bytes)?;
        bytes[0] = HEADER_LEN as u8;
        Ok(Self(bytes))
    }

    /// Reads the header from the front of a sealed object.
    pub(super) fn parse(front: &[u8]) -> Result<Self> {
        let bytes: [u8; HEADER_LEN] = front
            .get(..HEADER_LEN)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| corrupt("shorter than the header of a sealed object"))?;
        if usize::from(bytes[0]) != HEADER_LEN {
            return Err(corrupt("does not begin like an object sealed with AES256-GCM-HKDF"));
        }
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.0[1..=SALT_LEN]
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.0[1 + SALT_LEN..]
    }
}

/// Fills `bytes` from the cryptographic generator.
pub(super) fn random(bytes: &mut [u8]) -> Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| Error::other("the random generator failed"))
}

/// What every failed authentication says: nothing about where or why.
pub(super) fn unauthentic() -> Error {
    corrupt("sealed data fails authentication")
}

pub(super) fn corrupt(message: &'static str) -> Error {
    Error::corrupt(message).with_remedy(
        "restore the object from another copy, or give the keyset and context it was sealed with",
    )
}
