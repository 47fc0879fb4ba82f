//! Laws of namespaces.

use super::TierSubject;
use super::subject::key;
use crate::cache::CacheTierExt;
use crate::conformance::Check;

/// law: namespaces-are-apart. The same key in two namespaces is two entries.
pub(super) async fn namespaces_are_apart(subject: &TierSubject) -> Check {
    let (one, two) = (subject.space("a")?, subject.space("b")?);
    subject.store(&one, "key", subject.entry("one")).await?;
    subject.miss("the other namespace", &two, "key").await?;
    subject.store(&two, "key", subject.entry("two")).await?;
    subject.hit("one namespace", &one, "key", b"one").await?;
    subject.hit("the other namespace", &two, "key", b"two").await?;
    subject.tier.remove(&one, &key("key")?).await?;
    subject.miss("after a remove", &one, "key").await?;
    subject.hit("after a remove in another namespace", &two, "key", b"two").await
}

/// law: clear-empties-one-namespace. Every entry of the namespace is gone, those of others stay, and it takes new
/// ones.
pub(super) async fn clear_empties_one_namespace(subject: &TierSubject) -> Check {
    let (one, two) = (subject.space("a")?, subject.space("b")?);
    subject.tier.clear(&one).await?;
    for round in 0..3 {
        for i in 0..20 {
            subject.store(&one, &format!("k{i}"), subject.entry(format!("{round}"))).await?;
            subject.store(&two, &format!("k{i}"), subject.entry("stays")).await?;
        }
        subject.tier.clear(&one).await?;
        for i in 0..20 {
            subject.miss("after a clear", &one, &format!("k{i}")).await?;
            subject.hit("beside a clear", &two, &format!("k{i}"), b"stays").await?;
        }
    }
    Ok(())
}
