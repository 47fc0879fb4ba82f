//! Never stale by a race: seeded schedules of slow loaders, promotions and refreshes against changes.
//!
//! A source counts up. A writer changes the source, then the cache, and once that call has returned raises the
//! floor. A reader notes the floor, then reads, and must not see less. What yields where is decided by the seed.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod support;

use aeth_cache::{Cache, CacheOptions, Caches, CallOptions, Item, L1Engine, MemoryTier};
use aeth_core::cache::CacheTier;
use aeth_core::sim::{Fault, FaultPlan, FaultyTier, MockClock, SimRng};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use support::bus::Bus;
use support::tier::Slow;
use support::{Failure, builder, secs, settle};
use tokio::task::JoinSet;

const KEYS: u64 = 2;
/// Schedules of each scenario in a plain test run.
const SHORT: u64 = 150;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Put,
    Remove,
    RemoveMany,
    Tag,
    Clear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Get,
    GetMany,
    Load,
    LoadMany,
    Scoped,
    /// A scoped load that is dropped half-way, then a plain one.
    Dropped,
    Reload,
}

#[derive(Clone, Copy)]
struct Scenario {
    changes: &'static [Change],
    reads: &'static [Read],
    tiers: fn(&SimRng, &MockClock) -> Vec<Arc<dyn CacheTier>>,
    /// The share of the tiers' calls that fail or lose their answer is in `tiers`; the changes may then fail.
    faults: bool,
    /// Time passes, so that entries become stale and are refreshed.
    time: bool,
    nodes: usize,
    /// The nodes tell each other, over a bus that loses messages now and then.
    bus: bool,
    engine: L1Engine,
}

const PLAIN: Scenario = Scenario {
    changes: &[Change::Remove],
    reads: &[Read::Load],
    tiers: |_, _| Vec::new(),
    faults: false,
    time: false,
    nodes: 1,
    bus: false,
    engine: L1Engine::Quick,
};

fn memory(clock: &MockClock) -> MemoryTier {
    MemoryTier::new(1 << 20, clock.shared()).unwrap()
}

fn one_tier(rng: &SimRng, clock: &MockClock) -> Vec<Arc<dyn CacheTier>> {
    vec![Arc::new(Slow::new(memory(clock), rng.fork("tier")))]
}

fn shared_tier(rng: &SimRng, clock: &MockClock) -> Vec<Arc<dyn CacheTier>> {
    vec![Arc::new(Slow::new(memory(clock), rng.fork("tier")).shared())]
}

fn two_tiers(rng: &SimRng, clock: &MockClock) -> Vec<Arc<dyn CacheTier>> {
    let mut tiers = one_tier(&rng.fork("upper"), clock);
    tiers.extend(one_tier(&rng.fork("lower"), clock));
    tiers
}

fn unleased_above(rng: &SimRng, clock: &MockClock) -> Vec<Arc<dyn CacheTier>> {
    let upper = Slow::new(memory(clock), rng.fork("upper")).without_leases();
    let mut tiers: Vec<Arc<dyn CacheTier>> = vec![Arc::new(upper)];
    tiers.extend(one_tier(rng, clock));
    tiers
}

fn faulty_tier(rng: &SimRng, clock: &MockClock) -> Vec<Arc<dyn CacheTier>> {
    let plan = FaultPlan::new(rng.seed())
        .with_clock(clock.shared())
        .chance_any(0.1, Fault::unavailable())
        .chance_any(0.1, Fault::Lost);
    vec![Arc::new(Slow::new(FaultyTier::new(memory(clock), plan), rng.fork("tier")))]
}

/// What readers and writers share.
#[derive(Clone)]
struct World {
    source: [Arc<AtomicU64>; KEYS as usize],
    floor: [Arc<AtomicU64>; KEYS as usize],
    rng: SimRng,
    clock: MockClock,
    time: bool,
}

