//! A small file system that can be filled.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{process, temp_dir, tool};

/// A mounted tmpfs of a fixed size, for tests of a full disk. Unmounted on drop.
#[derive(Debug)]
pub struct Tmpfs {
    dir: TempDir,
}

impl Tmpfs {
    /// Mounts a tmpfs of `bytes`.
    ///
    /// # Errors
    /// Why it cannot: not root, or a container without the right to mount. A test of a full disk has nothing
    /// to run on then, and says so.
    pub fn mount(bytes: u64) -> Result<Self, String> {
        if !process::is_root() {
            return Err("mounting a tmpfs takes root".into());
        }
        let dir = temp_dir();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={bytes},mode=0777"))
            .arg("tmpfs")
            .arg(dir.path());
        let output = command.output().map_err(|e| format!("mount: {e}"))?;
        tool::outcome(&command, &output)?;
        Ok(Self { dir })
    }

    /// Mounts it again so that nothing can be written.
    ///
    /// # Errors
    /// What `mount` said.
    pub fn make_read_only(&self) -> Result<(), String> {
        let mut command = Command::new("mount");
        command.args(["-o", "remount,ro"]).arg(self.dir.path());
        let output = command.output().map_err(|e| format!("mount: {e}"))?;
        tool::outcome(&command, &output).map(drop)
    }

    /// The mount point.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a process that is being killed may still have a file open.
        drop(Command::new("umount").arg("-l").arg(self.dir.path()).output());
    }
}
