//! Making things in the target: nothing outside of it, nothing through a link.

use super::options::Existing;
use crate::error::{errno, io};
use crate::format::{Node, NodeKind};
use aeth_core::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Owner only until the metadata is set: what is being restored may be secret.
const PRIVATE_DIR: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// Makes the target directory, or makes sure that it may be used.
pub(super) fn prepare(target: &Path, existing: Existing, dry_run: bool) -> Result<()> {
    let describe = |error| io(target)(error).with_operation("prepare the restore's target");
    match std::fs::read_dir(target) {
        Ok(mut entries) => match (entries.next(), existing) {
            (Some(_), Existing::Refuse) => {
                Err(Error::new(ErrorKind::AlreadyExists, "the target is not empty")
                    .with_operation("restore")
                    .with_key(target.display())
                    .with_remedy("choose an empty directory, or allow overwriting"))
            }
            _ => Ok(()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && dry_run => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(target).map_err(describe)
        }
        Err(error) => Err(describe(error)),
    }
}

/// Refuses a place that is taken, for what is not a directory.
pub(super) fn refuse_existing(target: &Path, existing: Existing) -> Result<()> {
    if existing == Existing::Refuse && std::fs::symlink_metadata(target).is_ok() {
        return Err(Error::new(ErrorKind::AlreadyExists, "there is something at the target already")
            .with_operation("restore")
            .with_key(target.display())
            .with_remedy("choose another place, or allow overwriting"));
    }
    Ok(())
}

/// Refuses names that would leave their directory. Such a tree was made by an attacker or is damaged.
pub(super) fn check_name(name: &[u8]) -> Result<&OsStr> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return Err(Error::new(ErrorKind::Denied, "the name would leave its directory; it is not restored")
            .with_key(String::from_utf8_lossy(name)));
    }
    Ok(OsStr::from_bytes(name))
}

/// Makes a directory, or takes the one that is there.
pub(super) fn directory(path: &Path, existing: Existing) -> Result<()> {
    match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(PRIVATE_DIR)) {
        Err(Errno::EXIST) if existing != Existing::Refuse => {}
        other => return other.map_err(errno(path)),
    }
    let stat = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(errno(path))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        // It may lack what is needed to write into it.
        let mode = Mode::from_raw_mode(stat.st_mode) | Mode::RWXU;
        return rustix::fs::chmodat(CWD, path, mode, AtFlags::empty()).map_err(errno(path));
    }
    if existing == Existing::Keep {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "something else is in the place of this directory; it is kept",
        )
        .with_key(path.display()));
    }
    std::fs::remove_file(path).map_err(io(path))?;
    rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(PRIVATE_DIR)).map_err(errno(path))
}

/// Makes a file that was not there, replacing one where that is allowed.
pub(super) fn file(path: &Path, existing: Existing) -> Result<File> {
    make_room(path, existing)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(PRIVATE_FILE)).map_err(errno(path))?;
    Ok(fd.into())
}

/// Opens a file that this restore has made.
pub(super) fn reopen(path: &Path) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(errno(path))?;
    Ok(fd.into())
}

/// Opens a file for reading, and nothing that a link leads to.
pub(super) fn open(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(errno(path))?;
    Ok(fd.into())
}

/// What is at a path, itself and not what a link leads to.
pub(super) fn there(path: &Path) -> Option<Metadata> {
    std::fs::symlink_metadata(path).ok()
}

/// Whether two names are those of one file.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |path| there(path).filter(Metadata::is_file).map(|found| (found.dev(), found.ino()));
    inode(one).is_some_and(|one| Some(one) == inode(other))
}

/// Removes whatever is at a path, with all that is below it. Links are removed, not followed.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match there(path) {
        Some(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Some(_) => std::fs::remove_file(path),
        None => Ok(()),
    };
    removed.map_err(io(path))
}

/// Makes a link or a special file.
pub(super) fn special(path: &Path, node: &Node, existing: Existing) -> Result<()> {
    make_room(path, existing)?;
    let mode = Mode::from_raw_mode(PRIVATE_FILE);
    let kind = match node.kind {
        NodeKind::Symlink => {
            let target = OsStr::from_bytes(&node.link_target);
            return rustix::fs::symlinkat(target, CWD, path).map_err(errno(path));
        }
        NodeKind::Fifo => FileType::Fifo,
        NodeKind::Dev => FileType::BlockDevice,
        NodeKind::CharDev => FileType::CharacterDevice,
        _ => {
            return Err(Error::unsupported("things of this type cannot be restored").with_key(path.display()));
        }
    };
    rustix::fs::mknodat(CWD, path, kind, mode, node.device).map_err(errno(path))
}

/// Gives an existing file another name.
pub(super) fn hard_link(first: &Path, path: &Path, existing: Existing) -> Result<()> {
    make_room(path, existing)?;
    rustix::fs::linkat(CWD, first, CWD, path, AtFlags::empty()).map_err(errno(path))
}

fn make_room(path: &Path, existing: Existing) -> Result<()> {
    if matches!(existing, Existing::Refuse | Existing::Keep) {
        return Ok(());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path)(error)),
        _ => Ok(()),
    }
}
