//! Laws of copying.

use super::BlobSubject;
use super::attributes::{full, same};
use crate::ErrorKind;
use crate::blob::{Attributes, BlobStoreExt, Capability, CopyAttributes, CopyOptions, ETag, PutOptions};
use crate::conformance::law::{applies, ensure};
use crate::conformance::tools::{fails, join, pattern};
use crate::conformance::{Breach, Check};
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// law: a-copy-is-the-same-and-its-own. A copy has the bytes and attributes of its source, replaces its target,
/// and neither follows later changes of the other.
pub(super) async fn a_copy_is_the_same_and_its_own(subject: &BlobSubject) -> Check {
    let attributes = subject.capabilities().has(Capability::Attributes);
    for size in [0, 1000, 300_000] {
        let from = subject.path(format!("from-{size}"))?;
        let to = subject.path(format!("dir/to-{size}"))?;
        let bytes = pattern(1, size);
        let other = pattern(2, 50);
        let mut options = PutOptions::default();
        if attributes {
            options = options.with_attributes(full());
        }
        subject.put(&to, &pattern(3, size + 77)).await?;
        subject.store.put_opts(&from, bytes.clone().into(), options).await?;
        subject.store.copy(&from, &to).await?;
        let meta = subject.holds("the copy", &to, &bytes).await?;
        if attributes {
            same("the copy", meta.attributes.as_ref(), &full())?;
        }
        subject.holds("the source of a copy", &from, &bytes).await?;
        subject.put(&from, &other).await?;
        subject.holds("the copy after its source changed", &to, &bytes).await?;
        subject.put(&to, &pattern(4, 10)).await?;
        subject.holds("the source after its copy changed", &from, &other).await?;
    }
    Ok(())
}

/// law: a-copy-of-nothing-is-not-found. A copy or rename of a missing blob is `NotFound` and leaves the target.
pub(super) async fn a_copy_of_nothing_is_not_found(subject: &BlobSubject) -> Check {
    let (from, to) = (subject.path("missing")?, subject.path("to")?);
    let bytes = pattern(1, 100);
    subject.put(&to, &bytes).await?;
    fails("a copy of nothing", subject.store.copy(&from, &to).await, &[ErrorKind::NotFound])?;
    fails("a rename of nothing", subject.store.rename(&from, &to).await, &[ErrorKind::NotFound])?;
    fails("a copy of nothing onto itself", subject.store.copy(&from, &from).await, &[ErrorKind::NotFound])?;
    subject.holds("the target of a copy of nothing", &to, &bytes).await?;
    subject.absent("the source of a copy of nothing", &from).await
}

/// law: a-copy-onto-itself-keeps-the-bytes. So it does, with and without new attributes.
pub(super) async fn a_copy_onto_itself_keeps_the_bytes(subject: &BlobSubject) -> Check {
    let path = subject.path("blob")?;
    let bytes = pattern(1, 100_000);
    subject.put(&path, &bytes).await?;
    subject.store.copy(&path, &path).await?;
    subject.holds("a blob copied onto itself", &path, &bytes).await?;
    if subject.capabilities().has(Capability::CopyReplace) {
        let options = CopyOptions::default().with_attributes(CopyAttributes::Replace(full()));
        subject.store.copy_opts(&path, &path, options).await?;
        let meta = subject.holds("a blob copied onto itself with new attributes", &path, &bytes).await?;
        same("the blob", meta.attributes.as_ref(), &full())?;
    }
    Ok(())
}

/// law: copy-create-keeps-the-target. A copy in mode `Create` fails with `AlreadyExists` on a taken target and
/// leaves it; on a free one it copies.
pub(super) async fn copy_create_keeps_the_target(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CopyCreateOnly)?;
    let (from, to) = (subject.path("from")?, subject.path("to")?);
    let (bytes, old) = (pattern(1, 1000), pattern(2, 100));
    subject.put(&from, &bytes).await?;
    subject.put(&to, &old).await?;
    let copy = subject.store.copy_opts(&from, &to, CopyOptions::create()).await;
    fails("a copy that must create", copy, &[ErrorKind::AlreadyExists])?;
    subject.holds("the target of a refused copy", &to, &old).await?;
    subject.store.delete(&to).await?;
    subject.store.copy_opts(&from, &to, CopyOptions::create()).await?;
    subject.holds("the created copy", &to, &bytes).await?;
    Ok(())
}

