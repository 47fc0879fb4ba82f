//! The sealed keyset as a file in a data directory.

use super::derive::PassphraseKdf;
use super::keyset::Keyset;
use crate::{Error, ErrorKind, Result, Secret};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// No keyset is that long: some ten thousand keys.
const MAX_FILE: u64 = 8 << 20;

impl Keyset {
    /// Reads a keyset file that [`create_file`](Self::create_file) or [`replace_file`](Self::replace_file)
    /// wrote. Blocks, some tenths of a second.
    ///
    /// # Errors
    /// NotFound when there is no such file; those of [`from_sealed_json`](Self::from_sealed_json), naming the
    /// path.
    pub fn open_file(path: impl AsRef<Path>, passphrase: &Secret) -> Result<Self> {
        let path = path.as_ref();
        let read = || {
            let mut json = Vec::new();
            File::open(path)?.take(MAX_FILE).read_to_end(&mut json)?;
            Self::from_sealed_json(&json, passphrase)
        };
        read().map_err(|error| at(error, "open keyset", path))
    }

    /// Writes the keyset, sealed under a passphrase, to a new file that only its owner may read. Blocks, some
    /// tenths of a second.
    ///
    /// On return it is durable; it never exists in part, and of several processes that create the same file one
    /// succeeds. Without this file and its passphrase, everything sealed under the keyset is lost: keep a copy
    /// of both elsewhere.
    ///
    /// # Errors
    /// AlreadyExists when there is such a file; those of the file system; Invalid when the passphrase is empty.
    pub fn create_file(&self, path: impl AsRef<Path>, passphrase: &Secret) -> Result<()> {
        let path = path.as_ref();
        let write = || {
            if path.try_exists()? {
                return Err(exists());
            }
            let draft = Draft::write(path, &self.to_sealed_json(passphrase, &PassphraseKdf::new()?)?)?;
            // A link, unlike a rename, refuses to replace.
            match std::fs::hard_link(&draft.0, path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(exists()),
                // File systems without links: the check above is then all there is against a second creator.
                Err(_) if !path.try_exists()? => std::fs::rename(&draft.0, path)?,
                Err(error) => return Err(error.into()),
            }
            sync_parent(path)
        };
        write().map_err(|error| at(error, "create keyset", path))
    }

    /// Replaces the keyset file, after a rotation or for a new passphrase; a reader sees the old file or the
    /// new one. Blocks, some tenths of a second, and is durable on return.
    ///
    /// Whoever keeps a copy of the old file and its passphrase can still open with the keys in it.
    ///
    /// # Errors
    /// Those of the file system; Invalid when the passphrase is empty.
    pub fn replace_file(&self, path: impl AsRef<Path>, passphrase: &Secret) -> Result<()> {
        let path = path.as_ref();
        let write = || {
            let draft = Draft::write(path, &self.to_sealed_json(passphrase, &PassphraseKdf::new()?)?)?;
            std::fs::rename(&draft.0, path)?;
            sync_parent(path)
        };
        write().map_err(|error| at(error, "replace keyset", path))
    }
}

/// A complete, durable file beside its target, which goes away unless it was renamed.
struct Draft(PathBuf);

impl Draft {
    fn write(target: &Path, text: &str) -> Result<Self> {
        let mut number = [0; 8];
        super::header::random(&mut number)?;
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{:016x}.tmp", u64::from_be_bytes(number)));
        let draft = Self(target.with_file_name(name));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft.0)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already after a rename; what cannot be removed is sealed and harmless.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Makes the name durable, too.
fn sync_parent(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn exists() -> Error {
    Error::new(ErrorKind::AlreadyExists, "a keyset file exists already")
        .with_remedy("open it; to give it other keys or another passphrase, replace it")
}

fn at(error: Error, operation: &'static str, path: &Path) -> Error {
    error.with_operation(operation).with_key(path.display())
}
