//! Laws of writing.

use super::BlobSubject;
use crate::blob::{Attributes, BlobStoreExt, Capability, Checksum, PutOptions};
use crate::conformance::law::{applies, ensure};
use crate::conformance::tools::{Again, failing, fails, gated, once, pattern, trickle};
use crate::conformance::{Breach, Check};
use crate::{Body, Error, ErrorKind};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// law: put-then-get-gives-the-bytes. What was put comes back, whatever its size and however the body is given;
/// the result of the put agrees with the metadata read afterwards.
pub(super) async fn put_then_get_gives_the_bytes(subject: &BlobSubject) -> Check {
    for (i, size) in
        [0, 1, 2, 255, 4096, 65_535, 65_536, 65_537, 131_072, (1 << 20) + 7].into_iter().enumerate()
    {
        let bytes = pattern(i as u64, size);
        let path = subject.path(format!("size-{size}"))?;
        let bodies = [
            ("bytes", Body::Bytes(bytes.clone())),
            ("reopenable stream", Body::reopenable(Again(bytes.clone()))),
            ("stream of known length", once(&bytes, 10_000)),
            ("stream of unknown length", Body::Once(trickle(&bytes, 65_536), None)),
        ];
        for (how, body) in bodies {
            let what = format!("{size} bytes put as {how}");
            let put = subject.store.put_opts(&path, body, PutOptions::default()).await?;
            let meta = subject.holds(&what, &path, &bytes).await?;
            ensure!(
                put.etag.is_none() || put.etag == meta.etag,
                "{what}: the put gave the mark {:?}, a read gives {:?}",
                put.etag,
                meta.etag
            );
            ensure!(
                put.size.is_none_or(|size| size == meta.size),
                "{what}: the put says that it wrote {:?} bytes",
                put.size
            );
        }
    }
    Ok(())
}

/// law: large-streams-come-back-whole. A stream of many megabytes, with and without a stated length, is one
/// blob.
pub(super) async fn large_streams_come_back_whole(subject: &BlobSubject) -> Check {
    let fits = subject.capabilities().max_size.is_none_or(|most| subject.large as u64 <= most);
    applies!(fits, "the store's greatest blob is smaller than {} bytes", subject.large);
    let bytes = pattern(7, subject.large);
    let path = subject.path("large")?;
    for length in [Some(bytes.len() as u64), None] {
        let body = Body::Once(trickle(&bytes, 300_001), length);
        subject.store.put_opts(&path, body, PutOptions::default()).await?;
        subject.holds(&format!("a large stream with length {length:?}"), &path, &bytes).await?;
    }
    Ok(())
}

/// law: a-stated-length-must-hold. A body that gives fewer or more bytes than it states fails with `Corrupt` and
/// changes nothing.
pub(super) async fn a_stated_length_must_hold(subject: &BlobSubject) -> Check {
    let (old, new) = (pattern(1, 3000), pattern(2, 200_000));
    let (taken, free) = (subject.path("taken")?, subject.path("free")?);
    subject.put(&taken, &old).await?;
    let length = new.len() as u64;
    for stated in [length + 1, length - 1, 0, length * 2] {
        for path in [&taken, &free] {
            let body = Body::Once(trickle(&new, 50_000), Some(stated));
            let what = format!("a body of {length} bytes that states {stated}");
            let put = subject.store.put_opts(path, body, PutOptions::default()).await;
            fails(&what, put, &[ErrorKind::Corrupt])?;
        }
        subject.holds("the blob under a put with a wrong length", &taken, &old).await?;
        subject.absent("the path of a put with a wrong length", &free).await?;
    }
    Ok(())
}

/// law: put-is-all-or-nothing. A put whose body fails gives the body's own error; the blob that was there stays,
/// and a free path stays free.
pub(super) async fn put_is_all_or_nothing(subject: &BlobSubject) -> Check {
    let old = pattern(3, 1000);
    let (taken, free) = (subject.path("taken")?, subject.path("free")?);
    subject.put(&taken, &old).await?;
    for size in [0, 1, 70_000, (1 << 20) + 1] {
        let new = pattern(4, size);
        for length in [None, Some(size as u64), Some(size as u64 + 100)] {
            for path in [&taken, &free] {
                let error = Error::new(ErrorKind::Denied, "the marker of the failing body");
                let body = failing(&new, 30_000, length, error);
                let what = format!("a body that fails after {size} bytes");
                let put = subject.store.put_opts(path, body, PutOptions::default()).await;
                let error = fails(&what, put, &[ErrorKind::Denied])?;
                ensure!(
                    error.message() == "the marker of the failing body",
                    "{what}: its error was changed to {error}"
                );
            }
            subject.holds("the blob under a put that failed", &taken, &old).await?;
            subject.absent("the path of a put that failed", &free).await?;
        }
    }
    Ok(())
}

