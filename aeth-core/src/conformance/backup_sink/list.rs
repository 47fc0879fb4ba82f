//! Laws of listing.

use super::SinkSubject;
use crate::backup::{ObjectId, ObjectKind};
use crate::conformance::Check;
use crate::conformance::law::ensure;
use bytes::Bytes;

/// law: kinds-are-apart. Objects of different kinds with the same name are different objects.
pub(super) async fn kinds_are_apart(subject: &SinkSubject) -> Check {
    let (pack, bytes) = subject.object(ObjectKind::Pack, 1, 1000);
    subject.sink.write(&pack, bytes.clone()).await?;
    for kind in [ObjectKind::Key, ObjectKind::Index, ObjectKind::Snapshot, ObjectKind::Lock] {
        let (same, _) = subject.object(kind, 1, 1000);
        subject.absent(&format!("a {kind:?} with the name of a pack"), &same).await?;
        subject.sink.write(&same, bytes.clone()).await?;
        subject.holds("an object with the name of another", &same, &bytes).await?;
        if subject.removes(kind) {
            subject.sink.remove(&[same]).await?;
        }
        subject.holds("the pack", &pack, &bytes).await?;
    }
    Ok(())
}

/// law: a-listing-has-every-object. Every object written is listed under its kind, once, with its size, more than
/// a page of them too; objects of other kinds are not.
pub(super) async fn a_listing_has_every_object(subject: &SinkSubject) -> Check {
    let kinds = ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Config);
    let mut written: Vec<(ObjectId, Bytes)> = Vec::new();
    for kind in kinds.clone() {
        let count = if kind == ObjectKind::Pack { 1100 } else { 7 };
        for seed in 0..count {
            let size = 10 + usize::try_from(seed % 50).unwrap_or(0);
            written.push(subject.object(kind, 1000 + seed, size));
        }
    }
    for (id, bytes) in &written {
        subject.sink.write(id, bytes.clone()).await?;
    }
    for kind in kinds {
        let listed = subject.listed(kind).await?;
        ensure!(listed.iter().all(|(id, _)| id.kind() == kind), "the listing of {kind:?} has other kinds");
        let mut sizes = std::collections::BTreeMap::new();
        for (id, size) in listed {
            ensure!(sizes.insert(id.clone(), size).is_none(), "{id} is listed twice");
        }
        for (id, bytes) in written.iter().filter(|(id, _)| id.kind() == kind) {
            let size = sizes.get(id).copied();
            ensure!(
                size == Some(bytes.len() as u64),
                "{id} of {} bytes is listed with {size:?}",
                bytes.len()
            );
        }
    }
    Ok(())
}
