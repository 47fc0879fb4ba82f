//! The contract of a cache tier: bytes in, bytes out, batch first.

mod entry;
mod envelope;
mod ext;
mod lease;
mod tier;

pub use entry::{CodecId, Entry, EntryFlags};
pub use envelope::{ENVELOPE_OVERHEAD, EnvelopeError, decode_envelope, encode_envelope};
pub use ext::CacheTierExt;
pub use lease::{FillOutcome, LeaseLookup, LeaseToken};
pub use tier::{
    CacheTier, Invalidation, Lookup, PutOutcome, TierCapabilities, TierCapability, TierStatistics,
};
