//! How a repository is opened.

use super::Repository;
use crate::chunker::Polynomial;
use crate::crypto::KdfParams;
use crate::format::Compression;
use std::time::Duration;

/// Which sinks must take everything that a run writes for the run to be a success.
///
/// With anything but [`All`](Self::All), the others are not waited for: what they take more slowly they take in the
/// background, up to [`upload_budget`](RepositoryOptions::upload_budget) each; beyond that they get the rest when the
/// snapshot is made. One that gives no sign of life for [`patience`](RepositoryOptions::patience) is out, and receives
/// what it lacks by the next run, or by [`Repository::catch_up`](crate::Repository::catch_up). The report tells of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Quorum {
    /// Every one. The default.
    #[default]
    All,
    /// At least this many (0 counts as 1), whichever they are.
    AtLeast(usize),
    /// The first one; the others follow it.
    Primary,
}

impl Quorum {
    /// Whether those for which `stored` is true are enough.
    pub(crate) fn holds(self, stored: &[bool]) -> bool {
        let count = stored.iter().filter(|stored| **stored).count();
        match self {
            Self::All => count == stored.len(),
            Self::AtLeast(needed) => count >= needed.clamp(1, stored.len().max(1)),
            Self::Primary => stored.first() == Some(&true),
        }
    }

    /// Whether any sink can be done without.
    pub(crate) fn spares(self) -> bool {
        self != Self::All
    }

    /// What it asks for, as the end of a message.
    pub(crate) fn wanted(self, sinks: usize) -> String {
        match self {
            Self::All => format!("all {sinks} are needed"),
            Self::AtLeast(needed) => format!("{} are needed", needed.clamp(1, sinks.max(1))),
            Self::Primary => "the first is needed".to_owned(),
        }
    }
}

/// How a [`Repository`](crate::Repository) is made and opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RepositoryOptions {
    /// Which sinks must succeed. Default: all.
    pub quorum: Quorum,
    /// How long a sink may give no sign of life where the [`quorum`](Self::quorum) can do without it, or where another
    /// can be read instead; taking a pack may last six times as long. Default: 10 seconds.
    pub patience: Duration,
    /// How long one operation on one sink may take before the sink counts as failed. Default: 5 minutes.
    pub sink_timeout: Duration,
    /// How hard blobs are compressed. Default: [`Compression::Auto`].
    pub compression: Compression,
    /// The size in bytes at which a pack is closed, 1 to 128 MiB. Default: 16 MiB, as restic.
    pub pack_size: usize,
    /// Threads that read, compress and seal. Default: as many as the machine runs at once, at most 16.
    pub threads: usize,
    /// Bytes that closed packs on their way to the sinks may take. Default: 32 MiB; more of
    /// them lets more packs travel at once, which a distant sink needs.
    pub upload_budget: usize,
    /// Fill empty sinks from the others when the repository is opened. Default: no, because an empty sink is
    /// more often a disk that is not mounted.
    pub attach_empty: bool,
    /// How long what is written cannot be destroyed, by nobody who has the credentials of this program, in sinks whose
    /// stores can see to that ([`SinkCapabilities::object_lock`](aeth_core::backup::SinkCapabilities::object_lock)); the
    /// others take no notice. Let [`Repository::extend_object_locks`] run well before it is over, by a
    /// [schedule](crate::ScheduleOptions::extend_object_locks) or on your own. Default: not at all.
    pub object_lock: Option<Duration>,
    /// The cost of new keys. Default: calibrated to half a second.
    pub kdf: Option<KdfParams>,
    /// The format version of a new repository: 2, or 1 without compression for old tools. Default: 2.
    pub version: u32,
    pub(crate) chunker: Option<Polynomial>,
    /// The host name that snapshots and locks carry. Default: the machine's.
    pub hostname: Option<String>,
}

impl Default for RepositoryOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(16);
        Self {
            quorum: Quorum::All,
            patience: Duration::from_secs(10),
            sink_timeout: Duration::from_secs(300),
            compression: Compression::Auto,
            pack_size: 16 << 20,
            threads,
            upload_budget: 32 << 20,
            attach_empty: false,
            object_lock: None,
            kdf: None,
            version: 2,
            chunker: None,
            hostname: None,
        }
    }
}

impl RepositoryOptions {
    /// Sets [`quorum`](Self::quorum).
    #[must_use]
    pub fn quorum(mut self, quorum: Quorum) -> Self {
        self.quorum = quorum;
        self
    }

    /// Sets [`patience`](Self::patience).
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets [`sink_timeout`](Self::sink_timeout).
    #[must_use]
    pub fn sink_timeout(mut self, timeout: Duration) -> Self {
        self.sink_timeout = timeout;
        self
    }

    /// Sets [`compression`](Self::compression).
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets [`pack_size`](Self::pack_size), moved into its range.
    #[must_use]
    pub fn pack_size(mut self, bytes: usize) -> Self {
        self.pack_size = bytes.clamp(1 << 20, 128 << 20);
        self
    }

    /// Sets [`threads`](Self::threads), at least one.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Sets [`upload_budget`](Self::upload_budget).
    #[must_use]
    pub fn upload_budget(mut self, bytes: usize) -> Self {
        self.upload_budget = bytes;
        self
    }

    /// Sets [`attach_empty`](Self::attach_empty).
    #[must_use]
    pub fn attach_empty(mut self, attach: bool) -> Self {
        self.attach_empty = attach;
        self
    }

    /// Sets [`object_lock`](Self::object_lock).
    #[must_use]
    pub fn object_lock(mut self, time: Duration) -> Self {
        self.object_lock = Some(time);
        self
    }

    /// Sets [`kdf`](Self::kdf).
    #[must_use]
    pub fn kdf(mut self, params: KdfParams) -> Self {
        self.kdf = Some(params);
        self
    }

    /// Sets [`version`](Self::version).
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Cuts files in a new repository where `other` cuts them, so that what is copied from one to the other and
    /// what is backed up to both is stored once. Default: at places of its own.
    #[must_use]
    pub fn chunker_like(mut self, other: &Repository) -> Self {
        self.chunker = Some(other.shared.config.chunker_polynomial);
        self
    }

    /// Sets [`hostname`](Self::hostname).
    #[must_use]
    pub fn hostname(mut self, name: impl Into<String>) -> Self {
        self.hostname = Some(name.into());
        self
    }
}
