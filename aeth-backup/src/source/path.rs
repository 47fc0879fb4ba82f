//! Directories and files of this machine.

use super::split;
use aeth_core::{Error, Result};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Filter = dyn Fn(&Path, bool) -> bool + Send + Sync;

/// A rule that leaves paths out.
#[derive(Clone)]
pub struct Exclude {
    pub(crate) label: String,
    filter: Arc<Filter>,
}

impl Exclude {
    /// True when the path (of a directory, says the flag) is left out.
    pub(crate) fn matches(&self, path: &Path, directory: bool) -> bool {
        (self.filter)(path, directory)
    }
}

impl fmt::Debug for Exclude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exclude({:?})", self.label)
    }
}

/// A directory (with everything below it) or a single file, in full fidelity: links, permissions, owners with
/// their names, times, extended attributes (and through them ACLs), devices, pipes, names that are not UTF-8.
#[derive(Debug, Clone)]
pub struct PathSource {
    pub(crate) path: PathBuf,
    at: Option<String>,
    pub(crate) excludes: Vec<Exclude>,
    pub(crate) one_file_system: bool,
}

impl PathSource {
    /// Backs up `path`. A symbolic link there is followed (links below it are kept as links); the snapshot
    /// holds it at its absolute, resolved path, as restic does.
    ///
    /// # Errors
    /// `NotFound` or `Denied`, naming the path.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let given = path.as_ref();
        let path = std::fs::canonicalize(given)
            .map_err(|error| crate::error::io(given)(error).with_operation("open the backup source"))?;
        Ok(Self { path, at: None, excludes: Vec::new(), one_file_system: false })
    }

    /// Puts it at another place of the snapshot: absolute, segments separated by `/`.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.at = Some(place.into());
        self
    }

    /// Leaves out every path for which `filter` (path, whether it is a directory) says true; nothing below an
    /// excluded directory is looked at. The label is noted in the snapshot.
    #[must_use]
    pub fn exclude(
        mut self,
        label: impl Into<String>,
        filter: impl Fn(&Path, bool) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.excludes.push(Exclude { label: label.into(), filter: Arc::new(filter) });
        self
    }

    /// Leaves out what is mounted below the directory; mount points are kept as empty directories.
    #[must_use]
    pub fn one_file_system(mut self, stay: bool) -> Self {
        self.one_file_system = stay;
        self
    }

    /// The resolved path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn segments(&self) -> Result<Vec<Vec<u8>>> {
        match &self.at {
            Some(at) => split(at.as_bytes()),
            None => split(self.path.as_os_str().as_bytes()),
        }
    }

    /// The directories of this machine that stand above the source at its own place in the snapshot.
    pub(crate) fn ancestors(&self) -> Vec<PathBuf> {
        if self.at.is_some() {
            return Vec::new();
        }
        let mut above: Vec<_> = self.path.ancestors().skip(1).map(Path::to_path_buf).collect();
        above.pop();
        above.reverse();
        above
    }

    pub(crate) fn is_excluded(&self, path: &Path, directory: bool) -> bool {
        self.excludes.iter().any(|exclude| exclude.matches(path, directory))
    }
}

/// Refuses places that overlap.
pub(crate) fn overlap(a: &[Vec<u8>], b: &[Vec<u8>]) -> Result<()> {
    if a.starts_with(b) || b.starts_with(a) {
        let show = |segments: &[Vec<u8>]| {
            segments
                .iter()
                .map(|segment| format!("/{}", String::from_utf8_lossy(segment)))
                .collect::<String>()
        };
        return Err(Error::invalid(format!("the sources at `{}/` and `{}/` overlap", show(a), show(b)))
            .with_remedy("leave the inner one out, or give it another place"));
    }
    Ok(())
}
