//! Owners, attributes, permissions, times.

use crate::error::errno;
use crate::format::{Node, NodeKind, NodeTime};
use aeth_core::{Error, Result};
use rustix::fs::{AtFlags, CWD, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// Sets everything on an open file.
pub(super) fn of_file(file: &File, path: &Path, node: &Node, owners: bool) -> Result<()> {
    let described = errno(path);
    if owners {
        let (uid, gid) = owners_of(path, node)?;
        owner(rustix::fs::fchown(file, Some(uid), Some(gid))).map_err(&described)?;
    }
    for xattr in &node.xattrs {
        let set = rustix::fs::fsetxattr(file, xattr.name.as_str(), &xattr.value, XattrFlags::empty());
        set.map_err(|error| attribute(path, &xattr.name, error))?;
    }
    // After the owner, whose change takes the set-id bits away.
    rustix::fs::fchmod(file, mode(node)).map_err(&described)?;
    rustix::fs::futimens(file, &times(node)).map_err(&described)
}

/// Sets everything at a path, not following a link.
pub(super) fn of_path(path: &Path, node: &Node, owners: bool) -> Result<()> {
    let described = errno(path);
    let no_follow = AtFlags::SYMLINK_NOFOLLOW;
    if owners {
        let (uid, gid) = owners_of(path, node)?;
        owner(rustix::fs::chownat(CWD, path, Some(uid), Some(gid), no_follow)).map_err(&described)?;
    }
    for xattr in &node.xattrs {
        let set = rustix::fs::lsetxattr(path, xattr.name.as_str(), &xattr.value, XattrFlags::empty());
        set.map_err(|error| attribute(path, &xattr.name, error))?;
    }
    // Links have no permissions of their own.
    if node.kind != NodeKind::Symlink {
        rustix::fs::chmodat(CWD, path, mode(node), AtFlags::empty()).map_err(&described)?;
    }
    rustix::fs::utimensat(CWD, path, &times(node), no_follow).map_err(&described)
}

/// Removes the user's attributes that something which was there already has and the snapshot does not know.
pub(super) fn strip(path: &Path, node: &Node) {
    let mut names = vec![0; 64 << 10];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else { return };
    let names = names.get(..length).unwrap_or_default().split(|byte| *byte == 0);
    for name in names.filter(|name| name.starts_with(b"user.")) {
        if !node.xattrs.iter().any(|xattr| xattr.name.as_bytes() == name) {
            // What cannot be removed is as good as what the file system does not know.
            rustix::fs::lremovexattr(path, name).ok();
        }
    }
}

/// The owners as the system wants them. The highest number is nobody's: to the system it means "as it is", so that a
/// tree which names it is damaged or made up.
fn owners_of(path: &Path, node: &Node) -> Result<(Uid, Gid)> {
    if node.uid == u32::MAX || node.gid == u32::MAX {
        let error = Error::corrupt("no file can have this owner or group; they are left as they are");
        return Err(error.with_key(path.display()));
    }
    Ok((Uid::from_raw(node.uid), Gid::from_raw(node.gid)))
}

/// Who is not root cannot give files away, and is not told so for each of them.
fn owner(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(()),
        other => other,
    }
}

fn attribute(path: &Path, name: &str, error: Errno) -> Error {
    let message = format!("the extended attribute {name} cannot be set");
    let error = Error::from_io(error.into());
    Error::new(error.kind(), message).with_source(error).with_key(path.display())
}

fn mode(node: &Node) -> Mode {
    Mode::from_raw_mode(node.mode.permissions())
}

fn times(node: &Node) -> Timestamps {
    let spec = |time: NodeTime| Timespec { tv_sec: time.seconds(), tv_nsec: time.nanos().into() };
    Timestamps { last_access: spec(node.atime), last_modification: spec(node.mtime) }
}
