//! Laws of the capability report.

use super::BlobSubject;
use crate::blob::{
    Attributes, BlobStoreExt, BlobTags, Capability, Checksum, CopyAttributes, CopyOptions, ETag, GetOptions,
    GetRange, ListOptions, PresignMethod, PresignOptions, PutMode, PutOptions,
};
use crate::conformance::Check;
use crate::conformance::law::{applies, ensure};
use crate::conformance::tools::{fails, pattern, trickle};
use crate::{Body, ErrorKind};
use std::time::Duration;

/// law: the-report-is-constant. Name and capabilities do not change over the life of the handle, and the limits
/// make sense.
pub(super) async fn the_report_is_constant(subject: &BlobSubject) -> Check {
    let (name, claims) = (subject.store.name().into_owned(), subject.capabilities());
    ensure!(!name.trim().is_empty(), "the store has no name");
    ensure!(claims.min_part >= 1 && claims.max_parts >= 1, "the limits of parts are {claims:?}");
    let depends = [
        (Capability::SuffixGet, Capability::RangeGet),
        (Capability::ResumeUploads, Capability::Uploads),
        (Capability::CopyReplace, Capability::Attributes),
    ];
    for (claimed, needed) in depends {
        ensure!(!claims.has(claimed) || claims.has(needed), "{claimed:?} is claimed without {needed:?}");
    }
    ensure!(
        !(claims.has(Capability::Uploads) && claims.has(Capability::PlainUploads)),
        "both kinds of uploads are claimed"
    );
    let path = subject.path("blob")?;
    subject.put(&path, &pattern(1, 10)).await?;
    subject.store.delete(&path).await?;
    ensure!(subject.store.name() == name, "the name changed to {:?}", subject.store.name());
    ensure!(subject.capabilities() == claims, "the report changed to {:?}", subject.capabilities());
    Ok(())
}

/// law: what-is-not-claimed-is-refused. A call that needs a capability that is not claimed fails with
/// `Unsupported` and changes nothing.
pub(super) async fn what_is_not_claimed_is_refused(subject: &BlobSubject) -> Check {
    let (path, free) = (subject.path("blob")?, subject.path("free")?);
    let bytes = pattern(1, 1000);
    subject.put(&path, &bytes).await?;
    let claims = subject.capabilities();
    for capability in Capability::ALL.into_iter().filter(|capability| !claims.has(*capability)) {
        let what = format!("a call that needs {capability:?}, which is not claimed");
        let get = GetOptions::default();
        let result = match capability {
            Capability::RangeGet => subject.store.get_opts(&path, get.with_range(0..10)).await.map(drop),
            Capability::SuffixGet => {
                subject.store.get_opts(&path, get.with_range(GetRange::Suffix(10))).await.map(drop)
            }
            Capability::ConditionalGet => {
                subject.store.get_opts(&path, get.with_if_match(ETag::new("x"))).await.map(drop)
            }
            Capability::Versions => {
                let mut get = get;
                get.version = Some("1".into());
                subject.store.get_opts(&path, get).await.map(drop)
            }
            Capability::CreateOnly => put(subject, &free, PutOptions::create()).await,
            Capability::CompareAndSwap => put(subject, &path, PutOptions::if_match(ETag::new("x"))).await,
            Capability::Attributes => {
                let attributes = Attributes::default().with_user("a", "b");
                put(subject, &free, PutOptions::default().with_attributes(attributes)).await
            }
            Capability::Tags => {
                let tags = BlobTags::from([("a".into(), "b".into())]);
                put(subject, &free, PutOptions::default().with_tags(tags)).await
            }
            Capability::Checksums => {
                put(subject, &free, PutOptions::default().with_checksum(Checksum::Crc32c(0))).await
            }
            Capability::CopyCreateOnly => {
                subject.store.copy_opts(&path, &free, CopyOptions::create()).await.map(drop)
            }
            Capability::CopyReplace => {
                let attributes = CopyAttributes::Replace(Attributes::default().with_user("a", "b"));
                let options = CopyOptions::default().with_attributes(attributes);
                subject.store.copy_opts(&path, &free, options).await.map(drop)
            }
            Capability::ListStartAfter => {
                let options = ListOptions::prefix(subject.text("")).with_start_after(subject.text("a"));
                subject.store.list_page(options).await.map(drop)
            }
            // The other kind allows the call.
            Capability::Uploads | Capability::ResumeUploads if claims.has(Capability::PlainUploads) => {
                continue;
            }
            Capability::PlainUploads if claims.has(Capability::Uploads) => continue,
            Capability::Uploads | Capability::PlainUploads => {
                subject.store.begin_upload(&free, PutOptions::default()).await.map(drop)
            }
            Capability::ResumeUploads => subject.store.resume_upload(&free, &"x".into()).await.map(drop),
            Capability::Presign => {
                let options = PresignOptions::new(PresignMethod::Get, Duration::from_secs(60));
                subject.store.presign(&path, options).await.map(drop)
            }
            // These change how calls behave, not which are possible.
            Capability::AtomicRename
            | Capability::Durable
            | Capability::Transparent
            | Capability::MultiProcess => continue,
        };
        fails(&what, result, &[ErrorKind::Unsupported])?;
        subject.holds(&what, &path, &bytes).await?;
        subject.absent(&what, &free).await?;
    }
    Ok(())
}

