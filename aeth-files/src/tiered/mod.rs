//! Tiers: what is used stays near, what is not moves to cheaper stores, and nobody who reads notices.
//!
//! # How it works
//! The first tier, *hot*, holds an entry for every path: the blob itself, or a stub of 4,093 bytes that says in which
//! other tier its bytes are. Whatever is decided about a path (conditions, creation, listing order) is therefore decided
//! by one store, with its own atomicity. In the other tiers a blob lies under its path with an id behind it
//! (`a/b.txt~0f3c…`, which begins with the id of this set of tiers), with its attributes, readable by any tool; such a place is written once and never written over.
//!
//! A move copies the bytes, reads them back and compares them ([`TieredBuilder::verify`]), and then puts the stub under
//! the condition that the blob is still the state that was copied. Whatever happens in between, at every moment either
//! the blob or a stub whose bytes are whole is there: a writer who comes first wins, and a crash leaves a copy that
//! nobody refers to, which [`Tiered::sweep`] removes. A move back is the same in the other direction.
//!
//! # What it does not promise
//! - A move is a new state with a new mark: a reader who goes on by `if_match` across a move begins anew. The time of the
//!   last write stays that of the bytes while they are away; a recall counts as a write.
//! - An overwrite leaves the bytes that were away until the next sweep; a delete removes them at once.
//! - Writers that do not use this layer see stubs.
//! - Use is what was read through handles of this layer, to the minute; what the last minutes before a crash add to it is
//!   lost.

mod build;
mod copy;
mod moves;
mod plan;
mod read;
mod stub;
mod sweep;
mod used;
mod write;

pub use build::{RecallOptions, TieredBuilder};
pub use sweep::Swept;

use aeth_core::blob::{
    Blob, BlobMeta, BlobStore, BlobStoreExt, Capabilities, Capability, CopyOptions, GetOptions, ListOptions,
    Page, PresignOptions, PutOptions, PutResult, SignedUrl, Upload, UploadId,
};
use aeth_core::{BlobPath, Body, Clock, Error, Result, Tasks};
use async_trait::async_trait;
use parking_lot::Mutex as SyncMutex;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use stub::Stub;
use tokio::sync::{Mutex, OwnedMutexGuard};
use used::Used;

/// The name of the first tier.
const HOT: &str = "hot";

/// What this layer keeps for itself in the first tier.
const PREFIX: &str = ".aeth-tiered/";

/// The id of the set of tiers.
const SET: &str = ".aeth-tiered/set";

/// Where handles note what was read.
const USED: &str = ".aeth-tiered/used/";

const STRIPES: usize = 256;

/// A layer over several stores, between which rules move blobs by age, size and use; reading finds them wherever they
/// are.
///
/// It has the capabilities of its first tier, without presigned URLs, atomic renames, versions and transparency. The
/// first tier must have attributes, conditional reads and compare-and-swap, the others ranges.
///
/// ```
/// use aeth_core::blob::BlobStoreExt;
/// use aeth_core::BlobPath;
/// use aeth_files::{Lifecycle, LifecycleRule, MemoryStore, Selector, Tiered};
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let (hot, cold) = (MemoryStore::new(), MemoryStore::new());
/// let tiered = Tiered::builder(hot).tier("cold", cold.clone()).open().await?;
/// let report = BlobPath::new("reports/2019.txt")?;
/// tiered.put(&report, "a long time ago").await?;
///
/// let rules = Lifecycle::new([LifecycleRule::move_to(
///     "cold", "old reports", Selector::prefix("reports/").with_idle_for(Duration::ZERO),
/// )]);
/// let plan = tiered.plan(&rules).await?;
/// println!("{plan}");
/// assert_eq!(tiered.apply(&rules, &plan).await?.moved, 1);
/// assert_eq!(cold.len(), 1);
/// assert_eq!(tiered.get_bytes(&report).await?, "a long time ago");
/// # Ok::<(), aeth_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Tiered(Arc<Core>);

struct Core {
    name: String,
    set: String,
    caps: Capabilities,
    hot: Arc<dyn BlobStore>,
    /// The others, by name.
    tiers: Vec<(String, Arc<dyn BlobStore>)>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    verify: bool,
    recall: Option<RecallOptions>,
    /// What is being recalled at the moment.
    recalling: SyncMutex<HashSet<BlobPath>>,
    used: Used,
    turns: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

impl Tiered {
    /// Begins with the first tier, `hot`.
    pub fn builder(hot: impl BlobStore) -> TieredBuilder {
        TieredBuilder::new(Arc::new(hot))
    }

    /// The names of the tiers, the first one first.
    #[must_use]
    pub fn tiers(&self) -> Vec<&str> {
        std::iter::once(HOT).chain(self.0.tiers.iter().map(|(name, _)| name.as_str())).collect()
    }

    /// The name of the tier that a blob is in.
    ///
    /// # Errors
    /// `NotFound`; those of a head of the first tier.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn tier_of(&self, path: &BlobPath) -> Result<String> {
        self.0.check(path)?;
        let (_, stub) = self.0.look(path).await?;
        Ok(stub.map_or_else(|| HOT.to_owned(), |stub| stub.tier))
    }

