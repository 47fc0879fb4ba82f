//! The objects of a backup repository.

use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// What an object is; it decides how it is named and who may remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ObjectKind {
    /// The repository's one configuration.
    Config,
    /// A wrapped key, named by its content.
    Key,
    /// A pack of sealed blobs, named by its content.
    Pack,
    /// An index of packs, named by its content.
    Index,
    /// A restore point, named by its content.
    Snapshot,
    /// A lock, named by its content; removable even in append-only mode.
    Lock,
    /// A file of ours beside the repository, which standard tools ignore; named freely, replaceable.
    Sidecar,
}

impl ObjectKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Config, Self::Key, Self::Pack, Self::Index, Self::Snapshot, Self::Lock, Self::Sidecar];

    /// True when the name is the SHA-256 of the content.
    #[must_use]
    pub fn is_content_named(self) -> bool {
        !matches!(self, Self::Config | Self::Sidecar)
    }

    /// True when objects of this kind may be removed even where the sink is append-only.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Lock | Self::Sidecar)
    }
}

/// The name of one object of a repository.
///
/// Content-named kinds have 64 lower-case hexadecimal digits; the configuration has no name of its own; a
/// sidecar has 1 to 200 of `a-z`, `0-9`, `-`, `_`, `.` and `/` (no empty, `.` or `..` segment).
///
/// It may carry a hint for sinks that keep what is read often apart from what is only kept
/// ([`is_metadata`](Self::is_metadata)); two names that differ in the hint alone are the same name.
#[derive(Clone)]
pub struct ObjectId {
    kind: ObjectKind,
    name: Arc<str>,
    metadata: bool,
}

impl PartialEq for ObjectId {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }
}

impl Eq for ObjectId {}

impl std::hash::Hash for ObjectId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.kind, &self.name).hash(state);
    }
}

impl PartialOrd for ObjectId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ObjectId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.kind, &self.name).cmp(&(other.kind, &other.name))
    }
}

impl ObjectId {
    /// The configuration.
    #[must_use]
    pub fn config() -> Self {
        Self { kind: ObjectKind::Config, name: "config".into(), metadata: false }
    }

    /// An object of a content-named kind, by the SHA-256 of its content.
    #[must_use]
    pub fn content(kind: ObjectKind, hash: &[u8; 32]) -> Self {
        use fmt::Write;
        let name = hash.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing into a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Self { kind, name: name.into(), metadata: false }
    }

    /// The same name with the hint that the object is read in most operations, although its kind does not say so: a
    /// pack of trees.
    #[must_use]
    pub fn as_metadata(mut self) -> Self {
        self.metadata = true;
        self
    }

    /// True when most operations read the object: everything but packs, and packs that were
    /// [said to be so](Self::as_metadata).
    #[must_use]
    pub fn is_metadata(&self) -> bool {
        self.metadata || self.kind != ObjectKind::Pack
    }

    /// Takes a name as it stands in the sink.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) when it is not a name of that kind.
    pub fn parse(kind: ObjectKind, name: &str) -> Result<Self> {
        let valid = match kind {
            ObjectKind::Config => name == "config",
            ObjectKind::Sidecar => {
                (1..=200).contains(&name.len())
                    && name
                        .bytes()
                        .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/'))
                    && !name.split('/').any(|segment| matches!(segment, "" | "." | ".."))
            }
            _ => name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        };
        if !valid {
            return Err(Error::invalid(format!("not the name of a {kind:?} object")).with_key(name));
        }
        Ok(Self { kind, name: name.into(), metadata: false })
    }

    /// What the object is.
    #[must_use]
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// Its name within its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hash that a content-named object is named by.
    #[must_use]
    pub fn hash(&self) -> Option<[u8; 32]> {
        if !self.kind.is_content_named() {
            return None;
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(self.name.as_bytes().chunks_exact(2)) {
            let text = std::str::from_utf8(digits).ok()?;
            *byte = u8::from_str_radix(text, 16).ok()?;
        }
        Some(hash)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.kind, self.name)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({:?}/{})", self.kind, self.name)
    }
}

/// A listed object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectMeta {
    /// Its name.
    pub id: ObjectId,
    /// Its length in bytes.
    pub size: u64,
}

impl ObjectMeta {
    /// Puts one together.
    #[must_use]
    pub fn new(id: ObjectId, size: u64) -> Self {
        Self { id, size }
    }
}
