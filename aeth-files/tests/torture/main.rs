//! Seeded campaigns; `cargo xtask torture files` runs the long forms.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

mod cached;
mod mirrored;
mod processes;
mod sealed;
mod world;

use aeth_core::BlobPath;
use bytes::Bytes;

pub(crate) fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

/// Bytes of which no two places are alike.
pub(crate) fn unlike(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}
