//! The figures of [`Caches`].

use super::Caches;
use crate::guard::GuardedTier;
use crate::space::Space;
use aeth_core::cache::CacheTier;
use aeth_core::observe::standard::{cache as names, labels};
use aeth_core::observe::{Collector, Descriptor, Label, MetricsSource};
use aeth_core::policy::BreakerState;
use std::borrow::Cow;

const FENCED: Descriptor = Descriptor::counter(
    "aeth_cache_fenced",
    "Values not kept because their key changed while they were loaded.",
);
const SHARED_LOADS: Descriptor =
    Descriptor::counter("aeth_cache_shared_loads", "Look-ups that waited for the load of another caller.");
const LOCAL_HITS: Descriptor =
    Descriptor::counter("aeth_cache_local_hits", "Look-ups answered from the decoded first level.");
const PUTS: Descriptor = Descriptor::counter("aeth_cache_puts", "Values put by the application.");
const REMOVALS: Descriptor = Descriptor::counter("aeth_cache_removals", "Keys removed by the application.");
const EXPIRED: Descriptor = Descriptor::counter(
    "aeth_cache_expirations",
    "Entries of the first level found past their time, cleared or invalidated by a tag.",
);
const TOO_LARGE: Descriptor =
    Descriptor::counter("aeth_cache_too_large", "Values larger than what the first level can hold.");
const UNDECODABLE: Descriptor =
    Descriptor::counter("aeth_cache_undecodable", "Entries of lower tiers that could not be decoded here.");
const TIER_ERRORS: Descriptor =
    Descriptor::counter("aeth_cache_tier_errors", "Calls of lower tiers that failed or took too long.");
const PENDING: Descriptor =
    Descriptor::gauge("aeth_cache_pending_removals", "Removals that wait for the lower tiers to answer.");
const BEHIND: Descriptor =
    Descriptor::gauge("aeth_cache_pending_writes", "Queued writes that wait for the lower tiers.");
const BEHIND_WRITTEN: Descriptor =
    Descriptor::counter("aeth_cache_queued_writes_written", "Queued writes that reached the lower tiers.");
const BEHIND_COALESCED: Descriptor = Descriptor::counter(
    "aeth_cache_queued_writes_coalesced",
    "Queued writes replaced by a later one of their key while they waited.",
);
const BEHIND_RETRIED: Descriptor =
    Descriptor::counter("aeth_cache_queued_writes_retried", "Attempts at queued writes that failed.");
const BEHIND_DROPPED: Descriptor = Descriptor::counter(
    "aeth_cache_queued_writes_dropped",
    "Queued writes given up: expired, or refused by the lower tiers.",
);
const OPERATION: &str = "operation";
const TIER_TIME: Descriptor = Descriptor::duration(
    "aeth_cache_tier_duration_seconds",
    "Time that calls of this level took, timeouts included.",
);
const TIER_TIMEOUTS: Descriptor =
    Descriptor::counter("aeth_cache_tier_timeouts", "Calls of this level that took too long.");
const TIER_REFUSED: Descriptor = Descriptor::counter(
    "aeth_cache_tier_refused",
    "Calls of this level that were not made because its circuit breaker was open.",
);
const TIER_BREAKER: Descriptor = Descriptor::gauge(
    "aeth_cache_tier_breaker",
    "The circuit breaker of this level: 0 closed, 1 half open, 2 open.",
);

#[allow(clippy::cast_precision_loss, reason = "gauges are floats")]
fn float(number: u64) -> f64 {
    number as f64
}

