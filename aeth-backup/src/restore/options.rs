//! What is restored, and to where.

use crate::browse::Glob;
use crate::progress::{Observer, Progress, Skipped, Watch};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What happens to what is in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Existing {
    /// The target must be missing or empty. The default.
    #[default]
    Refuse,
    /// Files of the same names are replaced, others stay.
    Overwrite,
    /// Files of the same names are read and compared with the snapshot, and only the parts that differ are read from
    /// the repository and written, in place. For a large target of which little has changed.
    Update,
    /// As [`Update`](Self::Update), but a file that has the snapshot's size and time of modification is taken to have
    /// its content.
    IfChanged,
    /// As [`Update`](Self::Update), but a file that was modified later than the snapshot's stays as it is.
    IfNewer,
    /// Whatever is there stays as it is; what is missing is restored.
    Keep,
}

impl Existing {
    /// Whether a file that is there is compared with the snapshot.
    pub(super) fn compares(self) -> bool {
        matches!(self, Self::Update | Self::IfChanged | Self::IfNewer)
    }
}

/// What is restored, and to where.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreOptions {
    pub(crate) target: PathBuf,
    pub(crate) root: Option<String>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<Glob>,
    pub(crate) delete: bool,
    pub(crate) dry_run: bool,
    pub(crate) existing: Existing,
    pub(crate) verify: bool,
    pub(crate) sparse: bool,
    pub(crate) owners: bool,
    pub(crate) progress: Progress,
    pub(crate) watch: Watch,
    pub(crate) cancel: CancellationToken,
}

impl RestoreOptions {
    /// Restores everything below `target`, each file at its path in the snapshot, as `restic restore` does.
    #[must_use]
    pub fn new(target: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
            root: None,
            include: Vec::new(),
            exclude: Vec::new(),
            delete: false,
            dry_run: false,
            existing: Existing::Refuse,
            verify: false,
            sparse: true,
            owners: true,
            progress: Progress::default(),
            watch: Watch::default(),
            cancel: CancellationToken::new(),
        }
    }

    /// Restores only what stands at `path` of the snapshot, and puts it *at* the target instead of below it.
    #[must_use]
    pub fn root(mut self, path: impl Into<String>) -> Self {
        self.root = Some(path.into());
        self
    }

    /// Restores only `path` and what is below it (may be repeated). Paths are absolute, those of the snapshot.
    #[must_use]
    pub fn include(mut self, path: impl Into<String>) -> Self {
        self.include.push(path.into());
        self
    }

    /// Leaves out what fits the pattern, and what is below it (may be repeated).
    #[must_use]
    pub fn exclude(mut self, pattern: Glob) -> Self {
        self.exclude.push(pattern);
        self
    }

    /// Removes from the directories that are restored what the snapshot does not have in them, so that the target is
    /// as it was. What [`include`](Self::include) and [`exclude`](Self::exclude) leave out is not touched. Has no
    /// effect with [`Existing::Refuse`] and [`Existing::Keep`]. Default: no.
    #[must_use]
    pub fn delete(mut self, delete: bool) -> Self {
        self.delete = delete;
        self
    }

    /// Writes nothing: the report says what would be done. Files that would be compared are read. Default: no.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// What happens to what is there already.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// Reads each file again and compares it with the snapshot. Default: no.
    #[must_use]
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Leaves holes where a file has long runs of zeroes. Default: yes.
    #[must_use]
    pub fn sparse(mut self, sparse: bool) -> Self {
        self.sparse = sparse;
        self
    }

    /// Restores owners and groups, by number. Only root may; without its rights they stay the caller's.
    /// Default: yes.
    #[must_use]
    pub fn owners(mut self, owners: bool) -> Self {
        self.owners = owners;
        self
    }

    /// Counts into `progress`.
    #[must_use]
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Tells `observer` what happens.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.watch = Watch(Some(Arc::new(observer)));
        self
    }

    /// Stops when `token` is cancelled, with what was restored so far in place.
    #[must_use]
    pub fn cancel_with(mut self, token: CancellationToken) -> Self {
        self.cancel = token;
        self
    }
}

/// What a restore did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Files restored, hard links included.
    pub files: u64,
    /// Directories restored.
    pub directories: u64,
    /// Bytes of files restored.
    pub bytes: u64,
    /// Bytes of them that were there already, and were not read from the repository.
    pub unchanged_bytes: u64,
    /// Files that were there and were left as they are, their content being right or by [`Existing::Keep`] or
    /// [`Existing::IfNewer`]; they do not count as restored.
    pub unchanged: u64,
    /// Entries that the snapshot does not have and that were removed, each with all that was below it.
    pub deleted: u64,
    /// True when nothing was written: the figures say what would be done.
    pub dry_run: bool,
    /// Files that were read again and found right.
    pub verified: u64,
    /// What could not be restored, wholly or in part, and why; the first 10,000.
    pub skipped: Vec<Skipped>,
    /// How many problems there were.
    pub skipped_total: u64,
    /// How long it took.
    pub elapsed: Duration,
}

impl RestoreReport {
    /// True when nothing was left out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.skipped_total == 0
    }
}
