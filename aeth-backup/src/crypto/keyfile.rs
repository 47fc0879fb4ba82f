//! Key files: the master key, sealed under a key that scrypt makes from a password.

use super::{KdfParams, Key, random};
use crate::format::NodeTime;
use aeth_core::{Error, ErrorKind, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};

const SALT: usize = 64;

/// One file below `keys/`: plain JSON. A repository has one per password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyFile {
    // rustic leaves these out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<NodeTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    kdf: String,
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
    salt: String,
    data: String,
}

impl KeyFile {
    /// Seals `master` under `password`. Takes as long as `params` ask for: never call it on a runtime worker.
    pub(crate) fn create(
        master: &Key,
        password: &[u8],
        params: KdfParams,
        created: NodeTime,
        username: String,
        hostname: String,
    ) -> Result<Self> {
        let mut salt = [0; SALT];
        random(&mut salt)?;
        let sealed = params.derive(password, &salt)?.seal(&master.to_json()?)?;
        let (n, r, p) = params.numbers();
        Ok(Self {
            created: Some(created),
            username: Some(username),
            hostname: Some(hostname),
            kdf: "scrypt".into(),
            n,
            r,
            p,
            salt: BASE64_STANDARD.encode(salt),
            data: BASE64_STANDARD.encode(sealed),
        })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(crate::error::json("key file"))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(crate::error::json("key file"))
    }

    /// Opens the master key; `None` when the password is not this file's. Takes as long as creating it did.
    pub(crate) fn open(&self, password: &[u8]) -> Result<Option<Key>> {
        if self.kdf != "scrypt" {
            return Err(Error::unsupported(format!("the key file uses the unknown KDF {:?}", self.kdf)));
        }
        let broken = |_| Error::corrupt("the key file holds something that is not base64");
        let salt = BASE64_STANDARD.decode(&self.salt).map_err(broken)?;
        let sealed = BASE64_STANDARD.decode(&self.data).map_err(broken)?;
        if salt.len() != SALT {
            return Err(Error::corrupt("the key file's salt has the wrong length"));
        }
        let user = KdfParams::from_numbers(self.n, self.r, self.p)?.derive(password, &salt)?;
        match user.open(&sealed) {
            Ok(json) => Key::from_json(&zeroize::Zeroizing::new(json)).map(Some),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(None),
            Err(error) => Err(error),
        }
    }
}
