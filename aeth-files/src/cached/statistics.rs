//! What is counted.

use aeth_core::observe::standard::labels;
use aeth_core::observe::{Collector, Counter, Descriptor, Unit};

const HITS: Descriptor = Descriptor::counter("aeth_files_cache_hits", "Pages that were kept.");
const MISSES: Descriptor = Descriptor::counter("aeth_files_cache_misses", "Pages that were not kept.");
const HEADS: Descriptor =
    Descriptor::counter("aeth_files_cache_heads", "Requests that asked which state a blob has.");
const REQUESTS: Descriptor =
    Descriptor::counter("aeth_files_cache_requests", "Requests that fetched pages from below.");
const FETCHED: Descriptor =
    Descriptor::counter("aeth_files_cache_fetched_bytes", "Bytes fetched from below.").with_unit(Unit::Bytes);
const DAMAGED: Descriptor =
    Descriptor::counter("aeth_files_cache_damaged", "Kept pages that failed their checksum.");
const SIZE: Descriptor =
    Descriptor::gauge("aeth_files_cache_size_bytes", "Bytes of pages that are kept.").with_unit(Unit::Bytes);

/// The instruments of one cache.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) heads: Counter,
    pub(super) requests: Counter,
    pub(super) fetched: Counter,
    pub(super) damaged: Counter,
}

/// What a cache has done since it was opened, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CachedStatistics {
    /// Pages that were kept.
    pub hits: u64,
    /// Pages that were not.
    pub misses: u64,
    /// Requests below that asked which state a blob has.
    pub heads: u64,
    /// Requests below that fetched pages.
    pub requests: u64,
    /// Bytes that these fetched.
    pub fetched_bytes: u64,
    /// Kept pages that failed their checksum; each was fetched again.
    pub damaged: u64,
    /// How often everything known about blobs was forgotten, because messages of peers may have been missed.
    pub forgotten: u64,
    /// Bytes of pages that are kept, where the place can tell.
    pub kept_bytes: Option<u64>,
}

impl CachedStatistics {
    #[allow(clippy::cast_precision_loss, reason = "a gauge of more than 2^53 bytes may be rounded")]
    pub(super) fn collect(&self, store: &str, out: &mut dyn Collector) {
        let labels = [(labels::STORE, store)];
        let counters = [
            (&HITS, self.hits),
            (&MISSES, self.misses),
            (&HEADS, self.heads),
            (&REQUESTS, self.requests),
            (&FETCHED, self.fetched_bytes),
            (&DAMAGED, self.damaged),
        ];
        for (descriptor, value) in counters {
            out.counter(descriptor, &labels, value);
        }
        if let Some(kept) = self.kept_bytes {
            out.gauge(&SIZE, &labels, kept as f64);
        }
    }
}
