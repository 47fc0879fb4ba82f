//! Options of the archive.

use aeth_core::blob::BlobStore;
use aeth_core::{Clock, Error, Result, SystemClock};
use gix::refs::FullName;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::COMPONENT;

/// How an archive is kept.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GitArchiveOptions {
    /// The branch that commits go to; default `main`.
    pub branch: String,
    /// The name of the author; default `aetherius`.
    pub author: String,
    /// The address of the author; default `aetherius@localhost`.
    pub email: String,
    /// Blobs longer than this many bytes are kept out of git, with a pointer in their place; default 1 MiB, which
    /// is also the most (those in git pass through memory).
    pub large_over: u64,
    /// Where large blobs are kept, as `AB/CD/SHA256`; default: the directory `lfs/objects` in the repository.
    pub large_store: Option<Arc<dyn BlobStore>>,
    /// How many blobs are read or written at the same time; default 8.
    pub concurrency: usize,
    /// How long a writer waits for another one; default 30 s.
    pub lock_timeout: Duration,
    /// The source of time; default: the machine's clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for GitArchiveOptions {
    fn default() -> Self {
        Self {
            branch: "main".into(),
            author: "aetherius".into(),
            email: "aetherius@localhost".into(),
            large_over: 1 << 20,
            large_store: None,
            concurrency: 8,
            lock_timeout: Duration::from_secs(30),
            clock: SystemClock::shared(),
        }
    }
}

impl GitArchiveOptions {
    /// Sets the branch.
    #[must_use]
    pub fn with_branch(mut self, branch: impl Into<String>) -> Self {
        self.branch = branch.into();
        self
    }

    /// Sets the author of commits and tags.
    #[must_use]
    pub fn with_author(mut self, name: impl Into<String>, email: impl Into<String>) -> Self {
        self.author = name.into();
        self.email = email.into();
        self
    }

    /// Sets the length in bytes above which blobs are kept out of git; more than 1 MiB means 1 MiB.
    #[must_use]
    pub fn with_large_over(mut self, bytes: u64) -> Self {
        self.large_over = bytes;
        self
    }

    /// Sets where large blobs are kept.
    #[must_use]
    pub fn with_large_store(mut self, store: Arc<dyn BlobStore>) -> Self {
        self.large_store = Some(store);
        self
    }

    /// Sets how many blobs are read or written at the same time.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// Sets how long a writer waits for another one.
    #[must_use]
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Sets the source of time.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn checked(mut self) -> Result<Self> {
        branch(&self.branch)?;
        for (what, text) in [("name", &self.author), ("address", &self.email)] {
            if text.trim().is_empty() || text.contains(['<', '>', '\n', '\r', '\0']) {
                return Err(Error::invalid(format!("the {what} of the author is not one that git takes"))
                    .with_component(COMPONENT)
                    .with_remedy("give one line without angle brackets"));
            }
        }
        self.large_over = self.large_over.min(1 << 20);
        self.concurrency = self.concurrency.max(1);
        Ok(self)
    }
}

/// The full name of a branch.
pub(super) fn branch(name: &str) -> Result<FullName> {
    reference("refs/heads/", name)
}

/// The full name of a tag.
pub(super) fn tag(name: &str) -> Result<FullName> {
    reference("refs/tags/", name)
}

fn reference(kind: &str, name: &str) -> Result<FullName> {
    let refused = |source: Option<gix::validate::reference::name::Error>| {
        let error = Error::invalid("git does not take this name for a branch or tag")
            .with_component(COMPONENT)
            .with_key(name)
            .with_remedy("see `git help check-ref-format`");
        match source {
            Some(source) => error.with_source(source),
            None => error,
        }
    };
    if name.starts_with('-') || name == "HEAD" {
        return Err(refused(None));
    }
    FullName::try_from(format!("{kind}{name}")).map_err(|error| refused(Some(error)))
}

/// Options of a commit.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CommitOptions {
    /// What the commit says; default: that it holds a prefix as it was.
    pub message: Option<String>,
    /// Commit only when the branch is at this commit; the empty text: only when it has none. Default: wherever it
    /// is.
    pub expected: Option<String>,
    /// Make a commit even when nothing changed; default: the last one is given back.
    pub allow_unchanged: bool,
}

impl CommitOptions {
    /// Sets the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Commit only when the branch is at this commit (its full id), or has none (the empty text).
    #[must_use]
    pub fn with_expected(mut self, commit: impl Into<String>) -> Self {
        self.expected = Some(commit.into());
        self
    }

    /// Make a commit even when nothing changed.
    #[must_use]
    pub fn with_unchanged(mut self) -> Self {
        self.allow_unchanged = true;
        self
    }
}

/// Options of a restore.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Only blobs whose path in the version starts with this text; default: all.
    pub only: Option<String>,
    /// Delete blobs of the target that the version does not have; default: they stay.
    pub delete: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

impl RestoreOptions {
    /// Only blobs whose path in the version starts with this text (compared byte by byte).
    #[must_use]
    pub fn with_only(mut self, prefix: impl Into<String>) -> Self {
        self.only = Some(prefix.into());
        self
    }

    /// Delete blobs of the target that the version does not have.
    #[must_use]
    pub fn with_delete(mut self) -> Self {
        self.delete = true;
        self
    }

    /// Only say what would be done.
    #[must_use]
    pub fn with_dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }
}

/// Seconds since 1970, as git counts them.
pub(super) fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The time of so many seconds since 1970.
pub(super) fn time(seconds: i64) -> SystemTime {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}
