//! Copies in several places.

mod behind;
mod body;
mod builder;
mod gather;
mod list;
mod location;
mod read;
mod repair;
mod transfer;
mod version;
mod write;

pub use builder::MirroredBuilder;
pub use repair::Resynced;

use crate::reserved::Reserved;
use aeth_core::blob::{
    Blob, BlobStore, Capabilities, CopyOptions, GetOptions, ListOptions, Page, PresignOptions, PutOptions,
    PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::observe::{Counter, Health, HealthCheck, Status};
use aeth_core::policy::Hedge;
use aeth_core::{BlobPath, Body, Clock, Error, Lifecycle, Result, Tasks};
use async_trait::async_trait;
use behind::Behind;
use futures_util::{StreamExt, stream};
use location::Location;
use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, Semaphore};
use version::HybridClock;

/// The prefix that this layer keeps for itself.
const PREFIX: &str = ".aeth-mirror";

/// A store that keeps each blob in several locations, and goes on while some of them are dead, slow or wrong.
///
/// # What is promised
/// A write is acknowledged when a quorum of the locations has it (most of them, unless told otherwise). A read asks
/// so many locations that one of them has the newest acknowledged version, by the hybrid clock whose time every
/// copy carries, and gives that one: nothing acknowledged is lost or older than it may be, whichever locations are
/// away, as long as enough answer. With fewer, calls fail with `Unavailable`; a write may then have taken effect.
///
/// Conditional puts and copies are decided by one fixed location, the primary, and are `Unavailable` while it is
/// down. That needs a primary with compare-and-swap.
///
/// # What mends itself
/// A read that sees a missing, old or bad copy has it brought up to date in the background. What a location missed
/// is noted in a journal, and brought to it when it is back. [`resync`](Self::resync) compares everything, for the
/// case that the journal was lost or others have written to a location. A copy that was found bad and that no other can
/// replace stays in the journal, and health says so.
///
/// # What is stored
/// Each location has the blob as it is, with attributes whose names start with `aeth-mirror-`: the version, the
/// checksum (of bodies up to 8 MiB, and of those that were in memory), and for a deleted blob whose deletion
/// a location missed the mark of its death on an empty blob, until [`purge`](Self::purge). Short bodies are checked
/// when they are read, and a bad copy is replaced by a good one before any byte is given; a long one that is bad
/// fails at its end and is mended. A part of a blob is not checked here, because the checksum is one of the whole: an
/// encrypted layer above does that. Below `.aeth-mirror/` are the parts of uploads.
///
/// # Costs
/// With three locations: a read is one request for the bytes and one for the metadata of another copy, at the same
/// time; a write is a look and a put at each. Copies move bytes through this process. When a location is late, the
/// next one is asked as well, within a budget of extra requests (5 % by default), and not while any location fails.
///
/// Where a location has compare-and-swap, an older version never replaces a newer one there, so that several
/// processes may write. The exception: a delete removes the last trace of a blob when all locations have taken it;
/// a put of another process to the same path in that very moment may be removed at some locations and stay at
/// others, and the next read or resync decides.
///
/// Cheap to clone; clones are one mirror.
///
/// ```
/// use aeth_core::blob::{BlobStore, BlobStoreExt};
/// use aeth_core::BlobPath;
/// use aeth_files::{MemoryStore, Mirrored};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let lost = MemoryStore::new();
/// let store = Mirrored::builder()
///     .location("here", MemoryStore::new())
///     .location("there", lost.clone())
///     .location("elsewhere", MemoryStore::new())
///     .open()
///     .await?;
/// let path = BlobPath::new("a")?;
/// store.put(&path, "hello").await?;
/// lost.delete(&path).await?;
/// assert_eq!(store.get_bytes(&path).await?, "hello");
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Mirrored {
    core: Arc<Core>,
    /// The core without what this layer keeps for itself.
    front: Reserved,
}

/// What all handles share.
pub(crate) struct Core {
    name: String,
    locations: Vec<Location>,
    primary: usize,
    write_quorum: usize,
    read_quorum: usize,
    caps: Capabilities,
    clock: Arc<dyn Clock>,
    limit: Duration,
    drain_every: Duration,
    hybrid: HybridClock,
    hedge: Hedge,
    hedges: Counter,
    behind: Behind,
    repairs: Counter,
    repairing: Arc<Semaphore>,
    /// Writers of a path share one of these; removing its last trace needs one alone.
    stripes: Vec<Arc<RwLock<()>>>,
    hasher: RandomState,
    tasks: Tasks,
}

impl Core {
    fn stripe(&self, path: &BlobPath) -> Option<Arc<RwLock<()>>> {
        let hash = self.hasher.hash_one(path);
        let count = self.stripes.len() as u64;
        let at = hash.checked_rem(count).and_then(|at| usize::try_from(at).ok())?;
        self.stripes.get(at).map(Arc::clone)
    }

    /// Writes beside others. Nobody ever waits for being alone, so this waits only while somebody is. A write that goes
    /// on by itself takes this before it is let go: one that began later could find the last trace of a blob removed
    /// that was deleted since, and bring it back.
    async fn share(&self, path: &BlobPath) -> Option<OwnedRwLockReadGuard<()>> {
        match self.stripe(path) {
            Some(stripe) => Some(stripe.read_owned().await),
            None => None,
        }
    }

