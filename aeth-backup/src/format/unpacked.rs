//! Files that are not packs: config, index, snapshots, locks.

use super::compress::{compress_file, decompress_file};
use crate::crypto::Key;
use aeth_core::{Error, Result};
use bytes::Bytes;

/// Marks zstd behind it; what begins with `{` or `[` is bare JSON, as repositories of version 1 have it.
const COMPRESSED: u8 = 2;

/// Seals a file; `compressed` is false for the config file and in repositories of version 1.
pub(crate) fn seal_unpacked(key: &Key, json: &[u8], compressed: bool) -> Result<Bytes> {
    if !compressed {
        return Ok(key.seal(json)?.into());
    }
    let mut plain = vec![COMPRESSED];
    compress_file(json, &mut plain)?;
    Ok(key.seal(&plain)?.into())
}

/// Opens a file.
pub(crate) fn open_unpacked(key: &Key, sealed: &[u8]) -> Result<Vec<u8>> {
    let plain = key.open(sealed)?;
    match plain.split_first() {
        Some((b'{' | b'[', _)) => Ok(plain),
        Some((&COMPRESSED, rest)) => decompress_file(rest),
        _ => Err(Error::unsupported("the file has an encoding of a newer format")
            .with_remedy("upgrade to a version that reads it")),
    }
}
