//! Tags of cache entries.

use super::InvalidName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A label by which cache entries are invalidated together: 1 to 128 bytes of UTF-8 without control
/// characters.
///
/// ```
/// use aeth_core::Tag;
/// assert_eq!(Tag::new("tenant:7")?.as_str(), "tenant:7");
/// # Ok::<(), aeth_core::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    /// The greatest length in bytes.
    pub const MAX_LEN: usize = 128;

    /// Takes the text as a tag.
    ///
    /// # Errors
    /// [`InvalidName::Empty`], [`InvalidName::TooLong`] and [`InvalidName::Character`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
        let text = text.as_ref();
        if text.is_empty() {
            return Err(InvalidName::Empty { what: "tag" });
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidName::TooLong { what: "tag", length: text.len(), limit: Self::MAX_LEN });
        }
        if let Some(character) = text.chars().find(|c| c.is_control()) {
            let allowed = "control characters are not allowed";
            return Err(InvalidName::Character { what: "tag", character, allowed });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.0)
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Tag {
    type Error = InvalidName;
    fn try_from(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0.as_ref().into()
    }
}
