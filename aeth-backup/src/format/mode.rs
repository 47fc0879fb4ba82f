//! Go's `fs.FileMode`, which is not the mode of `stat`.

use serde::{Deserialize, Serialize};

const DIR: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const DEVICE: u32 = 1 << 26;
const FIFO: u32 = 1 << 25;
const SOCKET: u32 = 1 << 24;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const CHAR: u32 = 1 << 21;
const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;

/// The mode of a node: nine permission bits, and type and special bits where Go has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileMode(u32);

impl FileMode {
    /// From the `st_mode` of `stat`.
    #[must_use]
    pub fn from_unix(mode: u32) -> Self {
        let kind = match mode & 0o170_000 {
            0o040_000 => DIR,
            0o120_000 => SYMLINK,
            0o060_000 => DEVICE,
            0o020_000 => DEVICE | CHAR,
            0o010_000 => FIFO,
            0o140_000 => SOCKET,
            0o100_000 => 0,
            _ => IRREGULAR,
        };
        let special = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
        let special = special.iter().filter(|(unix, _)| mode & unix != 0).fold(0, |sum, (_, go)| sum | go);
        Self(kind | special | mode & 0o777)
    }

    /// The permission, set-id and sticky bits of `st_mode`, as `chmod` takes them.
    #[must_use]
    pub fn permissions(self) -> u32 {
        let special = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
        let special = special.iter().filter(|(_, go)| self.0 & go != 0).fold(0, |sum, (unix, _)| sum | unix);
        special | self.0 & 0o777
    }

    /// The number that stands in a tree.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for FileMode {
    /// As Go and `restic ls` show it: `drwxr-xr-x`, `urwxr-xr-x` for set-user-id, `L` for a link.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        let kinds = [
            (DIR, 'd'),
            (SYMLINK, 'L'),
            (DEVICE, 'D'),
            (FIFO, 'p'),
            (SOCKET, 'S'),
            (SETUID, 'u'),
            (SETGID, 'g'),
            (CHAR, 'c'),
            (STICKY, 't'),
            (IRREGULAR, '?'),
        ];
        let mut any = false;
        for (_, letter) in kinds.iter().filter(|(bit, _)| self.0 & bit != 0) {
            f.write_char(*letter)?;
            any = true;
        }
        if !any {
            f.write_char('-')?;
        }
        for (i, letter) in "rwxrwxrwx".chars().enumerate() {
            f.write_char(if self.0 & (0o400 >> i) == 0 { '-' } else { letter })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_bits() {
        assert_eq!(FileMode::from_unix(0o100_644).bits(), 0o644);
        assert_eq!(FileMode::from_unix(0o041_777).bits(), DIR | STICKY | 0o777);
        assert_eq!(FileMode::from_unix(0o120_777).bits(), SYMLINK | 0o777);
        assert_eq!(FileMode::from_unix(0o020_620).bits(), DEVICE | CHAR | 0o620);
        assert_eq!(FileMode::from_unix(0o041_751).to_string(), "dtrwxr-x--x");
        assert_eq!(FileMode::from_unix(0o104_640).to_string(), "urw-r-----");
        assert_eq!(FileMode::from_unix(0o100_640).to_string(), "-rw-r-----");
        for permissions in 0..0o10_000 {
            assert_eq!(FileMode::from_unix(0o100_000 | permissions).permissions(), permissions);
        }
    }
}
