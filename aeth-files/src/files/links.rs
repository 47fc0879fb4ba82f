//! URLs for others.

use super::{Files, IntoPath};
use aeth_core::Result;
use aeth_core::blob::{BlobStore, PresignMethod, PresignOptions, SignedUrl};
use std::time::Duration;

impl Files {
    /// A URL by which whoever has it reads a blob, for a while, without credentials. Treat it as a secret.
    ///
    /// # Errors
    /// `Unsupported` where the store, or a layer that guards it, makes none, and on Azure for a name that a URL has to
    /// encode; `Invalid` for an expiry out of range.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn link(&self, path: impl IntoPath, expires: Duration) -> Result<SignedUrl> {
        self.link_for(path, PresignMethod::Get, expires).await
    }

    /// A URL for another operation: a browser stores a file by one that allows to write, with the headers that come
    /// with it.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn link_for(
        &self,
        path: impl IntoPath,
        method: PresignMethod,
        expires: Duration,
    ) -> Result<SignedUrl> {
        self.store().presign(&path.into_path()?, PresignOptions::new(method, expires)).await
    }
}
