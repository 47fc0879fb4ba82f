//! Key commitments and bindings: MACs that are stored beside an object.

use super::header::Header;
use super::key::Material;
use crate::{Error, Result};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;

const LEN: usize = 32;

/// The number of a key and a MAC under it.
#[derive(Clone)]
struct Stamp {
    key_id: u32,
    mac: [u8; LEN],
}

impl Stamp {
    fn sign(key_id: u32, context: hmac::Context) -> Self {
        let mut mac = [0; LEN];
        mac.copy_from_slice(context.sign().as_ref());
        Self { key_id, mac }
    }

    fn verify(&self, context: hmac::Context) -> bool {
        constant_time::verify_slices_are_equal(context.sign().as_ref(), &self.mac).is_ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let (id, mac) = text.strip_prefix("1.")?.split_once('.')?;
        let canonical = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let mac: [u8; LEN] = URL_SAFE_NO_PAD.decode(mac).ok()?.try_into().ok()?;
        Some(Self { key_id: id.parse().ok().filter(|_| canonical)?, mac })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{}", self.key_id, URL_SAFE_NO_PAD.encode(self.mac))
    }
}

/// Says under which key an object was sealed, and proves it: HMAC-SHA256, under a key derived from that one,
/// over the object's header, its segment size and its associated data.
///
/// It is known before the first byte is sealed, is no secret, and is stored beside the object (its `Display`
/// is short ASCII, fit for an attribute). Opening with it finds the key at once and excludes ciphertexts that
/// were crafted to open under two keys.
#[derive(Clone)]
pub struct Commitment(Stamp);

impl Commitment {
    pub(super) fn new(key_id: u32, material: &Material, header: &Header, aad: &[u8]) -> Self {
        Self(Stamp::sign(key_id, committed(material, header, aad)))
    }

    pub(super) fn holds(&self, material: &Material, header: &Header, aad: &[u8]) -> bool {
        self.0.verify(committed(material, header, aad))
    }

    /// The number of the key.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.0.key_id
    }
}

fn committed(material: &Material, header: &Header, aad: &[u8]) -> hmac::Context {
    let mut context = hmac::Context::with_key(material.commit_key());
    context.update(header.bytes());
    context.update(&material.segment_size().get().to_be_bytes());
    context.update(aad);
    context
}

/// A MAC that ties values together, such as an object's identity and its path: HMAC-SHA256, under a key
/// derived from a key of the keyset, over the values and their lengths.
///
/// Made by [`Keyset::bind`](super::Keyset::bind), checked by
/// [`Keyset::verify_binding`](super::Keyset::verify_binding); no secret, and short ASCII as text.
#[derive(Clone)]
pub struct Binding(Stamp);

impl Binding {
    pub(super) fn new(key_id: u32, material: &Material, parts: &[&[u8]]) -> Self {
        Self(Stamp::sign(key_id, bound(material, parts)))
    }

    pub(super) fn holds(&self, material: &Material, parts: &[&[u8]]) -> bool {
        self.0.verify(bound(material, parts))
    }

    /// The number of the key.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.0.key_id
    }
}

fn bound(material: &Material, parts: &[&[u8]]) -> hmac::Context {
    let mut context = hmac::Context::with_key(material.bind_key());
    // Lengths in front keep ("ab", "c") and ("a", "bc") apart.
    context.update(&(parts.len() as u64).to_be_bytes());
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context
}

impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commitment({self})")
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({self})")
    }
}

impl FromStr for Commitment {
    type Err = Error;

    /// Reads what `Display` writes; Corrupt for anything else.
    fn from_str(text: &str) -> Result<Self> {
        Stamp::parse(text).map(Self).ok_or_else(|| Error::corrupt("malformed key commitment"))
    }
}

impl FromStr for Binding {
    type Err = Error;

    /// Reads what `Display` writes; Corrupt for anything else.
    fn from_str(text: &str) -> Result<Self> {
        Stamp::parse(text).map(Self).ok_or_else(|| Error::corrupt("malformed binding"))
    }
}
