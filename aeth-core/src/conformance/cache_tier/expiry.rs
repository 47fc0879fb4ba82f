//! Laws of time.

use super::TierSubject;
use super::lease::fill;
use super::subject::{LEASE, found, key};
use crate::cache::{CacheTierExt, Entry, FillOutcome, LeaseLookup, Lookup, PutOutcome, TierCapability};
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

/// law: a-stale-entry-is-still-a-hit. Between `fresh_until` and `usable_until` an entry is a hit. With a lease asked
/// for it may come with the lease to refresh it; the next one then gets the entry alone, and a change in between
/// voids the lease.
pub(super) async fn a_stale_entry_is_still_a_hit(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let now = subject.now();
    let stale = Entry::new("stale", now.saturating_sub(2000), now.saturating_sub(1000));
    let stale = stale.with_usable_until(now + 600_000);
    subject.store(&space, "key", stale.clone()).await?;
    subject.hit("a stale entry", &space, "key", b"stale").await?;
    if !subject.tier.capabilities().has(TierCapability::Lease) {
        return Ok(());
    }
    let token = match subject.ask(&space, "key", LEASE).await? {
        LeaseLookup::Stale(entry, token) if entry.value == "stale" => token,
        LeaseLookup::Hit(entry) if entry.value == "stale" => return Ok(()),
        answer => return Err(Breach::Failed(format!("a stale entry is {answer:?} with a lease"))),
    };
    let answer = subject.ask(&space, "key", LEASE).await?;
    ensure!(matches!(answer, LeaseLookup::Hit(_)), "while it is refreshed, a stale entry is {answer:?}");
    subject.hit("a stale entry while it is refreshed", &space, "key", b"stale").await?;
    fill(subject, &space, token, "refreshed", FillOutcome::Stored).await?;
    subject.hit("after the refresh", &space, "key", b"refreshed").await?;
    subject.store(&space, "key", stale).await?;
    if let LeaseLookup::Stale(_, token) = subject.ask(&space, "key", LEASE).await? {
        subject.tier.remove(&space, &key("key")?).await?;
        fill(subject, &space, token, "refreshed", FillOutcome::Voided).await?;
        subject.miss("after a remove during its refresh", &space, "key").await?;
    }
    Ok(())
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
