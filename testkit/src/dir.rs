//! Temporary directories, and the place for what may be kept between runs.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::account;

/// A temporary directory, removed on drop.
#[must_use]
pub fn temp_dir() -> TempDir {
    make(&std::env::temp_dir())
}

/// A temporary directory that the servers' account owns and can reach.
pub(crate) fn service_dir() -> TempDir {
    let Some(account) = account::for_servers() else { return temp_dir() };
    // A private TMPDIR of root's cannot be entered by another account.
    let dir = make(Path::new("/tmp"));
    chown(dir.path(), Some(account.uid), Some(account.gid)).expect("root gives a directory away");
    dir
}

fn make(base: &Path) -> TempDir {
    tempfile::Builder::new()
        .prefix("aeth-")
        .tempdir_in(base)
        .unwrap_or_else(|e| panic!("no temporary directory in {}: {e}", base.display()))
}

/// Cargo's target directory of the running program: the nearest one above it that carries cargo's
/// `CACHEDIR.TAG`, or a directory for temporary files when the program stands elsewhere.
#[must_use]
pub fn target_dir() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|exe| exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).map(Path::to_path_buf))
        .unwrap_or_else(|| std::env::temp_dir().join("aeth-target"))
}
