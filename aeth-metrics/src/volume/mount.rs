//! Where a path is mounted (`/proc/self/mountinfo`, proc(5)).

use serde::Serialize;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mount {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// What is mounted: a device's path, or the file system's own word for it (`tmpfs`, `overlay`).
    pub source: String,
    /// The file system's type (`ext4`, `xfs`, `tmpfs`).
    pub fs_type: String,
    /// The options of this mount and of the file system (`rw`, `noatime`, …).
    pub options: Vec<String>,
    /// The device's number; major 0 for file systems without a device of their own.
    #[serde(skip)]
    pub device: (u32, u32),
}

impl Mount {
    /// True when either the mount or the file system is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }

    /// The mount that holds `path`, which must be absolute and free of symlinks, in the text of
    /// `/proc/self/mountinfo`. Lines that do not parse are passed over.
    #[must_use]
    pub fn find(mountinfo: &[u8], path: &Path) -> Option<Self> {
        // The kernel lists mounts in the order they were made: of two on the same point, the later hides the
        // earlier, which `max_by_key` (the last of equals) respects.
        mountinfo
            .split(|byte| *byte == b'\n')
            .filter_map(Self::parse)
            .filter(|mount| path.starts_with(&mount.mount_point))
            .max_by_key(|mount| mount.mount_point.components().count())
    }

    /// `36 35 98:0 /root /mount rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = std::str::from_utf8(fields.nth(2)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let mount_point = PathBuf::from(unescape(fields.nth(1)?));
        let mount_options = fields.next()?;
        fields.find(|field| *field == b"-")?;
        let fs_type = text(fields.next()?);
        let source = text(fields.next()?);
        let super_options = fields.next().unwrap_or_default();
        let mut options: Vec<String> = Vec::new();
        for option in text(mount_options).split(',').chain(text(super_options).split(',')) {
            if !option.is_empty() && !options.iter().any(|present| present == option) {
                options.push(option.to_owned());
            }
        }
        Some(Self {
            mount_point,
            source,
            fs_type,
            options,
            device: (major.parse().ok()?, minor.parse().ok()?),
        })
    }
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(unescape(field).as_bytes()).into_owned()
}

/// The kernel writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = match (first, tail.get(..3)) {
            (b'\\', Some(digits)) => {
                std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 8).ok())
            }
            _ => None,
        };
        match octal {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
        30 22 0:25 / /run rw,nosuid - tmpfs tmpfs rw,size=100k\n\
        garbage\n\
        36 22 253:1 / /mnt/my\\040disk rw,noatime master:1 shared:4 - xfs /dev/mapper/a\\134b ro,attr2\n\
        37 22 253:2 / /run rw - ext4 /dev/later rw\n";

    #[test]
    fn the_deepest_and_latest_mount_holds_the_path() {
        let find = |path: &str| Mount::find(TEXT, Path::new(path)).unwrap();
        assert_eq!(find("/etc/x").source, "/dev/root");
        assert_eq!(find("/running").source, "/dev/root", "whole components only");
        assert_eq!(find("/run/x").source, "/dev/later");
        let disk = find("/mnt/my disk/data");
        assert_eq!(disk.source, "/dev/mapper/a\\b");
        assert_eq!(disk.device, (253, 1));
        assert_eq!(disk.options, ["rw", "noatime", "ro", "attr2"]);
        assert!(disk.is_read_only(), "the file system itself is read-only");
    }
}
