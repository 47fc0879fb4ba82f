//! Laws of uploads on stores that have no more than the engines of clouds.

use super::BlobSubject;
use super::attributes::{full, same};
use super::upload::part;
use crate::ErrorKind;
use crate::blob::{BlobStoreExt, Capability, PutMode, PutOptions};
use crate::conformance::Check;
use crate::conformance::tools::{fails, pattern};
use bytes::Bytes;

/// law: a-plain-upload-joins-its-parts. Parts stored in any order, through the handle or by the id, are joined in
/// the order of their numbers; until then nothing is seen, and after an abort nothing has changed.
pub(super) async fn a_plain_upload_joins_its_parts(subject: &BlobSubject) -> Check {
    subject.needs(Capability::PlainUploads)?;
    let path = subject.path("blob")?;
    let old = pattern(1, 100);
    subject.put(&path, &old).await?;
    let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
    let (one, two, three) = (part(subject, 1)?, part(subject, 2)?, pattern(3, 1000));
    let third = upload.put_part(3, three.clone().into()).await?;
    let first = upload.put_part(1, one.clone().into()).await?;
    let resumed = subject.handle(1).resume_upload(&path, &upload.id()).await?;
    let second = resumed.put_part(2, two.clone().into()).await?;
    subject.holds("the blob during an upload", &path, &old).await?;
    resumed.complete(&[first, second, third], None).await?;
    let whole = Bytes::from([one, two, three].concat());
    subject.holds("the completed upload", &path, &whole).await?;
    let aborted = subject.store.begin_upload(&path, PutOptions::default()).await?;
    aborted.put_part(1, part(subject, 4)?.into()).await?;
    aborted.abort().await?;
    aborted.abort().await?;
    let late = aborted.put_part(2, pattern(2, 10).into()).await;
    fails("a part after the abort", late, &[ErrorKind::NotFound])?;
    subject.holds("the blob after an aborted upload", &path, &whole).await?;
    subject.store.delete(&path).await?;
    Ok(())
}

/// law: a-plain-upload-refuses-what-it-cannot. A listing of parts and a condition are `Unsupported`, a gap and part 0
/// are `Invalid`, attributes are kept or `Unsupported`; what is refused changes nothing.
pub(super) async fn a_plain_upload_refuses_what_it_cannot(subject: &BlobSubject) -> Check {
    subject.needs(Capability::PlainUploads)?;
    let (path, free) = (subject.path("blob")?, subject.path("free")?);
    let begun = subject.store.begin_upload(&free, PutOptions::create()).await;
    fails("an upload that must create", begun, &[ErrorKind::Unsupported])?;
    let upload = subject.store.begin_upload(&free, PutOptions::default()).await?;
    fails("part 0", upload.put_part(0, pattern(1, 10).into()).await, &[ErrorKind::Invalid])?;
    let first = upload.put_part(1, part(subject, 1)?.into()).await?;
    let third = upload.put_part(3, pattern(3, 10).into()).await?;
    fails("a listing of parts", upload.list_parts().await, &[ErrorKind::Unsupported])?;
    let complete = upload.complete(&[first.clone(), third], None).await;
    fails("a completion with a gap", complete, &[ErrorKind::Invalid])?;
    let complete = upload.complete(&[first], Some(PutMode::Create)).await;
    fails("a completion that must create", complete, &[ErrorKind::Unsupported])?;
    upload.abort().await?;
    subject.absent("the path of refused completions", &free).await?;
    if !subject.capabilities().has(Capability::Attributes) {
        return Ok(());
    }
    match subject.store.begin_upload(&path, PutOptions::default().with_attributes(full())).await {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        begun => {
            let upload = begun?;
            let bytes = pattern(1, 100);
            let part = upload.put_part(1, bytes.clone().into()).await?;
            upload.complete(&[part], None).await?;
            let meta = subject.holds("the completed upload", &path, &bytes).await?;
            same("the completed upload", meta.attributes.as_ref(), &full())
        }
    }
}
