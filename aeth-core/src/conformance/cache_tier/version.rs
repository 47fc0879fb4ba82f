//! Laws of versions.

use super::TierSubject;
use super::subject::key;
use crate::cache::{CacheTierExt, PutOutcome};
use crate::conformance::law::ensure;
use crate::conformance::tools::join;
use crate::conformance::{Breach, Check};
use tokio::task::JoinSet;

/// law: a-smaller-version-never-replaces. A put with a smaller version than the entry's is `Superseded` and leaves
/// it; an equal or greater one is stored.
pub(super) async fn a_smaller_version_never_replaces(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let steps = [
        (5, PutOutcome::Stored, 5),
        (4, PutOutcome::Superseded, 5),
        (1, PutOutcome::Superseded, 5),
        (5, PutOutcome::Stored, 5),
        (6, PutOutcome::Stored, 6),
        (5, PutOutcome::Superseded, 6),
        (u64::MAX, PutOutcome::Stored, u64::MAX),
        (u64::MAX - 1, PutOutcome::Superseded, u64::MAX),
    ];
    for (step, (version, wanted, left)) in steps.into_iter().enumerate() {
        let entry = subject.entry(version.to_string()).with_version(version);
        let outcome = subject.put(&space, "key", entry).await?;
        ensure!(outcome == wanted, "step {step}: a put of version {version} was {outcome:?}, not {wanted:?}");
        subject.hit(&format!("step {step}"), &space, "key", left.to_string().as_bytes()).await?;
    }
    Ok(())
}

/// law: the-unversioned-always-replaces. An entry of version 0 replaces any other, and any other replaces it.
pub(super) async fn the_unversioned_always_replaces(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    for (step, version) in [0, 9, 0, 3, 0, 0, 1].into_iter().enumerate() {
        let value = format!("{step}");
        subject.store(&space, "key", subject.entry(value.clone()).with_version(version)).await?;
        subject.hit(&format!("step {step}"), &space, "key", value.as_bytes()).await?;
    }
    Ok(())
}

/// law: concurrent-versions-end-with-the-greatest. Of versions put at the same time the greatest is left.
pub(super) async fn concurrent_versions_end_with_the_greatest(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    for round in 0..subject.rounds {
        let name = format!("key-{round}");
        let mut tasks = JoinSet::new();
        for i in 0..6_u64 {
            let (tier, space, key) =
                (subject.handle(usize::try_from(i).unwrap_or(0)), space.clone(), key(&name)?);
            let version = 1 + (i * 5 + round as u64) % 6;
            let entry = subject.entry(version.to_string()).with_version(version);
            tasks.spawn(async move { tier.put(&space, key, entry).await.map_err(Breach::from) });
        }
        join(tasks).await?;
        subject.hit("after six versions at once", &space, &name, b"6").await?;
    }
    Ok(())
}
