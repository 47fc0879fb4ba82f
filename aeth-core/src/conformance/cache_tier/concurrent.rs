//! Laws of calls at the same time.

use super::TierSubject;
use super::subject::{found, key};
use crate::Key;
use crate::cache::CacheTierExt;
use crate::conformance::law::ensure;
use crate::conformance::tools::{join, pattern};
use crate::conformance::{Breach, Check};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::task::JoinSet;

/// law: a-removed-entry-stays-away. While one writer puts and removes, no reader sees an entry older than the last
/// one acknowledged, nor one that was removed before it looked.
pub(super) async fn a_removed_entry_stays_away(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let (floor, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for reader in 0..3 {
        let (tier, space) = (subject.handle(reader), space.clone());
        let (floor, done) = (Arc::clone(&floor), Arc::clone(&done));
        tasks.spawn(async move {
            let name = key("key")?;
            while !done.load(Ordering::SeqCst) {
                let least = floor.load(Ordering::SeqCst);
                if let Some(entry) = found("a reader", tier.get(&space, &name).await)? {
                    let seen = std::str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
                    let seen: u64 = seen.ok_or_else(|| Breach::Failed("a value came back changed".into()))?;
                    ensure!(seen >= least, "entry {seen} was read after {least} was acknowledged");
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    let writer = subject.clone();
    tasks.spawn(async move {
        let name = key("key")?;
        let written = async {
            for i in 1..=writer.rounds as u64 * 10 {
                writer.store(&space, "key", writer.entry(i.to_string())).await?;
                floor.store(i, Ordering::SeqCst);
                tokio::task::yield_now().await;
                if i % 2 == 0 {
                    writer.tier.remove(&space, &name).await?;
                    floor.store(i + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }
            Ok(())
        }
        .await;
        done.store(true, Ordering::SeqCst);
        written
    });
    join(tasks).await.map(drop)
}

/// law: concurrent-batches-do-not-mix. Batches of many callers at the same time each give the values of their own
/// keys.
pub(super) async fn concurrent_batches_do_not_mix(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let mut tasks = JoinSet::new();
    for worker in 0..6_u64 {
        let (subject, space) = (subject.clone(), space.clone());
        tasks.spawn(async move {
            let tier = subject.handle(usize::try_from(worker).unwrap_or(0));
            for round in 0..subject.rounds as u64 {
                let keys: Vec<Key> =
                    (0..10).map(|i| key(&format!("{worker}-{i}"))).collect::<Result<_, Breach>>()?;
                let value =
                    |i: u64| pattern(worker * 1000 + round * 10 + i, 50 + usize::try_from(i).unwrap_or(0));
                let entries =
                    keys.iter().zip(0..).map(|(key, i)| (key.clone(), subject.entry(value(i)))).collect();
                tier.put_many(&space, entries).await?;
                for (i, answer) in (0..).zip(tier.get_many(&space, &keys).await) {
                    let found = found("a batch", answer)?.map(|entry| entry.value);
                    ensure!(found == Some(value(i)), "a batch gives the value of another key or round");
                }
                tokio::task::yield_now().await;
            }
            Ok(())
        });
    }
    join(tasks).await.map(drop)
}
