//! One key of a keyset.

use super::header::random;
use super::map::SegmentSize;
use crate::{Error, Result};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use std::fmt;
use zeroize::Zeroizing;

pub(super) const KEY_LEN: usize = 32;

/// The salt of all derivations that are not Tink's own. Tink's salts are 32 bytes long, which HMAC pads with
/// zeros; this one is longer and ends otherwise, so that the two families can never meet.
const SEPARATION: &[u8; 48] = b"AETHERIUS sealing: keys derived beside Tink's v1";

/// Whether a key may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyStatus {
    /// It opens objects, and seals them while it is the primary.
    Enabled,
    /// It is kept, and refuses to open anything.
    Disabled,
}

/// What may be told about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The key's number, unique in its keyset.
    pub id: u32,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// Whether new objects are sealed under it.
    pub primary: bool,
    /// The size of the segments that it seals.
    pub segment_size: SegmentSize,
}

/// The secret part of a key and what is derived from it once.
pub(super) struct Material {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    segment_size: SegmentSize,
    commit: hmac::Key,
    bind: hmac::Key,
}

impl Material {
    pub(super) fn new(bytes: Zeroizing<[u8; KEY_LEN]>, segment_size: SegmentSize) -> Result<Self> {
        let root = Salt::new(HKDF_SHA256, SEPARATION).extract(&*bytes);
        let commit = derive_mac(&root, b"commitment")?;
        let bind = derive_mac(&root, b"binding")?;
        Ok(Self { bytes, segment_size, commit, bind })
    }

    pub(super) fn random(segment_size: SegmentSize) -> Result<Self> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        random(&mut *bytes)?;
        Self::new(bytes, segment_size)
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.bytes
    }

    pub(super) fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    pub(super) fn commit_key(&self) -> &hmac::Key {
        &self.commit
    }

    pub(super) fn bind_key(&self) -> &hmac::Key {
        &self.bind
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("segment_size", &self.segment_size).finish_non_exhaustive()
    }
}

fn derive_mac(root: &Prk, purpose: &[u8]) -> Result<hmac::Key> {
    root.expand(&[purpose], hmac::HMAC_SHA256)
        .map(hmac::Key::from)
        .map_err(|_| Error::other("the cryptographic library refused to derive a key"))
}