/// law: copy-create-has-one-winner. Of concurrent copies in mode `Create` onto one path exactly one succeeds.
pub(super) async fn copy_create_has_one_winner(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CopyCreateOnly)?;
    let sources = [subject.path("from-0")?, subject.path("from-1")?];
    let contents = [pattern(1, 5000), pattern(2, 7000)];
    for (path, bytes) in sources.iter().zip(&contents) {
        subject.put(path, bytes).await?;
    }
    for round in 0..subject.rounds.div_ceil(3) {
        let to = subject.path(format!("to-{round}"))?;
        let start = Arc::new(Barrier::new(4));
        let mut tasks = JoinSet::new();
        for i in 0..4 {
            let (store, start) = (subject.handle(i), Arc::clone(&start));
            let (from, to) = (sources[i % 2].clone(), to.clone());
            tasks.spawn(async move {
                start.wait().await;
                match store.copy_opts(&from, &to, CopyOptions::create()).await {
                    Ok(_) => Ok(Some(i % 2)),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
                    Err(error) => Err(Breach::from(error)),
                }
            });
        }
        let winners: Vec<usize> = join(tasks).await?.into_iter().flatten().collect();
        ensure!(winners.len() == 1, "{} of 4 concurrent copies created the target", winners.len());
        subject.holds("the copy that won", &to, &contents[winners[0]]).await?;
    }
    Ok(())
}

/// law: a-copy-can-replace-attributes. With `Replace` the copy has these attributes and no others.
pub(super) async fn a_copy_can_replace_attributes(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CopyReplace)?;
    let (from, to) = (subject.path("from")?, subject.path("to")?);
    let bytes = pattern(1, 1000);
    let options = PutOptions::default().with_attributes(full());
    subject.store.put_opts(&from, bytes.clone().into(), options).await?;
    let other = Attributes::default().with_content_type("image/png").with_user("only", "this");
    let options = CopyOptions::default().with_attributes(CopyAttributes::Replace(other.clone()));
    subject.store.copy_opts(&from, &to, options).await?;
    let meta = subject.holds("the copy with new attributes", &to, &bytes).await?;
    let found = meta.attributes.unwrap_or_default();
    ensure!(found.user == other.user, "the copy has the user metadata {:?}", found.user);
    ensure!(found.content_type == other.content_type, "the copy has the type {:?}", found.content_type);
    ensure!(found.cache_control.is_none(), "the copy kept {:?} of its source", found.cache_control);
    let meta = subject.holds("the source", &from, &bytes).await?;
    same("the source", meta.attributes.as_ref(), &full())
}

/// law: a-copy-can-demand-a-mark. A copy or rename with `if_match` happens only while the source has this mark,
/// otherwise it fails with `Precondition`; a store that cannot tell refuses it.
pub(super) async fn a_copy_can_demand_a_mark(subject: &BlobSubject) -> Check {
    let (from, to) = (subject.path("from")?, subject.path("to")?);
    subject.put(&from, &pattern(1, 100)).await?;
    let old = subject.store.head(&from).await?.etag;
    let bytes = pattern(2, 100);
    subject.put(&from, &bytes).await?;
    let now = subject.store.head(&from).await?.etag;
    let (Some(old), Some(now)) = (old, now) else {
        applies!(false, "the store gives no marks");
        return Ok(());
    };
    for mark in [old, ETag::new("foreign")] {
        let options = CopyOptions::default().with_if_match(mark);
        for (what, result) in [
            ("a copy", subject.store.copy_opts(&from, &to, options.clone()).await),
            ("a rename", subject.store.rename_opts(&from, &to, options.clone()).await),
        ] {
            let error = fails(what, result, &[ErrorKind::Precondition, ErrorKind::Unsupported])?;
            let conditional = subject.capabilities().has(Capability::ConditionalGet);
            ensure!(
                !conditional || error.kind() == ErrorKind::Precondition,
                "{what} with a mark is refused, though the store compares marks on reads"
            );
            subject.absent("the target of a refused copy", &to).await?;
            subject.holds("the source of a refused copy", &from, &bytes).await?;
        }
    }
    match subject.store.copy_opts(&from, &to, CopyOptions::default().with_if_match(now)).await {
        Ok(_) => subject.holds("the copy", &to, &bytes).await.map(drop),
        Err(error) if error.kind() == ErrorKind::Unsupported => subject.absent("a refused copy", &to).await,
        Err(error) => Err(error.into()),
    }
}
