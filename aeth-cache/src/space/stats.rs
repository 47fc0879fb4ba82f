//! What is counted for each namespace.

use crate::flight::Origin;
use crate::striped::StripedCounter;
use aeth_core::observe::{Counter, Histogram};

/// Always on. Only `hits` is counted on the hit path, in stripes.
#[derive(Debug, Default)]
pub(crate) struct SpaceStats {
    /// Fresh answers from L1.
    pub(crate) hits: StripedCounter,
    /// Fresh answers from a lower tier.
    pub(crate) tier_hits: Counter,
    /// Stale answers.
    pub(crate) stale: Counter,
    /// Nothing usable anywhere, or a load had to be waited for.
    pub(crate) misses: Counter,
    /// Loaders that ran.
    pub(crate) loads: Counter,
    /// Loaders that failed, panicked or took too long.
    pub(crate) load_errors: Counter,
    /// Callers that waited for a load of somebody else.
    pub(crate) shared_loads: Counter,
    /// Loaded or promoted values that were not kept because the key had changed meanwhile.
    pub(crate) fenced: Counter,
    /// Values put by the host.
    pub(crate) puts: Counter,
    /// Keys removed by the host.
    pub(crate) removals: Counter,
    /// Values larger than what L1 can hold.
    pub(crate) too_large: Counter,
    /// Entries of lower tiers that could not be decoded, or are of another codec or schema.
    pub(crate) undecodable: Counter,
    /// Calls of lower tiers that failed or took too long.
    pub(crate) tier_errors: Counter,
    /// How long loaders took.
    pub(crate) load_duration: Histogram,
}

impl SpaceStats {
    /// Counts an answer; each caller's once.
    #[inline]
    pub(crate) fn count(&self, origin: Origin) {
        match origin {
            Origin::Local => self.hits.increment(),
            Origin::Tier => self.tier_hits.increment(),
            Origin::Stale => self.stale.increment(),
            Origin::Loader => self.misses.increment(),
        }
    }
}