async fn pause(rng: &SimRng, most: u64) {
    for _ in 0..rng.below(most + 1) {
        tokio::task::yield_now().await;
    }
}

impl World {
    /// The slow loader: reads first, gives later.
    async fn load(self, key: u64) -> Result<Item<u64>, Failure> {
        let value = self.source[key as usize].load(SeqCst);
        pause(&self.rng, 12).await;
        if self.rng.chance(0.05) {
            return Err("the source is moody".into());
        }
        Ok(Item::new(value).with_tag("all")?.with_tag(format!("key:{key}"))?)
    }

    async fn load_many(self, keys: Vec<u64>) -> Result<Vec<(u64, u64)>, Failure> {
        let values = keys.iter().map(|key| (*key, self.source[*key as usize].load(SeqCst))).collect();
        pause(&self.rng, 12).await;
        Ok(values)
    }

    async fn read(&self, cache: &Cache<u64>, key: u64, read: Read) -> Result<Option<u64>, aeth_core::Error> {
        let world = self.clone();
        let value = match read {
            Read::Get => cache.get(&key).await?,
            Read::GetMany => cache.get_many(&[key, (key + 1) % KEYS]).await?.swap_remove(0),
            Read::Load => cache.find_or_load(&key, move || world.load(key)).await?,
            Read::Reload => {
                let cache = cache.with(CallOptions::new().reload(true));
                cache.find_or_load(&key, move || world.load(key)).await?
            }
            Read::LoadMany => {
                let load = move |keys| world.clone().load_many(keys);
                cache.get_or_load_many(&[key, (key + 1) % KEYS], load).await?.swap_remove(0)
            }
            Read::Scoped => cache.find_or_load_scoped(&key, || self.clone().load(key)).await?,
            Read::Dropped => {
                let scoped = cache.find_or_load_scoped(&key, || self.clone().load(key));
                tokio::select! {
                    biased;
                    value = scoped => value?,
                    () = pause(&self.rng, 8) => cache.find_or_load(&key, move || world.load(key)).await?,
                }
            }
        };
        Ok(value.map(|value| *value))
    }

    /// Changes the source, then the cache; what the call promises holds from its return on.
    async fn change(&self, cache: &Cache<u64>, key: u64, change: Change) -> Result<(), aeth_core::Error> {
        let touched: Vec<u64> = match change {
            Change::Put | Change::Remove => vec![key],
            _ => (0..KEYS).collect(),
        };
        let values: Vec<u64> =
            touched.iter().map(|key| self.source[*key as usize].fetch_add(1, SeqCst) + 1).collect();
        pause(&self.rng, 2).await;
        let result = match change {
            Change::Put => {
                let item = Item::new(values[0]).with_tag("all")?.with_tag(format!("key:{key}"))?;
                cache.put_item(&key, item).await
            }
            Change::Remove => cache.remove(&key).await,
            Change::RemoveMany => cache.remove_many(&touched).await,
            Change::Tag => cache.invalidate_tag("all").await,
            Change::Clear => cache.clear().await,
        };
        for (key, value) in touched.iter().zip(values) {
            self.floor[*key as usize].fetch_max(value, SeqCst);
        }
        result
    }
}

