//! Blobs as a tier.

mod container;
mod names;
mod tier;

use aeth_core::blob::{BlobStore, BlobStoreExt, Capability, GetOptions, ListOptions, PutOptions};
use aeth_core::cache::{Entry, PutOutcome};
use aeth_core::observe::Counter;
use aeth_core::{BlobPath, Clock, ClockExt, Error, ErrorKind, Key, Namespace, Result, Tag};
use bytes::Bytes;
use container::{Container, Front, Mark};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use names::Names;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Requests to the store at a time, for one call.
const PARALLEL: usize = 16;
/// Locks that order the conditional writes of a key in this process.
const LOCKS: usize = 64;
/// How often a conditional write is tried when others write the same key.
const ATTEMPTS: usize = 32;

/// A tier in any [`BlobStore`]: for values that are too large or too many for memory and Redis, and for processes
/// that start with an empty cache.
///
/// Each entry is one blob. It has tags and versions, and no leases: under a tier that has them (memory, Redis) it is
/// filled under those. A store that several processes share is a shared tier; to compare versions across processes
/// it must be able to compare and swap.
///
/// Tags cost one small read each when an entry with tags is looked up. Blobs of entries that are over stay until they
/// are replaced or [`sweep`](Self::sweep) finds them. Calls are not bounded in time by this tier but by who calls it
/// (the caches do), or by a policy around the store.
///
/// ```
/// use aeth_cache::{BlobTier, Caches};
/// use aeth_core::SystemClock;
/// use aeth_files::MemoryStore;
/// use std::sync::Arc;
///
/// let tier = BlobTier::new(Arc::new(MemoryStore::new()), "cache/", SystemClock::shared())?;
/// let caches = Caches::builder().tier(Arc::new(tier)).build()?;
/// # drop(caches);
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Clone)]
pub struct BlobTier {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn BlobStore>,
    names: Names,
    clock: Arc<dyn Clock>,
    locks: Box<[Mutex<()>]>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    hits: Counter,
    misses: Counter,
    unavailable: Counter,
    puts: Counter,
    removals: Counter,
    expirations: Counter,
    damaged: Counter,
}

impl BlobTier {
    /// A tier in the blobs whose paths begin with `prefix`, which nothing else may use.
    ///
    /// # Errors
    /// `Invalid` for a prefix that begins no path, or is longer than 64 bytes.
    pub fn new(store: Arc<dyn BlobStore>, prefix: impl Into<String>, clock: Arc<dyn Clock>) -> Result<Self> {
        let names = Names::new(prefix.into())?;
        let locks = (0..LOCKS).map(|_| Mutex::default()).collect();
        let inner = Inner { store, names, clock, locks, counters: Counters::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Deletes what is over, or damaged, in a namespace; gives how many blobs that were. It reads the beginning of
    /// each.
    ///
    /// # Errors
    /// Those of the store.
    ///
    /// # Cancel safety
    /// Some may have been deleted; repeating the call completes it.
    pub async fn sweep(&self, namespace: &Namespace) -> Result<usize> {
        let inner = &*self.inner;
        let now = inner.clock.unix_millis();
        let mut over = Vec::new();
        for path in inner.entries(namespace).await? {
            let front = match inner.store.get_range(&path, 0..Front::LEN).await {
                Ok(bytes) => Front::read(&bytes),
                // Shorter than that, or gone meanwhile.
                Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::NotFound) => None,
                Err(error) => return Err(error),
            };
            if front.is_none_or(|front| front.usable_until <= now) {
                over.push(path);
            }
        }
        inner.counters.expirations.add(over.len() as u64);
        inner.delete(&over).await?;
        Ok(over.len())
    }
}

impl Inner {
    /// The paths of all entries of a namespace.
    async fn entries(&self, namespace: &Namespace) -> Result<Vec<BlobPath>> {
        let prefix = self.names.entries(namespace);
        let mut paths = Vec::new();
        let mut next = Some(ListOptions::prefix(prefix));
        while let Some(options) = next {
            let page = self.store.list_page(options.clone()).await?;
            paths.extend(page.blobs.into_iter().map(|blob| blob.path));
            next = page.next.map(|token| options.with_token(token));
        }
        Ok(paths)
    }

