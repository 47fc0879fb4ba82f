//! What caches keep when there is not room for everything: hit ratios on traces, ours against the engines bare.
//!
//! The synthetic traces are made here, from fixed seeds. With `AETH_TRACES=DIR` each file in that directory is one
//! more: `*.lis` in the format of the ARC traces (first block, number of blocks), others with one key a line.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use aeth_cache::{CacheOptions, Caches, L1Engine};
use fastrand::Rng;

use super::s3_fifo::S3Fifo;
use crate::BoxError;
use crate::row::Row;

/// What an entry of ours weighs: the fixed part of an entry, and a key of 8 bytes. Values weigh nothing, so that the
/// capacity is a number of entries, as for the peers.
const WEIGHT: u64 = 224 + 8;
const LENGTH: usize = 1_000_000;
const ADAPTIVE: &str = "adaptive";
const ENGINES: [(&str, L1Engine); 3] =
    [("quick", L1Engine::Quick), ("moka engine", L1Engine::Moka), (ADAPTIVE, L1Engine::Adaptive)];

/// A sequence of keys, and for how many of them there is room.
struct Trace {
    name: String,
    capacity: u64,
    keys: Vec<u64>,
}

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let mut traces = synthetic();
    if let Some(dir) = std::env::var_os("AETH_TRACES") {
        traces.extend(recorded(Path::new(&dir))?);
    }
    let (mut most, mut furthest) = ((f64::MIN, ""), (f64::MIN, ""));
    for trace in &traces {
        let ours = ENGINES.map(|(name, engine)| ours(trace, engine).map(|ratio| (name, ratio)));
        let ours = ours.into_iter().collect::<Result<Vec<_>, _>>()?;
        let peers = [("quick_cache", quick_cache(trace)), ("moka", moka(trace))];
        let s3_fifo = ("S3-FIFO", s3_fifo(trace));
        let list = ours.iter().chain(&peers).chain([&s3_fifo]);
        let list: Vec<String> = list.map(|(name, ratio)| format!("{name} {ratio:.2}")).collect();
        eprintln!("{}, room for {}: {}", trace.name, trace.capacity, list.join(", "));
        let (best, peer) = (highest(&ours), highest(&peers));
        let adaptive = ours.iter().find(|(name, _)| *name == ADAPTIVE).map_or(f64::NAN, |(_, ratio)| *ratio);
        let behind = |ours: f64| highest(&[peer, s3_fifo]).1 - ours;
        if behind(best.1) > most.0 {
            most = (behind(best.1), trace.name.as_str());
        }
        if behind(adaptive) > furthest.0 {
            furthest = (behind(adaptive), trace.name.as_str());
        }
        let what = format!("hit ratio, {} ({})", trace.name, best.0);
        report(Row::against(what, "%", best.1, peer).at_least(1.0));
    }
    let what = |engine: &str, trace: &str| {
        format!("{engine}: most points behind quick_cache, moka and S3-FIFO on any trace ({trace})")
    };
    report(Row::absolute(what("best engine", most.1), "points", most.0).at_most(1.0));
    report(Row::absolute(what(ADAPTIVE, furthest.1), "points", furthest.0).at_most(1.0));
    Ok(())
}

fn highest<'a>(of: &[(&'a str, f64)]) -> (&'a str, f64) {
    of.iter().copied().fold(("none", f64::MIN), |best, next| if next.1 > best.1 { next } else { best })
}

fn ours(trace: &Trace, engine: L1Engine) -> Result<f64, BoxError> {
    let caches =
        Caches::builder().memory(trace.capacity * WEIGHT).typical_entry(WEIGHT).engine(engine).build()?;
    let options = CacheOptions::<()>::local().weigh(|()| 0).fresh_for(Duration::from_secs(36_000));
    let cache = caches.open("trace", options)?;
    let mut hits = 0_u64;
    crate::runtime()?.block_on(async {
        for key in &trace.keys {
            let key = key.to_le_bytes();
            if cache.peek(&key).is_some() {
                hits += 1;
            } else {
                cache.put(&key, ()).await?;
            }
        }
        Ok::<_, BoxError>(())
    })?;
    Ok(percent(hits, trace))
}

fn quick_cache(trace: &Trace) -> f64 {
    let capacity = usize::try_from(trace.capacity).unwrap_or(usize::MAX);
    let cache = quick_cache::sync::Cache::<u64, ()>::new(capacity);
    let hit = |key: &u64| {
        let hit = cache.get(key).is_some();
        if !hit {
            cache.insert(*key, ());
        }
        hit
    };
    percent(trace.keys.iter().filter(|key| hit(key)).count() as u64, trace)
}

fn moka(trace: &Trace) -> f64 {
    let cache = moka::sync::Cache::<u64, ()>::new(trace.capacity);
    let hit = |key: &u64| {
        let hit = cache.get(key).is_some();
        if !hit {
            cache.insert(*key, ());
        }
        hit
    };
    percent(trace.keys.iter().filter(|key| hit(key)).count() as u64, trace)
}

fn s3_fifo(trace: &Trace) -> f64 {
    let mut cache = S3Fifo::new(usize::try_from(trace.capacity).unwrap_or(usize::MAX));
    percent(trace.keys.iter().filter(|key| cache.wants(**key)).count() as u64, trace)
}

