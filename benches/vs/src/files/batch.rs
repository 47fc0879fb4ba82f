//! Many small objects at once.

use super::{contents, local, scratch};
use crate::BoxError;
use crate::measure::nanoseconds;
use crate::row::Row;
use aeth_core::BlobPath;
use aeth_core::blob::BlobStoreExt;
use aeth_files::Files;
use futures_util::{StreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;

const OBJECTS: usize = 1_000;
const LENGTH: usize = 4 << 10;
const AT_ONCE: usize = 8;

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    // Requests of a service come from several threads.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let on_disk = tempfile::Builder::new().prefix("aeth-vs-").tempdir()?;
    for (place, dir) in [("tmpfs", scratch()?), ("disk, cached by the system", on_disk)] {
        let store = runtime.block_on(local(dir.path()))?;
        let names: Vec<String> = (0..OBJECTS).map(|n| format!("objects/{:02x}/{n}", n % 50)).collect();
        for (name, seed) in names.iter().zip(0..) {
            runtime.block_on(store.put(&BlobPath::new(name)?, contents(LENGTH, seed)))?;
        }
        let paths = names.iter().map(BlobPath::new).collect::<Result<Vec<_>, _>>()?;
        let places: Vec<_> = names.iter().map(|name| object_store::path::Path::from(name.as_str())).collect();
        let files = Files::new(store);
        let theirs = LocalFileSystem::new_with_prefix(dir.path())?;
        let mut ours = |n| {
            for _ in 0..n {
                let got = runtime.block_on(files.get_many(paths.iter(), AT_ONCE));
                let whole = got.iter().filter(|got| got.as_ref().is_ok_and(|bytes| bytes.len() == LENGTH));
                assert_eq!(whole.count(), OBJECTS);
            }
        };
        let mut peer = |n| {
            for _ in 0..n {
                let gets = stream::iter(&places).map(|place| async {
                    let bytes = async { theirs.get(place).await?.bytes().await }.await;
                    bytes.is_ok_and(|bytes| bytes.len() == LENGTH)
                });
                let whole = gets.buffered(AT_ONCE).filter(|whole| std::future::ready(*whole)).count();
                assert_eq!(runtime.block_on(whole), OBJECTS);
            }
        };
        let times = nanoseconds(&mut [&mut ours, &mut peer]);
        let [ours, peer] = [times[0], times[1]].map(|time| OBJECTS as f64 * 1e6 / time);
        let what = format!("batched get of 1,000 × 4 KiB, {place}");
        let against = "object_store, one by one, 8 at once";
        report(Row::against(what, "objects/ms", ours, (against, peer)).at_least(2.0));
    }
    Ok(())
}
