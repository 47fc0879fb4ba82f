//! The source of truth of the cluster example: a file of counters that all processes share.
//!
//! Each key has the value that its loaders read, and a floor: what the writer's change had acknowledged. Whoever
//! notes the floor first and then reads less from the cache has seen an old value.

use aetherius::Result;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The counters.
#[derive(Debug)]
pub(crate) struct Truth(File);

impl Truth {
    /// Makes the file for `keys` keys, all zero.
    pub(crate) fn create(path: &Path, keys: u64) -> Result<()> {
        File::create(path)?.set_len(keys * 16)?;
        Ok(())
    }

    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self(File::options().read(true).write(true).open(path)?))
    }

    /// What a loader finds.
    pub(crate) fn value(&self, key: u64) -> Result<u64> {
        self.get(key * 16)
    }

    /// What was acknowledged.
    pub(crate) fn floor(&self, key: u64) -> Result<u64> {
        self.get(key * 16 + 8)
    }

    /// The writer's change; there is one writer.
    pub(crate) fn raise(&self, key: u64) -> Result<u64> {
        let next = self.value(key)? + 1;
        self.0.write_all_at(&next.to_ne_bytes(), key * 16)?;
        Ok(next)
    }

    pub(crate) fn acknowledge(&self, key: u64, value: u64) -> Result<()> {
        Ok(self.0.write_all_at(&value.to_ne_bytes(), key * 16 + 8)?)
    }

    fn get(&self, at: u64) -> Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
