//! Files that are not in a file system.

use crate::format::NodeTime;
use aeth_core::{ByteStream, Result};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::fmt;

/// A file that a [`FileSource`] gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VirtualFile {
    /// Its path below the source: segments separated by `/`, none of them empty, `.` or `..`. An empty path
    /// means that the source is this one file.
    pub path: Vec<u8>,
    /// Its length in bytes, when it is known before it is read.
    pub size: Option<u64>,
    /// When its content was last modified.
    pub mtime: NodeTime,
    /// Its permissions, as `chmod` takes them. Default: `0o600`.
    pub permissions: u32,
    /// A number that changes whenever the content does (of an `ETag`, a version). With it, a file whose size,
    /// time and fingerprint are those of the parent snapshot is not read again; without it every file is.
    pub fingerprint: Option<u64>,
}

impl VirtualFile {
    /// A file at `path`, last modified at `mtime`.
    #[must_use]
    pub fn new(path: impl Into<Vec<u8>>, mtime: impl Into<NodeTime>) -> Self {
        Self { path: path.into(), size: None, mtime: mtime.into(), permissions: 0o600, fingerprint: None }
    }

    /// Sets [`size`](Self::size).
    #[must_use]
    pub fn size(mut self, bytes: u64) -> Self {
        self.size = Some(bytes);
        self
    }

    /// Sets [`permissions`](Self::permissions).
    #[must_use]
    pub fn permissions(mut self, mode: u32) -> Self {
        self.permissions = mode & 0o7777;
        self
    }

    /// Sets [`fingerprint`](Self::fingerprint).
    #[must_use]
    pub fn fingerprint(mut self, number: u64) -> Self {
        self.fingerprint = Some(number);
        self
    }
}

/// Something that gives files: a blob store, an application, a database.
#[async_trait]
pub trait FileSource: fmt::Debug + Send + Sync + 'static {
    /// All files, those of one directory one after the other (which both a walk in depth and a listing in the
    /// order of the bytes do). The stream ends after its first error.
    fn list(&self) -> BoxStream<'_, Result<VirtualFile>>;

    /// The content of a file that [`FileSource::list`] gave. Called for several files at once.
    ///
    /// # Errors
    /// Any; the file is then named in the report and left out, and the run goes on. `NotFound` says that it
    /// vanished since it was listed.
    ///
    /// # Cancel safety
    /// Must be cancel-safe.
    async fn open(&self, file: &VirtualFile) -> Result<ByteStream>;
}
