//! What the layers promise, under faults.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test crate")]

#[path = "../support/mod.rs"]
mod support;

mod cached;
#[cfg(feature = "zstd")]
mod compressed;
mod guards;
mod mirrored;
mod nodes;
mod tiered;
mod transfers;
mod versioned;

use aeth_core::BlobPath;
use bytes::Bytes;

pub(crate) fn path(text: &str) -> BlobPath {
    BlobPath::new(text).unwrap()
}

/// Bytes of which no two places are alike.
pub(crate) fn content(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}