    /// Alone with a path, if nobody writes it.
    fn own(&self, path: &BlobPath) -> Option<OwnedRwLockWriteGuard<()>> {
        self.stripe(path)?.try_write_owned().ok()
    }
}

/// What a mirror has done since it was opened, and how its locations fare.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MirroredStatistics {
    /// Copies that were brought up to date.
    pub repairs: u64,
    /// Further locations that were asked because the first ones were late.
    pub hedges: u64,
    /// For each location its name, how many blobs it is known to lack, and whether it fails at the moment.
    pub locations: Vec<(String, u64, bool)>,
}

impl Mirrored {
    /// Puts a mirror together.
    pub fn builder() -> MirroredBuilder {
        MirroredBuilder::new()
    }

    /// What it has done and how its locations fare.
    #[must_use]
    pub fn statistics(&self) -> MirroredStatistics {
        let core = &self.core;
        let locations = core
            .locations
            .iter()
            .zip(core.behind.counts())
            .map(|(location, behind)| (location.name.clone(), behind, location.is_failing()))
            .collect();
        MirroredStatistics { repairs: core.repairs.get(), hedges: core.hedges.get(), locations }
    }

    /// Works off the journal now, and says how many blobs were brought up to date. It also runs by itself.
    ///
    /// # Cancel safety
    /// Cancel-safe: what was not brought up to date stays in the journal.
    pub async fn drain(&self) -> u64 {
        self.core.drain(true).await
    }

    /// Compares all locations blob by blob and brings older copies up to date. It costs a listing of each location
    /// and a look at each copy.
    ///
    /// # Errors
    /// Those of a listing: all locations must answer. A blob that could not be brought up to date is counted.
    ///
    /// # Cancel safety
    /// Cancel-safe; it begins anew when it is called again.
    pub async fn resync(&self) -> Result<Resynced> {
        self.core.resync().await
    }

    /// Removes the marks of blobs that were deleted longer ago than `age` and that all locations know to be dead,
    /// and says how many they were. Let `age` be longer than any location was ever away.
    ///
    /// # Errors
    /// Those of a listing: all locations must answer.
    ///
    /// # Cancel safety
    /// Cancel-safe; repeating the call completes it.
    pub async fn purge(&self, age: Duration) -> Result<u64> {
        self.core.purge(age).await
    }

    /// Removes the parts of uploads that nobody has touched for `age` by the store's own times, and says how many
    /// uploads they were. Such an upload is then no more.
    ///
    /// # Errors
    /// Those of the listing and of the deletes.
    ///
    /// # Cancel safety
    /// Cancel-safe; repeating the call completes it.
    pub async fn expire_uploads(&self, now: SystemTime, age: Duration) -> Result<u64> {
        self.front.expire_uploads(now, age).await
    }
}

#[async_trait]
impl HealthCheck for Mirrored {
    fn component(&self) -> Cow<'_, str> {
        "storage".into()
    }

    async fn check(&self) -> Health {
        let core = &self.core;
        let looks = core.locations.iter().map(|location| async move {
            let page = location.store.list_page(ListOptions::default().with_limit(1));
            location.call(Duration::ZERO, page).await
        });
        let answers = futures_util::future::join_all(looks).await;
        let well = answers.iter().filter(|answer| answer.is_ok()).count();
        let behind: u64 = core.behind.counts().iter().sum();
        let needed = core.write_quorum.max(core.read_quorum);
        let (status, reason) = match (well, behind) {
            (well, _) if well < needed => {
                (Status::Down, format!("{well} of {} locations answer, {needed} are needed", answers.len()))
            }
            (well, _) if well < answers.len() => {
                (Status::Degraded, format!("{well} of {} locations answer", answers.len()))
            }
            (_, behind) if behind > 0 => {
                (Status::Degraded, format!("{behind} copies are still to be brought up to date"))
            }
            _ => return Health::up(),
        };
        let mut health = Health::new(status);
        health.reason = Some(reason.into());
        health
    }
}

#[async_trait]
impl Lifecycle for Mirrored {
    async fn close(&self, deadline: Duration) -> Result<()> {
        self.core.tasks.close(deadline).await
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirrored")
            .field("locations", &self.locations)
            .field("primary", &self.primary)
            .field("write_quorum", &self.write_quorum)
            .field("read_quorum", &self.read_quorum)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Mirrored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.core, f)
    }
}

/// The core as a store, with nothing hidden.
#[derive(Debug)]
struct Inside(Arc<Core>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Inside {
    fn name(&self) -> Cow<'_, str> {
        self.0.name.as_str().into()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.caps.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        self.0.get(path, options).await
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        Box::pin(self.0.put(path, body, options)).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        let deletes = stream::iter(paths.to_vec()).map(|path| async move { self.0.delete(&path).await });
        Ok(deletes.buffered(16).collect().await)
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        Box::pin(self.0.copy(from, to, options)).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        Box::pin(self.0.rename(from, to, options)).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.0.list(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, _options: PutOptions) -> Result<Box<dyn Upload>> {
        Err(unsupported("uploads are staged above").with_key(path))
    }

    async fn resume_upload(&self, path: &BlobPath, _id: &UploadId) -> Result<Box<dyn Upload>> {
        Err(unsupported("uploads are staged above").with_key(path))
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        Err(unsupported("a URL would reach one location only").with_key(path))
    }
}

fn unsupported(what: &'static str) -> Error {
    Error::unsupported(what).with_component("mirrored")
}

crate::reserved::delegate!(Mirrored, front);
