//! Where old versions are, and what their names say.
//!
//! The version of `a/b` that was written at one time and replaced at another is the blob
//! `.aeth-versions/a/b/<replaced>-<written>-<random>`, the times in milliseconds since 1970. A listing of the blob's
//! own prefix gives its versions in the order in which they were replaced.

use aeth_core::{BlobPath, Error, Result};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const PREFIX: &str = ".aeth-versions";
/// Two times of 13 digits, eight random hexadecimal ones, and what separates them.
const ID_LEN: usize = 13 + 1 + 13 + 1 + 8;

/// One old version of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OldVersion {
    /// Where the blob was.
    pub path: BlobPath,
    /// Its id, by which it is read and restored.
    pub id: String,
    /// When it was written.
    pub written: SystemTime,
    /// When it was replaced or deleted.
    pub replaced: SystemTime,
    /// Its length in bytes, as a listing says it.
    pub size: u64,
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    // Thirteen digits reach to the year 2286.
    u64::try_from(since).unwrap_or(u64::MAX).min(9_999_999_999_999)
}

/// The id of a version.
pub(super) fn id(written: SystemTime, replaced: SystemTime) -> Result<String> {
    Ok(format!("{:013}-{:013}-{}", millis(replaced), millis(written), crate::random::hex::<4>()?))
}

/// Where a version is.
///
/// # Errors
/// Invalid for a path that leaves no room for the rest of the name.
pub(super) fn place(path: &BlobPath, id: &str) -> Result<BlobPath> {
    BlobPath::new(format!("{PREFIX}/{path}/{id}")).map_err(|error| {
        Error::from(error).with_component("versioned").with_key(path).with_remedy(format!(
            "paths may have {} bytes here",
            BlobPath::MAX_LEN - PREFIX.len() - ID_LEN - 2
        ))
    })
}

fn parse_id(id: &str) -> Option<(SystemTime, SystemTime)> {
    let mut parts = id.split('-');
    let (replaced, written, random) = (parts.next()?, parts.next()?, parts.next()?);
    if id.len() != ID_LEN || parts.next().is_some() || random.len() != 8 {
        return None;
    }
    let time = |text: &str| UNIX_EPOCH.checked_add(Duration::from_millis(text.parse().ok()?));
    Some((time(written)?, time(replaced)?))
}

/// True for an id that this layer may have given.
pub(super) fn is_id(id: &str) -> bool {
    parse_id(id).is_some() && !id.contains('/')
}

impl OldVersion {
    /// Reads the name of a version.
    pub(super) fn parse(place: &BlobPath, size: u64) -> Option<Self> {
        let rest = place.as_str().strip_prefix(PREFIX)?.strip_prefix('/')?;
        let (path, id) = rest.rsplit_once('/')?;
        let (written, replaced) = parse_id(id)?;
        Some(Self { path: BlobPath::new(path).ok()?, id: id.to_owned(), written, replaced, size })
    }

    /// True when it was what a reader saw at a time.
    #[must_use]
    pub fn was_current_at(&self, time: SystemTime) -> bool {
        self.written <= time && time < self.replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let (written, replaced) =
            (UNIX_EPOCH + Duration::from_millis(5), UNIX_EPOCH + Duration::from_secs(7));
        let path = BlobPath::new("a/b").unwrap();
        let id = id(written, replaced).unwrap();
        let version = OldVersion::parse(&place(&path, &id).unwrap(), 3).unwrap();
        assert_eq!((version.path, version.written, version.replaced), (path, written, replaced));
        assert!(is_id(&id) && !is_id("x") && !is_id(&format!("{id}/")));
        let other = BlobPath::new(".aeth-versions/a").unwrap();
        assert!(OldVersion::parse(&other, 0).is_none());
        let long = BlobPath::new("x".repeat(1_000)).unwrap();
        assert_eq!(place(&long, &id).unwrap_err().kind(), aeth_core::ErrorKind::Invalid);
    }
}
