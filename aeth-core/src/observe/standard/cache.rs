//! `cache`: hit rate, miss rate, eviction rate, memory usage.
//!
//! The first group is what the host's caches saw, whatever level answered, by [`labels::NAMESPACE`]; the
//! `TIER_*` group is what one level saw, by [`labels::TIER`]. `StorageMetrics` is computed from the first.
//!
//! [`labels::NAMESPACE`]: super::labels::NAMESPACE
//! [`labels::TIER`]: super::labels::TIER

use crate::observe::{Descriptor, Unit};

/// Look-ups answered from the cache, by `namespace`; stale answers included.
pub const HITS: Descriptor = Descriptor::counter("aeth_cache_hits", "Look-ups answered from the cache.");
/// Look-ups that found nothing usable in any level, by `namespace`.
pub const MISSES: Descriptor =
    Descriptor::counter("aeth_cache_misses", "Look-ups that no level of the cache could answer.");
/// Of the hits, those answered with a stale value, by `namespace`.
pub const STALE: Descriptor =
    Descriptor::counter("aeth_cache_stale", "Look-ups answered with a stale value.");
/// Loader runs, by `namespace`.
pub const LOADS: Descriptor = Descriptor::counter("aeth_cache_loads", "Runs of a loader.");
/// Loader runs that failed, by `namespace`.
pub const LOAD_ERRORS: Descriptor =
    Descriptor::counter("aeth_cache_load_errors", "Runs of a loader that failed.");
/// How long loaders took, by `namespace`.
pub const LOAD_TIME: Descriptor =
    Descriptor::duration("aeth_cache_load_duration_seconds", "Time that loaders took.");
/// Entries pushed out of memory by others, by `namespace`.
pub const EVICTIONS: Descriptor =
    Descriptor::counter("aeth_cache_evictions", "Entries pushed out of memory by others.");
/// Entries held in memory, by `namespace`.
pub const ENTRIES: Descriptor = Descriptor::gauge("aeth_cache_entries", "Entries held in memory.");
/// Bytes held in memory (weights of the entries), by `namespace`.
pub const MEMORY: Descriptor =
    Descriptor::gauge("aeth_cache_memory_bytes", "Weight of the entries held in memory.")
        .with_unit(Unit::Bytes);
/// The budget of the memory level, without labels.
pub const MEMORY_MAX: Descriptor =
    Descriptor::gauge("aeth_cache_memory_max_bytes", "Budget of the memory level.").with_unit(Unit::Bytes);

/// Look-ups that this level answered, by `tier`.
pub const TIER_HITS: Descriptor =
    Descriptor::counter("aeth_cache_tier_hits", "Look-ups that this level answered.");
/// Look-ups that this level could not answer because it has no usable entry, by `tier`.
pub const TIER_MISSES: Descriptor =
    Descriptor::counter("aeth_cache_tier_misses", "Look-ups for which this level has no usable entry.");
/// Look-ups that this level did not answer, by `tier`.
pub const TIER_UNAVAILABLE: Descriptor =
    Descriptor::counter("aeth_cache_tier_unavailable", "Look-ups that this level did not answer at all.");
/// Entries stored in this level, by `tier`.
pub const TIER_PUTS: Descriptor =
    Descriptor::counter("aeth_cache_tier_puts", "Entries stored in this level.");
/// Keys removed from this level by callers, by `tier`.
pub const TIER_REMOVALS: Descriptor =
    Descriptor::counter("aeth_cache_tier_removals", "Keys removed from this level by callers.");
/// Entries pushed out of this level by others, by `tier`.
pub const TIER_EVICTIONS: Descriptor =
    Descriptor::counter("aeth_cache_tier_evictions", "Entries pushed out of this level by others.");
/// Entries of this level whose time was over, by `tier`.
pub const TIER_EXPIRATIONS: Descriptor =
    Descriptor::counter("aeth_cache_tier_expirations", "Entries of this level whose time was over.");
/// Entries of this level that were foreign or damaged, by `tier`.
pub const TIER_DAMAGED: Descriptor =
    Descriptor::counter("aeth_cache_tier_damaged", "Entries of this level that were foreign or damaged.");
/// Entries in this level, by `tier`.
pub const TIER_ENTRIES: Descriptor = Descriptor::gauge("aeth_cache_tier_entries", "Entries in this level.");
/// Bytes in this level, by `tier`.
pub const TIER_SIZE: Descriptor =
    Descriptor::gauge("aeth_cache_tier_size_bytes", "Bytes held in this level.").with_unit(Unit::Bytes);

/// The section.
pub const ALL: &[Descriptor] = &[
    HITS,
    MISSES,
    STALE,
    LOADS,
    LOAD_ERRORS,
    LOAD_TIME,
    EVICTIONS,
    ENTRIES,
    MEMORY,
    MEMORY_MAX,
    TIER_HITS,
    TIER_MISSES,
    TIER_UNAVAILABLE,
    TIER_PUTS,
    TIER_REMOVALS,
    TIER_EVICTIONS,
    TIER_EXPIRATIONS,
    TIER_DAMAGED,
    TIER_ENTRIES,
    TIER_SIZE,
];
