//! Laws of removing.

use super::SinkSubject;
use crate::ErrorKind;
use crate::backup::ObjectKind;
use crate::conformance::Check;
use crate::conformance::law::applies;
use crate::conformance::tools::fails;
use std::time::{Duration, UNIX_EPOCH};

/// law: remove-takes-exactly-its-objects. The objects named are gone, others stay; missing, repeated and no
/// objects are success; what was removed can be written again.
pub(super) async fn remove_takes_exactly_its_objects(subject: &SinkSubject) -> Check {
    for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Config) {
        if !subject.removes(kind) {
            continue;
        }
        let (gone, bytes) = subject.object(kind, 1, 100);
        let (kept, other) = subject.object(kind, 2, 100);
        let (never, _) = subject.object(kind, 3, 100);
        subject.sink.write(&gone, bytes.clone()).await?;
        subject.sink.write(&kept, other.clone()).await?;
        subject.sink.remove(&[never, gone.clone(), gone.clone()]).await?;
        subject.sink.remove(std::slice::from_ref(&gone)).await?;
        subject.sink.remove(&[]).await?;
        subject.absent("a removed object", &gone).await?;
        subject.holds("an object beside a removed one", &kept, &other).await?;
        subject.sink.write(&gone, bytes.clone()).await?;
        subject.holds("an object written again after its removal", &gone, &bytes).await?;
    }
    Ok(())
}

/// law: append-only-keeps-what-lasts. In append-only mode removing anything but locks and sidecars is `Denied`
/// and changes nothing.
pub(super) async fn append_only_keeps_what_lasts(subject: &SinkSubject) -> Check {
    applies!(subject.sink.capabilities().append_only, "the sink is not append-only");
    for kind in ObjectKind::ALL.into_iter().filter(|kind| kind.is_content_named() && !kind.is_transient()) {
        let (id, bytes) = subject.object(kind, 1, 100);
        subject.sink.write(&id, bytes.clone()).await?;
        let removed = subject.sink.remove(std::slice::from_ref(&id)).await;
        fails(&format!("removing a {kind:?}"), removed, &[ErrorKind::Denied])?;
        subject.holds("an object of an append-only sink", &id, &bytes).await?;
    }
    Ok(())
}

/// law: keeping-is-not-pretended. A sink that cannot keep objects from being destroyed says `Unsupported`; one that
/// can does not keep what is not there.
pub(super) async fn keeping_is_not_pretended(subject: &SinkSubject) -> Check {
    // The year 2100: no store takes a time that has passed.
    let until = UNIX_EPOCH + Duration::from_secs(4_102_444_800);
    let (there, bytes) = subject.object(ObjectKind::Pack, 1, 100);
    let (missing, _) = subject.object(ObjectKind::Pack, 2, 100);
    subject.sink.write(&there, bytes).await?;
    if subject.sink.capabilities().object_lock {
        let kept = subject.sink.keep_until(&[missing], until).await;
        return fails("keeping what is not there", kept, &[ErrorKind::NotFound]).map(drop);
    }
    let kept = subject.sink.keep_until(&[there], until).await;
    fails("keeping without the capability", kept, &[ErrorKind::Unsupported]).map(drop)
}
