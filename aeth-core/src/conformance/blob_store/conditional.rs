//! Laws of conditional writing.

use super::BlobSubject;
use crate::blob::{BlobStore, BlobStoreExt, Capability, ETag, PutMode, PutOptions};
use crate::conformance::law::ensure;
use crate::conformance::tools::{fails, gated, join, once, pattern, trickle};
use crate::conformance::{Breach, Check};
use crate::{BlobPath, Body, ErrorKind};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinSet;

/// law: create-keeps-what-is-there. A create on a taken path fails with `AlreadyExists` and changes nothing; on a
/// free one it writes, for small and large, stated and unstated lengths.
pub(super) async fn create_keeps_what_is_there(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CreateOnly)?;
    let old = pattern(1, 500);
    for size in [0, 10, 300_000] {
        let new = pattern(2, size);
        let path = subject.path(format!("blob-{size}"))?;
        let body = Body::Once(trickle(&new, 9000), None);
        subject.store.put_opts(&path, body, PutOptions::create()).await?;
        subject.holds("the created blob", &path, &new).await?;
        subject.put(&path, &old).await?;
        for body in [Body::Bytes(new.clone()), once(&new, 5000)] {
            let put = subject.store.put_opts(&path, body, PutOptions::create()).await;
            fails("a create on a taken path", put, &[ErrorKind::AlreadyExists])?;
            subject.holds("the blob under a refused create", &path, &old).await?;
        }
    }
    Ok(())
}

/// law: create-has-one-winner. Of concurrent creates of one path exactly one succeeds, and its bytes stay.
pub(super) async fn create_has_one_winner(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CreateOnly)?;
    for round in 0..subject.rounds.div_ceil(3) {
        let path = subject.path(format!("round-{round}"))?;
        let start = Arc::new(Barrier::new(6));
        let mut tasks = JoinSet::new();
        for i in 0..6 {
            let (store, path, start) = (subject.handle(i), path.clone(), Arc::clone(&start));
            let bytes = pattern(i as u64, 2000 + i);
            tasks.spawn(async move {
                start.wait().await;
                // Half of them come with a body that lets others in between.
                let body = if i % 2 == 0 { Body::Bytes(bytes.clone()) } else { once(&bytes, 500) };
                match store.put_opts(&path, body, PutOptions::create()).await {
                    Ok(_) => Ok(Some(bytes)),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
                    Err(error) => Err(Breach::from(error)),
                }
            });
        }
        let winners: Vec<Bytes> = join(tasks).await?.into_iter().flatten().collect();
        ensure!(winners.len() == 1, "{} of 6 concurrent creates succeeded", winners.len());
        subject.holds("the blob of the create that won", &path, &winners[0]).await?;
    }
    Ok(())
}

/// law: match-demands-the-present-mark. A put with a mark succeeds only while the blob has it; on a missing blob,
/// or with a mark of the past, it fails with `Precondition` and changes nothing.
pub(super) async fn match_demands_the_present_mark(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CompareAndSwap)?;
    let path = subject.path("blob")?;
    let (one, two, three) = (pattern(1, 100), pattern(2, 200_000), pattern(3, 100));
    let first = marked(subject, &path, &one, PutMode::Overwrite).await?;
    let second = marked(subject, &path, &two, PutMode::Match(first.clone())).await?;
    subject.holds("the blob after a matching put", &path, &two).await?;
    ensure!(first != second, "a put of other bytes left the mark {first:?}");
    let foreign = ETag::new("\"a mark of nothing\"");
    for mark in [first.clone(), foreign.clone()] {
        for body in [Body::Bytes(three.clone()), once(&three, 30)] {
            let put = subject.store.put_opts(&path, body, PutOptions::if_match(mark.clone())).await;
            fails("a put with a mark of the past", put, &[ErrorKind::Precondition])?;
        }
    }
    subject.holds("the blob under a refused put", &path, &two).await?;
    subject.store.delete(&path).await?;
    for mark in [second, foreign] {
        let put = subject.store.put_opts(&path, three.clone().into(), PutOptions::if_match(mark)).await;
        fails("a put with a mark on a missing blob", put, &[ErrorKind::Precondition])?;
    }
    subject.absent("the path of a refused put", &path).await
}

