//! Choices of a local directory.

use aeth_core::{Clock, SystemClock};
use std::sync::Arc;
use std::time::Duration;

/// What a put has done when it returns: the price of safety against a loss of power.
///
/// Whatever the choice, readers see a blob old or new, never partial, and a killed process loses nothing that
/// it acknowledged: that much the operating system's memory gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing is forced to the disk. After a loss of power the newest blobs may be missing, old or empty.
    None,
    /// The bytes are on the disk before the blob gets its name; the name itself may be lost. After a loss of
    /// power a blob is old or new, never empty.
    File,
    /// The bytes, the name and every directory above it are on the disk. What was acknowledged survives.
    #[default]
    FileAndDirectory,
}

/// How blobs are laid out in the directory. Fixed when the store is first opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Layout {
    /// Paths are files and directories of the same names.
    #[default]
    Plain,
    /// The files of each directory are spread over 256 directories, by hash: for millions of blobs under one
    /// prefix.
    Sharded,
}

impl Layout {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Sharded => "sharded",
        }
    }
}

/// Options of a [`LocalDir`](super::LocalDir).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalDirOptions {
    /// What a put has done when it returns; default [`Durability::FileAndDirectory`].
    pub durability: Durability,
    /// How blobs are laid out; default [`Layout::Plain`].
    pub layout: Layout,
    /// How long an upload may stand still before the next open removes it; default 7 days.
    pub upload_expiry: Duration,
    /// How long a writer waits for another one at the same stripe of paths before it gives up with `Busy`;
    /// default 30 s. Writers hold a stripe for microseconds, not while data is written.
    pub lock_timeout: Duration,
    /// The source of time stamps; default the machine's clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for LocalDirOptions {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            layout: Layout::default(),
            upload_expiry: Duration::from_secs(7 * 24 * 60 * 60),
            lock_timeout: Duration::from_secs(30),
            clock: SystemClock::shared(),
        }
    }
}

impl LocalDirOptions {
    /// Sets what a put has done when it returns.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how blobs are laid out.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets how long an upload may stand still.
    #[must_use]
    pub fn with_upload_expiry(mut self, expiry: Duration) -> Self {
        self.upload_expiry = expiry;
        self
    }

    /// Sets how long a writer waits for another one.
    #[must_use]
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Sets the source of time stamps.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}
