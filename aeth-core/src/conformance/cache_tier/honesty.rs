//! Laws of what a tier says about itself.

use super::TierSubject;
use super::subject::{LEASE, key};
use crate::cache::{
    CacheTierExt, Invalidation, LeaseLookup, LeaseToken, Lookup, TierCapability, TierStatistics,
};
use crate::conformance::law::{applies, ensure};
use crate::conformance::tools::fails;
use crate::conformance::{Breach, Check};
use crate::{ClockExt, ErrorKind, SystemClock, Tag};
use futures_util::StreamExt;
use std::time::Duration;

/// law: what-is-not-claimed-is-refused. Calls that need a capability that is not claimed answer `Unsupported` (or
/// nothing, where that is the answer), and the name and report are constant.
pub(super) async fn what_is_not_claimed_is_refused(subject: &TierSubject) -> Check {
    let (space, tier) = (subject.space("a")?, &subject.tier);
    let (name, claims) = (tier.name().into_owned(), tier.capabilities());
    ensure!(!name.trim().is_empty(), "the tier has no name");
    if !claims.has(TierCapability::Lease) {
        match subject.ask(&space, "key", LEASE).await? {
            LeaseLookup::Unavailable(error) if error.kind() == ErrorKind::Unsupported => {}
            answer => {
                return Err(Breach::Failed(format!("leases are not claimed, a look-up gives {answer:?}")));
            }
        }
        let token = LeaseToken::new(1);
        let filled = tier.fill(&space, &key("key")?, token, subject.entry("x")).await;
        fails("a fill without leases", filled, &[ErrorKind::Unsupported])?;
        let released = tier.release(&space, &key("key")?, token).await;
        fails("a release without leases", released, &[ErrorKind::Unsupported])?;
    }
    if !claims.has(TierCapability::Tags) {
        let tags = [Tag::new("x")?];
        fails("tags", tier.invalidate_tags(&space, &tags).await, &[ErrorKind::Unsupported])?;
    }
    if !claims.has(TierCapability::Immediate) {
        subject.store(&space, "key", subject.entry("x")).await?;
        let answer = tier.get_now(&space, b"key");
        ensure!(answer.is_none(), "immediate answers are not claimed, one is {answer:?}");
    }
    ensure!(
        tier.invalidations().is_some()
            == (claims.has(TierCapability::Push) || claims.has(TierCapability::LeaseEvents)),
        "the stream of changes is there exactly when Push or LeaseEvents is claimed"
    );
    ensure!(tier.name() == name && tier.capabilities() == claims, "the report changed");
    Ok(())
}

/// law: an-immediate-answer-agrees. With the capability, `get_now` gives what a look-up gives; bytes that are no
/// key are a miss.
pub(super) async fn an_immediate_answer_agrees(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Immediate)?;
    let space = subject.space("a")?;
    let now = |bytes: &[u8]| match subject.tier.get_now(&space, bytes) {
        Some(Lookup::Hit(entry)) => Ok(Some(entry.value)),
        Some(Lookup::Miss) => Ok(None),
        answer => Err(Breach::Failed(format!("an immediate answer is {answer:?}"))),
    };
    ensure!(now(b"key")?.is_none(), "a missing key is an immediate hit");
    subject.store(&space, "key", subject.entry("one")).await?;
    ensure!(now(b"key")?.as_deref() == Some(b"one"), "a key is not an immediate hit after its put");
    subject.store(&space, "key", subject.entry("two")).await?;
    ensure!(now(b"key")?.as_deref() == Some(b"two"), "an immediate answer is older than a put");
    ensure!(now(b"")?.is_none(), "the empty key is an immediate hit");
    ensure!(now(&[b'k'; 513])?.is_none(), "a key that is too long is an immediate hit");
    subject.tier.remove(&space, &key("key")?).await?;
    ensure!(now(b"key")?.is_none(), "a removed key is an immediate hit");
    subject.store(&space, "key", subject.entry("three")).await?;
    subject.tier.clear(&space).await?;
    ensure!(now(b"key")?.is_none(), "a cleared key is an immediate hit");
    Ok(())
}

/// law: statistics-only-grow. Hits, misses, puts and removals are counted, and no count goes down.
pub(super) async fn statistics_only_grow(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let before = subject.tier.statistics();
    for round in 0..5 {
        let last = subject.tier.statistics();
        subject.store(&space, "key", subject.entry(round.to_string())).await?;
        subject.value(&space, "key").await?;
        subject.value(&space, "missing").await?;
        subject.tier.remove(&space, &key("key")?).await?;
        grows(&last, &subject.tier.statistics())?;
    }
    let after = subject.tier.statistics();
    for (what, before, after) in [
        ("hits", before.hits, after.hits),
        ("misses", before.misses, after.misses),
        ("puts", before.puts, after.puts),
        ("removals", before.removals, after.removals),
    ] {
        ensure!(after >= before + 5, "five {what} were counted as {}", after.saturating_sub(before));
    }
    ensure!(after.unavailable == before.unavailable, "outages were counted where there was none");
    Ok(())
}

