//! Laws of time.

use super::TierSubject;
use super::lease::fill;
use super::subject::{LEASE, found, key};
use crate::Namespace;
use crate::cache::{
    CacheTierExt, Entry, FillOutcome, LeaseLookup, LeaseToken, Lookup, PutOutcome, TierCapability,
};
use crate::conformance::law::ensure;
use crate::conformance::{Breach, Check};
use std::time::Duration;

/// law: an-entry-ends-at-its-time. From `usable_until` on, an entry is a miss for every kind of look-up.
pub(super) async fn an_entry_ends_at_its_time(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let now = subject.now();
    subject.store(&space, "short", Entry::new("short", now, now + 1000)).await?;
    subject.store(&space, "long", subject.entry("long")).await?;
    subject.hit("within its time", &space, "short", b"short").await?;
    subject.pass(Duration::from_millis(1200)).await;
    if subject.tier.capabilities().has(TierCapability::Immediate) {
        let answer = subject.tier.get_now(&space, b"short");
        ensure!(!matches!(answer, Some(Lookup::Hit(_))), "get_now gives an entry after its time");
    }
    subject.miss("after its time", &space, "short").await?;
    if subject.tier.capabilities().has(TierCapability::Lease) {
        let answer = subject.ask(&space, "short", LEASE).await?;
        let granted = matches!(answer, LeaseLookup::Granted(_));
        ensure!(granted, "a look-up with lease after the entry's time gives {answer:?}");
    }
    subject.hit("the other one", &space, "long", b"long").await
}

/// law: a-stale-entry-is-still-a-hit. Between `fresh_until` and `usable_until` an entry is a hit for a look-up
/// without lease.
pub(super) async fn a_stale_entry_is_still_a_hit(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    subject.store(&space, "key", stale(subject)).await?;
    subject.hit("a stale entry", &space, "key", b"stale").await
}

/// An entry that is usable, but no longer fresh.
fn stale(subject: &TierSubject) -> Entry {
    let now = subject.now();
    let stale = Entry::new("stale", now.saturating_sub(2000), now.saturating_sub(1000));
    stale.with_usable_until(now + 600_000)
}

/// law: a-stale-entry-comes-with-the-lease. The first look-up with lease of a stale entry gets the entry and the
/// lease to refresh it; while it is out others get the entry alone. The refresh is fenced as a load is: a remove
/// meanwhile voids it. A released lease goes to the next one.
pub(super) async fn a_stale_entry_comes_with_the_lease(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    for removed in [false, true] {
        subject.store(&space, "key", stale(subject)).await?;
        let first = refresh(subject, &space).await?;
        let answer = subject.ask(&space, "key", LEASE).await?;
        ensure!(matches!(answer, LeaseLookup::Hit(_)), "while it is refreshed, a stale entry is {answer:?}");
        subject.tier.release(&space, &key("key")?, first).await?;
        let token = refresh(subject, &space).await?;
        ensure!(token != first, "a released lease was granted again with the same token");
        subject.hit("a stale entry while it is refreshed", &space, "key", b"stale").await?;
        if removed {
            subject.tier.remove(&space, &key("key")?).await?;
            fill(subject, &space, token, "refreshed", FillOutcome::Voided).await?;
            subject.miss("after a remove during its refresh", &space, "key").await?;
        } else {
            fill(subject, &space, token, "refreshed", FillOutcome::Stored).await?;
            subject.hit("after the refresh", &space, "key", b"refreshed").await?;
        }
    }
    Ok(())
}

async fn refresh(subject: &TierSubject, space: &Namespace) -> Result<LeaseToken, Breach> {
    match subject.ask(space, "key", LEASE).await? {
        LeaseLookup::Stale(entry, token) if entry.value == "stale" => Ok(token),
        answer => Err(Breach::Failed(format!("nobody refreshes it, but a stale entry is {answer:?}"))),
    }
}

/// law: an-entry-of-the-past-is-a-miss. An entry whose time is over when it is put replaces the old one and is
/// itself never given.
pub(super) async fn an_entry_of_the_past_is_a_miss(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let now = subject.now();
    for until in [now, now.saturating_sub(1), 0] {
        subject.store(&space, "key", subject.entry("old")).await?;
        let outcome = subject.put(&space, "key", Entry::new("past", 0, until)).await?;
        ensure!(
            matches!(outcome, PutOutcome::Stored | PutOutcome::Rejected),
            "a put of an entry of the past was {outcome:?}"
        );
        subject.miss(&format!("an entry until {until}, put at {now}"), &space, "key").await?;
    }
    Ok(())
}

/// law: far-times-are-kept. An entry without end is a hit, and its times come back.
pub(super) async fn far_times_are_kept(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let century = subject.now() + 100 * 365 * 86_400_000;
    for until in [century, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
        subject.store(&space, "key", Entry::new("far", 0, until)).await?;
        match found("far", subject.tier.get(&space, &key("key")?).await)? {
            Some(entry)
                if entry.usable_until == until && entry.fresh_until == until && entry.created == 0 => {}
            other => return Err(Breach::Failed(format!("an entry until {until} came back as {other:?}"))),
        }
    }
    Ok(())
}
