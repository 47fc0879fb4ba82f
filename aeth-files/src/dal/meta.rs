//! What is known about a blob, in both languages.

use super::OpendalAdapter;
use aeth_core::blob::{Attributes, BlobMeta, Capability, ETag};
use aeth_core::{BlobPath, Error, Result};
use opendal::Metadata;
use opendal::options::WriteOptions;
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

/// Names, among the metadata of the caller, of attributes that the service has no field for.
const OWN: &str = "aeth-http-";

/// The name and the place of each attribute that HTTP names.
fn fields(attributes: &mut Attributes) -> [(&'static str, &mut Option<String>); 6] {
    [
        ("content-type", &mut attributes.content_type),
        ("content-encoding", &mut attributes.content_encoding),
        ("content-language", &mut attributes.content_language),
        ("content-disposition", &mut attributes.content_disposition),
        ("cache-control", &mut attributes.cache_control),
        ("storage-class", &mut attributes.storage_class),
    ]
}

impl OpendalAdapter {
    /// What is known about a file of the service; a directory is no blob.
    pub(super) async fn find(&self, place: &str) -> Result<Metadata> {
        let found = self.call(self.operator.stat(place)).await.map_err(|error| {
            // A file that is in the way as if it were a directory.
            let in_the_way = error.kind() == aeth_core::ErrorKind::Invalid;
            if in_the_way { missing().with_source(error) } else { error }
        })?;
        if found.is_dir() { Err(missing()) } else { Ok(found) }
    }

    pub(super) fn meta(&self, path: BlobPath, found: &Metadata) -> BlobMeta {
        let modified = found.last_modified().map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
        let mut meta = BlobMeta::new(path, found.content_length(), modified);
        meta.etag = found.etag().map(ETag::new);
        meta.version = found.version().map(str::to_owned);
        meta.attributes = Some(self.attributes(found));
        meta
    }

    fn attributes(&self, found: &Metadata) -> Attributes {
        let mut attributes = Attributes::default();
        if !self.claims.has(Capability::Attributes) {
            return attributes;
        }
        attributes.content_type = found.content_type().map(str::to_owned);
        attributes.content_encoding = found.content_encoding().map(str::to_owned);
        attributes.content_disposition = found.content_disposition().map(str::to_owned);
        attributes.cache_control = found.cache_control().map(str::to_owned);
        let user = found.user_metadata().into_iter().flatten();
        let mut user: BTreeMap<String, String> =
            user.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        for (name, field) in fields(&mut attributes) {
            if let Some(value) = user.remove(&format!("{OWN}{name}")) {
                *field = Some(value);
            }
        }
        attributes.user = user;
        attributes
    }

    /// The attributes in the words of a write.
    pub(super) fn written(&self, mut attributes: Attributes) -> Result<WriteOptions> {
        let mut write = WriteOptions::default();
        if attributes.is_empty() {
            return Ok(write);
        }
        self.claims.require(Capability::Attributes)?;
        let mut user: HashMap<String, String> = std::mem::take(&mut attributes.user).into_iter().collect();
        if user.keys().any(|name| name.starts_with(OWN)) {
            return Err(Error::invalid("metadata whose names start with `aeth-http-` is the adapter's own")
                .with_remedy("choose other names"));
        }
        for (name, field) in fields(&mut attributes) {
            let place = match name {
                "content-type" if self.theirs.write_with_content_type => &mut write.content_type,
                "content-encoding" if self.theirs.write_with_content_encoding => &mut write.content_encoding,
                "content-disposition" if self.theirs.write_with_content_disposition => {
                    &mut write.content_disposition
                }
                "cache-control" if self.theirs.write_with_cache_control => &mut write.cache_control,
                _ => {
                    user.extend(field.take().map(|value| (format!("{OWN}{name}"), value)));
                    continue;
                }
            };
            *place = field.take();
        }
        write.user_metadata = Some(user).filter(|user| !user.is_empty());
        Ok(write)
    }
}

pub(super) fn missing() -> Error {
    Error::not_found("there is no such blob")
}

/// True when both describe one state, as far as the service tells.
pub(super) fn same(one: &Metadata, two: &Metadata) -> bool {
    (one.content_length(), one.etag(), one.version(), one.last_modified())
        == (two.content_length(), two.etag(), two.version(), two.last_modified())
}
