//! Cache keys.

use super::InvalidName;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;

/// A cache key: 1 to 512 bytes, any bytes.
///
/// Keys order and hash by their bytes. Cloning one is a reference count.
///
/// ```
/// use aeth_core::Key;
/// let key = Key::new("user:42")?;
/// assert_eq!(key.as_bytes(), b"user:42");
/// assert!(Key::new("").is_err());
/// # Ok::<(), aeth_core::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct Key(Bytes);

impl Key {
    /// The greatest length in bytes.
    pub const MAX_LEN: usize = 512;

    /// Takes the bytes as a key.
    ///
    /// # Errors
    /// [`InvalidName::Empty`] and [`InvalidName::TooLong`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, InvalidName> {
        Self::check(bytes.as_ref())?;
        Ok(Self(Bytes::copy_from_slice(bytes.as_ref())))
    }

    /// Takes the bytes as a key without copying them.
    ///
    /// # Errors
    /// [`InvalidName::Empty`] and [`InvalidName::TooLong`].
    pub fn from_bytes(bytes: Bytes) -> Result<Self, InvalidName> {
        Self::check(&bytes)?;
        Ok(Self(bytes))
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
        &self.0
    }

    /// The bytes as a shared buffer.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl fmt::Display for Key {
    /// Printable ASCII as it is, everything else escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.escape_ascii(), f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
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
        Self::from_bytes(bytes.into())
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.0.to_vec()
    }
}
