//! The AEAD of one object: seals and opens single segments.

use super::header::{Header, PREFIX_LEN, TAG_LEN, unauthentic};
use super::key::Material;
use crate::{Error, Result};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use bytes::BytesMut;

/// The derived key of one object and its nonce prefix.
///
/// A nonce is used once as long as each (segment number, last) pair is sealed once under a fresh header, which
/// is why only `Sealer` seals.
#[derive(Debug)]
pub(super) struct Cipher {
    key: LessSafeKey,
    prefix: [u8; PREFIX_LEN],
}

impl Cipher {
    pub(super) fn new(material: &Material, header: &Header, aad: &[u8]) -> Result<Self> {
        let derived = Salt::new(HKDF_SHA256, header.salt()).extract(material.bytes());
        let info = [aad];
        let key = derived.expand(&info, &AES_256_GCM).map_err(|_| failed())?;
        let mut prefix = [0; PREFIX_LEN];
        prefix.copy_from_slice(header.prefix());
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(key)), prefix })
    }

    fn nonce(&self, index: u32, last: bool) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..NONCE_LEN - 1].copy_from_slice(&index.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(last);
        Nonce::assume_unique_for_key(nonce)
    }

    /// Seals `buffer[from..]` in place and appends the tag.
    pub(super) fn seal(&self, index: u32, last: bool, buffer: &mut BytesMut, from: usize) -> Result<()> {
        let tag = self
            .key
            .seal_in_place_separate_tag(self.nonce(index, last), Aad::empty(), &mut buffer[from..])
            .map_err(|_| failed())?;
        buffer.extend_from_slice(tag.as_ref());
        Ok(())
    }

    /// Opens the segment in `buffer` in place and cuts the tag off; a failure empties the buffer.
    pub(super) fn open(&self, index: u32, last: bool, buffer: &mut BytesMut) -> Result<()> {
        let end = buffer.len().checked_sub(TAG_LEN).ok_or_else(unauthentic)?;
        let (body, tag) = buffer.split_at_mut(end);
        let nonce = self.nonce(index, last);
        let opened = self.key.open_in_place_separate_tag(nonce, Aad::empty(), tag, body).is_ok();
        buffer.truncate(if opened { end } else { 0 });
        if opened { Ok(()) } else { Err(unauthentic()) }
    }

    /// Appends the plaintext of a segment to `out`, without copying the ciphertext there first.
    pub(super) fn append_opened(
        &self,
        index: u32,
        last: bool,
        segment: &[u8],
        out: &mut BytesMut,
    ) -> Result<()> {
        let (body, tag) =
            segment.len().checked_sub(TAG_LEN).map(|end| segment.split_at(end)).ok_or_else(unauthentic)?;
        let from = out.len();
        out.resize(from + body.len(), 0);
        let nonce = self.nonce(index, last);
        let opened = self.key.open_separate_gather(nonce, Aad::empty(), body, tag, &mut out[from..]).is_ok();
        if opened {
            Ok(())
        } else {
            // What was written there is not genuine.
            out[from..].fill(0);
            out.truncate(from);
            Err(unauthentic())
        }
    }
}

fn failed() -> Error {
    Error::other("the cryptographic library refused the operation")
}