fn percent(hits: u64, trace: &Trace) -> f64 {
    hits as f64 * 100.0 / trace.keys.len() as f64
}

fn synthetic() -> Vec<Trace> {
    let mut rng = Rng::with_seed(42);
    let flat = Zipf::new(200_000, 0.7);
    let steep = Zipf::new(200_000, 0.99);
    let trace = |name: &str, capacity, keys| Trace { name: name.into(), capacity, keys };
    vec![
        trace("Zipf 0.99", 5_000, (0..LENGTH).map(|_| steep.draw(&mut rng)).collect()),
        trace("Zipf 0.7", 10_000, (0..LENGTH).map(|_| flat.draw(&mut rng)).collect()),
        trace("Zipf with scans", 10_000, scans(&steep, &mut rng)),
        trace("drifting Zipf", 5_000, drift(&steep, &mut rng)),
        trace("loop, a tenth too long", 5_000, (0..LENGTH as u64).map(|n| n % 5_500).collect()),
        trace("loop, twice too long", 5_000, (0..LENGTH as u64).map(|n| n % 10_000).collect()),
        trace("one scan", 5_000, one_scan(&steep, &mut rng)),
        trace("recent keys", 2_000, recent(&mut rng)),
        trace("two pools", 1_000, pools(&mut rng)),
        trace("loops and Zipf in turn", 5_000, in_turn(&steep, &mut rng)),
    ]
}

/// Keys 0.. with a probability that falls with their rank.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(keys: u32, skew: f64) -> Self {
        let mut sum = 0.0;
        let weight = |rank| {
            sum += f64::from(rank).powf(-skew);
            sum
        };
        Self((1..=keys).map(weight).collect())
    }

    fn draw(&self, rng: &mut Rng) -> u64 {
        let at = rng.f64() * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|weight| *weight < at) as u64
    }
}

/// After each 50,000 look-ups a scan over 20,000 keys that are never seen again.
fn scans(zipf: &Zipf, rng: &mut Rng) -> Vec<u64> {
    let mut keys = Vec::with_capacity(LENGTH);
    let mut next = 1 << 40;
    while keys.len() < LENGTH {
        keys.extend((0..50_000).map(|_| zipf.draw(rng)));
        keys.extend(next..next + 20_000);
        next += 20_000;
    }
    keys
}

/// What is hot changes wholly every 50,000 look-ups, a little at a time.
fn drift(zipf: &Zipf, rng: &mut Rng) -> Vec<u64> {
    (0..LENGTH as u64).map(|n| zipf.draw(rng) + n / 25).collect()
}

/// One long scan in the middle.
fn one_scan(zipf: &Zipf, rng: &mut Rng) -> Vec<u64> {
    let half = |rng: &mut Rng| (0..LENGTH / 2 - 100_000).map(|_| zipf.draw(rng)).collect::<Vec<_>>();
    let mut keys = half(rng);
    keys.extend((1 << 40)..(1 << 40) + 200_000);
    keys.extend(half(rng));
    keys
}

/// Keys that were seen lately come again, the sooner the likelier, and never after long: the world of LRU.
fn recent(rng: &mut Rng) -> Vec<u64> {
    let mut keys: Vec<u64> = Vec::with_capacity(LENGTH);
    let mut next = 0;
    while keys.len() < LENGTH {
        let back = (-rng.f64().max(1e-9).ln() * 1_500.0) as usize;
        let again = keys.len().checked_sub(back + 1).map(|at| keys[at]);
        keys.push(match again {
            Some(key) if rng.f64() < 0.7 => key,
            _ => {
                next += 1;
                next
            }
        });
    }
    keys
}

/// Indices and data by turns: 900 keys that are looked up often, 100,000 that are not (O'Neil et al., 1993).
fn pools(rng: &mut Rng) -> Vec<u64> {
    let draw =
        |n: usize, rng: &mut Rng| if n.is_multiple_of(2) { rng.u64(0..900) } else { rng.u64(1_000..101_000) };
    (0..LENGTH).map(|n| draw(n, rng)).collect()
}

/// 100,000 look-ups of the one, then as many of the other.
fn in_turn(zipf: &Zipf, rng: &mut Rng) -> Vec<u64> {
    let draw = |n: u64, rng: &mut Rng| match n / 100_000 % 2 {
        0 => zipf.draw(rng),
        _ => (1 << 40) + n % 6_000,
    };
    (0..LENGTH as u64).map(|n| draw(n, rng)).collect()
}

/// The traces of a directory, with room for a tenth of their keys.
fn recorded(dir: &Path) -> Result<Vec<Trace>, BoxError> {
    let mut files = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut traces = Vec::new();
    for file in files {
        let path = file.path();
        let arc = path.extension().is_some_and(|extension| extension == "lis");
        let mut keys = Vec::new();
        for line in std::fs::read_to_string(&path)?.lines() {
            let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
            let Some(first) = numbers.next() else { continue };
            let count = if arc { numbers.next().unwrap_or(1) } else { 1 };
            keys.extend(first..first.saturating_add(count));
        }
        let distinct = keys.iter().collect::<HashSet<_>>().len() as u64;
        if distinct > 0 {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            traces.push(Trace { name, capacity: (distinct / 10).max(300), keys });
        }
    }
    Ok(traces)
}
