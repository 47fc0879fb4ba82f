//! Laws of batches.

use super::TierSubject;
use super::subject::{found, key};
use crate::Key;
use crate::cache::PutOutcome;
use crate::conformance::law::ensure;
use crate::conformance::{Breach, Check};

/// law: answers-are-in-order. There is one answer for each key, in the order asked, for repeated, missing and no
/// keys too.
pub(super) async fn answers_are_in_order(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let entries: Vec<(Key, _)> = (0..200)
        .filter(|i| i % 3 != 0)
        .map(|i: u32| Ok((key(&format!("k{i}"))?, subject.entry(i.to_string()))))
        .collect::<Result<_, Breach>>()?;
    let count = entries.len();
    let outcomes = subject.tier.put_many(&space, entries).await?;
    ensure!(outcomes.len() == count, "{} outcomes for {count} puts", outcomes.len());
    ensure!(outcomes.iter().all(|outcome| *outcome == PutOutcome::Stored), "not all were stored");
    let asked: Vec<u32> = (0..200).rev().chain([5, 5, 6, 5, 199, 0]).collect();
    let keys: Vec<Key> = asked.iter().map(|i| key(&format!("k{i}"))).collect::<Result<_, _>>()?;
    let answers = subject.tier.get_many(&space, &keys).await;
    ensure!(answers.len() == keys.len(), "{} answers for {} keys", answers.len(), keys.len());
    for (i, answer) in asked.iter().zip(answers) {
        let value = found("a batch", answer)?.map(|entry| entry.value);
        let wanted = (i % 3 != 0).then(|| i.to_string());
        let same = value.as_deref() == wanted.as_deref().map(str::as_bytes);
        ensure!(same, "the answer for k{i} is {value:?}, not {wanted:?}");
    }
    let answers = subject.tier.get_many(&space, &[]).await;
    ensure!(answers.is_empty(), "{} answers for no key", answers.len());
    let outcomes = subject.tier.put_many(&space, Vec::new()).await?;
    ensure!(outcomes.is_empty(), "{} outcomes for no put", outcomes.len());
    Ok(())
}

/// law: the-later-of-two-puts-wins. When a batch has a key twice, the later entry is there afterwards.
pub(super) async fn the_later_of_two_puts_wins(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let mut entries = Vec::new();
    for round in 0..4 {
        for i in 0..10 {
            entries.push((key(&format!("k{i}"))?, subject.entry(format!("{i} in round {round}"))));
        }
    }
    let outcomes = subject.tier.put_many(&space, entries).await?;
    ensure!(outcomes.len() == 40, "{} outcomes for 40 puts", outcomes.len());
    for i in 0..10 {
        let wanted = format!("{i} in round 3");
        subject.hit("a key put four times at once", &space, &format!("k{i}"), wanted.as_bytes()).await?;
    }
    Ok(())
}

/// law: remove-takes-exactly-its-keys. The keys named are gone, all others stay; missing, repeated and no keys are
/// success.
pub(super) async fn remove_takes_exactly_its_keys(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    for name in ["a", "b", "c", "aa"] {
        subject.store(&space, name, subject.entry(name)).await?;
    }
    let keys = [key("a")?, key("c")?, key("a")?, key("never")?];
    subject.tier.remove_many(&space, &keys).await?;
    subject.tier.remove_many(&space, &keys).await?;
    subject.tier.remove_many(&space, &[]).await?;
    subject.miss("after a remove", &space, "a").await?;
    subject.miss("after a remove", &space, "c").await?;
    subject.hit("beside a remove", &space, "b", b"b").await?;
    subject.hit("beside a remove", &space, "aa", b"aa").await?;
    subject.store(&space, "a", subject.entry("again")).await?;
    subject.hit("put again after a remove", &space, "a", b"again").await
}
