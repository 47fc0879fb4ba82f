//! Names, times, attributes and tags in both languages.

use aeth_core::blob::{Attributes, BlobTags};
use aeth_core::{BlobPath, Error, Result};
use object_store::path::Path;
use object_store::{Attribute, TagSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The greatest time that is handed out, the end of the year 9999: the other side panics far beyond it.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A path of object_store as one of ours.
///
/// # Errors
/// Invalid for the root, which is no blob, and for a path of more than 1024 bytes.
pub(super) fn inner_path(path: &Path) -> Result<BlobPath> {
    BlobPath::new(path.as_ref()).map_err(|error| Error::from(error).with_key(path))
}

/// One of our paths in object_store's language.
///
/// # Errors
/// Invalid for a path with ASCII control characters, which object_store does not take.
pub(super) fn outer_path(path: &str) -> Result<Path> {
    Path::parse(path).map_err(|error| {
        Error::invalid("the path has characters that object_store does not take")
            .with_key(path)
            .with_source(error)
            .with_remedy("percent-encode ASCII control characters, as `BlobPath::encode` does for NUL")
    })
}

/// A time that object_store can hold.
pub(super) fn outer_time(time: SystemTime) -> SystemTime {
    time.clamp(UNIX_EPOCH, UNIX_EPOCH + LATEST)
}

/// Our attributes in object_store's language.
pub(super) fn outer_attributes(attributes: &Attributes) -> object_store::Attributes {
    let named = [
        (Attribute::ContentType, &attributes.content_type),
        (Attribute::ContentEncoding, &attributes.content_encoding),
        (Attribute::ContentLanguage, &attributes.content_language),
        (Attribute::ContentDisposition, &attributes.content_disposition),
        (Attribute::CacheControl, &attributes.cache_control),
        (Attribute::StorageClass, &attributes.storage_class),
    ];
    let named = named.into_iter().filter_map(|(name, value)| value.clone().map(|value| (name, value)));
    let user =
        attributes.user.iter().map(|(name, value)| (Attribute::Metadata(name.clone().into()), value.clone()));
    named.chain(user).collect()
}

/// Attributes of object_store as ours.
///
/// # Errors
/// Unsupported for an attribute that a later version of object_store added.
pub(super) fn inner_attributes(attributes: &object_store::Attributes) -> Result<Attributes> {
    let mut made = Attributes::default();
    for (name, value) in attributes {
        let value = value.to_string();
        match name {
            Attribute::ContentType => made.content_type = Some(value),
            Attribute::ContentEncoding => made.content_encoding = Some(value),
            Attribute::ContentLanguage => made.content_language = Some(value),
            Attribute::ContentDisposition => made.content_disposition = Some(value),
            Attribute::CacheControl => made.cache_control = Some(value),
            Attribute::StorageClass => made.storage_class = Some(value),
            Attribute::Metadata(name) => {
                made.user.insert(name.clone().into_owned(), value);
            }
            other => return Err(Error::unsupported(format!("the attribute {other:?} is not known here"))),
        }
    }
    Ok(made)
}

/// Tags of object_store, which it keeps URL-encoded, as ours.
pub(super) fn inner_tags(tags: &TagSet) -> BlobTags {
    form_urlencoded::parse(tags.encoded().as_bytes()).into_owned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_tags_come_back() {
        let mut attributes = Attributes::default().with_content_type("a/b").with_user("x-1", "ü y");
        attributes.storage_class = Some("COLD".into());
        attributes.cache_control = Some("no-store".into());
        assert_eq!(inner_attributes(&outer_attributes(&attributes)).unwrap(), attributes);
        let mut tags = TagSet::default();
        tags.push("a b", "c&d=e+f");
        tags.push("ü", "");
        let wanted = [("a b", "c&d=e+f"), ("ü", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(inner_tags(&tags), BlobTags::from(wanted));
    }

    #[test]
    fn paths_that_the_other_side_lacks_are_refused() {
        assert!(inner_path(&Path::default()).is_err());
        assert!(inner_path(&Path::parse("x".repeat(1025)).unwrap()).is_err());
        assert_eq!(inner_path(&Path::from("a/b%")).unwrap().as_str(), "a/b%25");
        assert!(outer_path("a\nb").is_err());
        assert_eq!(outer_path("a/b%").unwrap().as_ref(), "a/b%");
    }
}