fn grows(last: &TierStatistics, now: &TierStatistics) -> Check {
    for (what, last, now) in [
        ("hits", last.hits, now.hits),
        ("misses", last.misses, now.misses),
        ("unavailable", last.unavailable, now.unavailable),
        ("puts", last.puts, now.puts),
        ("removals", last.removals, now.removals),
        ("evictions", last.evictions, now.evictions),
        ("expirations", last.expirations, now.expirations),
        ("damaged", last.damaged, now.damaged),
    ] {
        ensure!(now >= last, "the count of {what} went down from {last} to {now}");
    }
    Ok(())
}

/// law: a-shared-tier-is-one. With a second handle: what one puts, removes or clears, the other sees, and a lease
/// of one is held for the other.
pub(super) async fn a_shared_tier_is_one(subject: &TierSubject) -> Check {
    let Some(other) = &subject.other else {
        applies!(false, "no second handle was given");
        return Ok(());
    };
    let space = subject.space("a")?;
    let name = key("key")?;
    for round in 0..5 {
        let value = round.to_string();
        subject.store(&space, "key", subject.entry(value.clone())).await?;
        let seen = other.get(&space, &name).await.hit().map(|entry| entry.value);
        ensure!(seen.as_deref() == Some(value.as_bytes()), "the other handle sees {seen:?}, not {value}");
        if round % 2 == 0 {
            other.remove(&space, &name).await?;
        } else {
            other.clear(&space).await?;
        }
        subject.miss("removed by the other handle", &space, "key").await?;
    }
    if subject.tier.capabilities().has(TierCapability::Lease) {
        subject.granted("one handle", &space, "lease", LEASE).await?;
        let answers = other.get_or_lease_many(&space, &[key("lease")?], LEASE).await;
        ensure!(matches!(answers.as_slice(), [LeaseLookup::Held]), "the other handle gets {answers:?}");
    }
    Ok(())
}

/// law: changes-by-others-are-told. With `Push` and a second handle, a change by the other one arrives in the
/// stream (or a gap does) within 5 seconds.
pub(super) async fn changes_by_others_are_told(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Push)?;
    let Some(other) = &subject.other else {
        applies!(false, "no second handle was given");
        return Ok(());
    };
    let (space, name) = (subject.space("a")?, key("key")?);
    let Some(mut changes) = subject.tier.invalidations() else {
        return Err(Breach::Failed("Push is claimed, but there is no stream".into()));
    };
    subject.store(&space, "key", subject.entry("x")).await?;
    // A tier may tell only those who have read a key of its changes.
    subject.hit("before the change", &space, "key", b"x").await?;
    other.remove(&space, &name).await?;
    let told = async {
        while let Some(change) = changes.next().await {
            match &change {
                Invalidation::Key(its, key) if *its == space && *key == name => return true,
                Invalidation::Namespace(its) if *its == space => return true,
                Invalidation::Gap => return true,
                _ => {}
            }
        }
        false
    };
    let told = SystemClock::new().timeout(Duration::from_secs(5), told).await.unwrap_or(false);
    ensure!(told, "a change by the other handle was not told");
    Ok(())
}

/// law: the-end-of-a-held-lease-is-told. With `LeaseEvents`, a handle whose look-up met a lease of another is told
/// (or a gap is) within 5 seconds after that lease was filled, released or voided.
pub(super) async fn the_end_of_a_held_lease_is_told(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::LeaseEvents)?;
    let (space, tier, holder) = (subject.space("a")?, &subject.tier, subject.handle(1));
    let Some(mut events) = tier.invalidations() else {
        return Err(Breach::Failed("LeaseEvents is claimed, but there is no stream".into()));
    };
    for how in ["filled", "released", "removed", "put"] {
        let name = [key(how)?];
        let granted = holder.get_or_lease_many(&space, &name, LEASE).await;
        let [LeaseLookup::Granted(token)] = granted.as_slice() else {
            return Err(Breach::Failed(format!("a missing key gives no lease but {granted:?}")));
        };
        let met = tier.get_or_lease_many(&space, &name, LEASE).await;
        ensure!(matches!(met.as_slice(), [LeaseLookup::Held]), "a lease of another is met as {met:?}");
        match how {
            "filled" => drop(holder.fill(&space, &name[0], *token, subject.entry("x")).await?),
            "released" => holder.release(&space, &name[0], *token).await?,
            "removed" => holder.remove(&space, &name[0]).await?,
            _ => drop(holder.put(&space, name[0].clone(), subject.entry("x")).await?),
        }
        let told = async {
            while let Some(event) = events.next().await {
                match &event {
                    Invalidation::LeaseEnded(its, key) | Invalidation::Key(its, key)
                        if *its == space && *key == name[0] =>
                    {
                        return true;
                    }
                    Invalidation::Gap => return true,
                    _ => {}
                }
            }
            false
        };
        let told = SystemClock::new().timeout(Duration::from_secs(5), told).await.unwrap_or(false);
        ensure!(told, "nobody was told that a lease was {how}");
    }
    Ok(())
}
