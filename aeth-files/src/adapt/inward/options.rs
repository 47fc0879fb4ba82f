//! What is behind an adapter, and how it is used.

use aeth_core::blob::{Capabilities, Capability};
use aeth_core::{BlobPath, Clock, SystemClock};
use std::sync::Arc;
use std::time::Duration;

/// What object_store's traits have room for. They give no tags back; their uploads in parts can neither leave numbers
/// out nor list what is stored nor carry a condition, which those of `Uploads` can.
const EXPRESSIBLE: [Capability; 16] = [
    Capability::RangeGet,
    Capability::SuffixGet,
    Capability::ConditionalGet,
    Capability::CreateOnly,
    Capability::CompareAndSwap,
    Capability::Attributes,
    Capability::Checksums,
    Capability::CopyCreateOnly,
    Capability::CopyReplace,
    Capability::AtomicRename,
    Capability::ListStartAfter,
    Capability::Durable,
    Capability::Transparent,
    Capability::MultiProcess,
    Capability::Versions,
    Capability::PlainUploads,
];

/// The engine behind an object_store store, from which the adapter's claims follow.
///
/// The claims are what object_store's own implementation does against the genuine service. A stand-in that speaks
/// the same protocol may do less: narrow them by [`aeth_core::blob::probe`] and
/// [`ObjectStoreAdapter::narrow`](super::ObjectStoreAdapter::narrow).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// `object_store::memory::InMemory`.
    Memory,
    /// `object_store::local::LocalFileSystem`, which has neither compare-and-swap nor attributes; its marks are made
    /// of the file's number, time and size and may repeat. Build it with `with_automatic_cleanup(true)`, or directories
    /// that deletes leave behind are in the way of blobs. Prefer [`LocalDir`](crate::LocalDir).
    LocalFileSystem,
    /// `object_store::aws::AmazonS3`. A copy in mode `Create` reads the source and puts the target under the condition,
    /// up to [`conditional_limit`](ObjectStoreAdapterOptions::conditional_limit): object_store's own ways lose
    /// attributes or work on one vendor's servers.
    S3,
    /// `object_store::gcp::GoogleCloudStorage`; its conditional writes compare generations, which are part of the
    /// marks here.
    Gcs,
    /// `object_store::azure::MicrosoftAzure`; names of user metadata must be identifiers there, so that `-` and what else
    /// is none is written as `_x2d_`.
    Azure,
    /// `object_store::http::HttpStore`: a WebDAV server. It takes no upload in parts, so that a blob is at most as
    /// large as [`conditional_limit`](ObjectStoreAdapterOptions::conditional_limit).
    Http,
    /// Anything else: plain reads, writes, deletes, copies and listings, and ranges.
    Other,
}

impl Engine {
    /// What it does.
    #[must_use]
    pub fn claims(self) -> Capabilities {
        use Capability as C;
        // Checksums are compared and listings are cut on this side of the engine.
        let base = [C::RangeGet, C::Checksums, C::ListStartAfter, C::Transparent];
        let more: &[Capability] = match self {
            Self::Memory => &[
                C::SuffixGet,
                C::ConditionalGet,
                C::CreateOnly,
                C::CompareAndSwap,
                C::Attributes,
                C::CopyCreateOnly,
                C::CopyReplace,
            ],
            Self::LocalFileSystem => {
                &[C::SuffixGet, C::CreateOnly, C::CopyCreateOnly, C::AtomicRename, C::MultiProcess]
            }
            Self::S3 => &[
                C::SuffixGet,
                C::ConditionalGet,
                C::CreateOnly,
                C::CompareAndSwap,
                C::Attributes,
                C::CopyReplace,
                C::CopyCreateOnly,
                C::Durable,
                C::MultiProcess,
            ],
            Self::Gcs => &[
                C::SuffixGet,
                C::ConditionalGet,
                C::CreateOnly,
                C::CompareAndSwap,
                C::Attributes,
                C::CopyReplace,
                C::CopyCreateOnly,
                C::Durable,
                C::MultiProcess,
            ],
            Self::Azure => &[
                C::ConditionalGet,
                C::CreateOnly,
                C::CompareAndSwap,
                C::Attributes,
                C::CopyReplace,
                C::CopyCreateOnly,
                C::Durable,
                C::MultiProcess,
            ],
            Self::Http => &[C::MultiProcess],
            Self::Other => &[],
        };
        let mut claims = Capabilities::new(base.into_iter().chain(more.iter().copied()));
        claims.max_size = match self {
            Self::S3 | Self::Gcs => Some(5 << 40),
            Self::Azure => Some(190 << 40),
            _ => None,
        };
        claims
    }

