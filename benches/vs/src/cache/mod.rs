//! The cache: memory and restarts, hits of the first level, what it keeps, Redis below it, outages, stampedes, races.

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

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    life::run(report)?;
    l1::run(report)?;
    traces::run(report)?;
    shared::run(report)?;
    outage::run(report)?;
    stampede::run(report)?;
    races::run(report)
}

/// Two workers: as many as the smallest machine has cores.
fn workers() -> Result<tokio::runtime::Runtime, BoxError> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
