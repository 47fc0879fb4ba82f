//! Sealing and opening.
//!
//! Layout: `IV (16) ‖ AES-256-CTR ciphertext ‖ MAC (16)`. The MAC is Bernstein's Poly1305-AES (the one-time
//! pad is the IV encrypted by AES-128 under `k`), over the ciphertext only. Source: restic's
//! `doc/design.rst`, section *Keys, Encryption and MAC*; D. J. Bernstein, *The Poly1305-AES
//! message-authentication code* (2005).

use super::random;
use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use aeth_core::{Error, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use poly1305::Poly1305;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const IV: usize = 16;
const MAC: usize = 16;

/// Bytes that sealing adds.
pub(crate) const OVERHEAD: usize = IV + MAC;

type Ctr = ctr::Ctr128BE<aes::Aes256>;

/// An encryption key with its message-authentication key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A fresh master key.
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = Zeroizing::new([0; 64]);
        random(&mut *bytes)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// Encryption key ‖ k ‖ r, the order in which scrypt's output is cut.
    pub(crate) fn from_bytes(bytes: &[u8; 64]) -> Self {
        let mut key = Self { encrypt: [0; 32], mac_k: [0; 16], mac_r: [0; 16] };
        key.encrypt.copy_from_slice(&bytes[..32]);
        key.mac_k.copy_from_slice(&bytes[32..48]);
        key.mac_r.copy_from_slice(&bytes[48..]);
        key
    }

    /// Seals `buffer[start..]`, where the plaintext stands behind 16 free bytes, in place, and appends the
    /// MAC. What stands before `start` is not touched, so blobs can be sealed where they lie in a pack.
    pub(crate) fn seal_in_place(&self, buffer: &mut Vec<u8>, start: usize) -> Result<()> {
        self.seal_with(buffer, start, &fresh_iv()?)
    }

    fn seal_with(&self, buffer: &mut Vec<u8>, start: usize, iv: &[u8; IV]) -> Result<()> {
        let free = buffer.get_mut(start..).and_then(|rest| rest.split_at_mut_checked(IV));
        let Some((head, body)) = free else {
            return Err(Error::invalid("a buffer to seal needs 16 free bytes before the plaintext"));
        };
        head.copy_from_slice(iv);
        Ctr::new(&self.encrypt.into(), &(*iv).into()).apply_keystream(body);
        let mac = self.mac(iv, body);
        buffer.extend_from_slice(&mac);
        Ok(())
    }

    /// Seals `plaintext` into the first bytes of `out`, and returns these. What `out` held is overwritten; it grows
    /// where it must and never shrinks, so that using it again costs no clearing.
    pub(crate) fn seal_over<'a>(&self, plaintext: &[u8], out: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let length = plaintext.len() + OVERHEAD;
        if out.len() < length {
            out.resize(length, 0);
        }
        let iv = fresh_iv()?;
        let broken = || Error::other("a buffer has another length than was given to it");
        let (head, rest) = out.split_at_mut_checked(IV).ok_or_else(broken)?;
        let (body, rest) = rest.split_at_mut_checked(plaintext.len()).ok_or_else(broken)?;
        let end = rest.get_mut(..MAC).ok_or_else(broken)?;
        head.copy_from_slice(&iv);
        Ctr::new(&self.encrypt.into(), &iv.into())
            .try_apply_keystream_b2b(plaintext, body)
            .map_err(|_| broken())?;
        end.copy_from_slice(&self.mac(&iv, body));
        out.get(..length).ok_or_else(broken)
    }

    /// Seals a copy of `plaintext`.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(plaintext.len() + OVERHEAD);
        buffer.resize(IV, 0);
        buffer.extend_from_slice(plaintext);
        self.seal_in_place(&mut buffer, 0)?;
        Ok(buffer)
    }

    /// Verifies and decrypts over what `out` holds, which grows where it must; the plaintext is what is returned.
    ///
    /// # Errors
    /// [`Corrupt`](aeth_core::ErrorKind::Corrupt) when it was not sealed with this key or was changed since.
    pub(crate) fn open_over<'a>(&self, sealed: &[u8], out: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let (iv, rest) = sealed.split_first_chunk().ok_or_else(too_short)?;
        let (body, mac) = rest.split_last_chunk().ok_or_else(too_short)?;
        self.verify(iv, body, mac)?;
        if out.len() < body.len() {
            out.resize(body.len(), 0);
        }
        let plain = out.get_mut(..body.len()).ok_or_else(too_short)?;
        Ctr::new(&self.encrypt.into(), iv.into())
            .try_apply_keystream_b2b(body, plain)
            .map_err(|_| Error::corrupt("sealed data is too long"))?;
        Ok(plain)
    }

    fn verify(&self, iv: &[u8; IV], body: &[u8], mac: &[u8; MAC]) -> Result<()> {
        let expected = self.mac(iv, body);
        // Accumulated without a branch, so that timing tells nothing of the first difference.
        let difference = expected.iter().zip(mac).fold(0, |sum, (a, b)| sum | (a ^ b));
        if difference == 0 {
            return Ok(());
        }
        Err(Error::corrupt("the authentication code does not match"))
    }

    /// Verifies and decrypts into a new buffer.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        self.open_over(sealed, &mut plain)?;
        Ok(plain)
    }

    fn mac(&self, iv: &[u8; IV], ciphertext: &[u8]) -> [u8; MAC] {
        let mut pad = (*iv).into();
        aes::Aes128::new(&self.mac_k.into()).encrypt_block(&mut pad);
        let mut key = Zeroizing::new([0; 32]);
        key[..16].copy_from_slice(&self.mac_r);
        key[16..].copy_from_slice(&pad);
        Poly1305::new(&(*key).into()).compute_unpadded(ciphertext).into()
    }

    /// The JSON that a key file holds sealed.
    pub(crate) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>> {
        let json = MasterJson {
            mac: MacJson { k: BASE64_STANDARD.encode(self.mac_k), r: BASE64_STANDARD.encode(self.mac_r) },
            encrypt: BASE64_STANDARD.encode(self.encrypt),
        };
        serde_json::to_vec(&json).map(Zeroizing::new).map_err(crate::error::json("master key"))
    }

    /// Reads the JSON of a key file.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self> {
        let json: MasterJson = serde_json::from_slice(bytes).map_err(crate::error::json("master key"))?;
        let key = Self {
            encrypt: decode(&json.encrypt)?,
            mac_k: decode(&json.mac.k)?,
            mac_r: decode(&json.mac.r)?,
        };
        if key.encrypt == [0; 32] || key.mac_k == [0; 16] || key.mac_r == [0; 16] {
            return Err(Error::corrupt("the master key is all zeroes"));
        }
        Ok(key)
    }
}