/// law: compare-and-swap-loses-no-update. Concurrent read-modify-write loops over one blob, guarded by its mark,
/// count every increment exactly once.
pub(super) async fn compare_and_swap_loses_no_update(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CompareAndSwap)?;
    let path = subject.path("counter")?;
    subject.put(&path, &Bytes::from_static(b"0")).await?;
    let (workers, each) = (4, subject.rounds.div_ceil(2));
    let mut tasks = JoinSet::new();
    for worker in 0..workers {
        let (store, path) = (subject.handle(worker), path.clone());
        tasks.spawn(async move {
            for _ in 0..each {
                increment(&*store, &path, worker % 2 == 0).await?;
            }
            Ok(())
        });
    }
    join(tasks).await?;
    let counted = subject.store.get_bytes(&path).await?;
    let wanted = (workers * each).to_string();
    ensure!(
        counted == wanted.as_bytes(),
        "{wanted} increments were acknowledged, the blob says {}",
        counted.escape_ascii()
    );
    Ok(())
}

async fn increment(store: &dyn BlobStore, path: &BlobPath, streamed: bool) -> Check {
    loop {
        let blob = store.get(path).await?;
        let Some(mark) = blob.meta.etag.clone() else {
            return Err(Breach::Failed("compare-and-swap is claimed, but a read gives no mark".into()));
        };
        let read = blob.bytes().await?;
        let count: u64 = std::str::from_utf8(&read)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Breach::Failed(format!("the counter holds {}", read.escape_ascii())))?;
        let next = Bytes::from((count + 1).to_string());
        let body = if streamed { once(&next, 1) } else { Body::Bytes(next) };
        match store.put_opts(path, body, PutOptions::if_match(mark)).await {
            Ok(_) => return Ok(()),
            // S3 answers a conflict of two conditional writes as busy.
            Err(error) if matches!(error.kind(), ErrorKind::Precondition | ErrorKind::Busy) => {
                tokio::task::yield_now().await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// law: a-condition-is-decided-at-completion. A blob that appears or changes while the body of a conditional put
/// is read makes the put fail.
pub(super) async fn a_condition_is_decided_at_completion(subject: &BlobSubject) -> Check {
    let claims = subject.capabilities();
    crate::conformance::law::applies!(
        claims.has(Capability::CreateOnly) || claims.has(Capability::CompareAndSwap),
        "no condition is claimed"
    );
    let (slow, between) = (pattern(1, 300_000), pattern(2, 50));
    if claims.has(Capability::CreateOnly) {
        let path = subject.path("create")?;
        let put = overtaken(subject, &path, &slow, PutMode::Create, &between).await?;
        fails("a create that was overtaken", put, &[ErrorKind::AlreadyExists])?;
        subject.holds("the blob that overtook a create", &path, &between).await?;
    }
    if claims.has(Capability::CompareAndSwap) {
        let path = subject.path("match")?;
        let mark = marked(subject, &path, &pattern(3, 60), PutMode::Overwrite).await?;
        let put = overtaken(subject, &path, &slow, PutMode::Match(mark), &between).await?;
        fails("a matching put that was overtaken", put, &[ErrorKind::Precondition])?;
        subject.holds("the blob that overtook a matching put", &path, &between).await?;
    }
    Ok(())
}

/// The result of a put in `mode` during which another put happens.
async fn overtaken(
    subject: &BlobSubject,
    path: &BlobPath,
    slow: &Bytes,
    mode: PutMode,
    between: &Bytes,
) -> Result<crate::Result<crate::blob::PutResult>, Breach> {
    let (reached, open) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let body = gated(slow, &reached, &open);
    let (store, target) = (Arc::clone(&subject.store), path.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { store.put_opts(&target, body, PutOptions::default().with_mode(mode)).await });
    reached.notified().await;
    subject.handle(1).put(path, between.clone()).await?;
    open.notify_one();
    match tasks.join_next().await {
        Some(Ok(put)) => Ok(put),
        other => Err(Breach::Failed(format!("the put did not end: {other:?}"))),
    }
}

/// Puts in a mode and gives the mark of the new state.
async fn marked(
    subject: &BlobSubject,
    path: &BlobPath,
    bytes: &Bytes,
    mode: PutMode,
) -> Result<ETag, Breach> {
    let options = PutOptions::default().with_mode(mode);
    subject.store.put_opts(path, bytes.clone().into(), options).await?;
    let etag = subject.store.head(path).await?.etag;
    etag.ok_or_else(|| Breach::Failed("compare-and-swap is claimed, but a head gives no mark".into()))
}
