//! Validated names: namespaces, cache keys, blob paths, tags.
//!
//! Each is checked on every way in, deserialising included, so that a component that holds one never checks
//! again.

mod key;
mod namespace;
mod path;
mod tag;

pub use key::Key;
pub use namespace::Namespace;
pub use path::BlobPath;
pub use tag::Tag;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name is empty.
    #[error("the {what} is empty")]
    Empty {
        /// Which sort of name it was.
        what: &'static str,
    },
    /// The name is longer than allowed.
    #[error("the {what} has {length} bytes, at most {limit} are allowed")]
    TooLong {
        /// Which sort of name it was.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The name holds a character that is not allowed.
    #[error("the {what} holds the character {character:?}, {allowed}")]
    Character {
        /// Which sort of name it was.
        what: &'static str,
        /// The offending character.
        character: char,
        /// What is allowed instead.
        allowed: &'static str,
    },
    /// A path has an empty, `.` or `..` segment, or starts or ends with a slash.
    #[error("the path has the segment {segment:?}; empty, `.` and `..` segments are not allowed")]
    Segment {
        /// The offending segment.
        segment: String,
    },
}

impl From<InvalidName> for crate::Error {
    fn from(error: InvalidName) -> Self {
        Self::invalid(error.to_string())
    }
}
