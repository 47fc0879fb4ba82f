//! Files: a local directory against std, object_store and opendal; the price of sealing; what layers fetch; a tail;
//! memory.
//!
//! `AETH_BENCH_ONLY` names the parts to run, separated by commas ([`PARTS`]). `AETH_BENCH_SCALE` scales the object of
//! the part `memory`, 10 GiB at 1; `AETH_BENCH_DIR` is where that part stores it.

mod batch;
mod cold;
mod large;
pub(crate) mod memory;
mod sealed;
mod small;
mod tail;

use crate::BoxError;
use crate::row::Row;
use aeth_files::{Durability, LocalDir, LocalDirOptions};
use bytes::Bytes;
use std::path::Path;
use tempfile::TempDir;

type Part = fn(&mut dyn FnMut(Row)) -> Result<(), BoxError>;

const PARTS: &[(&str, Part)] = &[
    ("small", small::run),
    ("large", large::run),
    ("batch", batch::run),
    ("sealed", sealed::run),
    ("cold", cold::run),
    ("tail", tail::run),
    ("memory", memory::run),
];

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let only = std::env::var("AETH_BENCH_ONLY").ok();
    let chosen = |name: &str| only.as_deref().is_none_or(|only| only.split(',').any(|part| part == name));
    PARTS.iter().filter(|(name, _)| chosen(name)).try_for_each(|(_, part)| part(report))
}

/// A directory on a memory file system where there is one: what is measured is software, not a disk.
fn scratch() -> Result<TempDir, BoxError> {
    let memory = Path::new("/dev/shm");
    let base = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    Ok(tempfile::Builder::new().prefix("aeth-vs-").tempdir_in(base)?)
}

/// Our store, as durable as the peers are by default: not at all.
async fn local(dir: &Path) -> aeth_core::Result<LocalDir> {
    LocalDir::open_with(dir, LocalDirOptions::default().with_durability(Durability::None)).await
}

/// Bytes that do not repeat.
fn contents(length: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes.into()
}
