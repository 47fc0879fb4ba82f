//! Sealing: keysets and Tink's streaming AEAD (AES256-GCM-HKDF).
//!
//! # What it writes
//! An object is sealed as a *Tink streaming AEAD* ciphertext, so that the Tink libraries open it with the same
//! keyset and this crate opens theirs. Per object, a random 32-byte salt and the caller's associated data
//! derive an AES-256-GCM key by HKDF-SHA256; the plaintext is cut into segments, each sealed under the nonce
//! `prefix (7) || segment number (4) || last (1)`:
//!
//! ```text
//! | 40 | salt 32 | nonce prefix 7 | segment 0 ... tag 16 | segment 1 ... tag 16 | ... | last segment, tag 16 |
//! '--------- header 40 -----------'
//! '------------- ciphertext segment size ---------------'--- the same size -----'     '- 16 or more bytes ---'
//! ```
//!
//! The size of a sealed object follows from the plaintext's by formula, and a range of plaintext from a range
//! of segments: [`SegmentMap`]. An empty plaintext is one empty last segment.
//!
//! # What it protects
//! Reading an object to its end detects any flip, cut, extension, reordering, splice from another object, wrong
//! associated data and wrong key. A ranged read detects the same within the segments that it opens, and the
//! object's true length only when it opens the last one. Putting back an older whole object with the same
//! associated data is not detected.
//!
//! AES-GCM alone does not commit to its key: who knows two keys can make one ciphertext that opens under both.
//! [`Commitment`] closes that, and finds the right key of a keyset without trial; it belongs into the object's
//! attributes. [`Binding`] is a MAC for what ties an object to its place, such as an identity to a path.
//!
//! # Keys
//! A [`Keyset`] holds several keys, one of them primary: objects are sealed under the primary and opened under
//! any enabled key. It is stored as Tink's JSON keyset, in clear ([`Keyset::to_tink_json`]) or sealed under a
//! passphrase ([`Keyset::to_sealed_json`], [`Keyset::create_file`]). Which to choose:
//!
//! | you have | use | because |
//! |---|---|---|
//! | a passphrase and a directory | [`Keyset::create_file`] | random keys; the passphrase can change and keys rotate without touching the data |
//! | 32 random bytes, no place for a file | [`Keyset::derive_from_secret`] | HKDF: every node derives the same keyset, at no cost |
//! | a passphrase, no place for a file | [`Keyset::derive_from_passphrase`] | PBKDF2 with a salt kept by you; a new passphrase means sealing all data anew |
//!
//! ```
//! use aeth_core::seal::{Keyset, SegmentSize};
//! use bytes::Bytes;
//!
//! # fn main() -> aeth_core::Result<()> {
//! let keyset = Keyset::generate(SegmentSize::default())?;
//!
//! let mut sealer = keyset.sealer(b"object 42")?;
//! let commitment = sealer.commitment().clone();
//! let mut sealed = Vec::new();
//! let mut data = Bytes::from_static(b"attack at dawn");
//! while let Some(segment) = sealer.push(&mut data)? {
//!     sealed.extend_from_slice(&segment);
//! }
//! sealed.extend_from_slice(&sealer.finish()?);
//!
//! let mut opener = keyset.opener(b"object 42", Some(&commitment));
//! let mut sealed = Bytes::from(sealed);
//! let mut opened = Vec::new();
//! while let Some(segment) = opener.push(&mut sealed)? {
//!     opened.extend_from_slice(&segment);
//! }
//! opened.extend_from_slice(&opener.finish()?);
//! assert_eq!(opened, b"attack at dawn");
//! # Ok(())
//! # }
//! ```

mod cipher;
mod derive;
mod file;
mod header;
mod key;
mod keyset;
mod map;
mod object;
mod opener;
mod proto;
mod run;
mod sealer;
mod stamp;
mod tink;
mod wrap;

pub use derive::PassphraseKdf;
pub use header::{HEADER_LEN, TAG_LEN};
pub use key::{KeyInfo, KeyStatus};
pub use keyset::Keyset;
pub use map::{Cover, SegmentMap, SegmentSize};
pub use object::SegmentOpener;
pub use opener::Opener;
pub use run::RunOpener;
pub use sealer::Sealer;
pub use stamp::{Binding, Commitment};
