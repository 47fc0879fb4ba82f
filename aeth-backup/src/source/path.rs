//! Directories and files of this machine.

use super::rules::Rules;
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
    pub(crate) rules: Rules,
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
        let rules = Rules::new(&path);
        Ok(Self { path, at: None, excludes: Vec::new(), rules, one_file_system: false })
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

    /// Leaves out what the patterns match, in the syntax of `.gitignore` (gitignore(5)), relative to the source's
    /// root: `*.tmp` anywhere, `/target` at the root only, `cache/` directories only, `**`, and `!kept.tmp` to
    /// keep what an earlier pattern leaves out. The last pattern that matches decides. A pattern that begins with
    /// the source's own absolute path is taken to be relative to it. Nothing below an excluded directory is
    /// looked at.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let documents = dir.path();
    /// use aeth_backup::PathSource;
    /// let source = PathSource::new(documents)?.exclude_patterns(["*.tmp", "!keep.tmp", "/target/"])?;
    /// # Ok::<(), aeth_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid`, naming the pattern.
    pub fn exclude_patterns(self, patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        self.add_patterns(patterns, false)
    }

    /// [`exclude_patterns`](Self::exclude_patterns) without regard to case.
    ///
    /// # Errors
    /// `Invalid`, naming the pattern.
    pub fn iexclude_patterns(self, patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        self.add_patterns(patterns, true)
    }

    fn add_patterns(
        mut self,
        patterns: impl IntoIterator<Item = impl AsRef<str>>,
        ignore_case: bool,
    ) -> Result<Self> {
        let patterns = patterns.into_iter().map(|pattern| pattern.as_ref().to_owned()).collect();
        self.rules.add(patterns, ignore_case)?;
        Ok(self)
    }

    /// Leaves out what the patterns of a file match: one a line, `#` begins a comment, as in a `.gitignore`.
    /// The file is read now.
    ///
    /// # Errors
    /// `Invalid` for a pattern that is none or a file that is not UTF-8; `NotFound`, `Denied`, naming the file.
    pub fn exclude_file(self, file: impl AsRef<Path>) -> Result<Self> {
        let patterns = super::rules::read_patterns(file.as_ref())?;
        self.add_patterns(patterns, false)
    }

    /// [`exclude_file`](Self::exclude_file) without regard to case.
    ///
    /// # Errors
    /// As [`exclude_file`](Self::exclude_file).
    pub fn iexclude_file(self, file: impl AsRef<Path>) -> Result<Self> {
        let patterns = super::rules::read_patterns(file.as_ref())?;
        self.add_patterns(patterns, true)
    }

    /// Leaves out what a directory holds when an entry named `tag` stands in it; the directory and the entry are
    /// kept, so that a restore leaves the same directory out. `tag` may be `NAME:HEADER`: the file must begin
    /// with that header then.
    ///
    /// # Errors
    /// `Invalid` for a tag that is no file name.
    pub fn exclude_if_present(mut self, tag: impl AsRef<str>) -> Result<Self> {
        self.rules.add_tag(tag.as_ref())?;
        Ok(self)
    }

    /// Leaves out what directories hold that say by a `CACHEDIR.TAG` that they are caches
    /// (<https://bford.info/cachedir/>).
    #[must_use]
    pub fn exclude_caches(mut self) -> Self {
        self.rules.add_cache_tag();
        self
    }

    /// Leaves out files of more than `bytes`.
    #[must_use]
    pub fn exclude_larger_than(mut self, bytes: u64) -> Self {
        self.rules.larger_than = Some(bytes);
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

    /// True when some rule looks at paths or sizes.
    pub(crate) fn excludes_paths(&self) -> bool {
        !self.excludes.is_empty() || self.rules.looks_at_paths()
    }

    /// Whether a path (of a file of `size` bytes, or of a directory) is left out.
    pub(crate) fn is_excluded(&self, path: &Path, directory: bool, size: u64) -> bool {
        self.rules.exclude(path, directory, size)
            || self.excludes.iter().any(|exclude| exclude.matches(path, directory))
    }

    /// What the snapshot notes of the rules.
    pub(crate) fn labels(&self) -> Vec<String> {
        let own = self.excludes.iter().map(|exclude| exclude.label.clone());
        self.rules.labels().chain(own).collect()
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