fn too_short() -> Error {
    Error::corrupt("sealed data is too short")
}

fn fresh_iv() -> Result<[u8; IV]> {
    let mut iv = [0; IV];
    // restic refuses an IV of zeroes, which chance gives once in 2^128.
    while iv == [0; IV] {
        random(&mut iv)?;
    }
    Ok(iv)
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N]> {
    let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| <[u8; N]>::try_from(bytes).ok());
    bytes.ok_or_else(|| Error::corrupt("the master key has a part of the wrong length"))
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct MasterJson {
    mac: MacJson,
    encrypt: String,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct MacJson {
    k: String,
    r: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first vector of Bernstein's paper, appendix B.
    #[test]
    fn poly1305_aes_vector() {
        let hex16 = |text: &str| <[u8; 16]>::try_from(hex::decode(text).unwrap()).unwrap();
        let key = Key {
            encrypt: [1; 32],
            mac_k: hex16("ec074c835580741701425b623235add6"),
            mac_r: hex16("851fc40c3467ac0be05cc20404f3f700"),
        };
        let iv = hex16("fb447350c4e868c52ac3275cf9d4327e");
        assert_eq!(key.mac(&iv, &[0xf3, 0xf6]), hex16("f4c633c3044fc145f84f335cb81953de"));
    }

    #[test]
    fn sealing_leaves_the_prefix_alone_and_any_flipped_bit_is_seen() {
        let key = Key::random().unwrap();
        let mut buffer = b"prefix".to_vec();
        buffer.extend_from_slice(&[0; IV]);
        buffer.extend_from_slice(b"payload");
        key.seal_in_place(&mut buffer, 6).unwrap();
        assert_eq!(&buffer[..6], b"prefix");
        assert_eq!(buffer.len(), 6 + OVERHEAD + 7);
        assert_eq!(key.open(&buffer[6..]).unwrap(), b"payload");
        for bit in 0..(buffer.len() - 6) * 8 {
            let mut bad = buffer[6..].to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open(&bad).is_err(), "bit {bit}");
        }
        assert!(Key::random().unwrap().open(&buffer[6..]).is_err());
        assert!(key.open(&[0; 31]).is_err());
        let mut out = Vec::new();
        for length in [1000, 7, 0, 2000] {
            assert_eq!(
                key.open(key.seal_over(&vec![9; length], &mut out).unwrap()).unwrap(),
                vec![9; length]
            );
        }
    }

    #[test]
    fn json_round_trip() {
        let key = Key::random().unwrap();
        let again = Key::from_json(&key.to_json().unwrap()).unwrap();
        assert_eq!(again.open(&key.seal(b"x").unwrap()).unwrap(), b"x");
        assert!(Key::from_json(br#"{"mac":{"k":"","r":""},"encrypt":""}"#).is_err());
    }
}
