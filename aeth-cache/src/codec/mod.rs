//! From values to bytes and back.

mod erased;
mod json;
mod postcard;
mod raw;

pub(crate) use erased::{ErasedCodec, LocalCodec, TypedCodec, WeighFn};
pub use json::Json;
pub use postcard::Postcard;
pub use raw::Raw;

use aeth_core::Result;
use aeth_core::cache::CodecId;
use bytes::Bytes;
use std::fmt;

/// Turns values into the bytes that lower tiers store, and back.
///
/// [`Postcard`] (the default), [`Json`] and [`Raw`] are here; a host may bring its own, with an id of 1024 or
/// more. Entries of another codec than the cache's are misses, so that a codec can be changed while old entries
/// are still around.
pub trait Codec<V>: fmt::Debug + Send + Sync + 'static {
    /// The number that stands in stored entries.
    fn id(&self) -> CodecId;

    /// The bytes of a value.
    ///
    /// # Errors
    /// `Invalid` when this value has no representation.
    fn encode(&self, value: &V) -> Result<Bytes>;

    /// The value of bytes that [`encode`](Self::encode) made.
    ///
    /// # Errors
    /// `Corrupt` when they are not; the cache counts it and treats the entry as a miss.
    fn decode(&self, bytes: &Bytes) -> Result<V>;

    /// About how many bytes of memory the decoded value takes; what it counts against the budget, beside a
    /// fixed part for each entry.
    fn weigh(&self, value: &V) -> usize;
}
