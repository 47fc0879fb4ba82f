//! Laws of reading.

use super::BlobSubject;
use super::subject::difference;
use crate::ErrorKind;
use crate::blob::{BlobStoreExt, Capability, ETag, ETagMatch, GetOptions, PutOptions};
use crate::conformance::law::{applies, ensure};
use crate::conformance::tools::{fails, pattern};
use crate::conformance::{Breach, Check};
use bytes::BytesMut;
use futures_util::StreamExt;
use std::time::Duration;

/// law: a-missing-blob-is-not-found. Every kind of read of a path without a blob fails with `NotFound`; a prefix
/// of other paths is no blob.
pub(super) async fn a_missing_blob_is_not_found(subject: &BlobSubject) -> Check {
    subject.put(&subject.path("some/where/blob")?, &pattern(1, 10)).await?;
    for name in ["nothing", "some", "some/where", "some/where/blobs", "some/where/blo"] {
        let path = subject.path(name)?;
        subject.absent(&format!("{name:?}"), &path).await?;
        ensure!(!subject.store.exists(&path).await?, "{name:?} is said to exist");
        if subject.capabilities().has(Capability::RangeGet) {
            let get = subject.store.get_range(&path, 0..5).await;
            fails(&format!("a ranged get of {name:?}"), get, &[ErrorKind::NotFound])?;
        }
        if subject.capabilities().has(Capability::ConditionalGet) {
            let options = GetOptions::default().with_if_none_match(ETag::new("x"));
            let get = subject.store.get_opts(&path, options).await;
            fails(&format!("a conditional get of {name:?}"), get, &[ErrorKind::NotFound])?;
        }
    }
    Ok(())
}

/// law: a-head-has-no-body. A head gives the metadata that a get gives, the empty range and no bytes.
pub(super) async fn a_head_has_no_body(subject: &BlobSubject) -> Check {
    let path = subject.path("blob")?;
    let bytes = pattern(2, 70_000);
    subject.put(&path, &bytes).await?;
    let meta = subject.holds("the blob", &path, &bytes).await?;
    let head = subject.store.get_opts(&path, GetOptions::head()).await?;
    ensure!(head.meta.size == meta.size, "a head says {} bytes, a get {}", head.meta.size, meta.size);
    ensure!(head.meta.etag == meta.etag, "a head says {:?}, a get {:?}", head.meta.etag, meta.etag);
    ensure!(head.meta.path == path, "a head is of {:?}", head.meta.path);
    ensure!(head.range.is_empty(), "a head gives the range {:?}", head.range);
    let body = head.bytes().await?;
    ensure!(body.is_empty(), "a head gives {} bytes", body.len());
    Ok(())
}

/// law: a-mark-changes-with-the-bytes. Two states with other bytes never have the same mark, even when length and
/// time are the same.
pub(super) async fn a_mark_changes_with_the_bytes(subject: &BlobSubject) -> Check {
    let path = subject.path("blob")?;
    let mut seen: Vec<ETag> = Vec::new();
    for round in 0..subject.rounds.max(8) {
        let put = subject.put(&path, &pattern(round as u64, 64)).await?;
        let head = subject.store.head(&path).await?;
        applies!(head.etag.is_some() || put.etag.is_some(), "the store gives no marks");
        let Some(mark) = head.etag else {
            return Err(Breach::Failed("a put gives a mark, a head none".into()));
        };
        ensure!(put.etag.is_none_or(|etag| etag == mark), "a put and the head after it give different marks");
        ensure!(!seen.contains(&mark), "the mark {mark} was that of other bytes before");
        seen.push(mark);
    }
    Ok(())
}

