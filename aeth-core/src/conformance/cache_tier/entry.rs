//! Laws of single entries.

use super::TierSubject;
use super::subject::{found, key};
use crate::cache::{CacheTierExt, CodecId, EntryFlags, PutOutcome};
use crate::conformance::law::{applies, ensure};
use crate::conformance::tools::pattern;
use crate::conformance::{Breach, Check};
use crate::{Key, Tag};

/// law: an-entry-comes-back-as-it-was. Value, times, version, tags, codec, schema and flags all come back.
pub(super) async fn an_entry_comes_back_as_it_was(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let now = subject.now();
    let tags: Vec<Tag> = ["one", "tenant:7", "größe"].map(Tag::new).into_iter().collect::<Result<_, _>>()?;
    let mut entry = subject
        .entry(pattern(1, 300))
        .with_usable_until(now + 7_200_000)
        .with_version(0x0102_0304_0506_0708)
        .with_tags(tags)
        .with_codec(CodecId::new(2001), 77)
        .with_flags(EntryFlags::from_bits(0b1010_0101));
    entry.created = now.saturating_sub(5000);
    subject.store(&space, "full", entry.clone()).await?;
    let negative = subject.entry("").with_flags(EntryFlags::NEGATIVE);
    subject.store(&space, "negative", negative.clone()).await?;
    for (name, wanted) in [("full", entry), ("negative", negative)] {
        match found(name, subject.tier.get(&space, &key(name)?).await)? {
            Some(found) if found == wanted => {}
            found => return Err(Breach::Failed(format!("{wanted:?} came back as {found:?}"))),
        }
    }
    Ok(())
}

/// law: values-of-any-size. A value comes back whole, or is rejected and then absent.
pub(super) async fn values_of_any_size(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    for size in [0, 1, 50, 1023, 1024, 65_535, 65_536, 1 << 20, (4 << 20) + 3] {
        let value = pattern(size as u64, size);
        match subject.put(&space, "key", subject.entry(value.clone())).await? {
            PutOutcome::Stored => subject.hit(&format!("{size} bytes"), &space, "key", &value).await?,
            PutOutcome::Rejected if size > 65_536 => subject.miss("a rejected value", &space, "key").await?,
            outcome => return Err(Breach::Failed(format!("a put of {size} bytes was {outcome:?}"))),
        }
    }
    Ok(())
}

/// law: keys-are-any-bytes. Keys that differ in one byte, in length or in what a text would make of them are
/// different.
pub(super) async fn keys_are_any_bytes(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let mut keys: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let others: [&[u8]; 14] = [
        b"\0\0",
        b"a\0",
        b"\0a",
        b"a:b",
        b"a b",
        b"a\r\nb",
        b"a%b",
        b"a*b",
        b"{a}",
        b"'; --",
        b"\xff\xff",
        "é".as_bytes(),
        "e\u{301}".as_bytes(),
        b"a/../b",
    ];
    keys.extend(others.map(<[u8]>::to_vec));
    keys.extend([vec![b'k'; 511], vec![b'k'; 512], vec![0; 512], vec![255; 512]]);
    for (i, bytes) in keys.iter().enumerate() {
        let outcome = subject.tier.put(&space, Key::new(bytes)?, subject.entry(i.to_string())).await?;
        ensure!(outcome == PutOutcome::Stored, "a put under {bytes:?} was {outcome:?}");
    }
    for (i, bytes) in keys.iter().enumerate() {
        let answer = subject.tier.get(&space, &Key::new(bytes)?).await;
        let value = found("a key of any bytes", answer)?.map(|entry| entry.value);
        ensure!(
            value.as_deref() == Some(i.to_string().as_bytes()),
            "the key {bytes:?} gives {value:?}, not {i}"
        );
    }
    Ok(())
}

/// law: a-missing-key-is-a-miss. What was never put is a miss, not a hit and not an outage.
pub(super) async fn a_missing_key_is_a_miss(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    subject.miss("an empty namespace", &space, "nothing").await?;
    subject.store(&space, "key", subject.entry("x")).await?;
    for name in ["ke", "keyy", "Key", "nothing"] {
        subject.miss("beside a key", &space, name).await?;
    }
    Ok(())
}

/// law: a-put-replaces. The later entry is the one that is there.
pub(super) async fn a_put_replaces(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    for round in 0..5_u8 {
        let value = pattern(u64::from(round), 3000 - usize::from(round) * 700);
        subject.store(&space, "key", subject.entry(value.clone())).await?;
        subject.hit("after a put", &space, "key", &value).await?;
    }
    Ok(())
}

/// law: a-rejected-put-leaves-nothing. When a tier refuses to keep an entry, the one that it should have replaced
/// is gone.
pub(super) async fn a_rejected_put_leaves_nothing(subject: &TierSubject) -> Check {
    let space = subject.space("a")?;
    let capacity = subject.tier.statistics().capacity.and_then(|bytes| usize::try_from(bytes).ok());
    let Some(capacity) = capacity.filter(|bytes| *bytes <= 64 << 20) else {
        applies!(false, "the tier states no budget of at most 64 MiB");
        return Ok(());
    };
    subject.store(&space, "key", subject.entry("old")).await?;
    match subject.put(&space, "key", subject.entry(vec![7; capacity + 1])).await? {
        PutOutcome::Rejected => subject.miss("after a rejected put", &space, "key").await,
        outcome => Err(Breach::Failed(format!("a value greater than the whole budget was {outcome:?}"))),
    }
}
