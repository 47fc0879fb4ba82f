//! Where a secret comes from.

use aeth_core::{Result, Secret};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a secret comes from; settings never hold one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum SecretSource {
    /// A file; one trailing line end is not part of the secret.
    File(PathBuf),
    /// An environment variable, by its name.
    Env(String),
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// Those of [`Secret::from_file`] and [`Secret::from_env`].
    pub fn read(&self) -> Result<Secret> {
        match self {
            Self::File(path) => Secret::from_file(path),
            Self::Env(name) => Secret::from_env(name),
        }
    }
}
