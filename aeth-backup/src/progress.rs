//! How far a long operation is, and what happens in it.

use crate::Id;
use aeth_core::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that a display reads whenever it likes. Cheap to clone; all clones are the same counters.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    files: AtomicU64,
    directories: AtomicU64,
    bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
    stored: AtomicU64,
    skipped: AtomicU64,
}

/// The counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProgressReport {
    /// Files done.
    pub files: u64,
    /// Directories done.
    pub directories: u64,
    /// Bytes of files done (read, or found unchanged, or restored).
    pub bytes: u64,
    /// Files found so far; the whole once the search is over.
    pub total_files: u64,
    /// Bytes found so far; the whole once the search is over.
    pub total_bytes: u64,
    /// Bytes written to (or, for a check and a restore, read from) each sink.
    pub stored: u64,
    /// Items that were left out.
    pub skipped: u64,
}

impl Progress {
    /// All at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters now.
    #[must_use]
    pub fn report(&self) -> ProgressReport {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProgressReport {
            files: get(&self.0.files),
            directories: get(&self.0.directories),
            bytes: get(&self.0.bytes),
            total_files: get(&self.0.total_files),
            total_bytes: get(&self.0.total_bytes),
            stored: get(&self.0.stored),
            skipped: get(&self.0.skipped),
        }
    }

    /// Counts a file of `bytes` as done, for work around the engine that is shown together with it.
    pub fn advance(&self, bytes: u64) {
        self.file_done();
        self.bytes_done(bytes);
    }

    pub(crate) fn found(&self, bytes: u64) {
        self.0.total_files.fetch_add(1, Ordering::Relaxed);
        self.0.total_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn file_done(&self) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn directory_done(&self) {
        self.0.directories.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn bytes_done(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn stored(&self, bytes: u64) {
        self.0.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn skipped(&self) {
        self.0.skipped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Something that happened in an operation.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An item is not in the backup (or not in the restored tree).
    Skipped {
        /// The item.
        path: &'a str,
        /// Why.
        error: &'a Error,
    },
    /// A pack is durable in every live sink, or in as many as the [`Quorum`](crate::Quorum) asks for.
    PackStored {
        /// Its name.
        id: Id,
        /// Its length in bytes.
        bytes: u64,
    },
    /// An index is durable, in as many sinks.
    IndexStored {
        /// Its name.
        id: Id,
    },
    /// The snapshot is durable, in as many sinks: the backup exists.
    SnapshotStored {
        /// Its name.
        id: Id,
    },
}

/// Is told of [`Event`]s as they happen, on the thread on which they happen: return at once.
pub trait Observer: Send + Sync + 'static {
    /// Takes note.
    fn event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// The observer of an operation, if there is one.
#[derive(Clone, Default)]
pub(crate) struct Watch(pub(crate) Option<Arc<dyn Observer>>);

impl Watch {
    pub(crate) fn event(&self, event: &Event<'_>) {
        if let Some(observer) = &self.0 {
            observer.event(event);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}

/// An item that was left out of a backup or of a restored tree.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Skipped {
    /// The item's path; bytes that are not UTF-8 are shown as U+FFFD.
    pub path: String,
    /// Why.
    pub error: Error,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The error may name the path as well: say it once.
        if self.error.key() == Some(self.path.as_str()) {
            return fmt::Display::fmt(&self.error, f);
        }
        write!(f, "`{}`: {}", self.path, self.error)
    }
}

/// The skipped items of an operation. All are counted; the first of them are kept.
#[derive(Debug, Default)]
pub(crate) struct SkipList {
    kept: parking_lot::Mutex<Vec<Skipped>>,
    total: AtomicU64,
}

/// Enough to show, and a bound on memory when a whole tree is unreadable.
const KEPT: usize = 10_000;

impl SkipList {
    pub(crate) fn add(&self, path: &[u8], error: Error, progress: &Progress, watch: &Watch) {
        let path = String::from_utf8_lossy(path).into_owned();
        tracing::debug!(%error, "skipped");
        watch.event(&Event::Skipped { path: &path, error: &error });
        progress.skipped();
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock();
        if kept.len() < KEPT {
            kept.push(Skipped { path, error });
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> Vec<Skipped> {
        let mut kept = std::mem::take(&mut *self.kept.lock());
        kept.sort_by(|a, b| a.path.cmp(&b.path));
        kept
    }
}
