//! Laws of dropped futures.

use super::BlobSubject;
use crate::blob::{BlobStoreExt, Capability, PutOptions};
use crate::conformance::law::ensure;
use crate::conformance::tools::{gated, once, pattern, polls};
use crate::conformance::{Breach, Check};
use crate::{BlobPath, ErrorKind};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Notify;

/// law: a-dropped-put-leaves-the-old. A put that is dropped before its body has ended changes nothing, and nothing
/// of it appears later.
pub(super) async fn a_dropped_put_leaves_the_old(subject: &BlobSubject) -> Check {
    let (old, new) = (pattern(1, 3000), pattern(2, 300_000));
    let (taken, free) = (subject.path("taken")?, subject.path("free")?);
    subject.put(&taken, &old).await?;
    for path in [&taken, &free] {
        let (reached, never) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let body = gated(&new, &reached, &never);
        {
            let put = subject.store.put_opts(path, body, PutOptions::default());
            let at_the_gate = reached.notified();
            futures_util::pin_mut!(put, at_the_gate);
            futures_util::future::select(put, at_the_gate).await;
        }
        subject.holds("the blob under a dropped put", &taken, &old).await?;
        subject.absent("the path of a dropped put", &free).await?;
    }
    let listed = subject.listed("").await?;
    ensure!(
        listed.len() == 1,
        "a dropped put left {} entries in the listing",
        listed.len().saturating_sub(1)
    );
    // Nothing that the dropped put held is in the way.
    subject.put(&taken, &new).await?;
    subject.put(&free, &new).await?;
    subject.holds("a put after a dropped one", &taken, &new).await?;
    subject.holds("a put after a dropped one", &free, &new).await?;
    Ok(())
}

/// law: dropped-calls-leave-old-or-new. A put, copy, rename, upload or delete that is dropped after any number of
/// polls leaves the blob old or new, never partial, and the store goes on working.
pub(super) async fn dropped_calls_leave_old_or_new(subject: &BlobSubject) -> Check {
    let (old, new) = (pattern(1, 20_000), pattern(2, 90_000));
    for n in 1..=subject.rounds {
        // A place of its own each time: what was dropped may still be ending.
        let path = subject.path(format!("put-{n}"))?;
        subject.put(&path, &old).await?;
        let put = subject.store.put_opts(&path, once(&new, 10_000), PutOptions::default());
        let finished = polls(put, n).await.transpose()?.is_some();
        let state = one_of(subject, &path, &[&old, &new]).await?;
        ensure!(state.is_some(), "a dropped put lost the blob that was there");
        ensure!(!finished || state == Some(1), "a put that returned is not there");
    }
    for n in 1..=subject.rounds {
        let (from, to) = (subject.path(format!("from-{n}"))?, subject.path(format!("to-{n}"))?);
        subject.put(&from, &new).await?;
        subject.put(&to, &old).await?;
        polls(subject.store.copy(&from, &to), n).await.transpose()?;
        let state = one_of(subject, &to, &[&old, &new]).await?;
        ensure!(state.is_some(), "a dropped copy lost the blob that was there");
        subject.holds("the source of a dropped copy", &from, &new).await?;
        polls(subject.store.rename(&from, &to), n).await.transpose()?;
        // The store may still be moving it: once it is not at the source, it is at the target.
        let source = one_of(subject, &from, &[&new]).await?;
        let target = one_of(subject, &to, &[&old, &new]).await?;
        ensure!(target == Some(1) || source == Some(0), "a dropped rename lost the blob");
        polls(subject.store.delete(&to), n).await.transpose()?;
        one_of(subject, &to, &[&old, &new]).await?;
    }
    if subject.capabilities().has(Capability::Uploads) {
        for n in 1..=subject.rounds {
            let path = subject.path(format!("upload-{n}"))?;
            subject.put(&path, &old).await?;
            let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
            let part = upload.put_part(1, new.clone().into()).await?;
            let parts = [part];
            polls(upload.complete(&parts, None), n).await.transpose()?;
            let state = one_of(subject, &path, &[&old, &new]).await?;
            ensure!(state.is_some(), "a dropped completion lost the blob that was there");
            // The upload may be over, or may have been completed meanwhile.
            drop(upload.abort().await);
        }
    }
    Ok(())
}

/// Which of these states the blob has; `None` when it is absent.
async fn one_of(subject: &BlobSubject, path: &BlobPath, states: &[&Bytes]) -> Result<Option<usize>, Breach> {
    match subject.store.get_bytes(path).await {
        Ok(read) => match states.iter().position(|state| **state == read) {
            Some(state) => Ok(Some(state)),
            None => {
                Err(Breach::Failed(format!("{path} has {} bytes that are neither old nor new", read.len())))
            }
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