    /// Whether it takes uploads in parts.
    pub(super) fn has_parts(self) -> bool {
        self != Self::Http
    }

    /// Whether it copies to a free path by itself, attributes included.
    pub(super) fn copies_if_absent(self) -> bool {
        self != Self::S3
    }

    /// Whether its conditional writes compare versions instead of etags.
    pub(super) fn by_version(self) -> bool {
        self == Self::Gcs
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::LocalFileSystem => "local-file-system",
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
            Self::Http => "http",
            Self::Other => "other",
        }
    }
}

/// Removes claims that object_store's trait has no room for, and those that lack what they build upon.
pub(super) fn expressible(mut claims: Capabilities) -> Capabilities {
    claims.set = claims.set.and(EXPRESSIBLE.into_iter().collect());
    for (claim, needed) in
        [(Capability::SuffixGet, Capability::RangeGet), (Capability::CopyReplace, Capability::Attributes)]
    {
        if !claims.has(needed) {
            claims = claims.without(claim);
        }
    }
    claims
}

/// Options of an [`ObjectStoreAdapter`](super::ObjectStoreAdapter).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ObjectStoreAdapterOptions {
    /// The size in bytes of the parts in which a large body is sent; default 8 MiB, at least 5 MiB for the usual
    /// engines. Grows by itself where the body states a length that would need more than 9,000 parts.
    pub part_size: usize,
    /// How many parts of one put are under way at once; default 4. One put holds at most this many parts and one
    /// more in memory.
    pub part_concurrency: usize,
    /// The greatest put in bytes whose condition is honoured; default 64 MiB. object_store takes a condition only
    /// together with a body that is in memory as a whole, so that it is also what such a put may hold in memory.
    pub conditional_limit: u64,
    /// Where a put in mode `Create` above that limit is staged before it is copied to its path if that is free;
    /// default nowhere, and such a put is refused. Needs
    /// [`CopyCreateOnly`](Capability::CopyCreateOnly). What is staged is visible under this path while the put runs, and
    /// stays there when the process dies: choose a path that nobody lists, and let a rule of the engine empty it.
    pub staging: Option<BlobPath>,
    /// How long one call of the engine (one part, one page, the wait for the next chunk of a body) may take; default
    /// 60 s.
    pub timeout: Duration,
    /// The source of time; default the machine's clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for ObjectStoreAdapterOptions {
    fn default() -> Self {
        Self {
            part_size: 8 << 20,
            part_concurrency: 4,
            conditional_limit: 64 << 20,
            staging: None,
            timeout: Duration::from_secs(60),
            clock: SystemClock::shared(),
        }
    }
}

impl ObjectStoreAdapterOptions {
    /// Sets the size of parts in bytes; at least 1.
    #[must_use]
    pub fn with_part_size(mut self, bytes: usize) -> Self {
        self.part_size = bytes.max(1);
        self
    }

    /// Sets how many parts of one put are under way at once; at least 1.
    #[must_use]
    pub fn with_part_concurrency(mut self, parts: usize) -> Self {
        self.part_concurrency = parts.max(1);
        self
    }

    /// Sets the greatest put in bytes whose condition is honoured.
    #[must_use]
    pub fn with_conditional_limit(mut self, bytes: u64) -> Self {
        self.conditional_limit = bytes;
        self
    }

    /// Sets where large puts in mode `Create` are staged.
    #[must_use]
    pub fn with_staging(mut self, path: BlobPath) -> Self {
        self.staging = Some(path);
        self
    }

    /// Sets how long one call of the engine may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the source of time.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}
