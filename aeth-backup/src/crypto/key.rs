//! Sealing and opening.
//!
//! Layout: `IV (16) ‖ AES-256-CTR ciphertext ‖ MAC (16)`. The MAC is Bernstein's Poly1305-AES (the one-time
//! pad is the IV encrypted by AES-128 under `k`), over the ciphertext only. Source: restic's
//! `doc/design.rst`, section *Keys, Encryption and MAC*; D. J. Bernstein, *The Poly1305-AES
//! message-authentication code* (2005).

use super::cipher::{GROUP, Message, Prepared};
use super::random;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aeth_core::{Error, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const IV: usize = 16;
pub(super) const MAC: usize = 16;

/// Bytes that are sealed at once on their way to another place: they stay in the nearest cache.
const PIECE: usize = 32 * GROUP;

/// Bytes that sealing adds.
pub(crate) const OVERHEAD: usize = IV + MAC;

pub(super) type Ctr = ctr::Ctr128BE<aes::Aes256>;

/// An encryption key with its message-authentication key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Key {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
    prepared: Prepared,
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
        let (mut encrypt, mut mac_k, mut mac_r) = ([0; 32], [0; 16], [0; 16]);
        encrypt.copy_from_slice(&bytes[..32]);
        mac_k.copy_from_slice(&bytes[32..48]);
        mac_r.copy_from_slice(&bytes[48..]);
        Self::new(encrypt, mac_k, mac_r)
    }

    fn new(encrypt: [u8; 32], mac_k: [u8; 16], mac_r: [u8; 16]) -> Self {
        let prepared = Prepared::new(&encrypt, &mac_r);
        Self { encrypt, mac_k, mac_r, prepared }
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
        let mut message = self.message(iv);
        let mut plain = [0; PIECE];
        let (pieces, rest) = body.as_chunks_mut::<PIECE>();
        for piece in pieces {
            plain.copy_from_slice(piece);
            message.piece::<true>(&plain, piece);
        }
        let plain = plain.get_mut(..rest.len()).unwrap_or_default();
        plain.copy_from_slice(rest);
        let mac = message.end::<true>(plain, rest);
        buffer.extend_from_slice(&mac);
        Ok(())
    }

    /// Seals `plaintext` over what `out` holds, which is 32 bytes longer.
    pub(crate) fn seal_to(&self, plaintext: &[u8], out: &mut [u8]) -> Result<()> {
        let parts = out.split_first_chunk_mut::<IV>();
        let parts = parts.and_then(|(iv, rest)| Some((iv, rest.split_last_chunk_mut::<MAC>()?)));
        let Some((iv, (body, mac))) = parts.filter(|(_, (body, _))| body.len() == plaintext.len()) else {
            return Err(Error::invalid("what is sealed takes 32 bytes more"));
        };
        *iv = fresh_iv()?;
        let mut message = self.message(iv);
        let (pieces, rest) = plaintext.as_chunks::<PIECE>();
        let (sealed, sealed_rest) = body.as_chunks_mut::<PIECE>();
        for (piece, sealed) in pieces.iter().zip(sealed) {
            message.piece::<true>(piece, sealed);
        }
        *mac = message.end::<true>(rest, sealed_rest);
        Ok(())
    }

    /// Seals a copy of `plaintext`.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = vec![0; plaintext.len() + OVERHEAD];
        self.seal_to(plaintext, &mut sealed)?;
        Ok(sealed)
    }

    /// Verifies and decrypts over what `out` holds, which grows where it must; the plaintext is what is returned.
    ///
    /// # Errors
    /// [`Corrupt`](aeth_core::ErrorKind::Corrupt) when it was not sealed with this key or was changed since.
    pub(crate) fn open_over<'a>(&self, sealed: &[u8], out: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let (iv, rest) = sealed.split_first_chunk().ok_or_else(too_short)?;
        let (body, mac) = rest.split_last_chunk::<MAC>().ok_or_else(too_short)?;
        if out.len() < body.len() {
            out.resize(body.len(), 0);
        }
        let plain = out.get_mut(..body.len()).ok_or_else(too_short)?;
        // Both in one pass; what was decrypted is nobody's before the code was compared.
        let expected = self.message(iv).end::<false>(body, plain);
        // Accumulated without a branch, so that timing tells nothing of the first difference.
        let difference = expected.iter().zip(mac).fold(0, |sum, (a, b)| sum | (a ^ b));
        if difference != 0 {
            plain.fill(0);
            return Err(Error::corrupt("the authentication code does not match"));
        }
        Ok(plain)
    }

    /// Verifies and decrypts into a new buffer.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        self.open_over(sealed, &mut plain)?;
        Ok(plain)
    }

    fn message(&self, iv: &[u8; IV]) -> Message<'_> {
        Message::new(&self.prepared, &self.encrypt, &self.mac_r, iv, self.pad(iv))
    }

    /// What hides the code: the IV under a key of its own.
    fn pad(&self, iv: &[u8; IV]) -> [u8; MAC] {
        let mut pad = (*iv).into();
        aes::Aes128::new(&self.mac_k.into()).encrypt_block(&mut pad);
        pad.into()
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
        let key = Self::new(decode(&json.encrypt)?, decode(&json.mac.k)?, decode(&json.mac.r)?);
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
    use proptest::prelude::*;

    /// The first vector of Bernstein's paper, appendix B.
    #[test]
    fn poly1305_aes_vector() {
        let hex16 = |text: &str| <[u8; 16]>::try_from(hex::decode(text).unwrap()).unwrap();
        let (k, r) = (hex16("ec074c835580741701425b623235add6"), hex16("851fc40c3467ac0be05cc20404f3f700"));
        let key = Key::new([1; 32], k, r);
        let iv = hex16("fb447350c4e868c52ac3275cf9d4327e");
        let code = key.message(&iv).end::<false>(&[0xf3, 0xf6], &mut [0; 2]);
        assert_eq!(code, hex16("f4c633c3044fc145f84f335cb81953de"));
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
    }

    /// The same by the crates alone.
    fn plainly(key: &Key, iv: &[u8; IV], plaintext: &[u8]) -> Vec<u8> {
        let prepared = Prepared::default();
        let message = Message::new(&prepared, &key.encrypt, &key.mac_r, iv, key.pad(iv));
        let mut sealed = vec![0; plaintext.len()];
        let mac = message.end::<true>(plaintext, &mut sealed);
        [iv.as_slice(), &sealed, &mac].concat()
    }

    proptest! {
        #[test]
        fn every_way_seals_and_opens_alike(
            seed in any::<u64>(), length in 0_usize..20_000, extreme in any::<bool>(), wraps in any::<bool>(),
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bytes = [0xff; 64];
            let mut plain = vec![0; length];
            let mut iv = [0xff; IV];
            if !extreme {
                rng.fill(&mut bytes);
            }
            rng.fill(&mut plain);
            rng.fill(&mut iv[if wraps { 15 } else { 0 }..]);
            let key = Key::from_bytes(&bytes);
            let expected = plainly(&key, &iv, &plain);
            let mut in_place = [[0; IV].as_slice(), &plain].concat();
            key.seal_with(&mut in_place, 0, &iv).unwrap();
            prop_assert_eq!(&in_place, &expected);
            let mut out = vec![1; rng.usize(..30_000)];
            prop_assert_eq!(key.open_over(&expected, &mut out).unwrap(), &plain);
            let sealed = key.seal(&plain).unwrap();
            let iv: &[u8; IV] = sealed.first_chunk().unwrap();
            prop_assert_eq!(&sealed, &plainly(&key, iv, &plain));
            prop_assert!(key.seal_to(&plain, &mut sealed[1..].to_vec()).is_err());
            // A ciphertext of ones is the largest number that Poly1305 can meet.
            let ones = vec![0xff; length];
            let code = key.message(iv).end::<false>(&ones, &mut plain);
            let none = Prepared::default();
            let mut one_by_one = Message::new(&none, &key.encrypt, &key.mac_r, iv, key.pad(iv));
            let (first, rest) = ones.split_at(length / GROUP / 2 * GROUP);
            let (to, to_rest) = plain.split_at_mut(first.len());
            one_by_one.piece::<false>(first, to);
            prop_assert_eq!(code, one_by_one.end::<false>(rest, to_rest));
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
