//! Small objects: what a call costs beside the system's own calls, and beside the peers'.

use super::{contents, local, scratch};
use crate::measure::nanoseconds;
use crate::row::Row;
use crate::{BoxError, runtime};
use aeth_core::BlobPath;
use aeth_core::blob::BlobStoreExt;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStoreExt, PutPayload};
use std::fs;

const LENGTH: usize = 64 << 10;
const WRITTEN: &str = "the scratch directory can be written";
const READ: &str = "what was written can be read";

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let dir = scratch()?;
    let runtime = runtime()?;
    let store = runtime.block_on(local(&dir.path().join("ours")))?;
    let path = BlobPath::new("a/blob")?;
    let body = contents(LENGTH, 1);

    // What a store that is all-or-nothing must do at least: write aside, rename.
    let plain = dir.path().join("plain");
    let aside = dir.path().join("aside");
    fs::create_dir(dir.path().join("object_store"))?;
    let theirs = LocalFileSystem::new_with_prefix(dir.path().join("object_store"))?;
    let place = object_store::path::Path::from("a/blob");
    let operator = operator(&dir.path().join("opendal"))?;

    let mut our_put = |n| {
        for _ in 0..n {
            runtime.block_on(store.put(&path, body.clone())).expect(WRITTEN);
        }
    };
    let mut std_put = |n| {
        for _ in 0..n {
            fs::write(&aside, &body).and_then(|()| fs::rename(&aside, &plain)).expect(WRITTEN);
        }
    };
    let mut their_put = |n| {
        for _ in 0..n {
            let payload = PutPayload::from(body.clone());
            runtime.block_on(theirs.put(&place, payload)).expect(WRITTEN);
        }
    };
    let mut opendal_put = |n| {
        for _ in 0..n {
            runtime.block_on(operator.write("a/blob", body.clone())).expect(WRITTEN);
        }
    };
    let puts = nanoseconds(&mut [&mut our_put, &mut std_put, &mut their_put, &mut opendal_put]);
    let rows = |what: &str, times: &[f64], std: &str, report: &mut dyn FnMut(Row)| {
        let &[ours, plain, theirs, opendal] = times else { return };
        report(Row::against(what, "ns", ours, (std, plain)).at_most(1.5));
        report(Row::against(what, "ns", ours, ("object_store", theirs)).at_most(1.0));
        report(Row::against(what, "ns", ours, ("opendal", opendal)).at_most(1.0));
    };
    rows("put of 64 KiB, tmpfs", &puts, "std::fs, write and rename", report);

    let whole = |length: usize| assert_eq!(length, LENGTH);
    let mut our_get = |n| {
        for _ in 0..n {
            whole(runtime.block_on(store.get_bytes(&path)).expect(READ).len());
        }
    };
    let mut std_get = |n| (0..n).for_each(|_| whole(fs::read(&plain).expect(READ).len()));
    let mut their_get = |n| {
        for _ in 0..n {
            let got = runtime.block_on(async { theirs.get(&place).await?.bytes().await });
            whole(got.expect(READ).len());
        }
    };
    let mut opendal_get = |n| {
        for _ in 0..n {
            whole(runtime.block_on(operator.read("a/blob")).expect(READ).len());
        }
    };
    let gets = nanoseconds(&mut [&mut our_get, &mut std_get, &mut their_get, &mut opendal_get]);
    rows("get of 64 KiB, tmpfs", &gets, "std::fs::read", report);
    Ok(())
}

fn operator(dir: &std::path::Path) -> Result<opendal::Operator, BoxError> {
    let root = dir.to_str().ok_or("the scratch directory has no name in UTF-8")?;
    Ok(opendal::Operator::new(opendal::services::Fs::default().root(root))?)
}