/// Batch loads give plain values without tags; scenarios that invalidate by tag do not use them.
async fn run(scenario: Scenario, seed: u64) {
    let clock = MockClock::new();
    let rng = SimRng::new(seed);
    let tiers = (scenario.tiers)(&rng, &clock);
    let world = World {
        source: std::array::from_fn(|_| Arc::new(AtomicU64::new(1))),
        floor: std::array::from_fn(|_| Arc::default()),
        rng: rng.fork("world"),
        clock: clock.clone(),
        time: scenario.time,
    };
    let bus = Bus::default();
    let nodes: Vec<(Caches, Cache<u64>)> = (0..scenario.nodes)
        .map(|_| {
            // Small: a schedule has few entries, and there are many schedules.
            let mut builder = builder(&clock).memory(256 << 10).engine(scenario.engine);
            if scenario.bus {
                builder = builder.backplane(bus.node());
            }
            for tier in &tiers {
                builder = builder.tier(Arc::clone(tier));
            }
            let caches = builder.build().unwrap();
            let options = CacheOptions::new()
                .fresh_for(secs(10))
                .usable_for(secs(100))
                .local_fresh_for(secs(5))
                .stale_while_revalidate();
            let cache = caches.open("numbers", options).unwrap();
            (caches, cache)
        })
        .collect();
    for (_, cache) in &nodes {
        // From the first call on they listen.
        if scenario.bus && cache.get(&KEYS).await.is_ok() {
            settle().await;
        }
    }
    // Time passes slowly by itself: whoever polls for the lease of another comes round again.
    let passing = tokio::spawn({
        let clock = clock.clone();
        async move {
            loop {
                for _ in 0..24 {
                    tokio::task::yield_now().await;
                }
                clock.advance(Duration::from_millis(5));
            }
        }
    });
    let mut tasks = JoinSet::new();
    for reader in 0..4_u64 {
        let (world, cache) = (world.clone(), nodes[0].1.clone());
        let rng = rng.fork(&format!("reader {reader}"));
        tasks.spawn(async move {
            for _ in 0..8 {
                let key = rng.below(KEYS);
                let read = scenario.reads[rng.below(scenario.reads.len() as u64) as usize];
                let least = world.floor[key as usize].load(SeqCst);
                if let Ok(Some(seen)) = world.read(&cache, key, read).await {
                    assert!(seen >= least, "{read:?} of {key} gave {seen} after {least}; seed {seed}");
                }
                pause(&rng, 3).await;
            }
        });
    }
    // Readers of other nodes fill the tiers that all share; what they see themselves is bounded by time.
    for (node, (_, cache)) in nodes.iter().enumerate().skip(1) {
        let (world, cache, rng) = (world.clone(), cache.clone(), rng.fork(&format!("node {node}")));
        tasks.spawn(async move {
            for _ in 0..8 {
                drop(world.read(&cache, rng.below(KEYS), Read::Load).await);
                pause(&rng, 3).await;
            }
        });
    }
    let (writer, cache) = (world.clone(), nodes[0].1.clone());
    let a_change_failed = Arc::new(AtomicBool::new(false));
    let failed = Arc::clone(&a_change_failed);
    let hearer = nodes.last().filter(|_| scenario.bus).map(|(_, cache)| cache.clone());
    let writes = rng.fork("writer");
    tasks.spawn(async move {
        for _ in 0..8 {
            pause(&writes, 10).await;
            if writer.time && writes.chance(0.3) {
                writer.clock.advance(Duration::from_secs(writes.below(12)));
            }
            let change = scenario.changes[writes.below(scenario.changes.len() as u64) as usize];
            let key = writes.below(KEYS);
            let lost = scenario.bus && writes.chance(0.3);
            bus.lose(lost);
            let changed = writer.change(&cache, key, change).await;
            // Where time leaps, calls of others time out, and the circuit breaker may refuse this one.
            assert!(scenario.faults || scenario.time || changed.is_ok(), "{change:?} failed: {changed:?}");
            failed.fetch_or(changed.is_err(), SeqCst);
            let least = writer.floor[key as usize].load(SeqCst);
            if let Ok(Some(seen)) = writer.read(&cache, key, Read::Get).await {
                assert!(seen >= least, "after {change:?} of {key} {seen} was read, not {least}; seed {seed}");
            }
            // Another node follows as soon as it has heard; of a lost message it hears with the next one.
            if let Some(hearer) = hearer.as_ref().filter(|_| !lost && changed.is_ok()) {
                settle().await;
                if let Ok(Some(seen)) = writer.read(hearer, key, Read::Get).await {
                    assert!(seen >= least, "another node read {seen} of {key}, not {least}; seed {seed}");
                }
            }
        }
    });
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    // Loads that nobody waits for any more come to their end; then everybody agrees.
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    clock.advance(secs(6));
    for (node, (_, cache)) in nodes.iter().enumerate() {
        for key in 0..KEYS {
            let least = world.floor[key as usize].load(SeqCst);
            if let Ok(Some(seen)) = world.read(cache, key, Read::Get).await {
                assert!(
                    a_change_failed.load(SeqCst) && node > 0 || seen >= least,
                    "in the end node {node} gave {seen}, not {least}; seed {seed}"
                );
            }
        }
    }
    passing.abort();
}

