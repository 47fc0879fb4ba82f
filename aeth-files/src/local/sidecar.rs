//! What a blob says about itself, kept beside it.
//!
//! A blob with attributes, tags or a checksum has a file of JSON in `.aeth/meta/`, named by the hash of its path.
//! It holds a record for the blob's present state and, while a write is under way, one for the next: each names
//! the stamp and the length of the file that it belongs to. A write first puts both records there, then renames
//! the data: whatever is interrupted, data and record match, and a record without data is ignored. A reader
//! takes the record of the very file that it has open.

use super::error::{COMPONENT, io};
use super::names::digest;
use super::read::{Fail, Step, read_all};
use super::root::{Root, Wait};
use super::stamp::Stamp;
use super::temp::Temps;
use aeth_core::blob::{Attributes, BlobTags, Checksum, PutOptions};
use aeth_core::{BlobPath, Error, Result};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::sync::Arc;

const VERSION: u32 = 1;

/// What belongs to one state of a blob.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    stamp: u64,
    size: u64,
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub(super) attributes: Attributes,
    #[serde(default, skip_serializing_if = "BlobTags::is_empty")]
    pub(super) tags: BlobTags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl Record {
    /// The record of what a put gives; `None` when it gives nothing.
    pub(super) fn of(options: &PutOptions) -> Option<Self> {
        let checksum = options.checksum.as_ref().and_then(write_checksum);
        let record = Self {
            attributes: options.attributes.clone(),
            tags: options.tags.clone(),
            checksum,
            ..Self::default()
        };
        (!record.is_empty()).then_some(record)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.tags.is_empty() && self.checksum.is_none()
    }

    /// The same for another file.
    pub(super) fn for_file(&self, stamp: Stamp, size: u64) -> Self {
        Self { stamp: stamp.0, size, ..self.clone() }
    }

    /// The same with other attributes.
    pub(super) fn with_attributes(self, attributes: Attributes) -> Self {
        Self { attributes, ..self }
    }

    pub(super) fn checksum(&self) -> Option<Checksum> {
        self.checksum.as_deref().and_then(read_checksum)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    path: BlobPath,
    records: Vec<Record>,
}

/// The directory of sidecars.
#[derive(Debug)]
pub(super) struct Sidecars {
    root: Root,
}

impl Sidecars {
    pub(super) fn new(root: Root) -> Self {
        Self { root }
    }

    /// The record of a file, when there is one.
    pub(super) fn find(&self, path: &BlobPath, stamp: Stamp, size: u64, wait: Wait) -> Step<Option<Record>> {
        let (dir, name) = place(path);
        let fd = match self.root.file(&format!("{dir}/{name}"), wait) {
            Err(Errno::NOENT) => return Ok(None),
            fd => fd?,
        };
        let bytes = read_all(&fd, wait)?;
        let refused = || {
            Fail::Error(
                Error::corrupt("the sidecar of the blob is damaged")
                    .with_component(COMPONENT)
                    .with_key(path)
                    .with_remedy(format!(
                        "restore .aeth/meta/{dir}/{name}, or remove it and lose the attributes"
                    )),
            )
        };
        let file: File = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        if file.version != VERSION || file.path != *path {
            return Err(refused());
        }
        let belongs = |record: &Record| stamp.matches(Stamp(record.stamp)) && record.size == size;
        Ok(file.records.into_iter().find(belongs))
    }

    /// Puts these records there and returns the directory to be forced to the disk, if any is.
    pub(super) fn write(
        &self,
        path: &BlobPath,
        records: Vec<Record>,
        temps: &Arc<Temps>,
        sync: bool,
    ) -> Result<OwnedFd> {
        let file = File { version: VERSION, path: path.clone(), records };
        let json = serde_json::to_vec(&file)
            .map_err(|error| Error::other("the attributes cannot be written").with_source(error))?;
        let mut temp = temps.create()?;
        temp.write(&[json.into()])?;
        if sync {
            temp.sync()?;
        }
        let (dir, name) = place(path);
        let fd = match self.root.dir(&dir) {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&self.root, &dir, Mode::from(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(io(error)),
                }
                if sync {
                    rustix::fs::fsync(&self.root).map_err(io)?;
                }
                self.root.dir(&dir).map_err(io)?
            }
            fd => fd.map_err(io)?,
        };
        temp.persist(&fd, &name, true).map_err(io)?;
        Ok(fd)
    }

    /// Removes the sidecar of a path, if there is one.
    pub(super) fn remove(&self, path: &BlobPath) -> Result<()> {
        let (dir, name) = place(path);
        match rustix::fs::unlinkat(&self.root, format!("{dir}/{name}"), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(io(error)),
        }
    }
}

fn place(path: &BlobPath) -> (String, String) {
    let mut dir = digest(path.as_str());
    let name = dir.split_off(2);
    (dir, name)
}

fn write_checksum(checksum: &Checksum) -> Option<String> {
    match checksum {
        Checksum::Crc32c(crc) => Some(format!("crc32c:{crc:08x}")),
        Checksum::Crc64Nvme(crc) => Some(format!("crc64nvme:{crc:016x}")),
        Checksum::Sha256(hash) => Some(format!("sha256:{}", crate::random::to_hex(hash))),
        _ => None,
    }
}

fn read_checksum(text: &str) -> Option<Checksum> {
    let (algorithm, hex) = text.split_once(':')?;
    match algorithm {
        "crc32c" => u32::from_str_radix(hex, 16).ok().map(Checksum::Crc32c),
        "crc64nvme" => u64::from_str_radix(hex, 16).ok().map(Checksum::Crc64Nvme),
        "sha256" => {
            let mut hash = [0; 32];
            for (i, byte) in hash.iter_mut().enumerate() {
                *byte = u8::from_str_radix(hex.get(i * 2..i * 2 + 2)?, 16).ok()?;
            }
            Some(Checksum::Sha256(hash))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_come_back() {
        for checksum in [
            Checksum::Crc32c(7),
            Checksum::Crc64Nvme(u64::MAX - 1),
            Checksum::Sha256(std::array::from_fn(|i| i as u8)),
        ] {
            assert_eq!(read_checksum(&write_checksum(&checksum).unwrap()), Some(checksum));
        }
        assert_eq!(read_checksum("sha256:00"), None);
    }
}
