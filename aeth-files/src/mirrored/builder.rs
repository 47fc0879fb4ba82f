//! Putting a mirror together.

use super::behind::Behind;
use super::location::Location;
use super::version::HybridClock;
use super::{Core, Inside, Mirrored, PREFIX};
use crate::blocking::blocking;
use crate::reserved::Reserved;
use aeth_core::blob::{BlobStore, Capabilities, Capability, Consistency, ListedSize};
use aeth_core::observe::Counter;
use aeth_core::policy::{Hedge, HedgeSettings};
use aeth_core::{Clock, Error, Result, SystemClock, Tasks};
use std::hash::RandomState;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{RwLock, Semaphore};

/// How many blobs are mended in the background at the same time.
const REPAIRS: usize = 16;
const STRIPES: usize = 1_024;

/// Puts a [`Mirrored`] together.
#[derive(Debug)]
#[must_use]
pub struct MirroredBuilder {
    locations: Vec<(String, Arc<dyn BlobStore>)>,
    primary: Option<String>,
    write_quorum: Option<usize>,
    read_quorum: Option<usize>,
    limit: Duration,
    hedge: (Duration, f64),
    drain_every: Duration,
    journal: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
}

impl MirroredBuilder {
    pub(super) fn new() -> Self {
        Self {
            locations: Vec::new(),
            primary: None,
            write_quorum: None,
            read_quorum: None,
            limit: Duration::from_secs(10),
            hedge: (Duration::from_millis(50), 0.05),
            drain_every: Duration::from_secs(5),
            journal: None,
            clock: SystemClock::shared(),
            tasks: Tasks::new(),
        }
    }

    /// Adds a location. Names are the host's, different from each other, and stay with the location.
    pub fn location(self, name: impl Into<String>, store: impl BlobStore) -> Self {
        self.shared_location(name, Arc::new(store))
    }

    /// Adds a location whose store is shared.
    pub fn shared_location(mut self, name: impl Into<String>, store: Arc<dyn BlobStore>) -> Self {
        self.locations.push((name.into(), store));
        self
    }

    /// The location that decides conditions; default: the first one. All processes must name the same.
    pub fn primary(mut self, name: impl Into<String>) -> Self {
        self.primary = Some(name.into());
        self
    }

    /// How many locations must have a write before it is acknowledged; default: more than half of them.
    pub fn write_quorum(mut self, locations: usize) -> Self {
        self.write_quorum = Some(locations);
        self
    }

    /// How many locations a read asks; default: so many that one of them has every acknowledged write (all, less
    /// the write quorum, and one more). With fewer, reads may be old for a while, and the report says so.
    pub fn read_quorum(mut self, locations: usize) -> Self {
        self.read_quorum = Some(locations);
        self
    }

    /// How long a request to a location may take, besides the transfer of a body, and how long a body may stand
    /// still; default 10 s.
    pub fn request_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A read asks a further location when it has not ended after `after`, or after the 95th percentile of the times
    /// seen if that is longer; at most this share of the reads does. Default 50 ms and 0.05; 0 turns it off.
    pub fn hedge(mut self, after: Duration, share: f64) -> Self {
        self.hedge = (after, share);
        self
    }

    /// How often what locations lack is brought to them; default 5 s.
    pub fn drain_every(mut self, pause: Duration) -> Self {
        self.drain_every = pause;
        self
    }

