//! Keysets that follow from a secret alone.

use super::header::random;
use super::key::{KEY_LEN, KeyStatus, Material};
use super::keyset::{Key, Keyset};
use super::map::SegmentSize;
use super::tink::BASE64;
use crate::{Error, Result, Secret};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::pbkdf2;
use base64::Engine;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What is shorter than this can hardly be a random key.
const MIN_SECRET: usize = 32;
/// Bounds what a foreign file can make a process compute: some seconds.
const MAX_ITERATIONS: u32 = 20_000_000;
const MIN_SALT: usize = 16;

/// How a passphrase becomes a key: PBKDF2-HMAC-SHA512 (RFC 8018) with a salt and a number of iterations.
///
/// Not secret; it must be kept, because another salt or count gives another key. The default count, 600 000,
/// is nearly three times what OWASP's password storage advice asks of this function (210 000); deriving takes
/// some tenths of a second on one core, so callers on an async runtime use a blocking thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct PassphraseKdf {
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl PassphraseKdf {
    /// The iterations of [`new`](Self::new).
    pub const ITERATIONS: u32 = 600_000;

    /// A random salt of 32 bytes and the default number of iterations.
    ///
    /// # Errors
    /// Other when the system's random generator fails.
    pub fn new() -> Result<Self> {
        let mut salt = vec![0; 32];
        random(&mut salt)?;
        Self::from_parts(salt, Self::ITERATIONS)
    }

    /// A kept salt and count.
    ///
    /// # Errors
    /// Invalid when the salt is shorter than 16 bytes, or the count is 0 or above 20 000 000.
    pub fn from_parts(salt: impl Into<Vec<u8>>, iterations: u32) -> Result<Self> {
        let salt = salt.into();
        if salt.len() < MIN_SALT {
            return Err(Error::invalid(format!("salt of {} bytes", salt.len()))
                .with_remedy("give the salt that was kept, at least 16 bytes"));
        }
        match NonZeroU32::new(iterations).filter(|count| count.get() <= MAX_ITERATIONS) {
            Some(iterations) => Ok(Self { salt, iterations }),
            None => Err(Error::invalid(format!("{iterations} iterations of PBKDF2"))
                .with_remedy("choose from 1 to 20000000 iterations; 600000 is the default")),
        }
    }

    /// Takes another number of iterations, for instance more on a fast machine.
    ///
    /// # Errors
    /// Invalid when the count is 0 or above 20 000 000.
    pub fn with_iterations(self, iterations: u32) -> Result<Self> {
        Self::from_parts(self.salt, iterations)
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The number of iterations.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// Derives `LEN` bytes.
    pub(super) fn derive<const LEN: usize>(&self, passphrase: &Secret) -> Result<Zeroizing<[u8; LEN]>> {
        if passphrase.is_empty() {
            return Err(Error::invalid("empty passphrase").with_remedy("give a passphrase"));
        }
        let mut key = Zeroizing::new([0; LEN]);
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::derive(algorithm, self.iterations, &self.salt, passphrase.expose(), &mut *key);
        Ok(key)
    }
}

const NAME: &str = "PBKDF2-HMAC-SHA512";

#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    iterations: u32,
    salt: String,
}

impl From<PassphraseKdf> for Stored {
    fn from(kdf: PassphraseKdf) -> Self {
        Self { name: NAME.to_owned(), iterations: kdf.iterations(), salt: BASE64.encode(kdf.salt) }
    }
}

impl TryFrom<Stored> for PassphraseKdf {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        if stored.name != NAME {
            return Err(Error::unsupported("unknown key derivation function")
                .with_remedy("read it with the version that wrote it, or a later one"));
        }
        let salt = BASE64.decode(stored.salt).map_err(|_| Error::invalid("salt is not base64"))?;
        Self::from_parts(salt, stored.iterations)
    }
}

impl Keyset {
    /// Derives a keyset of one key from a secret of high entropy, by HKDF-SHA256 (RFC 5869).
    ///
    /// The same secret, context and segment size always give the same key and the same key number. `context`
    /// keeps uses of one secret apart. The secret must be random (32 bytes from a generator, or 64 hex digits):
    /// a derivation this fast makes every guess cheap, so that a passphrase would fall to a dictionary.
    ///
    /// # Errors
    /// Invalid when the secret is shorter than 32 bytes.
    pub fn derive_from_secret(secret: &Secret, context: &[u8], segment_size: SegmentSize) -> Result<Self> {
        if secret.len() < MIN_SECRET {
            return Err(Error::invalid(format!("secret of {} bytes is too short for a key", secret.len()))
                .with_remedy("give at least 32 random bytes, or use a passphrase with a kept salt"));
        }
        let root = Salt::new(HKDF_SHA256, b"AETHERIUS keyset from secret v1").extract(secret.expose());
        derive_one(&root, context, segment_size)
    }

    /// Derives a keyset of one key from a passphrase, by PBKDF2 and then HKDF-SHA256.
    ///
    /// The same passphrase, `kdf`, context and segment size always give the same key and key number. Blocks for
    /// some tenths of a second. A new passphrase gives another key, for which all objects must be sealed anew:
    /// where a file can be kept, [`create_file`](Self::create_file) is better.
    ///
    /// # Errors
    /// Invalid when the passphrase is empty.
    pub fn derive_from_passphrase(
        passphrase: &Secret,
        kdf: &PassphraseKdf,
        context: &[u8],
        segment_size: SegmentSize,
    ) -> Result<Self> {
        let stretched = kdf.derive::<64>(passphrase)?;
        let root = Salt::new(HKDF_SHA256, b"AETHERIUS keyset from passphrase v1").extract(&*stretched);
        derive_one(&root, context, segment_size)
    }
}

fn derive_one(root: &Prk, context: &[u8], segment_size: SegmentSize) -> Result<Keyset> {
    let size = segment_size.get().to_be_bytes();
    let key: Zeroizing<[u8; KEY_LEN]> = expand(root, &[b"key", &size, context])?;
    let id: Zeroizing<[u8; 4]> = expand(root, &[b"id ", &size, context])?;
    // Zero is no key number: protobuf cannot tell it from absent.
    let id = u32::from_be_bytes(*id).max(1);
    let material = Arc::new(Material::new(key, segment_size)?);
    Keyset::assemble(vec![Key { id, status: KeyStatus::Enabled, material }], id)
}

fn expand<const LEN: usize>(root: &Prk, info: &[&[u8]]) -> Result<Zeroizing<[u8; LEN]>> {
    let mut out = Zeroizing::new([0; LEN]);
    root.expand(info, Length(LEN))
        .and_then(|derived| derived.fill(&mut *out))
        .map_err(|_| Error::other("the cryptographic library refused to derive a key"))?;
    Ok(out)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}