async fn put(subject: &BlobSubject, path: &crate::BlobPath, options: PutOptions) -> crate::Result<()> {
    subject.store.put_opts(path, pattern(2, 10).into(), options).await.map(drop)
}

/// law: large-conditions-are-honoured-or-refused. A condition on a large put holds as on a small one; above the
/// limit that the report states it may be refused with `Unsupported` instead, which changes nothing.
pub(super) async fn large_conditions_are_honoured_or_refused(subject: &BlobSubject) -> Check {
    let claims = subject.capabilities();
    applies!(
        claims.has(Capability::CreateOnly) || claims.has(Capability::CompareAndSwap),
        "no condition is claimed"
    );
    let limit = claims.max_conditional_put.unwrap_or(u64::MAX);
    let size = subject.large;
    applies!(claims.max_size.is_none_or(|most| size as u64 <= most), "the store takes no blob so large");
    let bytes = pattern(1, size);
    let modes = [
        (Capability::CreateOnly, PutMode::Create, ErrorKind::AlreadyExists),
        (Capability::CompareAndSwap, PutMode::Match(ETag::new("foreign")), ErrorKind::Precondition),
    ];
    let old = pattern(2, 10);
    for (capability, mode, refusal) in modes {
        if !claims.has(capability) {
            continue;
        }
        let path = subject.path(format!("{capability:?}"))?;
        subject.put(&path, &old).await?;
        for length in [Some(size as u64), None] {
            let body = Body::Once(trickle(&bytes, 500_000), length);
            let options = PutOptions::default().with_mode(mode.clone());
            let put = subject.store.put_opts(&path, body, options).await;
            let refusals = [refusal, ErrorKind::Unsupported];
            let wanted = if size as u64 > limit { &refusals[..] } else { &refusals[..1] };
            fails(&format!("a large put with {mode:?}"), put, wanted)?;
            subject.holds("the blob under a large refused put", &path, &old).await?;
        }
    }
    Ok(())
}

/// law: presign-gives-a-secret-url. A presigned URL is a URL, its `Debug` does not show it, and an expiry of
/// nothing is `Invalid`.
pub(super) async fn presign_gives_a_secret_url(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Presign)?;
    let path = subject.path("blob")?;
    subject.put(&path, &pattern(1, 10)).await?;
    for method in [PresignMethod::Get, PresignMethod::Put, PresignMethod::Head, PresignMethod::Delete] {
        let signed =
            subject.store.presign(&path, PresignOptions::new(method, Duration::from_secs(60))).await?;
        ensure!(signed.url.contains("://"), "the URL for {method:?} is no URL");
        ensure!(!format!("{signed:?}").contains(&signed.url), "the URL for {method:?} shows in Debug");
        let never = subject.store.presign(&path, PresignOptions::new(method, Duration::ZERO)).await;
        fails("an expiry of nothing", never, &[ErrorKind::Invalid])?;
    }
    Ok(())
}

/// law: two-handles-see-one-store. What one handle acknowledges, another one on the same storage reads, lists and
/// no longer finds after a delete.
pub(super) async fn two_handles_see_one_store(subject: &BlobSubject) -> Check {
    let Some(other) = &subject.other else {
        applies!(false, "no second handle was given");
        return Ok(());
    };
    subject.needs_strong()?;
    let path = subject.path("blob")?;
    for round in 0..5 {
        let bytes = pattern(round, 3000);
        subject.put(&path, &bytes).await?;
        let read = other.get_bytes(&path).await?;
        ensure!(read == bytes, "the second handle reads an older state");
        let bytes = pattern(round + 100, 3000);
        other.put(&path, bytes.clone()).await?;
        subject.holds("what the second handle put", &path, &bytes).await?;
        let page = other.list_page(ListOptions::prefix(subject.text(""))).await?;
        ensure!(page.blobs.len() == 1, "the second handle lists {} blobs", page.blobs.len());
        other.delete(&path).await?;
        subject.absent("what the second handle deleted", &path).await?;
    }
    Ok(())
}
