//! Putting tiers together.

use super::stub::SET_LEN;
use super::used::Used;
use super::{Core, HOT, SET, STRIPES, Tiered, USED};
use aeth_core::blob::{
    BlobStore, BlobStoreExt, Capabilities, Capability, Consistency, ListedSize, PutOptions,
};
use aeth_core::{BlobPath, Clock, Error, ErrorKind, Result, SystemClock, Tasks};
use std::collections::HashSet;
use std::hash::RandomState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// When a blob that is read comes back to the first tier by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecallOptions {
    /// The longest blob in bytes that comes back; default 64 MiB.
    pub at_most: u64,
    /// How many come back at the same time; default 2. What is read beyond that stays where it is until it is read again.
    pub concurrency: usize,
}

impl Default for RecallOptions {
    fn default() -> Self {
        Self { at_most: 64 << 20, concurrency: 2 }
    }
}

impl RecallOptions {
    /// Sets the longest blob in bytes that comes back.
    #[must_use]
    pub fn with_at_most(mut self, bytes: u64) -> Self {
        self.at_most = bytes;
        self
    }

    /// Sets how many come back at the same time.
    #[must_use]
    pub fn with_concurrency(mut self, blobs: usize) -> Self {
        self.concurrency = blobs;
        self
    }
}

/// Puts a [`Tiered`] together.
#[derive(Debug)]
#[must_use]
pub struct TieredBuilder {
    hot: Arc<dyn BlobStore>,
    tiers: Vec<(String, Arc<dyn BlobStore>)>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    verify: bool,
    recall: Option<RecallOptions>,
    track: usize,
    save_every: Option<Duration>,
}

impl TieredBuilder {
    pub(super) fn new(hot: Arc<dyn BlobStore>) -> Self {
        Self {
            hot,
            tiers: Vec::new(),
            clock: SystemClock::shared(),
            tasks: Tasks::new(),
            verify: true,
            recall: None,
            track: 100_000,
            save_every: Some(Duration::from_secs(300)),
        }
    }

    /// One more tier, under a name that stays for ever: of lower-case letters, digits and `-`, at most 32, not `hot`.
    pub fn tier(mut self, name: impl Into<String>, store: impl BlobStore) -> Self {
        self.tiers.push((name.into(), Arc::new(store)));
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

    /// Whether a move reads back what it wrote and compares, before the blob is given up where it was; default true. A
    /// tier that is slow or dear to read may be trusted instead.
    pub fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Brings blobs that are read back to the first tier, in the background; default: rules alone do.
    pub fn recall(mut self, options: RecallOptions) -> Self {
        self.recall = Some(options);
        self
    }

    /// Of how many blobs it is known when they were read last; default 100,000, the latest. Takes about 100 bytes each
    /// and the path.
    pub fn track(mut self, blobs: usize) -> Self {
        self.track = blobs;
        self
    }

    /// How often that is noted in the first tier; default five minutes, `None` never by itself.
    pub fn save_every(mut self, interval: Option<Duration>) -> Self {
        self.save_every = interval;
        self
    }

    /// Opens the layer.
    ///
    /// # Errors
    /// `Invalid` for a name that is not allowed or used twice; `Unsupported` for a first tier without attributes,
    /// conditional reads and compare-and-swap, or whose listings do not tell sizes, and for another one without ranges;
    /// those of reading the notes about use.
    ///
    /// # Panics
    /// Outside of a tokio runtime, unless use is never noted by itself.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(self) -> Result<Tiered> {
        check_names(&self.tiers)?;
        let caps = transform(&self.hot, &self.tiers)?;
        let names: Vec<String> = std::iter::once(self.hot.name().into_owned())
            .chain(self.tiers.iter().map(|(name, store)| format!("{name}={}", store.name())))
            .collect();
        let set = set_of(&self.hot, caps.has(Capability::CreateOnly)).await?;
        let core = Arc::new(Core {
            set,
            name: format!("tiered({})", names.join(",")),
            caps,
            hot: self.hot,
            tiers: self.tiers,
            clock: self.clock,
            tasks: self.tasks,
            verify: self.verify,
            recall: self.recall,
            recalling: parking_lot::Mutex::new(HashSet::new()),
            used: Used::new(self.track)?,
            turns: (0..STRIPES).map(|_| Arc::new(Mutex::new(()))).collect(),
            hasher: RandomState::new(),
        });
        core.used.load(&core.hot, USED).await?;
        if let Some(interval) = self.save_every {
            save_in_background(&core, interval);
        }
        Ok(Tiered(core))
    }
}

