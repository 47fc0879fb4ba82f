//! Laws of renaming.

use super::BlobSubject;
use super::attributes::{full, same};
use crate::ErrorKind;
use crate::blob::{BlobStoreExt, Capability, CopyOptions, PutOptions};
use crate::conformance::law::ensure;
use crate::conformance::tools::{fails, join, pattern};
use crate::conformance::{Breach, Check};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinSet;

/// law: a-rename-moves. Bytes and attributes are at the target, which is replaced, and the source is gone.
pub(super) async fn a_rename_moves(subject: &BlobSubject) -> Check {
    let attributes = subject.capabilities().has(Capability::Attributes);
    for (i, size) in [0, 1000, 300_000].into_iter().enumerate() {
        let from = subject.path(format!("from-{size}"))?;
        let to = subject.path(format!("dir/deep/to-{size}"))?;
        let bytes = pattern(1, size);
        let mut options = PutOptions::default();
        if attributes {
            options = options.with_attributes(full());
        }
        subject.store.put_opts(&from, bytes.clone().into(), options).await?;
        if i > 0 {
            subject.put(&to, &pattern(2, 33)).await?;
        }
        subject.store.rename(&from, &to).await?;
        let meta = subject.holds("the renamed blob", &to, &bytes).await?;
        if attributes {
            same("the renamed blob", meta.attributes.as_ref(), &full())?;
        }
        subject.absent("the source of a rename", &from).await?;
    }
    Ok(())
}

/// law: a-rename-onto-itself-changes-nothing. The blob is there as before.
pub(super) async fn a_rename_onto_itself_changes_nothing(subject: &BlobSubject) -> Check {
    let path = subject.path("blob")?;
    let bytes = pattern(1, 1000);
    subject.put(&path, &bytes).await?;
    subject.store.rename(&path, &path).await?;
    subject.holds("a blob renamed onto itself", &path, &bytes).await?;
    Ok(())
}

/// law: rename-create-keeps-both. A rename in mode `Create` onto a taken path fails with `AlreadyExists`, and both
/// blobs stay; onto a free one it moves.
pub(super) async fn rename_create_keeps_both(subject: &BlobSubject) -> Check {
    subject.needs(Capability::CopyCreateOnly)?;
    let (from, to) = (subject.path("from")?, subject.path("to")?);
    let (bytes, old) = (pattern(1, 1000), pattern(2, 100));
    subject.put(&from, &bytes).await?;
    subject.put(&to, &old).await?;
    let rename = subject.store.rename_opts(&from, &to, CopyOptions::create()).await;
    fails("a rename that must create", rename, &[ErrorKind::AlreadyExists])?;
    subject.holds("the source of a refused rename", &from, &bytes).await?;
    subject.holds("the target of a refused rename", &to, &old).await?;
    subject.store.delete(&to).await?;
    subject.store.rename_opts(&from, &to, CopyOptions::create()).await?;
    subject.holds("the renamed blob", &to, &bytes).await?;
    subject.absent("the source of a rename", &from).await
}

/// law: an-atomic-rename-shows-one-path. Whoever looks while a blob is renamed finds it at exactly one of the two
/// paths.
pub(super) async fn an_atomic_rename_shows_one_path(subject: &BlobSubject) -> Check {
    subject.needs(Capability::AtomicRename)?;
    let bytes = pattern(1, 50_000);
    for round in 0..subject.rounds {
        let (from, to) = (subject.path(format!("from-{round}"))?, subject.path(format!("to-{round}"))?);
        subject.put(&from, &bytes).await?;
        let done = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let (store, source, target, over) = (subject.handle(1), from.clone(), to.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            loop {
                let last = over.load(Ordering::SeqCst);
                // The blob moves one way: once it is at the target, it is no longer at the source, and
                // once it is not at the source, it is at the target.
                let seen = store.exists(&target).await?;
                if store.exists(&source).await? {
                    ensure!(!seen, "a rename shows the blob at both paths");
                } else {
                    ensure!(store.exists(&target).await?, "a rename shows the blob at neither path");
                }
                if last {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        });
        let store = Arc::clone(&subject.store);
        tasks.spawn(async move {
            tokio::task::yield_now().await;
            let renamed = store.rename(&from, &to).await;
            done.store(true, Ordering::SeqCst);
            renamed.map(drop).map_err(Breach::from)
        });
        join(tasks).await?;
    }
    Ok(())
}
