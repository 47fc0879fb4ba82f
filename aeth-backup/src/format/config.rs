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
    /// A new repository's.
    pub(crate) fn create(options: &crate::repo::RepositoryOptions) -> Result<Self> {
        let version = options.version;
        if !(1..=2).contains(&version) {
            return Err(Error::invalid(format!("a repository cannot be made with format version {version}"))
                .with_operation("init")
                .with_remedy("choose 2, or 1 for tools that do not know compression"));
        }
        let chunker_polynomial = match options.chunker {
            Some(polynomial) => polynomial,
            None => Polynomial::random()?,
        };
        Ok(Self { version, id: Id::random()?, chunker_polynomial })
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

#[cfg(test)]
mod tests {
    use super::*;
    use aeth_core::ErrorKind;

    #[test]
    fn versions() {
        let options = crate::RepositoryOptions::default();
        for version in [1, 2] {
            let config = Config::create(&options.clone().version(version)).unwrap();
            let read = Config::parse(&config.encode().unwrap()).unwrap();
            assert_eq!((read.version, read.compresses()), (version, version == 2));
        }
        assert_eq!(Config::create(&options.clone().version(3)).unwrap_err().kind(), ErrorKind::Invalid);
        // A newer one may have anything else in it.
        let newer = Config::parse(br#"{"version":3,"id":"something new"}"#).unwrap_err();
        assert!(newer.kind() == ErrorKind::Unsupported && newer.remedy().is_some(), "{newer:?}");
        let reducible = br#"{"version":2,"id":"0101010101010101010101010101010101010101010101010101010101010101","chunker_polynomial":"20000000000000"}"#;
        assert_eq!(Config::parse(reducible).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
