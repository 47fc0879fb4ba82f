//! Laws of leases.

use super::TierSubject;
use super::subject::{LEASE, key};
use crate::Key;
use crate::cache::{FillOutcome, LeaseLookup, LeaseToken, TierCapability};
use crate::conformance::law::ensure;
use crate::conformance::tools::join;
use crate::conformance::{Breach, Check};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// law: one-lease-is-granted. The first look-up of a missing key is granted the lease, later ones find it held;
/// other keys have leases of their own; what is there needs none.
pub(super) async fn one_lease_is_granted(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let (space, other) = (subject.space("a")?, subject.space("b")?);
    let first = subject.granted("the first", &space, "key", LEASE).await?;
    for _ in 0..3 {
        let answer = subject.ask(&space, "key", LEASE).await?;
        ensure!(matches!(answer, LeaseLookup::Held), "while the lease is out, a look-up gives {answer:?}");
    }
    subject.miss("a plain look-up while a lease is out", &space, "key").await?;
    let second = subject.granted("another key", &space, "key2", LEASE).await?;
    let third = subject.granted("another namespace", &other, "key", LEASE).await?;
    ensure!(first != second && second != third && first != third, "two leases have the same token");
    subject.store(&space, "there", subject.entry("there")).await?;
    match subject.ask(&space, "there", LEASE).await? {
        LeaseLookup::Hit(entry) if entry.value == "there" => Ok(()),
        answer => Err(Breach::Failed(format!("a key that is there gives {answer:?}"))),
    }
}

/// law: a-fill-stores-once. A fill under the lease stores the entry and ends the lease: a second one is void.
pub(super) async fn a_fill_stores_once(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    let token = subject.granted("the first", &space, "key", LEASE).await?;
    fill(subject, &space, token, "loaded", FillOutcome::Stored).await?;
    subject.hit("after the fill", &space, "key", b"loaded").await?;
    let answer = subject.ask(&space, "key", LEASE).await?;
    ensure!(matches!(answer, LeaseLookup::Hit(_)), "after the fill a look-up gives {answer:?}");
    fill(subject, &space, token, "again", FillOutcome::Voided).await?;
    subject.hit("after a second fill", &space, "key", b"loaded").await
}

/// law: an-invented-lease-is-void. A token that the tier did not give for this key stores nothing.
pub(super) async fn an_invented_lease_is_void(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let (space, other) = (subject.space("a")?, subject.space("b")?);
    for number in [0, 1, u128::MAX] {
        fill(subject, &space, LeaseToken::new(number), "forged", FillOutcome::Voided).await?;
    }
    let token = subject.granted("the first", &space, "key", LEASE).await?;
    fill(subject, &space, LeaseToken::new(token.get() ^ 1), "forged", FillOutcome::Voided).await?;
    fill(subject, &other, token, "in another namespace", FillOutcome::Voided).await?;
    let elsewhere = subject.tier.fill(&space, &key("other")?, token, subject.entry("x")).await?;
    ensure!(elsewhere == FillOutcome::Voided, "a lease of one key fills another");
    subject.miss("after forged fills", &space, "key").await?;
    subject.miss("after a fill with the lease of another key", &space, "other").await?;
    fill(subject, &space, token, "loaded", FillOutcome::Stored).await
}

/// law: a-lease-runs-out. After its ttl a lease is granted to somebody else, and the late loader stores nothing.
pub(super) async fn a_lease_runs_out(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    let late = subject.granted("the first", &space, "key", Duration::from_millis(300)).await?;
    subject.pass(Duration::from_millis(600)).await;
    fill(subject, &space, late, "late", FillOutcome::Voided).await?;
    let next = subject.granted("after the first ran out", &space, "key", LEASE).await?;
    ensure!(late != next, "a lease was granted again with the token of one that ran out");
    fill(subject, &space, late, "late", FillOutcome::Voided).await?;
    fill(subject, &space, next, "loaded", FillOutcome::Stored).await?;
    subject.hit("after the second loader", &space, "key", b"loaded").await
}

