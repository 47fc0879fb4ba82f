//! Laws of uploads that fail.

use super::BlobSubject;
use super::upload::part;
use crate::blob::{BlobStoreExt, Capability, ETag, Part, PutMode, PutOptions};
use crate::conformance::Check;
use crate::conformance::law::ensure;
use crate::conformance::tools::{failing, fails, pattern, trickle};
use crate::{Body, Error, ErrorKind};

/// law: an-upload-decides-its-condition-at-completion. A path that was free at the beginning and is taken at the
/// end makes it fail; the upload stays and can be completed under another mode.
pub(super) async fn an_upload_decides_its_condition_at_completion(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Uploads)?;
    let claims = subject.capabilities();
    let bytes = part(subject, 1)?;
    let between = pattern(2, 50);
    if claims.has(Capability::CreateOnly) {
        let path = subject.path("create")?;
        let upload = subject.store.begin_upload(&path, PutOptions::create()).await?;
        let stored = [upload.put_part(1, bytes.clone().into()).await?];
        subject.put(&path, &between).await?;
        for mode in [None, Some(PutMode::Create)] {
            let complete = upload.complete(&stored, mode).await;
            fails("a completion that must create", complete, &[ErrorKind::AlreadyExists])?;
            subject.holds("the blob under a refused completion", &path, &between).await?;
        }
        upload.complete(&stored, Some(PutMode::Overwrite)).await?;
        subject.holds("the completion after a refused one", &path, &bytes).await?;
    }
    if claims.has(Capability::CompareAndSwap) {
        let path = subject.path("match")?;
        subject.put(&path, &between).await?;
        let mark = subject.store.head(&path).await?.etag.unwrap_or_else(|| ETag::new(""));
        let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
        let stored = [upload.put_part(1, bytes.clone().into()).await?];
        let foreign = Some(PutMode::Match(ETag::new("foreign")));
        let complete = upload.complete(&stored, foreign).await;
        fails("a completion with a foreign mark", complete, &[ErrorKind::Precondition])?;
        subject.holds("the blob under a refused completion", &path, &between).await?;
        upload.complete(&stored, Some(PutMode::Match(mark))).await?;
        subject.holds("the completion with the present mark", &path, &bytes).await?;
    }
    Ok(())
}

/// law: an-upload-refuses-bad-parts. Part 0, a missing part, parts out of order or named twice are `Invalid`, and
/// nothing appears.
pub(super) async fn an_upload_refuses_bad_parts(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Uploads)?;
    let path = subject.path("blob")?;
    let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
    let zero = upload.put_part(0, pattern(1, 10).into()).await;
    fails("part 0", zero, &[ErrorKind::Invalid])?;
    if let Some(beyond) = subject.capabilities().max_parts.checked_add(1) {
        let put = upload.put_part(beyond, pattern(1, 10).into()).await;
        fails(&format!("part {beyond}"), put, &[ErrorKind::Invalid])?;
    }
    let one = upload.put_part(1, part(subject, 1)?.into()).await?;
    let two = upload.put_part(2, part(subject, 2)?.into()).await?;
    let never = Part { number: 3, ..one.clone() };
    let cases = [
        ("no parts that were stored", vec![never.clone()]),
        ("a part that was never stored", vec![one.clone(), two.clone(), never]),
        ("parts out of order", vec![two.clone(), one.clone()]),
        ("a part twice", vec![one.clone(), one.clone()]),
    ];
    for (what, parts) in cases {
        let complete = upload.complete(&parts, None).await;
        fails(what, complete, &[ErrorKind::Invalid])?;
        subject.absent(what, &path).await?;
    }
    let least = subject.capabilities().min_part;
    if least > 1 {
        let small =
            upload.put_part(1, pattern(3, usize::try_from(least - 1).unwrap_or_default()).into()).await;
        let complete = match small {
            Ok(small) => upload.complete(&[small, two], None).await,
            Err(error) => Err(error),
        };
        fails("a part that is too small", complete, &[ErrorKind::Invalid])?;
        subject.absent("an upload with a part that is too small", &path).await?;
    }
    upload.abort().await?;
    Ok(())
}

/// law: a-failed-part-leaves-nothing. A part whose body fails or lies about its length is not stored, and one that
/// it should have replaced stays.
pub(super) async fn a_failed_part_leaves_nothing(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Uploads)?;
    let path = subject.path("blob")?;
    let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
    let bytes = part(subject, 1)?;
    let first = upload.put_part(1, bytes.clone().into()).await?;
    let other = part(subject, 2)?;
    for number in [1, 2] {
        let error = Error::new(ErrorKind::Denied, "the marker of the failing body");
        let body = failing(&other, 20_000, None, error);
        fails("a part that fails", upload.put_part(number, body).await, &[ErrorKind::Denied])?;
        let body = Body::Once(trickle(&other, 20_000), Some(other.len() as u64 + 1));
        fails("a part that lies", upload.put_part(number, body).await, &[ErrorKind::Corrupt])?;
    }
    let stored = upload.list_parts().await?;
    let numbers: Vec<(u32, u64)> = stored.iter().map(|part| (part.number, part.size)).collect();
    ensure!(numbers == [(1, bytes.len() as u64)], "failed parts left {numbers:?}");
    upload.complete(&[first], None).await?;
    subject.holds("the upload after failed parts", &path, &bytes).await?;
    Ok(())
}
