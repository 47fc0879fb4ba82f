//! Bytes in memory, as a tier.

mod lease;
mod space;
mod tier;

use crate::l1::{KeyHasher, KeyRef, L1Key, NoHash};
use aeth_core::cache::Entry;
use aeth_core::observe::Counter;
use aeth_core::{Clock, Error, Namespace, Result};
use lease::LeaseShard;
use moka::notification::RemovalCause;
use moka::sync::Cache;
use parking_lot::{Mutex, RwLock};
use space::MemorySpace;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

const SHARDS: usize = 64;
/// What an entry takes beside its value, key and tags.
const OVERHEAD: usize = 256;

/// A tier in this process's memory, with leases, tags and versions, on moka (W-TinyLFU).
///
/// Cheap to clone; all clones are the same tier. It is gone with the process; a host that wants its caches to
/// survive a restart puts a persistent tier below it.
///
/// ```
/// use aeth_cache::MemoryTier;
/// use aeth_core::cache::{CacheTierExt, Entry, Lookup};
/// use aeth_core::{ClockExt, Key, Namespace, SystemClock};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> aeth_core::Result<()> {
/// let clock = SystemClock::shared();
/// let tier = MemoryTier::new(16 << 20, clock.clone())?;
/// let (namespace, key) = (Namespace::new("pages")?, Key::new("index")?);
/// let now = clock.unix_millis();
/// tier.put(&namespace, key.clone(), Entry::new("text", now, now + 60_000)).await?;
/// assert!(matches!(tier.get(&namespace, &key).await, Lookup::Hit(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryTier {
    inner: Arc<Inner>,
}

struct Inner {
    cache: Cache<L1Key, Arc<Stored>, NoHash>,
    hasher: KeyHasher,
    spaces: RwLock<HashMap<Namespace, Arc<MemorySpace>>>,
    next_space: AtomicU32,
    shards: Box<[Mutex<LeaseShard>]>,
    next_token: AtomicU64,
    clock: Arc<dyn Clock>,
    capacity: u64,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    hits: Counter,
    misses: Counter,
    puts: Counter,
    removals: Counter,
    evictions: Counter,
    expirations: Counter,
}

/// An entry, and the state of the namespace that it belongs to.
#[derive(Debug)]
struct Stored {
    entry: Entry,
    weight: u32,
    /// Milliseconds of the monotonic clock: a wall clock that steps back does not lengthen its life.
    deadline: u64,
    clears: u64,
    tag_epoch: u64,
}

impl MemoryTier {
    /// A tier that holds up to `capacity` bytes (values, keys, tags and 256 bytes for each entry).
    ///
    /// # Errors
    /// `Invalid` for a capacity below 64 KiB.
    pub fn new(capacity: u64, clock: Arc<dyn Clock>) -> Result<Self> {
        if capacity < 64 << 10 {
            return Err(Error::invalid(format!("a memory tier of {capacity} bytes is too small"))
                .with_remedy("give it at least 64 KiB"));
        }
        let counters = Arc::new(Counters::default());
        let evicted = Arc::clone(&counters);
        let cache = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_: &L1Key, stored: &Arc<Stored>| stored.weight)
            .eviction_listener(move |_, _, cause| {
                if cause == RemovalCause::Size {
                    evicted.evictions.increment();
                }
            })
            .build_with_hasher(NoHash);
        let inner = Inner {
            cache,
            hasher: KeyHasher::default(),
            spaces: RwLock::default(),
            next_space: AtomicU32::new(0),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            next_token: AtomicU64::new(fastrand::u64(..)),
            clock,
            capacity,
            counters,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl Inner {
    /// The shard whose lock orders all changes of a key.
    fn shard(&self, key: &KeyRef<'_>) -> &Mutex<LeaseShard> {
        let index = usize::try_from((key.hash >> 44) % SHARDS as u64).unwrap_or(0);
        &self.shards[index]
    }
}

impl fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTier").field("capacity", &self.inner.capacity).finish_non_exhaustive()
    }
}
