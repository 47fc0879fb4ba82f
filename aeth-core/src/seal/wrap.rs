//! A keyset sealed under a passphrase.

use super::derive::PassphraseKdf;
use super::header::random;
use super::keyset::Keyset;
use super::proto::{TYPE_URL, malformed, read_keyset, write_keyset};
use super::tink::{BASE64, json_error, status_name};
use crate::{Error, ErrorKind, Result, Secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

const FORMAT: &str = "aetherius-sealed-keyset";
const VERSION: u32 = 1;
const AAD: &[u8] = b"aetherius sealed keyset v1";

impl Keyset {
    /// Writes the keyset sealed under a passphrase, as JSON. Blocks for as long as `kdf` takes.
    ///
    /// Whoever has the text can try passphrases: its worth is the passphrase's. Numbers and states of the keys
    /// are readable in it.
    ///
    /// The text holds how the passphrase becomes a key, and Tink's own encrypted keyset:
    ///
    /// ```json
    /// {
    ///   "format": "aetherius-sealed-keyset", "version": 1,
    ///   "kdf": {"name": "PBKDF2-HMAC-SHA512", "iterations": 600000, "salt": "<base64>"},
    ///   "keyset": {"encryptedKeyset": "<base64>", "keysetInfo": {...}}
    /// }
    /// ```
    ///
    /// To read it without this crate: derive 32 bytes by PBKDF2, take them as a Tink AES-GCM key with output
    /// prefix RAW, and give the inner object with associated data `aetherius sealed keyset v1` to Tink's
    /// `parse_encrypted`.
    ///
    /// # Errors
    /// Invalid when the passphrase is empty; Other when the system's random generator fails.
    pub fn to_sealed_json(&self, passphrase: &Secret, kdf: &PassphraseKdf) -> Result<String> {
        let plain = write_keyset(self);
        let mut nonce = [0; NONCE_LEN];
        random(&mut nonce)?;
        // Room for the tag, so that the plaintext is sealed where it stands and never moved.
        let mut sealed = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        sealed.extend_from_slice(&plain);
        wrapping_key(passphrase, kdf)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(AAD), &mut *sealed)
            .map_err(|_| refused())?;
        let mut encrypted = nonce.to_vec();
        encrypted.extend_from_slice(&sealed);
        let key_info = self.keys().map(|key| Info {
            type_url: TYPE_URL.to_owned(),
            status: status_name(key.status).to_owned(),
            key_id: key.id,
            output_prefix_type: "RAW".to_owned(),
        });
        let document = Document {
            format: FORMAT.to_owned(),
            version: VERSION,
            kdf: kdf.clone(),
            keyset: Encrypted {
                encrypted_keyset: BASE64.encode(encrypted),
                keyset_info: KeysetInfo { primary_key_id: self.primary_id(), key_info: key_info.collect() },
            },
        };
        serde_json::to_string_pretty(&document)
            .map_err(|error| Error::other("keyset cannot be written as JSON").with_source(error))
    }

    /// Reads what [`to_sealed_json`](Self::to_sealed_json) wrote. Blocks for some tenths of a second.
    ///
    /// # Errors
    /// Denied when the passphrase is wrong (a damaged text cannot be told from that); Invalid when the text is
    /// not a sealed keyset; Unsupported when a later version wrote it.
    pub fn from_sealed_json(json: &[u8], passphrase: &Secret) -> Result<Self> {
        let Preamble { format, version } =
            serde_json::from_slice(json).map_err(|error| json_error(&error))?;
        if format != FORMAT {
            return Err(malformed("another format"));
        }
        if version != VERSION {
            return Err(Error::unsupported(format!("sealed keyset of version {version}"))
                .with_remedy("read it with the version that wrote it, or a later one"));
        }
        let Document { kdf, keyset, .. } =
            serde_json::from_slice(json).map_err(|error| json_error(&error))?;
        let encrypted =
            BASE64.decode(keyset.encrypted_keyset).map_err(|_| malformed("the keyset is not base64"))?;
        let (nonce, sealed) =
            encrypted.split_first_chunk::<NONCE_LEN>().ok_or_else(|| malformed("it is cut off"))?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        let plain = wrapping_key(passphrase, &kdf)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(AAD), &mut plain)
            .map_err(|_| {
                Error::new(ErrorKind::Denied, "the passphrase does not open the keyset").with_remedy(
                    "give the passphrase it was sealed under; if that is right, the file is damaged: restore it",
                )
            })?;
        read_keyset(plain)
    }
}

fn wrapping_key(passphrase: &Secret, kdf: &PassphraseKdf) -> Result<LessSafeKey> {
    let key = kdf.derive::<32>(passphrase)?;
    UnboundKey::new(&AES_256_GCM, &*key).map(LessSafeKey::new).map_err(|_| refused())
}

fn refused() -> Error {
    Error::other("the cryptographic library refused the operation")
}

/// What is read first, so that a later version is known as such.
#[derive(Deserialize)]
struct Preamble {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    version: u32,
    kdf: PassphraseKdf,
    keyset: Encrypted,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Encrypted {
    encrypted_keyset: String,
    /// For people: it is not authenticated, and never read back.
    #[serde(skip_deserializing)]
    keyset_info: KeysetInfo,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct KeysetInfo {
    primary_key_id: u32,
    key_info: Vec<Info>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    type_url: String,
    status: String,
    key_id: u32,
    output_prefix_type: String,
}