fn campaign(name: &'static str, scenario: Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for case in testkit::campaign(name, SHORT) {
        runtime.block_on(run(scenario, case.seed()));
    }
}

const ANY_LOAD: &[Read] = &[Read::Load, Read::Scoped, Read::Dropped];
const ANY_READ: &[Read] = &[Read::Get, Read::GetMany, Read::Load, Read::Scoped, Read::Dropped, Read::Reload];
const ANY_CHANGE: &[Change] = &[Change::Put, Change::Remove, Change::RemoveMany, Change::Tag, Change::Clear];

#[test]
fn torture_slow_loader_against_remove() {
    campaign("slow_loader_against_remove", PLAIN);
}

#[test]
fn torture_slow_loader_against_put() {
    campaign("slow_loader_against_put", Scenario { changes: &[Change::Put], reads: ANY_LOAD, ..PLAIN });
}

#[test]
fn torture_slow_loader_against_tag() {
    campaign("slow_loader_against_tag", Scenario { changes: &[Change::Tag], reads: ANY_LOAD, ..PLAIN });
}

#[test]
fn torture_slow_loader_against_clear() {
    campaign("slow_loader_against_clear", Scenario { changes: &[Change::Clear], reads: ANY_LOAD, ..PLAIN });
}

#[test]
fn torture_dropped_leaders_against_remove() {
    let scenario = Scenario { reads: &[Read::Dropped, Read::Scoped], ..PLAIN };
    campaign("dropped_leaders_against_remove", scenario);
}

#[test]
fn torture_refresh_against_remove() {
    let scenario = Scenario { changes: &[Change::Remove, Change::Put], time: true, ..PLAIN };
    campaign("refresh_against_remove", scenario);
}

#[test]
fn torture_batches_against_remove() {
    let scenario = Scenario {
        changes: &[Change::Remove, Change::RemoveMany, Change::Clear],
        reads: &[Read::LoadMany, Read::Load],
        tiers: one_tier,
        ..PLAIN
    };
    campaign("batches_against_remove", scenario);
}

#[test]
fn torture_promotion_against_remove() {
    let scenario =
        Scenario { reads: &[Read::Get, Read::GetMany, Read::Load], tiers: one_tier, time: true, ..PLAIN };
    campaign("promotion_against_remove", scenario);
}

#[test]
fn torture_promotion_against_put() {
    let scenario = Scenario {
        changes: &[Change::Put, Change::Remove],
        reads: &[Read::Get, Read::GetMany, Read::Load],
        tiers: two_tiers,
        time: true,
        ..PLAIN
    };
    campaign("promotion_against_put", scenario);
}

#[test]
fn torture_everything_over_one_tier() {
    let scenario = Scenario { changes: ANY_CHANGE, reads: ANY_READ, tiers: one_tier, time: true, ..PLAIN };
    campaign("everything_over_one_tier", scenario);
}

#[test]
fn torture_everything_over_two_tiers() {
    let scenario = Scenario { changes: ANY_CHANGE, reads: ANY_READ, tiers: two_tiers, time: true, ..PLAIN };
    campaign("everything_over_two_tiers", scenario);
}

#[test]
fn torture_everything_over_a_tier_without_leases() {
    let scenario =
        Scenario { changes: ANY_CHANGE, reads: ANY_READ, tiers: unleased_above, time: true, ..PLAIN };
    campaign("everything_over_a_tier_without_leases", scenario);
}

