//! A large object as a stream.

use super::{contents, local, scratch};
use crate::measure::nanoseconds;
use crate::row::Row;
use crate::{BoxError, runtime};
use aeth_core::BlobPath;
use aeth_core::blob::BlobStoreExt;
use futures_util::StreamExt;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;

const LENGTH: usize = 64 << 20;

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let dir = scratch()?;
    let runtime = runtime()?;
    let store = runtime.block_on(local(dir.path()))?;
    let path = BlobPath::new("large")?;
    runtime.block_on(store.put(&path, contents(LENGTH, 1)))?;
    // The same file: a blob of ours is a plain file.
    let theirs = LocalFileSystem::new_with_prefix(dir.path())?;
    let place = object_store::path::Path::from("large");

    let mut ours = |n| {
        for _ in 0..n {
            let read = runtime.block_on(async {
                let mut body = store.get(&path).await?.body;
                let mut read = 0;
                while let Some(chunk) = body.next().await {
                    read += chunk?.len();
                }
                Ok::<usize, aeth_core::Error>(read)
            });
            assert_eq!(read.ok(), Some(LENGTH));
        }
    };
    let mut peer = |n| {
        for _ in 0..n {
            let read = runtime.block_on(async {
                let mut body = theirs.get(&place).await?.into_stream();
                let mut read = 0;
                while let Some(chunk) = body.next().await {
                    read += chunk?.len();
                }
                Ok::<usize, object_store::Error>(read)
            });
            assert_eq!(read.ok(), Some(LENGTH));
        }
    };
    let times = nanoseconds(&mut [&mut ours, &mut peer]);
    let [ours, peer] = [times[0], times[1]].map(|time| LENGTH as f64 / time);
    let row = Row::against("stream of 64 MiB, tmpfs", "GB/s", ours, ("object_store's stream", peer));
    report(row.at_least(2.5));
    Ok(())
}