impl MetricsSource for Caches {
    fn component(&self) -> Cow<'_, str> {
        "cache".into()
    }

    fn collect(&self, out: &mut dyn Collector) {
        for space in self.shared.spaces() {
            collect_space(&space, out);
        }
        out.gauge(&names::MEMORY_MAX, &[], float(self.shared.l1.budget()));
        out.gauge(&PENDING, &[], float(self.shared.recovery.len() as u64));
        let behind = &self.shared.behind;
        out.gauge(&BEHIND, &[], float(behind.len() as u64));
        for (descriptor, counter) in [
            (&BEHIND_WRITTEN, &behind.stats.written),
            (&BEHIND_COALESCED, &behind.stats.coalesced),
            (&BEHIND_RETRIED, &behind.stats.retried),
            (&BEHIND_DROPPED, &behind.stats.dropped),
        ] {
            out.counter(descriptor, &[], counter.get());
        }
        self.shared.guards.iter().for_each(|guard| collect_tier(guard, out));
    }
}

fn collect_space(space: &Space, out: &mut dyn Collector) {
    let by: &[Label<'_>] = &[(labels::NAMESPACE, space.name.as_str())];
    let stats = &space.stats;
    let (local, tier, stale) = (stats.hits.get(), stats.tier_hits.get(), stats.stale.get());
    out.counter(&names::HITS, by, local + tier + stale);
    out.counter(&names::STALE, by, stale);
    for (descriptor, counter) in [
        (&names::MISSES, &stats.misses),
        (&names::LOADS, &stats.loads),
        (&names::LOAD_ERRORS, &stats.load_errors),
        (&names::EVICTIONS, &space.account.evictions),
        (&FENCED, &stats.fenced),
        (&SHARED_LOADS, &stats.shared_loads),
        (&PUTS, &stats.puts),
        (&REMOVALS, &stats.removals),
        (&EXPIRED, &stats.expired),
        (&TOO_LARGE, &stats.too_large),
        (&UNDECODABLE, &stats.undecodable),
        (&TIER_ERRORS, &stats.tier_errors),
    ] {
        out.counter(descriptor, by, counter.get());
    }
    out.counter(&LOCAL_HITS, by, local);
    out.histogram(&names::LOAD_TIME, by, &stats.load_duration.snapshot());
    let gauge = |value: i64| float(u64::try_from(value).unwrap_or(0));
    out.gauge(&names::ENTRIES, by, gauge(space.account.entries.get()));
    out.gauge(&names::MEMORY, by, gauge(space.account.bytes.get()));
}

fn collect_tier(tier: &GuardedTier, out: &mut dyn Collector) {
    let name = tier.name();
    let by: &[Label<'_>] = &[(labels::TIER, &name)];
    let guarded = tier.stats();
    for (operation, durations) in [("look_up", &guarded.look_ups), ("change", &guarded.changes)] {
        let by: &[Label<'_>] = &[(labels::TIER, &name), (OPERATION, operation)];
        out.histogram(&TIER_TIME, by, &durations.snapshot());
    }
    out.counter(&TIER_TIMEOUTS, by, guarded.timeouts.get());
    out.counter(&TIER_REFUSED, by, guarded.refused.get());
    let state = match tier.gate().state() {
        BreakerState::Closed => 0.0,
        BreakerState::Open => 2.0,
        _ => 1.0,
    };
    out.gauge(&TIER_BREAKER, by, state);
    let statistics = tier.statistics();
    for (descriptor, value) in [
        (&names::TIER_HITS, statistics.hits),
        (&names::TIER_MISSES, statistics.misses),
        (&names::TIER_UNAVAILABLE, statistics.unavailable),
        (&names::TIER_PUTS, statistics.puts),
        (&names::TIER_REMOVALS, statistics.removals),
        (&names::TIER_EVICTIONS, statistics.evictions),
        (&names::TIER_EXPIRATIONS, statistics.expirations),
        (&names::TIER_DAMAGED, statistics.damaged),
    ] {
        out.counter(descriptor, by, value);
    }
    for (descriptor, value) in
        [(&names::TIER_ENTRIES, statistics.entries), (&names::TIER_SIZE, statistics.bytes)]
    {
        if let Some(value) = value {
            out.gauge(descriptor, by, float(value));
        }
    }
}
