//! Directories for what is needed for a while.

use aeth_core::Result;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A private directory that is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes `name` in `directory`, in the place of what an earlier owner left there. Blocks on I/O.
    pub(crate) fn new(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        let made = std::fs::create_dir_all(directory)
            .and_then(|()| remove(&path))
            .and_then(|()| std::fs::DirBuilder::new().mode(0o700).create(&path));
        made.map_err(crate::error::io(&path))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "what was needed for a while could not be removed");
        }
    }
}

/// Removes a tree. Directories in it may have modes that forbid that.
fn remove(path: &Path) -> std::io::Result<()> {
    let removed = match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            std::fs::remove_dir_all(path)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes every directory of a tree writable for its owner.
fn open_up(path: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