/// The id of the set of tiers, which the first one keeps.
async fn set_of(hot: &Arc<dyn BlobStore>, creates: bool) -> Result<String> {
    let at = BlobPath::new(SET)?;
    let read = async || hot.get_bytes(&at).await;
    let known = match read().await {
        Err(error) if error.is_not_found() => {
            let options = if creates { PutOptions::create() } else { PutOptions::default() };
            let made = crate::random::hex::<{ SET_LEN / 2 }>()?;
            match hot.put_opts(&at, made.into(), options).await {
                // Somebody opened it at the same time.
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => read().await?,
            }
        }
        known => known?,
    };
    let text = String::from_utf8_lossy(&known).into_owned();
    if text.len() == SET_LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(Error::corrupt("the id of the set of tiers cannot be read")
        .with_component("tiered")
        .with_key(&at)
        .with_remedy(
            "put back the eight hexadecimal digits that places in the other tiers begin with after `~`",
        ))
}

fn save_in_background(core: &Arc<Core>, interval: Duration) {
    // The task holds what it needs, not the tasks that hold it.
    let (weak, clock) = (Arc::downgrade(core), Arc::clone(&core.clock));
    drop(core.tasks.spawn_until_closed(async move {
        loop {
            clock.sleep(interval).await;
            let Some(core) = weak.upgrade() else { return };
            if let Err(error) = core.used.save(&core.hot, USED, clock.now()).await {
                tracing::debug!(%error, "what was read could not be noted");
            }
        }
    }));
}

fn check_names(tiers: &[(String, Arc<dyn BlobStore>)]) -> Result<()> {
    let refused = |name: &str, what: &str| {
        Err(Error::invalid(format!("the tier's name {name:?} {what}")).with_component("tiered").with_remedy(
            "name tiers by lower-case letters, digits and `-`, at most 32, each once, and not `hot`",
        ))
    };
    let mut seen = HashSet::from([HOT]);
    for (name, _) in tiers {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 32 || !name.bytes().all(allowed) {
            return refused(name, "is not allowed");
        }
        if !seen.insert(name) {
            return refused(name, "is used twice");
        }
    }
    if tiers.is_empty() {
        return Err(Error::invalid("there is only one tier")
            .with_component("tiered")
            .with_remedy("add another"));
    }
    Ok(())
}

/// What the layer can do over these tiers.
fn transform(hot: &Arc<dyn BlobStore>, tiers: &[(String, Arc<dyn BlobStore>)]) -> Result<Capabilities> {
    let mut caps = hot.capabilities();
    let needed = [Capability::Attributes, Capability::ConditionalGet, Capability::CompareAndSwap];
    for needed in needed {
        caps.require(needed).map_err(|error| {
            error
                .with_component("tiered")
                .with_remedy("take another store as the first tier: it decides for all")
        })?;
    }
    if caps.listed_size != ListedSize::Exact {
        return Err(Error::unsupported("the listings of the first tier do not tell sizes")
            .with_component("tiered")
            .with_remedy("put layers that change sizes, such as compression, above the tiers"));
    }
    for lost in [Capability::Presign, Capability::AtomicRename, Capability::Versions, Capability::Transparent]
    {
        caps = caps.without(lost);
    }
    for (name, store) in tiers {
        let below = store.capabilities();
        below.require(Capability::RangeGet).map_err(|error| error.with_component("tiered").with_key(name))?;
        for shared in [Capability::Durable, Capability::MultiProcess] {
            if !below.has(shared) {
                caps = caps.without(shared);
            }
        }
        if below.consistency != Consistency::Strong {
            caps.consistency = below.consistency;
        }
    }
    Ok(caps)
}
