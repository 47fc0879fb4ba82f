//! Opening things below a directory without ever leaving it.
//!
//! Every path is resolved from the directory's own descriptor, by the kernel where it can (`openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`) and otherwise one component at a time with `O_NOFOLLOW`, so that
//! neither `..` nor a symbolic link, planted at whatever moment, leads outside.

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::{Errno, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Non-blocking, because a FIFO planted under a blob's name must not stop the reader.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NOCTTY)
    .union(OFlags::NONBLOCK);
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::DIRECTORY);

/// How a path may be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The disk may be asked.
    Disk,
    /// Only what the kernel has in memory; otherwise `AGAIN`.
    Never,
}

/// An open directory and the way to open what is below it.
#[derive(Debug)]
pub(super) struct Root {
    fd: OwnedFd,
    beneath: AtomicBool,
}

impl Root {
    /// Opens the directory itself, following symbolic links in its own path: the host chose it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self::from_fd(fd))
    }

    /// A directory that is open already.
    pub(super) fn from_fd(fd: OwnedFd) -> Self {
        Self { fd, beneath: AtomicBool::new(cfg!(target_os = "linux")) }
    }

    /// Opens a file below for reading. It may turn out to be a directory or something else: look at its stat.
    pub(super) fn file(&self, path: &str, wait: Wait) -> Result<OwnedFd> {
        self.resolve(path, READ, wait)
    }

    /// Opens a directory below; the empty path is the root itself.
    pub(super) fn dir(&self, path: &str) -> Result<OwnedFd> {
        if path.is_empty() {
            return rustix::fs::openat(&self.fd, ".", DIRECTORY, Mode::empty());
        }
        self.resolve(path, DIRECTORY, Wait::Disk)
    }

    #[cfg(target_os = "linux")]
    fn resolve(&self, path: &str, flags: OFlags, wait: Wait) -> Result<OwnedFd> {
        use rustix::fs::ResolveFlags;
        if self.beneath.load(Relaxed) {
            let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            if wait == Wait::Never {
                how |= ResolveFlags::CACHED;
            }
            loop {
                match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), how) {
                    // An old kernel, or a sandbox that forbids what it does not know.
                    Err(Errno::NOSYS | Errno::PERM) => break,
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) if wait == Wait::Disk => {}
                    result => return result,
                }
            }
            self.beneath.store(false, Relaxed);
        }
        self.walk(path, flags, wait)
    }

    #[cfg(not(target_os = "linux"))]
    fn resolve(&self, path: &str, flags: OFlags, wait: Wait) -> Result<OwnedFd> {
        self.walk(path, flags, wait)
    }

    /// One component at a time.
    fn walk(&self, path: &str, flags: OFlags, wait: Wait) -> Result<OwnedFd> {
        if wait == Wait::Never {
            return Err(Errno::AGAIN);
        }
        let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut held: Option<OwnedFd> = None;
        for dir in dirs.split('/').filter(|dir| !dir.is_empty()) {
            let next = open_dir(held.as_ref().unwrap_or(&self.fd), dir)?;
            held = Some(next);
        }
        let from = held.as_ref().unwrap_or(&self.fd);
        match retry(|| rustix::fs::openat(from, name, flags, Mode::empty())) {
            // With O_DIRECTORY a symbolic link is reported as something that is no directory.
            Err(Errno::NOTDIR) if is_link(from, name) => Err(Errno::LOOP),
            result => result,
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens the directory of this name, which is no path.
pub(super) fn open_dir(dir: impl AsFd, name: &str) -> Result<OwnedFd> {
    match retry(|| rustix::fs::openat(&dir, name, DIRECTORY, Mode::empty())) {
        Err(Errno::NOTDIR) if is_link(&dir, name) => Err(Errno::LOOP),
        result => result,
    }
}

/// What a name is, without following it; `None` when there is nothing.
pub(super) fn stat(dir: impl AsFd, name: &str) -> Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_link(dir: impl AsFd, name: &str) -> bool {
    matches!(stat(dir, name), Ok(Some(stat)) if kind(&stat).is_symlink())
}

/// The type of a file.
pub(super) fn kind(stat: &Stat) -> rustix::fs::FileType {
    rustix::fs::FileType::from_raw_mode(stat.st_mode)
}

/// Repeats a call that a signal interrupted.
pub(super) fn retry<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Both ways of resolving must refuse the same attacks.
    #[test]
    fn nothing_leads_outside() {
        let dir = testkit::temp_dir();
        let root_path = dir.path().join("root");
        std::fs::create_dir_all(root_path.join("d/e")).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(root_path.join("d/e/f"), "inside").unwrap();
        symlink("../secret", root_path.join("link")).unwrap();
        symlink("..", root_path.join("d/up")).unwrap();
        symlink("e", root_path.join("d/inner")).unwrap();
        for beneath in [true, false] {
            let root = Root::open(&root_path).unwrap();
            root.beneath.store(beneath, Relaxed);
            assert!(root.file("d/e/f", Wait::Disk).is_ok());
            assert!(root.dir("d/e").is_ok() && root.dir("").is_ok());
            for attack in ["link", "d/up/d/e/f", "d/up/secret", "d/inner/f"] {
                let error = root.file(attack, Wait::Disk).unwrap_err();
                assert!(matches!(error, Errno::LOOP | Errno::XDEV), "{attack} ({beneath}): {error}");
            }
            // The kernel's own answer for the last component is that it is no directory.
            assert!(matches!(root.dir("d/inner").unwrap_err(), Errno::LOOP | Errno::NOTDIR));
            assert_eq!(root.file("d/missing", Wait::Disk).unwrap_err(), Errno::NOENT);
            assert_eq!(root.file("d/e/f/g", Wait::Disk).unwrap_err(), Errno::NOTDIR);
            assert_eq!(root.beneath.load(Relaxed), beneath, "the kernel here has openat2");
        }
    }
}
