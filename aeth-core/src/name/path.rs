//! Paths of blobs.

use super::InvalidName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The path of a blob inside a store.
///
/// Invariants:
/// - UTF-8, 1 to 1024 bytes (the limit of S3);
/// - segments separated by single `/`, none of them empty, `.` or `..`; no leading or trailing slash;
/// - no NUL.
///
/// Paths order and hash by their bytes, which is the order in which stores list them. Cloning one is a
/// reference count. Names from outside that may break these rules go through [`BlobPath::encode`].
///
/// ```
/// use aeth_core::BlobPath;
/// let path = BlobPath::new("avatars/42.png")?;
/// assert_eq!(path.file_name(), "42.png");
/// assert_eq!(path.parent().unwrap().as_str(), "avatars");
/// assert!(BlobPath::new("../etc/passwd").is_err());
/// assert_eq!(BlobPath::encode(b"caf\xe9/..")?.as_str(), "caf%E9/%2E%2E");
/// # Ok::<(), aeth_core::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobPath(Arc<str>);

impl BlobPath {
    /// The greatest length in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Takes the text as a path.
    ///
    /// # Errors
    /// [`InvalidName`] when one of the invariants does not hold.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(InvalidName::Empty { what: "path" });
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidName::TooLong { what: "path", length: text.len(), limit: Self::MAX_LEN });
        }
        if text.contains('\0') {
            let allowed = "NUL is not allowed";
            return Err(InvalidName::Character { what: "path", character: '\0', allowed });
        }
        match text.split('/').find(|segment| matches!(*segment, "" | "." | "..")) {
            Some(segment) => Err(InvalidName::Segment { segment: segment.into() }),
            None => Ok(Self(text.into())),
        }
    }

    /// Makes a path from any bytes, percent-encoding what a path may not hold: bytes that are not UTF-8, NUL,
    /// `%` itself, and the dots of `.` and `..` segments. [`BlobPath::decode`] gives the bytes back.
    ///
    /// # Errors
    /// [`InvalidName::Empty`], [`InvalidName::TooLong`] (after encoding) and [`InvalidName::Segment`] for an
    /// empty segment.
    pub fn encode(bytes: &[u8]) -> Result<Self, InvalidName> {
        let mut text = String::with_capacity(bytes.len());
        for (i, segment) in bytes.split(|byte| *byte == b'/').enumerate() {
            if i > 0 {
                text.push('/');
            }
            if segment == b"." || segment == b".." {
                segment.iter().for_each(|_| text.push_str("%2E"));
                continue;
            }
            for chunk in segment.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '%' => text.push_str("%25"),
                        '\0' => text.push_str("%00"),
                        c => text.push(c),
                    }
                }
                for byte in chunk.invalid() {
                    text.push_str(&format!("%{byte:02X}"));
                }
            }
        }
        Self::new(text)
    }

    /// The bytes that [`BlobPath::encode`] was given; a path that it did not make comes back as it is, with
    /// its valid `%XX` triples decoded.
    #[must_use]
    pub fn decode(&self) -> Vec<u8> {
        let bytes = self.0.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut i = 0;
        while i < bytes.len() {
            let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
            match (bytes[i], hex(i + 1), hex(i + 2)) {
                (b'%', Some(high), Some(low)) => {
                    out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
                    i += 3;
                }
                (byte, ..) => {
                    out.push(byte);
                    i += 1;
                }
            }
        }
        out
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Everything before the last segment; `None` for a path of one segment.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// This path with more segments behind it.
    ///
    /// # Errors
    /// [`InvalidName`] when `rest` is not a path or the whole grows too long.
    pub fn join(&self, rest: impl AsRef<str>) -> Result<Self, InvalidName> {
        Self::new(format!("{}/{}", self.0, rest.as_ref()))
    }

    /// The segments.
    #[must_use = "iterators are lazy"]
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobPath({:?})", &*self.0)
    }
}

impl AsRef<str> for BlobPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for BlobPath {
    /// Paths order and hash as their text does.
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BlobPath {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl TryFrom<&str> for BlobPath {
    type Error = InvalidName;
    fn try_from(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<BlobPath> for String {
    fn from(path: BlobPath) -> Self {
        path.0.as_ref().into()
    }
}

impl std::str::FromStr for BlobPath {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}
