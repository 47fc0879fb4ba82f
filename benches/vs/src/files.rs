//! Local files against std, and the price of sealing, on a memory file system where there is one.

use std::fs;
use std::path::Path;

use aeth_core::BlobPath;
use aeth_core::blob::{BlobStore, BlobStoreExt};
use aeth_core::seal::{Keyset, SegmentSize};
use aeth_files::{Durability, Encrypted, LocalDir, LocalDirOptions, MemoryStore};
use bytes::Bytes;

use crate::measure::nanoseconds;
use crate::row::Row;
use crate::{BoxError, runtime};

const SMALL: usize = 64 << 10;
const LARGE: usize = 16 << 20;

pub(crate) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let base =
        if Path::new("/dev/shm").is_dir() { Path::new("/dev/shm").into() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("aeth-vs-").tempdir_in(base)?;
    let runtime = runtime()?;
    let options = LocalDirOptions::default().with_durability(Durability::None);
    let store = runtime.block_on(LocalDir::open_with(dir.path().join("ours"), options))?;
    let path = BlobPath::new("a/blob")?;
    let body = contents(SMALL);

    // What a store that is all-or-nothing must do at least: write aside, rename.
    let plain = dir.path().join("plain");
    let aside = dir.path().join("aside");
    let times =
        nanoseconds(&mut [&mut |n| (0..n).for_each(|_| put(&runtime, &store, &path, &body)), &mut |n| {
            for _ in 0..n {
                let done = fs::write(&aside, &body).and_then(|()| fs::rename(&aside, &plain));
                done.expect("the scratch directory can be written");
            }
        }]);
    report(
        Row::against("put of 64 KiB", "ns", times[0], ("std::fs, write and rename", times[1])).at_most(1.5),
    );
    let times =
        nanoseconds(&mut [&mut |n| (0..n).for_each(|_| get(&runtime, &store, &path, SMALL)), &mut |n| {
            for _ in 0..n {
                assert_eq!(fs::read(&plain).map(|bytes| bytes.len()).ok(), Some(SMALL));
            }
        }]);
    report(Row::against("get of 64 KiB", "ns", times[0], ("std::fs::read", times[1])).at_most(1.5));

    let sealed = Encrypted::new(MemoryStore::new(), Keyset::generate(SegmentSize::default())?);
    let body = contents(LARGE);
    let gigabytes = |nanoseconds: f64| LARGE as f64 / nanoseconds;
    let times =
        nanoseconds(&mut [&mut |n| (0..n).for_each(|_| put(&runtime, &sealed, &path, &body)), &mut |n| {
            (0..n).for_each(|_| get(&runtime, &sealed, &path, LARGE))
        }]);
    report(Row::absolute("put of 16 MiB, sealed", "GB/s", gigabytes(times[0])).at_least(2.0));
    report(Row::absolute("get of 16 MiB, opened", "GB/s", gigabytes(times[1])).at_least(2.0));
    Ok(())
}

fn contents(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    bytes.into()
}

fn put(runtime: &tokio::runtime::Runtime, store: &impl BlobStore, path: &BlobPath, body: &Bytes) {
    runtime.block_on(store.put(path, body.clone())).expect("a put into the scratch store");
}

fn get(runtime: &tokio::runtime::Runtime, store: &impl BlobStore, path: &BlobPath, length: usize) {
    let got = runtime.block_on(store.get_bytes(path)).expect("a get from the scratch store");
    assert_eq!(got.len(), length);
}