    async fn delete(&self, paths: &[BlobPath]) -> Result<()> {
        for part in paths.chunks(1000) {
            self.store.delete_many(part).await?.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// The entry under a key, if it may be used.
    async fn read(&self, namespace: &Namespace, key: &Key) -> Result<Option<Entry>> {
        let bytes = match self.store.get_bytes(&self.names.entry(namespace, key)?).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                self.counters.damaged.increment();
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.judge(namespace, bytes).await
    }

    async fn judge(&self, namespace: &Namespace, bytes: Bytes) -> Result<Option<Entry>> {
        let Some(Container { entry, marks }) = Container::read(&bytes) else {
            self.counters.damaged.increment();
            return Ok(None);
        };
        if !entry.is_usable(self.clock.unix_millis()) {
            self.counters.expirations.increment();
            return Ok(None);
        }
        let valid = self.marks(namespace, &entry.tags).await? == marks;
        Ok(valid.then_some(entry))
    }

    /// The present marks of tags: each invalidation of a tag writes a new one, and an entry is valid as long as the
    /// marks are those that were read before it was written. No clock and no counter is compared.
    async fn marks(&self, namespace: &Namespace, tags: &[Tag]) -> Result<Vec<Mark>> {
        let read: Vec<BoxFuture<'_, Result<Mark>>> =
            tags.iter().map(|tag| self.mark(namespace, tag).boxed()).collect();
        stream::iter(read).buffered(PARALLEL).try_collect().await
    }

    async fn mark(&self, namespace: &Namespace, tag: &Tag) -> Result<Mark> {
        match self.store.get_bytes(&self.names.tag(namespace, tag)?).await {
            Ok(bytes) => Ok(Mark::read(&bytes)),
            Err(error) if error.is_not_found() => Ok(Mark::NEVER),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, namespace: &Namespace, key: &Key, entry: Entry) -> Result<PutOutcome> {
        let path = self.names.entry(namespace, key)?;
        // Before the write: what is invalidated in between is invalid for this entry too.
        let marks = self.marks(namespace, &entry.tags).await?;
        let version = entry.version;
        let bytes = Container { entry, marks }.write();
        let outcome = match version {
            0 => self.store.put(&path, bytes).await.map(|_| PutOutcome::Stored),
            _ => self.write_version(namespace, &path, bytes, version).await,
        }?;
        if outcome == PutOutcome::Stored {
            self.counters.puts.increment();
        }
        Ok(outcome)
    }

    /// Writes unless a greater version stands there.
    async fn write_version(
        &self,
        namespace: &Namespace,
        path: &BlobPath,
        bytes: Bytes,
        version: u64,
    ) -> Result<PutOutcome> {
        let swaps = self.store.capabilities().has(Capability::CompareAndSwap)
            && self.store.capabilities().has(Capability::CreateOnly);
        let _lock = self.locks[self.names.lock(path, LOCKS)].lock().await;
        for _ in 0..ATTEMPTS {
            let standing = match self.store.get_opts(path, GetOptions::default()).await {
                Ok(blob) => {
                    let etag = blob.meta.etag.clone();
                    Some((etag, blob.bytes().await?))
                }
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            };
            let mut options = PutOptions::create();
            if let Some((etag, standing)) = standing {
                if self.judge(namespace, standing).await?.is_some_and(|entry| entry.version > version) {
                    return Ok(PutOutcome::Superseded);
                }
                options = match etag {
                    Some(etag) => PutOptions::if_match(etag),
                    None => PutOptions::default(),
                };
            }
            let options = if swaps { options } else { PutOptions::default() };
            match self.store.put_opts(path, bytes.clone().into(), options).await {
                Ok(_) => return Ok(PutOutcome::Stored),
                Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Precondition) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(ErrorKind::Busy, "others write the same entry all the time")
            .with_component("blob")
            .with_remedy("try again later"))
    }
}

impl fmt::Debug for BlobTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobTier").field("store", &self.inner.store).finish_non_exhaustive()
    }
}
