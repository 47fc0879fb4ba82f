//! A thousand readers of one cold page.

use super::contents;
use crate::BoxError;
use crate::row::Row;
use aeth_core::BlobPath;
use aeth_core::blob::BlobStoreExt;
use aeth_core::sim::{Fault, FaultPlan, FaultyStore};
use aeth_files::{Cached, MemoryStore};
use std::time::Duration;
use tokio::task::JoinSet;

const READERS: usize = 1_000;
const ROUNDS: usize = 20;

pub(super) fn run(report: &mut dyn FnMut(Row)) -> Result<(), BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let most = runtime.block_on(async {
        let mut most = 0;
        for round in 0..ROUNDS {
            // Late enough that all readers have come before the answer does.
            let plan = FaultPlan::new(1).every("get", 1, Fault::Delay(Duration::from_millis(20)));
            let (below, path) = (MemoryStore::new(), BlobPath::new("cold")?);
            let bytes = contents(1 << 20, round as u64);
            below.put(&path, bytes.clone()).await?;
            let store = Cached::builder(FaultyStore::new(below, plan.clone()))
                .revalidate_after(Duration::MAX)
                .open()
                .await?;
            let mut readers = JoinSet::new();
            for _ in 0..READERS {
                let (store, path) = (store.clone(), path.clone());
                readers.spawn(async move { store.get_range(&path, 300_000..304_096).await });
            }
            while let Some(read) = readers.join_next().await {
                assert_eq!(read??, bytes[300_000..304_096]);
            }
            most = most.max(plan.calls("get"));
        }
        Ok::<_, BoxError>(most)
    })?;
    let what = "reads below, 1,000 readers of one cold page";
    report(Row::absolute(what, "reads", most as f64).at_most(1.0));
    Ok(())
}
