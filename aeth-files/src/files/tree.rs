//! A directory of the host as a tree of files.

use aeth_core::{BlobPath, Error, Result};
use std::collections::BTreeMap;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A regular file of a tree.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    pub(super) file: PathBuf,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

/// The files below a directory by their names in a store, and how many entries are none (symbolic links, sockets and
/// what has no name in a store).
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) leaves: BTreeMap<BlobPath, Leaf>,
    pub(super) skipped: u64,
}

pub(super) fn named(error: std::io::Error, path: &Path) -> Error {
    Error::from_io(error).with_component("files").with_key(path.display())
}

impl Tree {
    /// Reads a directory and those below it. Symbolic links are not followed. A directory that is missing is empty.
    /// Blocking.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        match std::fs::metadata(root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(tree),
            Err(error) => return Err(named(error, root)),
            Ok(meta) if !meta.is_dir() => {
                return Err(Error::invalid("it is not a directory")
                    .with_component("files")
                    .with_key(root.display()));
            }
            Ok(_) => {}
        }
        let mut left = vec![(root.to_path_buf(), Vec::new())];
        while let Some((dir, name)) = left.pop() {
            for entry in std::fs::read_dir(&dir).map_err(|error| named(error, &dir))? {
                let entry = entry.map_err(|error| named(error, &dir))?;
                let mut name = name.clone();
                if !name.is_empty() {
                    name.push(b'/');
                }
                name.extend_from_slice(entry.file_name().as_bytes());
                let meta = match entry.metadata() {
                    Ok(meta) => meta,
                    // It went meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(named(error, &entry.path())),
                };
                if meta.is_dir() {
                    left.push((entry.path(), name));
                    continue;
                }
                let modified = meta.modified().map_err(|error| named(error, &entry.path()))?;
                match BlobPath::encode(&name) {
                    Ok(path) if meta.is_file() && !is_transfer(&name) => {
                        let leaf = Leaf { file: entry.path(), size: meta.len(), modified };
                        tree.leaves.insert(path, leaf);
                    }
                    _ => tree.skipped += 1,
                }
            }
        }
        Ok(tree)
    }
}

/// True for what a transfer in parts has left beside a file.
fn is_transfer(name: &[u8]) -> bool {
    name.ends_with(b".aeth-part") || name.ends_with(b".aeth-state")
}

/// Where a blob belongs below a directory. No segment of it leads out, and none of the directories on the way may be
/// a symbolic link, which could. Blocking.
pub(super) fn place(root: &Path, path: &BlobPath) -> Result<PathBuf> {
    let refused = |what: &'static str| {
        Error::new(aeth_core::ErrorKind::Denied, what).with_component("files").with_key(path)
    };
    let name = path.decode();
    let mut place = root.to_path_buf();
    let mut segments = name.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        if matches!(segment, b"" | b"." | b"..") || segment.contains(&0) {
            return Err(refused("its name would lead out of the directory"));
        }
        place.push(std::ffi::OsString::from_vec(segment.to_vec()));
        let linked = std::fs::symlink_metadata(&place).is_ok_and(|meta| meta.is_symlink());
        if linked && segments.peek().is_some() {
            return Err(refused("a symbolic link is in its way")
                .with_remedy("remove the link, or synchronise into another directory"));
        }
    }
    Ok(place)
}
