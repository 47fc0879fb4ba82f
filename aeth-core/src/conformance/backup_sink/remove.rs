//! Laws of removing.

use super::SinkSubject;
use crate::ErrorKind;
use crate::backup::ObjectKind;
use crate::conformance::Check;
use crate::conformance::law::applies;
use crate::conformance::tools::fails;

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
