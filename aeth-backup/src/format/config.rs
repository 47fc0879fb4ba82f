//! The repository's configuration.

use crate::Id;
use crate::chunker::Polynomial;
use aeth_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The file `config`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    pub(crate) version: u32,
    pub(crate) id: Id,
    pub(crate) chunker_polynomial: Polynomial,
}

impl Config {
    /// A new repository of version 2.
    pub(crate) fn create() -> Result<Self> {
        Ok(Self { version: 2, id: Id::random()?, chunker_polynomial: Polynomial::random()? })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(crate::error::json("config"))
    }

    /// Reads and checks it.
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(json).map_err(crate::error::json("config"))?;
        if !(1..=2).contains(&version) {
            return Err(Error::unsupported(format!(
                "the repository has format version {version}; 1 and 2 are known"
            ))
            .with_remedy("upgrade to a version that reads it"));
        }
        let config: Self = serde_json::from_slice(json).map_err(crate::error::json("config"))?;
        if !config.chunker_polynomial.is_supported() || !config.chunker_polynomial.is_irreducible() {
            return Err(Error::corrupt(
                "the config's chunker polynomial is reducible or of the wrong degree",
            ));
        }
        Ok(config)
    }

    /// Version 2 compresses blobs and metadata.
    pub(crate) fn compresses(&self) -> bool {
        self.version >= 2
    }
}
