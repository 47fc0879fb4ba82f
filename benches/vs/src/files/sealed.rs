//! The price of sealing on one core.

use super::{contents, local, scratch};
use crate::measure::nanoseconds;
use crate::row::Row;
use crate::{BoxError, runtime};
use aeth_core::BlobPath;
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_files::Encrypted;
use bytes::Bytes;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// What goes through, and how a row names it.
const LENGTHS: &[(usize, &str)] = &[(16 << 20, "16 MiB"), (1 << 20, "1 MiB"), (64 << 10, "64 KiB")];

/// Keeps this thread and those that it starts on one core, until it is dropped.
struct OneCore(CpuSet);

impl OneCore {
    fn new() -> Result<Self, BoxError> {
        let all = sched_getaffinity(None)?;
        let first = (0..CpuSet::MAX_CPU).find(|cpu| all.is_set(*cpu)).ok_or("there is no processor")?;
        let mut one = CpuSet::new();
        one.set(first);
        sched_setaffinity(None, &one)?;
        Ok(Self(all))
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        if let Err(error) = sched_setaffinity(None, &self.0) {
            eprintln!("what follows stays on one core: {error}");
        }
    }
}

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let _one = OneCore::new()?;
    let dir = scratch()?;
    let runtime = runtime()?;
    let plain: Arc<dyn BlobStore> = Arc::new(runtime.block_on(local(&dir.path().join("plain")))?);
    let below = runtime.block_on(local(&dir.path().join("sealed")))?;
    let sealed: Arc<dyn BlobStore> =
        Arc::new(Encrypted::new(below, Keyset::generate(SegmentSize::default())?));
    let path = BlobPath::new("a/blob")?;
    for (length, name) in LENGTHS {
        let body = contents(*length, 1);
        let puts = nanoseconds(&mut [&mut |n| put(&runtime, &sealed, &path, &body, n), &mut |n| {
            put(&runtime, &plain, &path, &body, n);
        }]);
        let gets = nanoseconds(&mut [&mut |n| get(&runtime, &sealed, &path, *length, n), &mut |n| {
            get(&runtime, &plain, &path, *length, n);
        }]);
        for (what, times) in [("put", puts), ("get", gets)] {
            let [ours, plain] = [times[0], times[1]].map(|time| *length as f64 / time);
            let what = format!("sealed {what} of {name}, tmpfs, one core");
            report(Row::against(what, "GB/s", ours, ("the store below alone", plain)).at_least(0.75));
        }
    }
    Ok(())
}

fn put(runtime: &Runtime, store: &Arc<dyn BlobStore>, path: &BlobPath, body: &Bytes, n: u64) {
    for _ in 0..n {
        runtime.block_on(store.put(path, body.clone())).expect("a put into the scratch store");
    }
}

fn get(runtime: &Runtime, store: &Arc<dyn BlobStore>, path: &BlobPath, length: usize, n: u64) {
    for _ in 0..n {
        let got = runtime.block_on(store.get_bytes(path)).expect("a get from the scratch store");
        assert_eq!(got.len(), length);
    }
}
