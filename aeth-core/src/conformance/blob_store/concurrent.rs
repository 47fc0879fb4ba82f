//! Laws of calls at the same time.

use super::BlobSubject;
use crate::blob::{BlobStoreExt, PutOptions};
use crate::conformance::law::ensure;
use crate::conformance::tools::{join, once, pattern};
use crate::conformance::{Breach, Check};
use crate::{Body, ErrorKind};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

/// Bytes that tell by their first eight which all others must be.
fn telling(seed: u64) -> Bytes {
    let length = 40_000 + usize::try_from(seed % 7).unwrap_or_default() * 30_000;
    let mut bytes = seed.to_le_bytes().to_vec();
    bytes.extend_from_slice(&pattern(seed, length));
    bytes.into()
}

/// law: readers-never-see-a-mixture. While a blob is overwritten again and again, every read gives one of the
/// states that were put, whole, with the size of that state and with the mark of no other.
pub(super) async fn readers_never_see_a_mixture(subject: &BlobSubject) -> Check {
    let path = subject.path("blob")?;
    subject.put(&path, &telling(0)).await?;
    let writers = Arc::new(AtomicUsize::new(2));
    let mut tasks = JoinSet::new();
    for writer in 0..2 {
        let (store, path, running) = (subject.handle(writer), path.clone(), Arc::clone(&writers));
        let rounds = subject.rounds as u64;
        tasks.spawn(async move {
            for round in 0..rounds {
                let bytes = telling(1 + round * 2 + writer as u64);
                let body = if round % 2 == 0 { Body::Bytes(bytes) } else { once(&bytes, 20_000) };
                let put = store.put_opts(&path, body, PutOptions::default()).await;
                if put.is_err() {
                    running.fetch_sub(1, Ordering::SeqCst);
                }
                put?;
            }
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Vec::new())
        });
    }
    for reader in 0..3 {
        let (store, path, running) = (subject.handle(reader), path.clone(), Arc::clone(&writers));
        tasks.spawn(async move {
            let mut marks = Vec::new();
            while running.load(Ordering::SeqCst) > 0 {
                let blob = store.get(&path).await?;
                let (size, mark) = (blob.meta.size, blob.meta.etag.clone());
                // A stream that cannot go on with the state that it began may fail.
                if let Ok(read) = blob.bytes().await {
                    let head = read.first_chunk().copied();
                    let seed = head.map(u64::from_le_bytes).unwrap_or(u64::MAX);
                    ensure!(seed < 1 << 32 && read == telling(seed), "a read gave a mixture of states");
                    ensure!(size == read.len() as u64, "{} bytes came with the size {size}", read.len());
                    if let Some(mark) = mark {
                        marks.push((mark, seed));
                    }
                }
                tokio::task::yield_now().await;
            }
            Ok(marks)
        });
    }
    let mut seen = std::collections::BTreeMap::new();
    for (mark, seed) in join(tasks).await?.into_iter().flatten() {
        let first = *seen.entry(mark.clone()).or_insert(seed);
        ensure!(first == seed, "two states were read with the same mark {mark}");
    }
    Ok(())
}

/// law: concurrent-calls-do-not-disturb-each-other. Puts, reads, listings, copies and deletes of different paths
/// under one prefix at the same time all do what they say.
pub(super) async fn concurrent_calls_do_not_disturb_each_other(subject: &BlobSubject) -> Check {
    let mut tasks = JoinSet::new();
    for worker in 0..6 {
        let (subject, store) = (subject.clone(), subject.handle(worker));
        tasks.spawn(async move {
            for round in 0..subject.rounds.div_ceil(2) {
                // The directory comes and goes with its last blob.
                let path = subject.path(format!("dir/{round}/blob-{worker}"))?;
                let copy = subject.path(format!("dir/{round}/copy-{worker}"))?;
                let bytes = pattern((worker * 1000 + round) as u64, 500 + round);
                store.put(&path, bytes.clone()).await?;
                store.copy(&path, &copy).await?;
                for found in [&path, &copy] {
                    let read = store.get_bytes(found).await?;
                    ensure!(read == bytes, "{found} has other bytes than were put");
                }
                let listed = subject.listed(&format!("dir/{round}/")).await?;
                let mine = listed.iter().filter(|meta| meta.path == path || meta.path == copy).count();
                ensure!(
                    subject.needs_strong().is_err() || mine == 2,
                    "a listing beside other calls shows {mine} of 2 blobs"
                );
                store.delete(&path).await?;
                let moved = store.rename(&copy, &path).await;
                moved.map_err(|error| Breach::Failed(format!("a rename beside other calls: {error}")))?;
                store.delete(&path).await?;
                match store.get_bytes(&path).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => return Err(Breach::Failed(format!("{path} is there after its delete"))),
                }
            }
            Ok(())
        });
    }
    join(tasks).await.map(drop)
}
