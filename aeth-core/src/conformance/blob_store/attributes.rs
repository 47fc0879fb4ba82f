//! Laws of attributes and tags.

use super::BlobSubject;
use crate::blob::{Attributes, BlobStoreExt, BlobTags, Capability, PutOptions};
use crate::conformance::law::ensure;
use crate::conformance::tools::pattern;
use crate::conformance::{Breach, Check};

/// One of each attribute that does not depend on the engine.
pub(super) fn full() -> Attributes {
    let mut attributes = Attributes::default()
        .with_content_type("text/html; charset=utf-8")
        .with_user("owner", "somebody else")
        .with_user("a-2", "x=y; \"quoted\"");
    attributes.content_encoding = Some("identity".into());
    attributes.content_language = Some("de-CH".into());
    attributes.content_disposition = Some("attachment; filename=\"report.html\"".into());
    attributes.cache_control = Some("max-age=3600".into());
    attributes
}

/// law: attributes-come-back. Attributes given to a put come back from a get and from a head, whatever the size
/// of the blob; a put without them leaves none of the caller's.
pub(super) async fn attributes_come_back(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Attributes)?;
    for size in [0, 100, 200_000] {
        let path = subject.path(format!("blob-{size}"))?;
        let bytes = pattern(1, size);
        let options = PutOptions::default().with_attributes(full());
        subject.store.put_opts(&path, bytes.clone().into(), options).await?;
        let meta = subject.holds("a blob with attributes", &path, &bytes).await?;
        same("a get", meta.attributes.as_ref(), &full())?;
        same("a head", subject.store.head(&path).await?.attributes.as_ref(), &full())?;
    }
    let path = subject.path("plain")?;
    subject.put(&path, &pattern(2, 10)).await?;
    let head = subject.store.head(&path).await?;
    let user = head.attributes.map(|attributes| attributes.user).unwrap_or_default();
    ensure!(user.is_empty(), "a put without attributes has {user:?}");
    Ok(())
}

/// Demands these attributes; the storage class is the engine's own.
pub(super) fn same(what: &str, found: Option<&Attributes>, wanted: &Attributes) -> Check {
    let Some(found) = found else {
        return Err(Breach::Failed(format!("{what} carries no attributes, though they are claimed")));
    };
    let mut found = found.clone();
    found.storage_class.clone_from(&wanted.storage_class);
    ensure!(found == *wanted, "{what}: the attributes are {found:?}, they were {wanted:?}");
    Ok(())
}

/// law: tags-come-back. Tags given to a put come back from a head; a put without them removes them.
pub(super) async fn tags_come_back(subject: &BlobSubject) -> Check {
    subject.needs(Capability::Tags)?;
    let path = subject.path("blob")?;
    let tags: BlobTags =
        [("tier", "hot"), ("owner.id", "42"), ("empty", "")].map(|(k, v)| (k.into(), v.into())).into();
    let options = PutOptions::default().with_tags(tags.clone());
    subject.store.put_opts(&path, pattern(1, 100).into(), options).await?;
    let found = subject.store.head(&path).await?.tags;
    ensure!(found.as_ref() == Some(&tags), "the tags are {found:?}, they were {tags:?}");
    subject.put(&path, &pattern(2, 100)).await?;
    let found = subject.store.head(&path).await?.tags.unwrap_or_default();
    ensure!(found.is_empty(), "the tags {found:?} of the blob that was replaced remain");
    Ok(())
}