/// law: a-release-frees-the-lease. The next one is granted it at once; a release with an old token changes
/// nothing.
pub(super) async fn a_release_frees_the_lease(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    let first = subject.granted("the first", &space, "key", LEASE).await?;
    subject.tier.release(&space, &key("key")?, first).await?;
    fill(subject, &space, first, "late", FillOutcome::Voided).await?;
    let second = subject.granted("after a release", &space, "key", LEASE).await?;
    subject.tier.release(&space, &key("key")?, first).await?;
    let answer = subject.ask(&space, "key", LEASE).await?;
    ensure!(matches!(answer, LeaseLookup::Held), "a release with an old token frees the new lease");
    fill(subject, &space, second, "loaded", FillOutcome::Stored).await?;
    subject.tier.release(&space, &key("key")?, second).await?;
    subject.hit("after a release that came late", &space, "key", b"loaded").await
}

/// law: leases-come-in-order. A batch has one answer for each key, in order; a key asked twice is granted at most
/// once.
pub(super) async fn leases_come_in_order(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    for name in ["b", "d"] {
        subject.store(&space, name, subject.entry(name)).await?;
    }
    subject.granted("the first", &space, "c", LEASE).await?;
    let keys: Vec<Key> = ["a", "b", "c", "d", "a", "e"].map(key).into_iter().collect::<Result<_, _>>()?;
    let answers = subject.tier.get_or_lease_many(&space, &keys, LEASE).await;
    use LeaseLookup::{Granted, Held, Hit};
    match answers.as_slice() {
        [Granted(a), Hit(b), Held, Hit(d), again, Granted(e)] => {
            ensure!(b.value == "b" && d.value == "d", "the hits of a batch are exchanged");
            ensure!(!matches!(again, Hit(_)), "a missing key is a hit the second time");
            // A tier may give the same lease to the same caller twice, but never two leases.
            ensure!(
                !matches!(again, Granted(token) if token != a),
                "one batch is granted two leases on a key"
            );
            let outcome = subject.tier.fill(&space, &key("a")?, *a, subject.entry("a")).await?;
            ensure!(outcome == FillOutcome::Stored, "the first lease of a batch is {outcome:?}");
            let outcome = subject.tier.fill(&space, &key("e")?, *e, subject.entry("e")).await?;
            ensure!(outcome == FillOutcome::Stored, "the last lease of a batch is {outcome:?}");
            subject.hit("the first of a batch", &space, "a", b"a").await?;
            subject.hit("the last of a batch", &space, "e", b"e").await
        }
        answers => Err(Breach::Failed(format!("the answers for a batch are {answers:?}"))),
    }
}

/// law: a-lease-has-one-winner. Of concurrent look-ups of a missing key exactly one is granted the lease.
pub(super) async fn a_lease_has_one_winner(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Lease)?;
    let space = subject.space("a")?;
    for round in 0..subject.rounds {
        let start = Arc::new(Barrier::new(6));
        let mut tasks = JoinSet::new();
        for i in 0..6 {
            let (tier, space, start) = (subject.handle(i), space.clone(), Arc::clone(&start));
            let keys = [key(&format!("key-{round}"))?];
            tasks.spawn(async move {
                start.wait().await;
                let answers = tier.get_or_lease_many(&space, &keys, LEASE).await;
                Ok(matches!(answers.first(), Some(LeaseLookup::Granted(_))))
            });
        }
        let granted = join(tasks).await?.into_iter().filter(|granted| *granted).count();
        ensure!(granted == 1, "{granted} of 6 concurrent look-ups were granted the lease");
    }
    Ok(())
}

/// Fills the key "key" and demands this outcome.
pub(super) async fn fill(
    subject: &TierSubject,
    space: &crate::Namespace,
    token: LeaseToken,
    value: &'static str,
    wanted: FillOutcome,
) -> Check {
    let outcome = subject.tier.fill(space, &key("key")?, token, subject.entry(value)).await?;
    ensure!(outcome == wanted, "the fill with {value:?} was {outcome:?}, not {wanted:?}");
    Ok(())
}