#[test]
fn torture_two_nodes_over_one_tier() {
    let scenario =
        Scenario { changes: ANY_CHANGE, reads: ANY_READ, tiers: one_tier, time: true, nodes: 2, ..PLAIN };
    campaign("two_nodes_over_one_tier", scenario);
}

#[test]
fn torture_lost_messages() {
    let scenario = Scenario {
        changes: ANY_CHANGE,
        reads: ANY_READ,
        tiers: shared_tier,
        time: true,
        nodes: 2,
        bus: true,
        ..PLAIN
    };
    campaign("lost_messages", scenario);
}

#[test]
fn torture_lost_answers() {
    let scenario = Scenario {
        changes: ANY_CHANGE,
        reads: ANY_READ,
        tiers: faulty_tier,
        faults: true,
        time: true,
        ..PLAIN
    };
    campaign("lost_answers", scenario);
}

#[test]
fn torture_everything_on_moka() {
    let scenario = Scenario {
        changes: ANY_CHANGE,
        reads: ANY_READ,
        tiers: two_tiers,
        time: true,
        engine: L1Engine::Moka,
        ..PLAIN
    };
    campaign("everything_on_moka", scenario);
}

#[test]
fn torture_everything_on_adaptive() {
    let scenario = Scenario {
        changes: ANY_CHANGE,
        reads: ANY_READ,
        tiers: two_tiers,
        time: true,
        engine: L1Engine::Adaptive,
        ..PLAIN
    };
    campaign("everything_on_adaptive", scenario);
}

#[test]
fn torture_on_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    // On several threads the test's time can run ahead of a call, which then counts as timed out.
    let scenario =
        Scenario { changes: ANY_CHANGE, reads: ANY_READ, tiers: one_tier, time: true, faults: true, ..PLAIN };
    for case in testkit::campaign("on_threads", SHORT) {
        let engine = [L1Engine::Quick, L1Engine::Adaptive, L1Engine::Moka][(case.seed() / 2 % 3) as usize];
        let tiers = if case.seed() % 2 == 0 { PLAIN.tiers } else { scenario.tiers };
        let scenario = Scenario { tiers, engine, ..scenario };
        runtime.block_on(async { tokio::spawn(run(scenario, case.seed())).await.unwrap() });
    }
}

/// The suite sees what it is made to see: over a tier that lets void leases fill it, old values come back.
#[test]
fn a_tier_whose_leases_do_not_hold_is_found_out() {
    let tiers = |rng: &SimRng, clock: &MockClock| -> Vec<Arc<dyn CacheTier>> {
        vec![Arc::new(Slow::new(memory(clock), rng.fork("tier")).forging())]
    };
    let changes = &[Change::Remove, Change::Put];
    let scenario = Scenario { changes, reads: ANY_LOAD, tiers, nodes: 2, ..PLAIN };
    let found_out = |seed: &u64| {
        // What a schedule leaves behind ends with its runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let run = AssertUnwindSafe(|| runtime.block_on(run(scenario, *seed)));
        std::panic::catch_unwind(run).is_err()
    };
    let stale = (1..=100).filter(found_out).count();
    assert!(stale > 5, "{stale} of 100 schedules showed an old value");
}

/// Processes that read and change the same keys while their Redis is killed, frozen and started again.
#[cfg(feature = "integration")]
#[test]
fn torture_processes_while_redis_comes_and_goes() {
    // A case takes seconds, not milliseconds, and what it sees depends on the machine's real time: it runs in the
    // long campaigns only.
    for case in testkit::campaign("processes", 0).step_by(500) {
        support::storm::run(case.seed());
    }
}

#[cfg(feature = "integration")]
#[test]
#[ignore = "a part of torture_processes_while_redis_comes_and_goes, which runs it"]
fn a_process_of_the_storm() {
    support::storm::process();
}
