//! Namespaces.

use super::InvalidName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The name of a group of cache keys: 1 to 64 of `a-z`, `A-Z`, `0-9`, `-`, `_` and `.`.
///
/// The alphabet is safe in Redis keys, SQL identifiers, file names and metric labels. Cloning one is a
/// reference count.
///
/// ```
/// use aeth_core::Namespace;
/// assert_eq!(Namespace::new("users")?.as_str(), "users");
/// assert!(Namespace::new("users:42").is_err());
/// # Ok::<(), aeth_core::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// The greatest length in bytes.
    pub const MAX_LEN: usize = 64;

    /// Takes the text as a namespace.
    ///
    /// # Errors
    /// [`InvalidName::Empty`], [`InvalidName::TooLong`] and [`InvalidName::Character`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        check_label("namespace", text, Self::MAX_LEN)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_label(what: &'static str, text: &str, limit: usize) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty { what });
    }
    if text.len() > limit {
        return Err(InvalidName::TooLong { what, length: text.len(), limit });
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))) {
        Some(character) => Err(InvalidName::Character {
            what,
            character,
            allowed: "only ASCII letters, digits, `-`, `_` and `.` are allowed",
        }),
        None => Ok(()),
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({})", self.0)
    }
}

impl AsRef<str> for Namespace {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Namespace {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Namespace {
    type Error = InvalidName;
    fn try_from(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<Namespace> for String {
    fn from(namespace: Namespace) -> Self {
        namespace.0.as_ref().into()
    }
}
