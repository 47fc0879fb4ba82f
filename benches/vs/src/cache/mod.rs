//! The cache: memory and restarts, hits of the first level, what it keeps, Redis below it, outages, stampedes, races.
//!
//! `AETH_BENCH_ONLY` names the parts to run, separated by commas ([`PARTS`]).

mod l1;
mod life;
mod outage;
pub(crate) mod process;
mod races;
mod s3_fifo;
mod shared;
mod stampede;
mod traces;

use crate::BoxError;
use crate::row::Row;

type Part = fn(&mut dyn FnMut(Row)) -> Result<(), BoxError>;

const PARTS: &[(&str, Part)] = &[
    ("life", life::run),
    ("l1", l1::run),
    ("traces", traces::run),
    ("shared", shared::run),
    ("outage", outage::run),
    ("stampede", stampede::run),
    ("races", races::run),
];

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let only = std::env::var("AETH_BENCH_ONLY").ok();
    let chosen = |name: &str| only.as_deref().is_none_or(|only| only.split(',').any(|part| part == name));
    PARTS.iter().filter(|(name, _)| chosen(name)).try_for_each(|(_, part)| part(report))
}

/// A runtime of so many workers.
fn workers(count: usize) -> Result<tokio::runtime::Runtime, BoxError> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(count).enable_all().build()?)
}
