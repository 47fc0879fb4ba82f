//! Cache keys.

use super::InvalidName;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Keys up to this length are held in place: most are that short, and a look-up makes one.
const INLINE: usize = 30;

/// A cache key: 1 to 512 bytes, any bytes.
///
/// Keys order and hash by their bytes. One of up to 30 bytes takes no memory of its own; cloning a longer one is a
/// reference count.
///
/// ```
/// use aeth_core::Key;
/// let key = Key::new("user:42")?;
/// assert_eq!(key.as_bytes(), b"user:42");
/// assert!(Key::new("").is_err());
/// # Ok::<(), aeth_core::InvalidName>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Key(Held);

#[derive(Clone)]
enum Held {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Arc<[u8]>),
}

impl Key {
    /// The greatest length in bytes.
    pub const MAX_LEN: usize = 512;

    /// Takes the bytes as a key.
    ///
    /// # Errors
    /// [`InvalidName::Empty`] and [`InvalidName::TooLong`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, InvalidName> {
        let bytes = bytes.as_ref();
        Self::check(bytes)?;
        Ok(Self(match u8::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= INLINE => {
                let mut inline = [0; INLINE];
                inline[..bytes.len()].copy_from_slice(bytes);
                Held::Inline { length, bytes: inline }
            }
            _ => Held::Shared(bytes.into()),
        }))
    }

    /// Checks borrowed bytes without making a key, for look-ups that must not allocate.
    ///
    /// # Errors
    /// [`InvalidName::Empty`] and [`InvalidName::TooLong`].
    pub fn check(bytes: &[u8]) -> Result<(), InvalidName> {
        match bytes.len() {
            0 => Err(InvalidName::Empty { what: "key" }),
            length if length > Self::MAX_LEN => {
                Err(InvalidName::TooLong { what: "key", length, limit: Self::MAX_LEN })
            }
            _ => Ok(()),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Held::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Held::Shared(bytes) => bytes,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for Key {
    /// As its bytes, by which it can be borrowed.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Key {
    /// Printable ASCII as it is, everything else escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_bytes().escape_ascii(), f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.as_bytes().escape_ascii())
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl TryFrom<&str> for Key {
    type Error = InvalidName;
    fn try_from(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl TryFrom<Vec<u8>> for Key {
    type Error = InvalidName;
    fn try_from(bytes: Vec<u8>) -> Result<Self, InvalidName> {
        Self::new(bytes)
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.as_bytes().to_vec()
    }
}
