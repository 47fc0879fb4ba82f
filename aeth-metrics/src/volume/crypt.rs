//! Whether a device is encrypted, as far as the kernel tells (sysfs).

use std::fs;
use std::path::{Path, PathBuf};

/// Device-mapper stacks are a few levels deep; a loop of symlinks must end.
const DEPTH: u32 = 8;

/// `Some(true)` when the device, or everything that it is made of, is a dm-crypt device; `Some(false)` when a
/// part is not; `None` when sysfs does not tell.
pub(super) fn is_encrypted(sys: &Path, device: (u32, u32)) -> Option<bool> {
    let directory = sys.join("dev/block").join(format!("{}:{}", device.0, device.1));
    encrypted(&fs::canonicalize(directory).ok()?, DEPTH)
}

fn encrypted(directory: &Path, depth: u32) -> Option<bool> {
    if depth == 0 {
        return None;
    }
    if fs::read_to_string(directory.join("dm/uuid")).is_ok_and(|uuid| uuid.starts_with("CRYPT-")) {
        return Some(true);
    }
    // A partition has no slaves of its own: those of its disk count.
    let directory = if directory.join("partition").exists() { directory.parent()? } else { directory };
    let slaves: Vec<PathBuf> = match fs::read_dir(directory.join("slaves")) {
        Ok(entries) => entries.filter_map(|entry| fs::canonicalize(entry.ok()?.path()).ok()).collect(),
        Err(_) => Vec::new(),
    };
    if slaves.is_empty() {
        return Some(false);
    }
    slaves.iter().map(|slave| encrypted(slave, depth - 1)).try_fold(true, |all, one| Some(all && one?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_stack_is_encrypted_when_every_leaf_is() {
        let sys = tempfile::tempdir().unwrap();
        let sys = sys.path();
        let device = |name: &str, number: &str, uuid: Option<&str>, slaves: &[&str]| {
            let directory = sys.join("devices").join(name);
            fs::create_dir_all(directory.join("slaves")).unwrap();
            if let Some(uuid) = uuid {
                fs::create_dir_all(directory.join("dm")).unwrap();
                fs::write(directory.join("dm/uuid"), uuid).unwrap();
            }
            for slave in slaves {
                symlink(sys.join("devices").join(slave), directory.join("slaves").join(slave)).unwrap();
            }
            fs::create_dir_all(sys.join("dev/block")).unwrap();
            symlink(&directory, sys.join("dev/block").join(number)).unwrap();
        };
        device("vda", "254:0", None, &[]);
        device("dm-0", "253:0", Some("CRYPT-LUKS2-abc\n"), &["vda"]);
        device("dm-1", "253:1", Some("LVM-abc\n"), &["dm-0"]);
        device("dm-2", "253:2", Some("LVM-def\n"), &["dm-0", "vda"]);
        assert_eq!(is_encrypted(sys, (254, 0)), Some(false));
        assert_eq!(is_encrypted(sys, (253, 0)), Some(true));
        assert_eq!(is_encrypted(sys, (253, 1)), Some(true));
        assert_eq!(is_encrypted(sys, (253, 2)), Some(false));
        assert_eq!(is_encrypted(sys, (9, 9)), None);
    }
}