    /// Keeps the journal in this file of this mirror's own, so that it outlives the process.
    pub fn journal(mut self, file: impl Into<PathBuf>) -> Self {
        self.journal = Some(file.into());
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
    /// `Invalid` without locations, for names that are empty or the same, a primary that is none of them, and
    /// quorums out of range; `Unsupported` for a location without attributes, ranged reads or `start_after`; those
    /// of the file system for the journal.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn open(self) -> Result<Mirrored> {
        let refused = |what: String| Err(Error::invalid(what).with_component("mirrored"));
        let names: Vec<String> = self.locations.iter().map(|(name, _)| name.clone()).collect();
        let count = names.len();
        if count == 0 {
            return refused("there is no location".into());
        }
        for (at, name) in names.iter().enumerate() {
            if name.is_empty() || names.iter().skip(at + 1).any(|other| other == name) {
                return refused(format!("the location name `{name}` is empty or given twice"));
            }
        }
        let primary = match &self.primary {
            None => 0,
            Some(primary) => match names.iter().position(|name| name == primary) {
                Some(at) => at,
                None => return refused(format!("the primary `{primary}` is none of the locations")),
            },
        };
        let write_quorum = self.write_quorum.unwrap_or(count / 2 + 1);
        let full = (count + 1).saturating_sub(write_quorum);
        let read_quorum = self.read_quorum.unwrap_or(full);
        if !(1..=count).contains(&write_quorum) || !(1..=count).contains(&read_quorum) {
            return refused(format!("the quorums must be 1 to {count}"));
        }
        for (name, store) in &self.locations {
            let caps = store.capabilities();
            for needed in [Capability::Attributes, Capability::RangeGet, Capability::ListStartAfter] {
                if !caps.has(needed) {
                    return Err(Error::unsupported(format!("the location `{name}` has no {needed:?}"))
                        .with_component("mirrored")
                        .with_remedy(
                            "choose a store that keeps attributes, or put a layer above it that does",
                        ));
                }
            }
        }
        let caps = transform(&self.locations, primary, read_quorum < full);
        let journal = self.journal;
        let behind = blocking(move || Behind::open(names, journal)).await?;
        let mut node = [0; 4];
        getrandom::fill(&mut node)
            .map_err(|error| Error::other("the system's random generator failed").with_source(error))?;
        let (clock, limit) = (self.clock, self.limit);
        let below: Vec<String> = self.locations.iter().map(|(_, store)| store.name().into_owned()).collect();
        let locations = self.locations.into_iter();
        let core = Arc::new(Core {
            name: format!("mirrored({})", below.join(", ")),
            locations: locations
                .map(|(name, store)| Location::new(name, store, Arc::clone(&clock), limit))
                .collect(),
            primary,
            write_quorum,
            read_quorum,
            caps,
            limit,
            drain_every: self.drain_every,
            hybrid: HybridClock::new(Arc::clone(&clock), u32::from_le_bytes(node)),
            hedge: Hedge::new(HedgeSettings::default().with_after(self.hedge.0).with_budget(self.hedge.1)),
            hedges: Counter::new(),
            behind,
            repairs: Counter::new(),
            repairing: Arc::new(Semaphore::new(REPAIRS)),
            stripes: (0..STRIPES).map(|_| Arc::new(RwLock::new(()))).collect(),
            hasher: RandomState::new(),
            tasks: self.tasks,
            clock,
        });
        drop(core.tasks.spawn_until_closed(Core::drain_always(Arc::downgrade(&core))));
        let front = Reserved::new(Arc::new(Inside(Arc::clone(&core))), PREFIX, "mirrored");
        Ok(Mirrored { core, front })
    }
}

/// What a mirror of these locations can do.
fn transform(locations: &[(String, Arc<dyn BlobStore>)], primary: usize, weak: bool) -> Capabilities {
    let mut caps = Capabilities::new(Capability::ALL);
    let (mut primary_swaps, mut primary_limit) = (false, None);
    for (at, (_, store)) in locations.iter().enumerate() {
        let below = store.capabilities();
        caps.set = caps.set.and(below.set);
        if below.consistency != Consistency::Strong {
            caps.consistency = below.consistency;
        }
        if below.listed_size != ListedSize::Exact {
            caps.listed_size = below.listed_size;
        }
        caps.max_size = [caps.max_size, below.max_size].into_iter().flatten().min();
        if at == primary {
            primary_swaps = below.has(Capability::CompareAndSwap) && below.has(Capability::CreateOnly);
            primary_limit = below.max_conditional_put;
        }
    }
    if weak {
        caps.consistency = Consistency::Eventual;
    }
    for lost in [Capability::Presign, Capability::Versions, Capability::AtomicRename] {
        caps = caps.without(lost);
    }
    let given = [
        (Capability::CreateOnly, primary_swaps),
        (Capability::CompareAndSwap, primary_swaps),
        (Capability::CopyCreateOnly, primary_swaps),
        (Capability::CopyReplace, true),
        (Capability::ConditionalGet, true),
        (Capability::Checksums, true),
    ];
    for (capability, has) in given {
        caps = if has { caps.with(capability) } else { caps.without(capability) };
    }
    caps.max_conditional_put = primary_limit;
    caps
}
