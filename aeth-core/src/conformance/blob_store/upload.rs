//! Laws of uploads in parts.

use super::BlobSubject;
use super::attributes::{full, same};
use crate::blob::{BlobStoreExt, Capability, Part, PutOptions, Upload};
use crate::conformance::law::ensure;
use crate::conformance::tools::{fails, once, pattern};
use crate::conformance::{Breach, Check};
use crate::{Body, ErrorKind};
use bytes::{Bytes, BytesMut};

/// A part of a size that the store takes, different for each seed.
pub(super) fn part(subject: &BlobSubject, seed: u64) -> Result<Bytes, Breach> {
    let least = subject.capabilities().min_part.max(70_000);
    crate::conformance::law::applies!(least <= 64 << 20, "the least part has {least} bytes");
    Ok(pattern(seed, usize::try_from(least + seed).unwrap_or_default()))
}

/// law: an-upload-joins-its-parts. Parts stored in any order, some more than once and some at the same time, are
/// joined in the order of their numbers; the listing of parts tells what is stored.
pub(super) async fn an_upload_joins_its_parts(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Uploads)?;
    let path = subject.path("blob")?;
    let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
    let none = upload.list_parts().await?;
    ensure!(none.is_empty(), "a new upload has the parts {none:?}");
    let (one, two, nine) = (part(subject, 1)?, part(subject, 2)?, pattern(9, 1000));
    upload.put_part(2, Body::Bytes(part(subject, 7)?)).await?;
    let body = once(&nine, 300);
    let (ninth, first) =
        futures_util::join!(upload.put_part(9, body), upload.put_part(1, one.clone().into()));
    let second = upload.put_part(2, once(&two, 30_000)).await?;
    let parts = [first?, second, ninth?];
    for (part, (number, bytes)) in parts.iter().zip([(1, &one), (2, &two), (9, &nine)]) {
        ensure!(
            part.number == number && part.size == bytes.len() as u64,
            "part {number} of {} bytes was acknowledged as {part:?}",
            bytes.len()
        );
    }
    let stored: Vec<(u32, u64)> =
        upload.list_parts().await?.iter().map(|part| (part.number, part.size)).collect();
    let wanted: Vec<(u32, u64)> = parts.iter().map(|part| (part.number, part.size)).collect();
    ensure!(stored == wanted, "the parts stored are {stored:?}, they are {wanted:?}");
    let put = upload.complete(&parts, None).await?;
    let whole = BytesMut::from_iter([one, two, nine].concat()).freeze();
    let meta = subject.holds("the completed upload", &path, &whole).await?;
    ensure!(
        put.etag.is_none() || put.etag == meta.etag,
        "the completion gave the mark {:?}, a read gives {:?}",
        put.etag,
        meta.etag
    );
    upload.abort().await?;
    subject.holds("a completed upload after an abort", &path, &whole).await?;
    Ok(())
}

/// law: an-upload-is-invisible-until-complete. Until then readers and listings see what was there before; only
/// the parts named at completion are joined.
pub(super) async fn an_upload_is_invisible_until_complete(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Uploads)?;
    let (taken, free) = (subject.path("taken")?, subject.path("free")?);
    let old = pattern(1, 100);
    subject.put(&taken, &old).await?;
    for path in [&taken, &free] {
        let upload = subject.store.begin_upload(path, PutOptions::default()).await?;
        let bytes = part(subject, 2)?;
        let first = upload.put_part(1, bytes.clone().into()).await?;
        upload.put_part(2, part(subject, 3)?.into()).await?;
        let listed = subject.listed("").await?;
        for meta in &listed {
            let known = meta.path == taken || meta.path == free;
            ensure!(known, "the upload shows {:?} in listings", meta.path);
        }
        if path == &taken {
            subject.holds("the blob during an upload", path, &old).await?;
        } else {
            subject.absent("the path during an upload", path).await?;
        }
        upload.complete(&[first], None).await?;
        subject.holds("the upload completed with one of its parts", path, &bytes).await?;
    }
    Ok(())
}

/// law: an-upload-keeps-its-options. The attributes given at the beginning are those of the blob.
pub(super) async fn an_upload_keeps_its_options(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Uploads)?;
    subject.needs(Capability::Attributes)?;
    let path = subject.path("blob")?;
    let options = PutOptions::default().with_attributes(full());
    let upload = subject.store.begin_upload(&path, options).await?;
    let bytes = pattern(1, 100);
    let part = upload.put_part(1, bytes.clone().into()).await?;
    upload.complete(&[part], None).await?;
    let meta = subject.holds("the completed upload", &path, &bytes).await?;
    same("the completed upload", meta.attributes.as_ref(), &full())
}

/// law: an-upload-can-be-resumed. Its id finds it again with its parts; an id that is none is `NotFound`.
pub(super) async fn an_upload_can_be_resumed(subject: &BlobSubject) -> Check {
    subject.needs(Capability::ResumeUploads)?;
    let path = subject.path("blob")?;
    let (one, two) = (part(subject, 1)?, pattern(2, 500));
    let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
    let id = upload.id();
    upload.put_part(1, one.clone().into()).await?;
    drop(upload);
    let store = subject.handle(1);
    let upload = store.resume_upload(&path, &id).await?;
    ensure!(upload.id() == id, "a resumed upload has the id {:?}, it was {id:?}", upload.id());
    upload.put_part(2, two.clone().into()).await?;
    let parts = upload.list_parts().await?;
    upload.complete(&parts, None).await?;
    let whole = Bytes::from([one, two].concat());
    subject.holds("the resumed upload", &path, &whole).await?;
    let again = store.resume_upload(&path, &id).await;
    over("a resumed upload that was completed", again).await?;
    let foreign = store.resume_upload(&path, &"no-such-upload".into()).await;
    over("an upload that never was", foreign).await
}

/// law: an-upload-can-be-aborted. An abort removes the parts and leaves the blob; it may be repeated; the upload
/// is no more.
pub(super) async fn an_upload_can_be_aborted(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Uploads)?;
    let path = subject.path("blob")?;
    let old = pattern(1, 100);
    subject.put(&path, &old).await?;
    let upload = subject.store.begin_upload(&path, PutOptions::default()).await?;
    let stored = upload.put_part(1, part(subject, 1)?.into()).await?;
    upload.abort().await?;
    upload.abort().await?;
    let late = upload.put_part(2, pattern(2, 10).into()).await;
    fails("a part after the abort", late, &[ErrorKind::NotFound])?;
    let complete = upload.complete(&[stored], None).await;
    fails("a completion after the abort", complete, &[ErrorKind::NotFound, ErrorKind::Invalid])?;
    subject.holds("the blob after an aborted upload", &path, &old).await?;
    let listed = subject.listed("").await?;
    ensure!(listed.len() == 1, "an aborted upload left {} entries in the listing", listed.len() - 1);
    if subject.capabilities().has(Capability::ResumeUploads) {
        over("an aborted upload", subject.store.resume_upload(&path, &upload.id()).await).await?;
    }
    subject.store.delete(&path).await?;
    Ok(())
}

/// Demands that an upload is no more: some engines tell only when it is asked for its parts.
async fn over(what: &str, resumed: crate::Result<Box<dyn Upload>>) -> Check {
    let parts: crate::Result<Vec<Part>> = match resumed {
        Ok(upload) => upload.list_parts().await,
        Err(error) => Err(error),
    };
    fails(what, parts, &[ErrorKind::NotFound]).map(drop)
}
