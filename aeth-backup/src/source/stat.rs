//! From `stat` to a node.

use crate::format::{FileMode, Node, NodeKind, NodeTime, Xattr};
use crate::repo::host::Names;
use aeth_core::Result;
use rustix::io::Errno;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// What `stat` says, in numbers that are the same on every system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) mtime: NodeTime,
    pub(crate) ctime: NodeTime,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) inode: u64,
    pub(crate) device_id: u64,
    pub(crate) links: u64,
    pub(crate) device: u64,
}

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    clippy::cast_lossless,
    trivial_numeric_casts,
    reason = "the widths of these fields differ from system to system; each fits its target everywhere"
)]
impl From<&rustix::fs::Stat> for Stat {
    fn from(stat: &rustix::fs::Stat) -> Self {
        Self {
            mode: stat.st_mode as u32,
            size: stat.st_size as u64,
            mtime: NodeTime::new(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            ctime: NodeTime::new(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
            uid: stat.st_uid,
            gid: stat.st_gid,
            inode: stat.st_ino as u64,
            device_id: stat.st_dev as u64,
            links: stat.st_nlink as u64,
            device: stat.st_rdev as u64,
        }
    }
}

impl Stat {
    pub(crate) fn kind(&self) -> NodeKind {
        match self.mode & 0o170_000 {
            0o100_000 => NodeKind::File,
            0o040_000 => NodeKind::Dir,
            0o120_000 => NodeKind::Symlink,
            0o060_000 => NodeKind::Dev,
            0o020_000 => NodeKind::CharDev,
            0o010_000 => NodeKind::Fifo,
            0o140_000 => NodeKind::Socket,
            _ => NodeKind::Irregular,
        }
    }

    /// True when content and metadata are those of `node`, by restic's test: size, modification time, change
    /// time, inode.
    pub(crate) fn unchanged_since(&self, node: &Node) -> bool {
        node.kind == NodeKind::File
            && node.size == self.size
            && node.mtime == self.mtime
            && node.ctime == self.ctime
            && node.inode == self.inode
    }
}

/// A node with everything that `stat` and the tables of users say, as restic fills it.
pub(crate) fn node_of(name: &[u8], stat: &Stat, names: &Names) -> Node {
    let mut node = Node::new(name, stat.kind());
    node.mode = FileMode::from_unix(stat.mode);
    node.mtime = stat.mtime.local();
    node.atime = node.mtime;
    node.ctime = stat.ctime.local();
    node.uid = stat.uid;
    node.gid = stat.gid;
    node.user = names.user(stat.uid);
    node.group = names.group(stat.gid);
    node.inode = stat.inode;
    node.device_id = stat.device_id;
    match node.kind {
        NodeKind::File => {
            node.size = stat.size;
            node.links = stat.links;
            node.content = Some(Vec::new());
        }
        NodeKind::Symlink => node.links = stat.links,
        NodeKind::Dev | NodeKind::CharDev => {
            node.device = stat.device;
            node.links = stat.links;
        }
        _ => {}
    }
    node
}

/// The extended attributes of an open file.
pub(crate) fn list_xattrs_fd(fd: BorrowedFd<'_>) -> Result<Vec<Xattr>, Errno> {
    list(|buffer| rustix::fs::flistxattr(fd, buffer), |name, buffer| rustix::fs::fgetxattr(fd, name, buffer))
}

/// The extended attributes at a path, not following a symbolic link.
pub(crate) fn list_xattrs_path(path: &Path) -> Result<Vec<Xattr>, Errno> {
    list(
        |buffer| rustix::fs::llistxattr(path, buffer),
        |name, buffer| rustix::fs::lgetxattr(path, name, buffer),
    )
}

/// Values may be 64 KiB, lists too; the first try is enough nearly always.
const SIZES: [usize; 3] = [1 << 10, 64 << 10, 1 << 20];

fn list(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&str, &mut [u8]) -> Result<usize, Errno>,
) -> Result<Vec<Xattr>, Errno> {
    let names = grow(list)?;
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // Names are ASCII by convention; one that is not UTF-8 has no place in the format.
        let Ok(name) = std::str::from_utf8(name) else { continue };
        match grow(|buffer| get(name, buffer)) {
            Ok(value) => xattrs.push(Xattr { name: name.to_owned(), value }),
            // Removed in between.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(xattrs)
}

fn grow(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    for size in SIZES {
        let mut buffer = vec![0; size];
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            // No extended attributes here.
            Err(Errno::NOTSUP | Errno::NODATA) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
    }
    Err(Errno::RANGE)
}
