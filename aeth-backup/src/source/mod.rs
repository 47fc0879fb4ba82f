//! What is backed up.

mod blobs;
mod command;
mod config_set;
mod copy;
mod entry;
mod git;
pub(crate) mod path;
mod rules;
mod stat;
mod streams;
mod volume;

pub use blobs::BlobSource;
pub use command::CommandSource;
pub use config_set::ConfigSet;
pub use copy::{CopySource, OnlineCopy};
pub use entry::{FileSource, VirtualFile};
pub use git::GitSource;
pub use path::{Exclude, PathSource};
pub(crate) use stat::{Stat, list_xattrs_fd, list_xattrs_path, node_of};
pub use streams::StreamSource;
pub use volume::VolumeSource;

use aeth_core::{Error, Result};
use std::sync::Arc;

/// One source of a [`Plan`](crate::Plan).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Source {
    /// A directory or a file of this machine, in full fidelity.
    Path(PathSource),
    /// Files that something else than the file system holds, below `at`.
    Files {
        /// Where they stand in the snapshot: absolute, segments separated by `/`.
        at: String,
        /// What gives them.
        files: Arc<dyn FileSource>,
    },
    /// A consistent copy of something that is in use, made when the run comes to it.
    Copy(CopySource),
}

impl Source {
    /// Files from `files`, standing at `at` in the snapshot.
    #[must_use]
    pub fn files(at: impl Into<String>, files: impl FileSource) -> Self {
        Self::Files { at: at.into(), files: Arc::new(files) }
    }

    /// Where the source stands in the snapshot, as segments.
    pub(crate) fn segments(&self) -> Result<Vec<Vec<u8>>> {
        match self {
            Self::Path(source) => source.segments(),
            Self::Files { at, .. } => split(at.as_bytes()),
            Self::Copy(copy) => split(copy.at().as_bytes()),
        }
    }
}

impl From<PathSource> for Source {
    fn from(source: PathSource) -> Self {
        Self::Path(source)
    }
}

impl From<CopySource> for Source {
    fn from(source: CopySource) -> Self {
        Self::Copy(source)
    }
}

/// The segments of an absolute path; the root has none.
pub(crate) fn split(path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let invalid = |message: &'static str| {
        Error::invalid(message)
            .with_key(String::from_utf8_lossy(path))
            .with_remedy("give an absolute path without empty, `.` and `..` segments")
    };
    let Some(rest) = path.strip_prefix(b"/") else {
        return Err(invalid("a place in a snapshot must be an absolute path"));
    };
    let segments: Vec<_> = rest.split(|byte| *byte == b'/').filter(|segment| !segment.is_empty()).collect();
    if segments.iter().any(|segment| matches!(*segment, b"." | b"..") || segment.contains(&0)) {
        return Err(invalid("a place in a snapshot has a segment that is not a name"));
    }
    Ok(segments.into_iter().map(<[u8]>::to_vec).collect())
}