/// law: conditional-get-follows-the-mark. `if_match` and `if_none_match` compare with the present mark; a
/// condition that does not hold is `Precondition`.
pub(super) async fn conditional_get_follows_the_mark(subject: &BlobSubject) -> Check {
    subject.needs(Capability::ConditionalGet)?;
    let path = subject.path("blob")?;
    subject.put(&path, &pattern(1, 100)).await?;
    let old = mark(subject, &path).await?;
    let bytes = pattern(2, 100);
    subject.put(&path, &bytes).await?;
    let now = mark(subject, &path).await?;
    let either = ETagMatch::Of(vec![old.clone(), now.clone()]);
    let holds = [
        GetOptions::default().with_if_match(now.clone()),
        GetOptions::default().with_if_match(ETagMatch::Any),
        GetOptions::default().with_if_match(either.clone()),
        GetOptions::default().with_if_none_match(old.clone()),
    ];
    for options in holds {
        let what = format!("{options:?}");
        let read = subject.store.get_opts(&path, options).await?.bytes().await?;
        ensure!(read == bytes, "{what}: {}", difference(&read, &bytes));
    }
    let fails_with = [
        GetOptions::default().with_if_match(old.clone()),
        GetOptions::default().with_if_none_match(now.clone()),
        GetOptions::default().with_if_none_match(ETagMatch::Any),
        GetOptions::default().with_if_none_match(either),
        GetOptions::head().with_if_none_match(now.clone()),
        GetOptions::head().with_if_match(old),
    ];
    for options in fails_with {
        let what = format!("{options:?}");
        fails(&what, subject.store.get_opts(&path, options).await, &[ErrorKind::Precondition])?;
    }
    if subject.capabilities().has(Capability::RangeGet) {
        let options = GetOptions::default().with_if_match(now).with_range(10..20);
        let read = subject.store.get_opts(&path, options).await?.bytes().await?;
        ensure!(read == bytes[10..20], "a range with a condition: {}", difference(&read, &bytes[10..20]));
    }
    Ok(())
}

/// law: conditional-get-follows-the-time. The time conditions compare whole seconds with the time of the last
/// write.
pub(super) async fn conditional_get_follows_the_time(subject: &BlobSubject) -> Check {
    subject.needs(Capability::ConditionalGet)?;
    let path = subject.path("blob")?;
    subject.put(&path, &pattern(1, 100)).await?;
    let modified = subject.store.head(&path).await?.modified;
    let (before, after) = (modified - Duration::from_secs(100), modified + Duration::from_secs(100));
    let with = |since, unmodified| GetOptions {
        if_modified_since: since,
        if_unmodified_since: unmodified,
        ..GetOptions::default()
    };
    for options in [with(Some(before), None), with(None, Some(after)), with(None, Some(modified))] {
        let what = format!("{options:?} of a blob modified at {modified:?}");
        let read = subject.store.get_opts(&path, options).await;
        ensure!(read.is_ok(), "{what}: failed: {read:?}");
    }
    // Servers ignore a time that lies in the future (RFC 9110 §13.1.3), so only the present one is asked.
    for options in [with(Some(modified), None), with(None, Some(before))] {
        let what = format!("{options:?} of a blob modified at {modified:?}");
        fails(&what, subject.store.get_opts(&path, options).await, &[ErrorKind::Precondition])?;
    }
    Ok(())
}

/// law: an-open-read-never-mixes. A read that was opened before an overwrite or a delete gives the old bytes or
/// fails; it never goes on with the new ones.
pub(super) async fn an_open_read_never_mixes(subject: &BlobSubject) -> Check {
    let size = subject.large.min(4 << 20);
    let (old, new) = (pattern(1, size), pattern(2, size));
    for change in ["overwrite", "delete", "rename over it"] {
        let path = subject.path(change.replace(' ', "-"))?;
        let source = subject.path("source")?;
        subject.put(&path, &old).await?;
        subject.put(&source, &new).await?;
        let mut blob = subject.store.get(&path).await?;
        let mut read = BytesMut::with_capacity(size);
        if let Some(chunk) = blob.body.next().await {
            read.extend_from_slice(&chunk?);
        }
        match change {
            "overwrite" => {
                drop(subject.store.put_opts(&path, new.clone().into(), PutOptions::default()).await?)
            }
            "delete" => subject.store.delete(&path).await?,
            _ => drop(subject.store.rename(&source, &path).await?),
        }
        let mut failed = false;
        while let Some(chunk) = blob.body.next().await {
            match chunk {
                Ok(chunk) => read.extend_from_slice(&chunk),
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        let given = old.get(..read.len()).unwrap_or_default();
        ensure!(read == given, "{change}: the read went on with other bytes: {}", difference(&read, &old));
        ensure!(failed || read.len() == size, "{change}: the read ended early after {} bytes", read.len());
    }
    Ok(())
}

async fn mark(subject: &BlobSubject, path: &crate::BlobPath) -> Result<ETag, Breach> {
    let etag = subject.store.head(path).await?.etag;
    etag.ok_or_else(|| Breach::Failed("conditional gets are claimed, but a head gives no mark".into()))
}
