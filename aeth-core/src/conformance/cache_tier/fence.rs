//! Laws of the fence: nothing that a loader read before a change is stored after it.

use super::TierSubject;
use super::lease::fill;
use super::subject::{LEASE, found, key};
use crate::Tag;
use crate::cache::{CacheTierExt, FillOutcome, LeaseLookup, PutOutcome, TierCapability};
use crate::conformance::law::ensure;
use crate::conformance::tools::join;
use crate::conformance::{Breach, Check};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::task::JoinSet;

/// law: a-put-voids-the-lease. What was put stays, whatever a loader from before brings.
pub(super) async fn a_put_voids_the_lease(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    let token = subject.granted("the first", &space, "key", LEASE).await?;
    subject.store(&space, "key", subject.entry("put")).await?;
    fill(subject, &space, token, "stale", FillOutcome::Voided).await?;
    subject.hit("after a voided fill", &space, "key", b"put").await
}

/// law: a-remove-voids-the-lease. A loader that started before a remove stores nothing, though the key was not
/// there; after it a new lease is granted at once.
pub(super) async fn a_remove_voids_the_lease(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    let old = subject.granted("the first", &space, "key", LEASE).await?;
    subject.tier.remove(&space, &key("key")?).await?;
    fill(subject, &space, old, "stale", FillOutcome::Voided).await?;
    subject.miss("after a voided fill", &space, "key").await?;
    let new = subject.granted("after a remove", &space, "key", LEASE).await?;
    fill(subject, &space, old, "stale", FillOutcome::Voided).await?;
    fill(subject, &space, new, "loaded", FillOutcome::Stored).await?;
    subject.hit("after the new fill", &space, "key", b"loaded").await
}

/// law: a-clear-voids-the-leases. So it does for every lease of the namespace, and for no other.
pub(super) async fn a_clear_voids_the_leases(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let (space, other) = (subject.space("a")?, subject.space("b")?);
    let voided = subject.granted("the first", &space, "key", LEASE).await?;
    let kept = subject.granted("another namespace", &other, "key", LEASE).await?;
    subject.tier.clear(&space).await?;
    fill(subject, &space, voided, "stale", FillOutcome::Voided).await?;
    subject.miss("after a voided fill", &space, "key").await?;
    fill(subject, &other, kept, "loaded", FillOutcome::Stored).await?;
    let again = subject.granted("after a clear", &space, "key", LEASE).await?;
    fill(subject, &space, again, "loaded", FillOutcome::Stored).await
}

/// law: a-tag-voids-the-leases. After a tag was invalidated, a loader that started before does not bring back an
/// entry with it.
pub(super) async fn a_tag_voids_the_leases(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    subject.needs(TierCapability::Tags)?;
    let space = subject.space("a")?;
    let tags = [Tag::new("tenant:7")?];
    let token = subject.granted("the first", &space, "key", LEASE).await?;
    subject.tier.invalidate_tags(&space, &tags).await?;
    let entry = subject.entry("stale").with_tags(tags.clone());
    // A tier may void the lease or store an entry that its tag hides: what counts is what readers see.
    subject.tier.fill(&space, &key("key")?, token, entry).await?;
    subject.miss("after a fill from before the tag was invalidated", &space, "key").await?;
    subject.tier.remove(&space, &key("key")?).await?;
    let token = subject.granted("after the tag", &space, "key", LEASE).await?;
    let entry = subject.entry("loaded").with_tags(tags);
    let outcome = subject.tier.fill(&space, &key("key")?, token, entry).await?;
    ensure!(outcome == FillOutcome::Stored, "a fill from after the tag was invalidated was {outcome:?}");
    subject.hit("after a fill from after the tag was invalidated", &space, "key", b"loaded").await
}

/// law: other-keys-keep-their-leases. A put or remove of other keys, or in other namespaces, voids nothing.
pub(super) async fn other_keys_keep_their_leases(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let (space, other) = (subject.space("a")?, subject.space("b")?);
    let token = subject.granted("the first", &space, "key", LEASE).await?;
    subject.store(&space, "key2", subject.entry("x")).await?;
    subject.store(&other, "key", subject.entry("x")).await?;
    subject.tier.remove(&space, &key("key2")?).await?;
    subject.tier.remove(&other, &key("key")?).await?;
    subject.tier.clear(&other).await?;
    fill(subject, &space, token, "loaded", FillOutcome::Stored).await?;
    subject.hit("after its fill", &space, "key", b"loaded").await
}

/// law: a-slow-loader-never-brings-back-the-old. With a source that changes, writers that remove (or put) after
/// each change, and slow loaders under leases, nobody reads a state older than the last acknowledged change.
pub(super) async fn a_slow_loader_never_brings_back_the_old(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    let (source, floor) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(1)));
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for loader in 0..4_usize {
        let (subject, space, done) = (subject.clone(), space.clone(), Arc::clone(&done));
        let (source, floor) = (Arc::clone(&source), Arc::clone(&floor));
        tasks.spawn(async move {
            let (tier, name) = (subject.handle(loader), key("key")?);
            while !done.load(Ordering::SeqCst) {
                let least = floor.load(Ordering::SeqCst);
                let answers = tier.get_or_lease_many(&space, std::slice::from_ref(&name), LEASE).await;
                match answers.into_iter().next() {
                    Some(LeaseLookup::Hit(entry)) => newer(&entry.value, least)?,
                    Some(LeaseLookup::Granted(token)) => {
                        let read = source.load(Ordering::SeqCst);
                        for _ in 0..(read + loader as u64) % 6 {
                            tokio::task::yield_now().await;
                        }
                        tier.fill(&space, &name, token, subject.entry(read.to_string())).await?;
                    }
                    _ => {}
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let (writer, changes) = (subject.clone(), subject.rounds as u64 * 8);
    tasks.spawn(async move {
        let (tier, name) = (writer.handle(1), key("key")?);
        let changed = async {
            for change in 2..changes + 2 {
                source.store(change, Ordering::SeqCst);
                if change % 3 == 0 {
                    let outcome = tier.put(&space, name.clone(), writer.entry(change.to_string())).await?;
                    ensure!(outcome != PutOutcome::Superseded, "an unversioned put was superseded");
                } else {
                    tier.remove(&space, &name).await?;
                }
                floor.store(change, Ordering::SeqCst);
                let answer = writer.tier.get(&space, &name).await;
                if let Some(entry) = found("after a change", answer)? {
                    newer(&entry.value, change)?;
                }
                for _ in 0..change % 5 {
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        }
        .await;
        done.store(true, Ordering::SeqCst);
        changed
    });
    join(tasks).await.map(drop)
}

fn newer(value: &[u8], floor: u64) -> Check {
    let read = std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    match read {
        Some(read) if read >= floor => Ok(()),
        _ => Err(Breach::Failed(format!(
            "state {} was read after change {floor} was acknowledged",
            value.escape_ascii()
        ))),
    }
}