/// law: a-put-is-invisible-until-it-returns. While a put goes on, readers and listings see what was there before.
pub(super) async fn a_put_is_invisible_until_it_returns(subject: &BlobSubject) -> Check {
    let (old, new) = (pattern(5, 5000), pattern(6, 400_000));
    let (taken, free) = (subject.path("taken")?, subject.path("free")?);
    subject.put(&taken, &old).await?;
    for path in [&taken, &free] {
        let (reached, open) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let body = gated(&new, &reached, &open);
        let (store, target) = (Arc::clone(&subject.store), path.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { store.put_opts(&target, body, PutOptions::default()).await });
        reached.notified().await;
        if path == &taken {
            subject.holds("the blob during a put", path, &old).await?;
        } else {
            subject.absent("the path during a put", path).await?;
        }
        open.notify_one();
        match tasks.join_next().await {
            Some(Ok(put)) => put?,
            other => return Err(Breach::Failed(format!("the put did not end: {other:?}"))),
        };
        subject.holds("the blob after the put", path, &new).await?;
    }
    Ok(())
}

/// law: overwrite-replaces-everything. Of the blob that was there, neither bytes nor attributes remain.
pub(super) async fn overwrite_replaces_everything(subject: &BlobSubject) -> Check {
    let path = subject.path("blob")?;
    let (long, short) = (pattern(8, 100_000), pattern(9, 10));
    let mut options = PutOptions::default();
    let attributes = subject.capabilities().has(Capability::Attributes);
    if attributes {
        let kept = Attributes::default().with_content_type("text/plain").with_user("owner", "first");
        options = options.with_attributes(kept);
    }
    subject.store.put_opts(&path, long.into(), options).await?;
    subject.put(&path, &short).await?;
    let meta = subject.holds("the shorter blob over a longer one", &path, &short).await?;
    if attributes {
        let left = meta.attributes.unwrap_or_default();
        ensure!(
            !left.user.contains_key("owner"),
            "attributes of the blob that was replaced remain: {left:?}"
        );
        ensure!(
            left.content_type.as_deref() != Some("text/plain"),
            "the content type of the blob that was replaced remains"
        );
    }
    subject.put(&path, &Bytes::new()).await?;
    subject.holds("the empty blob over another one", &path, &Bytes::new()).await?;
    Ok(())
}

/// law: a-checksum-is-verified. With the capability, a put whose bytes have another checksum than the one given
/// fails with `Corrupt` and changes nothing. An algorithm that the store does not know is refused.
pub(super) async fn a_checksum_is_verified(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Checksums)?;
    let path = subject.path("blob")?;
    let old = pattern(10, 100);
    let digits = Bytes::from_static(b"123456789");
    let sha = [
        0x15, 0xe2, 0xb0, 0xd3, 0xc3, 0x38, 0x91, 0xeb, 0xb0, 0xf1, 0xef, 0x60, 0x9e, 0xc4, 0x19, 0x42, 0x0c,
        0x20, 0xe3, 0x20, 0xce, 0x94, 0xc6, 0x5f, 0xbc, 0x8c, 0x33, 0x12, 0x44, 0x8e, 0xb2, 0x25,
    ];
    let mut wrong_sha = sha;
    wrong_sha[31] ^= 1;
    let sums = [
        (Checksum::Crc32c(0xE306_9283), Checksum::Crc32c(0xE306_9282)),
        (Checksum::Crc64Nvme(0xAE8B_1486_0A79_9888), Checksum::Crc64Nvme(0)),
        (Checksum::Sha256(sha), Checksum::Sha256(wrong_sha)),
    ];
    let mut known = 0;
    for (right, wrong) in sums {
        for body in [Body::Bytes(digits.clone()), once(&digits, 4)] {
            subject.put(&path, &old).await?;
            let options = PutOptions::default().with_checksum(wrong.clone());
            let put = subject.store.put_opts(&path, body, options).await;
            let error =
                fails("a put with a wrong checksum", put, &[ErrorKind::Corrupt, ErrorKind::Unsupported])?;
            subject.holds("the blob under a put with a wrong checksum", &path, &old).await?;
            let options = PutOptions::default().with_checksum(right.clone());
            let put = subject.store.put_opts(&path, digits.clone().into(), options).await;
            if error.kind() == ErrorKind::Unsupported {
                fails("a put with an unknown kind of checksum", put, &[ErrorKind::Unsupported])?;
            } else {
                known += 1;
                put?;
                subject.holds("the blob put with its checksum", &path, &digits).await?;
            }
        }
    }
    ensure!(known > 0, "the store claims checksums and knows none");
    subject.store.delete(&path).await?;
    Ok(())
}
