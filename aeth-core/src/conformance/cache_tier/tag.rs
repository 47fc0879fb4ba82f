//! Laws of tags.

use super::TierSubject;
use crate::Tag;
use crate::cache::{LeaseLookup, Lookup, TierCapability};
use crate::conformance::Check;
use crate::conformance::law::ensure;
use std::time::Duration;

fn tags(names: &[&str]) -> Result<Vec<Tag>, crate::conformance::Breach> {
    Ok(names.iter().map(Tag::new).collect::<Result<_, _>>()?)
}

/// law: a-tag-takes-its-entries. Every entry with one of the tags is a miss for every kind of look-up; untagged
/// entries, those with other tags and those of other namespaces stay.
pub(super) async fn a_tag_takes_its_entries(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Tags)?;
    let (space, other) = (subject.space("a")?, subject.space("b")?);
    let entries: [(&str, &[&str]); 6] = [
        ("one", &["x"]),
        ("two", &["y", "x"]),
        ("three", &["z"]),
        ("four", &["w"]),
        ("none", &[]),
        ("all", &["x", "z"]),
    ];
    for (name, its) in entries {
        subject.store(&space, name, subject.entry(name).with_tags(tags(its)?)).await?;
        subject.store(&other, name, subject.entry(name).with_tags(tags(its)?)).await?;
    }
    subject.tier.invalidate_tags(&space, &tags(&["x", "z", "never used", "x"])?).await?;
    subject.tier.invalidate_tags(&space, &[]).await?;
    for name in ["one", "two", "three", "all"] {
        subject.miss("after its tag was invalidated", &space, name).await?;
        if let Some(answer) = subject.tier.get_now(&space, name.as_bytes()) {
            ensure!(
                !matches!(answer, Lookup::Hit(_)),
                "get_now gives {name:?} after its tag was invalidated"
            );
        }
        if subject.tier.capabilities().has(TierCapability::Lease) {
            let answer = subject.ask(&space, name, Duration::from_secs(1)).await?;
            ensure!(matches!(answer, LeaseLookup::Granted(_)), "{name:?} is {answer:?} with a lease");
        }
    }
    for name in ["four", "none"] {
        subject.hit("another tag was invalidated", &space, name, name.as_bytes()).await?;
    }
    for (name, _) in entries {
        subject.hit("a tag was invalidated in another namespace", &other, name, name.as_bytes()).await?;
    }
    Ok(())
}

/// law: a-tag-is-the-whole-text. Tags that differ in case, length or a single byte are different.
pub(super) async fn a_tag_is_the_whole_text(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Tags)?;
    let space = subject.space("a")?;
    let long = "t".repeat(Tag::MAX_LEN);
    let others = ["a", "ab", "A", "a b", "a:b", "a*", "{a}", "é", "%61", &long, &long[1..]];
    for name in others {
        subject.store(&space, name, subject.entry("x").with_tags(tags(&[name])?)).await?;
    }
    subject.tier.invalidate_tags(&space, &tags(&["ab", &long])?).await?;
    for name in others {
        if name == "ab" || name == long {
            subject.miss("its tag was invalidated", &space, name).await?;
        } else {
            subject.hit("a like tag was invalidated", &space, name, b"x").await?;
        }
    }
    Ok(())
}

/// law: a-tag-lets-later-entries-live. An entry put after its tag was invalidated is a hit, until the next time.
pub(super) async fn a_tag_lets_later_entries_live(subject: &TierSubject) -> Check {
    subject.needs(TierCapability::Tags)?;
    let space = subject.space("a")?;
    let its = tags(&["x"])?;
    for round in 0..subject.rounds {
        let value = round.to_string();
        subject.store(&space, "key", subject.entry(value.clone()).with_tags(its.clone())).await?;
        subject.hit("put after its tag was invalidated", &space, "key", value.as_bytes()).await?;
        subject.tier.invalidate_tags(&space, &its).await?;
        subject.miss("its tag was invalidated", &space, "key").await?;
    }
    Ok(())
}
