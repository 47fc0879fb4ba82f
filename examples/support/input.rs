//! The input of the quickstart: the files under a directory, walked in the order of names and never held all
//! at once.

use aetherius::{BlobPath, Error, Result};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A regular file of the input.
pub(crate) struct InputFile {
    pub path: PathBuf,
    pub blob: BlobPath,
    pub size: u64,
}

/// What a walk finds.
pub(crate) enum Found {
    File(InputFile),
    /// A symlink, socket, pipe or device: part of the backup, not a blob.
    Other,
    /// Not taken, with the reason.
    Skipped(PathBuf, String),
}

/// What is taken and what is not.
#[derive(Clone)]
pub(crate) struct Input {
    pub root: PathBuf,
    /// Left out, of the blobs and of the backup.
    pub excluded: BTreeSet<PathBuf>,
    pub files: u64,
    pub bytes: u64,
    /// Files and bytes past the limit.
    pub past_limit: (u64, u64),
}

impl Input {
    /// Looks at the tree once: counts it, and finds what passes `limit` bytes.
    pub(crate) fn survey(root: &Path, exclude: &[PathBuf], limit: Option<u64>) -> Result<Self> {
        let named = |error: std::io::Error| {
            Error::from(error)
                .with_operation("read the input")
                .with_key(root.display())
                .with_remedy("give a directory that exists and that you may read")
        };
        let real = root.canonicalize().map_err(named)?;
        if !fs::metadata(&real).map_err(named)?.is_dir() {
            return Err(Error::invalid("not a directory")
                .with_operation("read the input")
                .with_key(root.display())
                .with_remedy("give the directory whose files are to be stored"));
        }
        // Reading the root itself must work; what cannot be read below it is listed.
        fs::read_dir(&real).map_err(named)?;
        let excluded = exclude.iter().cloned().collect();
        let mut input = Self { root: real, excluded, files: 0, bytes: 0, past_limit: (0, 0) };
        let mut past = Vec::new();
        let mut skipped = 0;
        input.clone().walk(&mut |found| {
            match found {
                Found::File(file)
                    if limit.is_some_and(|limit| input.bytes.saturating_add(file.size) > limit) =>
                {
                    input.past_limit = (input.past_limit.0 + 1, input.past_limit.1 + file.size);
                    past.push(file.path);
                }
                Found::File(file) => {
                    input.files += 1;
                    input.bytes += file.size;
                }
                Found::Other => {}
                Found::Skipped(..) => skipped += 1,
            }
            true
        });
        input.excluded.extend(past);
        if input.files == 0 {
            let message = match (skipped, input.past_limit.0) {
                (0, 0) => "the directory holds no files",
                (_, 0) => "no file of the directory can be read",
                _ => "every file of the directory is larger than the limit",
            };
            return Err(Error::invalid(message)
                .with_operation("read the input")
                .with_key(root.display())
                .with_remedy("give a directory with files in it that you may read, or a greater --limit"));
        }
        Ok(input)
    }

    /// Shows everything to `visit`, until it answers false. Gives false when it was stopped.
    pub(crate) fn walk(&self, visit: &mut dyn FnMut(Found) -> bool) -> bool {
        self.directory(&self.root, visit)
    }

    fn directory(&self, directory: &Path, visit: &mut dyn FnMut(Found) -> bool) -> bool {
        let listed = fs::read_dir(directory).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>()
        });
        let mut paths = match listed {
            Ok(paths) => paths,
            Err(error) => return visit(Found::Skipped(directory.into(), error.to_string())),
        };
        paths.sort_unstable();
        for path in paths {
            if self.excluded.contains(&path) {
                continue;
            }
            let go_on = match fs::symlink_metadata(&path) {
                Ok(meta) if meta.is_dir() => self.directory(&path, visit),
                Ok(meta) if meta.is_file() => visit(self.file(path, meta.len())),
                Ok(_) => visit(Found::Other),
                Err(error) => visit(Found::Skipped(path, error.to_string())),
            };
            if !go_on {
                return false;
            }
        }
        true
    }

    fn file(&self, path: PathBuf, size: u64) -> Found {
        let relative = path.strip_prefix(&self.root).unwrap_or(&path);
        match BlobPath::encode(relative.as_os_str().as_bytes()) {
            Ok(blob) => Found::File(InputFile { path, blob, size }),
            Err(error) => Found::Skipped(path, format!("{error}; it is in the backup, not among the blobs")),
        }
    }
}
