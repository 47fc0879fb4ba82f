//! Extended attributes in the `user` namespace.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};
use rustix::io::Errno;

/// Sets an attribute. `false` when the file system has none.
pub(crate) fn set(path: &Path, name: &str, value: &[u8]) -> io::Result<bool> {
    match lsetxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOTSUP | Errno::PERM | Errno::NOSPC) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// All attributes of the `user` namespace, without following a symlink.
pub(crate) fn all(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0_u8; 65_536];
    let length = match llistxattr(path, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => 0,
        Err(e) => return Err(e.into()),
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0_u8; 65_536];
        let length = lgetxattr(path, name.as_str(), &mut value[..])?;
        value.truncate(length);
        found.insert(name, value);
    }
    Ok(found)
}
