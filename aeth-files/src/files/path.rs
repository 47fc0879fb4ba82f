//! What is taken as a path.

use aeth_core::{BlobPath, Result};

/// What [`Files`](super::Files) takes as a path: text, which is checked, or a path that was checked before.
pub trait IntoPath: Send {
    /// The path.
    ///
    /// # Errors
    /// `Invalid` when the text is no path.
    fn into_path(self) -> Result<BlobPath>;
}

impl IntoPath for BlobPath {
    fn into_path(self) -> Result<BlobPath> {
        Ok(self)
    }
}

impl IntoPath for &BlobPath {
    fn into_path(self) -> Result<BlobPath> {
        Ok(self.clone())
    }
}

impl IntoPath for &str {
    fn into_path(self) -> Result<BlobPath> {
        BlobPath::new(self).map_err(|error| aeth_core::Error::from(error).with_key(self))
    }
}

impl IntoPath for String {
    fn into_path(self) -> Result<BlobPath> {
        self.as_str().into_path()
    }
}

impl IntoPath for &String {
    fn into_path(self) -> Result<BlobPath> {
        self.as_str().into_path()
    }
}