    /// Notes what was read since the last time, so that it is known after the process ends. Happens by itself every few
    /// minutes, see [`TieredBuilder::save_every`].
    ///
    /// # Errors
    /// Those of the first tier.
    ///
    /// # Cancel safety
    /// Repeating the call completes it.
    pub async fn save_use(&self) -> Result<()> {
        self.0.used.save(&self.0.hot, USED, self.0.clock.now()).await
    }
}

impl Core {
    /// Refuses what this layer keeps for itself.
    fn check(&self, path: &BlobPath) -> Result<()> {
        if !hidden(path.as_str()) {
            return Ok(());
        }
        Err(Error::invalid(format!("paths below `{PREFIX}` are reserved"))
            .with_component("tiered")
            .with_key(path)
            .with_remedy("choose another path"))
    }

    /// What is known of a blob, and where its bytes are when they are not in the first tier.
    async fn look(&self, path: &BlobPath) -> Result<(BlobMeta, Option<Stub>)> {
        let mut meta = self.hot.head(path).await?;
        let stub = Stub::take(&mut meta)?;
        Ok((meta, stub))
    }

    fn tier(&self, name: &str) -> Result<&Arc<dyn BlobStore>> {
        if name == HOT {
            return Ok(&self.hot);
        }
        let found = self.tiers.iter().find(|(known, _)| known == name);
        found.map(|(_, store)| store).ok_or_else(|| {
            Error::invalid(format!("there is no tier {name:?} here")).with_component("tiered").with_remedy(
                "open the layer with all the tiers that were ever moved to, under their old names",
            )
        })
    }

    fn fresh_place(&self, path: &BlobPath) -> Result<BlobPath> {
        stub::fresh_place(&self.set, path)
    }

    /// The blob that a place in a tier was made for; `None` for what is not of this layer.
    fn blob_of(&self, place: &BlobPath) -> Option<BlobPath> {
        stub::belongs_to(&self.set, place)
    }

    /// Moves, copies and deletes of one path through this handle, one after the other.
    async fn turn(&self, path: &BlobPath) -> Option<OwnedMutexGuard<()>> {
        let stripe = usize::try_from(self.hasher.hash_one(path) % STRIPES as u64).unwrap_or(0);
        let turn = self.turns.get(stripe).map(Arc::clone)?;
        Some(turn.lock_owned().await)
    }
}

/// True for what users do not see.
fn hidden(path: &str) -> bool {
    path.starts_with(PREFIX)
}

fn placed(error: Error, path: &BlobPath) -> Error {
    error.with_component("tiered").with_key(path)
}

impl fmt::Debug for Tiered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tiered")
            .field("hot", &self.0.hot)
            .field("tiers", &self.0.tiers)
            .finish_non_exhaustive()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Tiered {
    fn name(&self) -> Cow<'_, str> {
        self.0.name.as_str().into()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.caps.clone()
    }

    async fn get_opts(&self, path: &BlobPath, options: GetOptions) -> Result<Blob> {
        if hidden(path.as_str()) {
            return Err(placed(Error::not_found("there is no such blob"), path));
        }
        let head = options.head;
        let blob = Box::pin(self.0.get(path, options)).await?;
        if !head {
            self.0.used.note(path, self.0.clock.now());
        }
        if let Some(stub) = &blob.1
            && !head
        {
            self.recall_later(path, stub);
        }
        Ok(blob.0)
    }

    async fn put_opts(&self, path: &BlobPath, body: Body, options: PutOptions) -> Result<PutResult> {
        self.0.check(path)?;
        write::check_attributes(&options.attributes, path)?;
        self.0.hot.put_opts(path, body, options).await
    }

    async fn delete_many(&self, paths: &[BlobPath]) -> Result<Vec<Result<()>>> {
        paths.iter().try_for_each(|path| self.0.check(path))?;
        self.0.delete(paths).await
    }

    async fn copy_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.0.check(from)?;
        self.0.check(to)?;
        Box::pin(self.0.copy(from, to, options)).await
    }

    async fn rename_opts(&self, from: &BlobPath, to: &BlobPath, options: CopyOptions) -> Result<PutResult> {
        self.0.check(from)?;
        self.0.check(to)?;
        Box::pin(self.0.rename(from, to, options)).await
    }

    async fn list_page(&self, options: ListOptions) -> Result<Page> {
        self.0.list(options).await
    }

    async fn begin_upload(&self, path: &BlobPath, options: PutOptions) -> Result<Box<dyn Upload>> {
        self.0.check(path)?;
        write::check_attributes(&options.attributes, path)?;
        self.0.hot.begin_upload(path, options).await
    }

    async fn resume_upload(&self, path: &BlobPath, id: &UploadId) -> Result<Box<dyn Upload>> {
        self.0.check(path)?;
        self.0.hot.resume_upload(path, id).await
    }

    async fn presign(&self, path: &BlobPath, _options: PresignOptions) -> Result<SignedUrl> {
        self.0.caps.require(Capability::Presign).map_err(|error| {
            placed(error, path).with_remedy("sign through a store of one tier: a URL would give the stub")
        })?;
        Err(placed(Error::unsupported("a URL would give the stub"), path))
    }
}
