//! Options of the adapter, and what it claims.

use aeth_core::blob::{Capabilities, Capability};
use aeth_core::{Clock, SystemClock};
use opendal::Capability as Theirs;
use std::sync::Arc;
use std::time::Duration;

/// Options of an [`OpendalAdapter`](super::OpendalAdapter).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpendalAdapterOptions {
    /// The size in bytes of the parts of large puts, and of the largest body that is put in one request; default
    /// 8 MiB.
    pub part_size: usize,
    /// The greatest body in bytes that is held in memory for a conditional put; default 64 MiB.
    pub conditional_limit: u64,
    /// How many requests of one call run at the same time; default 8.
    pub concurrency: usize,
    /// How long one request may take; default 60 s.
    pub timeout: Duration,
    /// The directory in which a service that shows unfinished files gets them; default `.aeth-staging`. Paths in it
    /// are refused and not listed.
    pub staging: String,
    /// The source of time; default: the machine's clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for OpendalAdapterOptions {
    fn default() -> Self {
        Self {
            part_size: 8 << 20,
            conditional_limit: 64 << 20,
            concurrency: 8,
            timeout: Duration::from_secs(60),
            staging: ".aeth-staging".into(),
            clock: SystemClock::shared(),
        }
    }
}

impl OpendalAdapterOptions {
    /// Sets the size of parts, at least 64 KiB. S3 wants 5 MiB or more.
    #[must_use]
    pub fn with_part_size(mut self, bytes: usize) -> Self {
        self.part_size = bytes.max(64 << 10);
        self
    }

    /// Sets the greatest body that is held in memory for a conditional put.
    #[must_use]
    pub fn with_conditional_limit(mut self, bytes: u64) -> Self {
        self.conditional_limit = bytes;
        self
    }

    /// Sets how many requests of one call run at the same time.
    #[must_use]
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency.max(1);
        self
    }

    /// Sets how long one request may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the directory of unfinished files: one segment of a path.
    #[must_use]
    pub fn with_staging(mut self, directory: impl Into<String>) -> Self {
        self.staging = directory.into();
        self
    }

    /// Sets the source of time.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

/// Services that write into the file itself, where readers see it grow: ours are written elsewhere and renamed.
const IN_PLACE: [&str; 11] = [
    "fs",
    "monoiofs",
    "compfs",
    "hdfs",
    "hdfs-native",
    "webhdfs",
    "sftp",
    "ftp",
    "webdav",
    "alluxio",
    "dbfs",
];

/// True for a service whose files are seen before they are whole.
pub(super) fn shows_unfinished(scheme: &str) -> bool {
    IN_PLACE.contains(&scheme)
}

/// True for a service whose files are on another machine.
pub(super) fn is_remote(scheme: &str) -> bool {
    !matches!(scheme, "fs" | "monoiofs" | "compfs")
}

/// True for a service that deletes a directory, or puts a file in its place, with everything below it (RFC 4918,
/// sections 9.6.1 and 9.9.3).
pub(super) fn takes_directories(scheme: &str) -> bool {
    matches!(scheme, "webdav" | "webhdfs" | "hdfs" | "hdfs-native" | "alluxio" | "dbfs")
}

/// What the service's own claims mean in this contract, where the adapter holds them.
pub(super) fn claims(scheme: &str, theirs: &Theirs, staged: bool) -> Capabilities {
    let marks = theirs.read_with_if_match || theirs.stat_with_if_match;
    let attributes = theirs.write_with_user_metadata && !staged;
    let create = match staged {
        true => theirs.rename_with_if_not_exists,
        false => theirs.write_with_if_not_exists,
    };
    let presigns = theirs.presign && theirs.presign_read && theirs.presign_stat && theirs.presign_write;
    let found = [
        (Capability::RangeGet, true),
        (Capability::SuffixGet, true),
        (Capability::ConditionalGet, marks),
        (Capability::CreateOnly, create),
        (Capability::CompareAndSwap, marks && theirs.write_with_if_match && !staged),
        (Capability::Attributes, attributes),
        (Capability::Checksums, true),
        (Capability::CopyCreateOnly, create),
        (Capability::CopyReplace, attributes),
        // The others claim a rename that copies and deletes, or do not say.
        (Capability::AtomicRename, scheme == "fs" && theirs.rename),
        (Capability::ListStartAfter, true),
        (Capability::Presign, presigns && theirs.presign_delete),
        (Capability::Transparent, true),
        (Capability::MultiProcess, theirs.shared),
    ];
    Capabilities::new(found.into_iter().filter(|(_, has)| *has).map(|(capability, _)| capability))
}
