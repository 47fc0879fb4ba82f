//! Putting a cache together.

use super::fetch::Fetcher;
use super::known::Index;
use super::pages::{DirPages, MemoryPages, Pages, TierPages};
use super::peers::Peers;
use super::statistics::Counters;
use super::{Cached, Shared};
use aeth_core::blob::{BlobStore, Capabilities, Capability, Consistency};
use aeth_core::cache::CacheTier;
use aeth_core::coord::Backplane;
use aeth_core::{Clock, Error, Namespace, Result, SystemClock, Tasks};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const PAGE_SIZES: std::ops::RangeInclusive<u32> = 4 << 10..=16 << 20;

#[derive(Debug)]
enum Place {
    Memory { budget: u64 },
    Dir { dir: PathBuf, budget: u64 },
    Tier { tier: Arc<dyn CacheTier>, namespace: Namespace, ttl: Duration },
}

/// Puts a [`Cached`] together.
#[derive(Debug)]
#[must_use]
pub struct CachedBuilder {
    store: Arc<dyn BlobStore>,
    place: Place,
    page_size: u32,
    window: u64,
    revalidate_after: Duration,
    remembered: usize,
    peers: Option<(Arc<dyn Backplane>, String)>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

impl CachedBuilder {
    pub(super) fn new(store: Arc<dyn BlobStore>) -> Self {
        Self {
            store,
            place: Place::Memory { budget: 64 << 20 },
            page_size: 64 << 10,
            window: 4 << 20,
            revalidate_after: Duration::ZERO,
            remembered: 65_536,
            peers: None,
            clock: SystemClock::shared(),
            tasks: Tasks::new(),
        }
    }

    /// Keeps the pages in memory, up to `budget` bytes. This is the default, with 64 MiB.
    pub fn memory(mut self, budget: u64) -> Self {
        self.place = Place::Memory { budget };
        self
    }

    /// Keeps the pages as files in a directory of this cache's own, up to `budget` bytes. Pages that an earlier
    /// process left are used. They are what the store below gives: put the encrypted layer above this one when
    /// the disk must not see them.
    pub fn dir(mut self, dir: impl Into<PathBuf>, budget: u64) -> Self {
        self.place = Place::Dir { dir: dir.into(), budget };
        self
    }

    /// Keeps the pages in a cache tier, under a namespace of this store's own, for `ttl` each.
    pub fn tier(mut self, tier: Arc<dyn CacheTier>, namespace: Namespace, ttl: Duration) -> Self {
        self.place = Place::Tier { tier, namespace, ttl };
        self
    }

    /// The size of a page in bytes, 4 KiB to 16 MiB; default 64 KiB. A ranged read fetches the pages that it
    /// touches.
    pub fn page_size(mut self, bytes: u32) -> Self {
        self.page_size = bytes;
        self
    }

    /// The most bytes that one request fetches; default 4 MiB. A streamed read holds two of these in memory.
    pub fn window(mut self, bytes: u64) -> Self {
        self.window = bytes;
        self
    }

    /// How old what is known of a blob may be, for writers other than this handle; default 0: every read asks the
    /// store below which state the blob has. [`Duration::MAX`]: never asked again, because nobody else writes, or
    /// because all who do are peers.
    pub fn revalidate_after(mut self, age: Duration) -> Self {
        self.revalidate_after = age;
        self
    }

    /// Of how many blobs the metadata is remembered; default 65,536.
    pub fn remembered(mut self, blobs: usize) -> Self {
        self.remembered = blobs;
        self
    }

    /// Tells other nodes of writes and hears of theirs, under a name that all caches of the same store share.
    /// Messages that may have been missed make everything known forgotten, and while the backplane is away nothing
    /// is believed without asking.
    pub fn peers(mut self, plane: Arc<dyn Backplane>, name: impl Into<String>) -> Self {
        self.peers = Some((plane, name.into()));
        self
    }

    /// The source of time; default: the machine's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The owner of the background work; default: a group of its own. It gets a child.
    pub fn tasks(mut self, tasks: &Tasks) -> Self {
        self.tasks = tasks.child();
        self
    }

    /// The layer.
    ///
    /// # Errors
    /// `Invalid` for a page size out of range; `Denied`, `Full` and the like for the directory; those of the
    /// backplane.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(self) -> Result<Cached> {
        if !PAGE_SIZES.contains(&self.page_size) {
            return Err(Error::invalid(format!("pages of {} bytes", self.page_size))
                .with_component("cached")
                .with_remedy("choose 4 KiB to 16 MiB"));
        }
        let page_size = u64::from(self.page_size);
        let pages: Arc<dyn Pages> = match self.place {
            Place::Memory { budget } => Arc::new(MemoryPages::new(budget, page_size)),
            Place::Dir { dir, budget } => Arc::new(DirPages::open(dir, budget, page_size).await?),
            Place::Tier { tier, namespace, ttl } => {
                Arc::new(TierPages::new(tier, namespace, ttl, Arc::clone(&self.clock)))
            }
        };
        let below = self.store.capabilities();
        let counters = Arc::new(Counters::default());
        let fetcher = Fetcher::new(
            Arc::clone(&self.store),
            pages,
            page_size,
            self.tasks.clone(),
            Arc::clone(&counters),
        );
        let index = Arc::new(Index::new(self.remembered));
        let peers = self.peers.map(|(plane, name)| Peers::new(plane, &name, Arc::clone(&self.clock)));
        let listening = self.tasks.child();
        if let Some(peers) = &peers {
            peers.listen(&index, &listening).await?;
        }
        Ok(Cached(Arc::new(Shared {
            name: format!("cached({})", self.store.name()),
            caps: transform(&below, self.revalidate_after, peers.is_some()),
            active: below.has(Capability::RangeGet),
            inner: self.store,
            window: (self.window / page_size).max(1) * page_size,
            revalidate_after: self.revalidate_after,
            fetcher,
            index,
            gates: Mutex::new(HashMap::new()),
            counters,
            peers,
            clock: self.clock,
            tasks: self.tasks,
            listening,
        })))
    }
}

/// What the layer can do over a store that can do `below`.
fn transform(below: &Capabilities, revalidate_after: Duration, peers: bool) -> Capabilities {
    let mut caps = below.clone();
    if revalidate_after == Duration::MAX && !peers {
        // Nobody else writes: neither another process nor the holder of a URL.
        return caps.without(Capability::MultiProcess).without(Capability::Presign);
    }
    if !revalidate_after.is_zero() {
        caps.consistency = Consistency::Eventual;
    }
    caps
}
